//! Finds where a stretch of a JSON string ends, many bytes at a time: quotes, backslashes and control
//! characters as bits.
//!
//! Vectors in the module (`simd128`), plain words natively. Each is tested against a search byte by byte.

/// Bytes in a block.
pub const BLOCK: usize = 16;
/// Bytes handled in one round.
const ROUND: usize = 64;

/// Kinds of the bytes of a block: bit `i` is about byte `i`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StringBits {
    /// Quotes.
    pub quotes: u64,
    /// Backslashes.
    pub slashes: u64,
    /// Control characters, below 0x20.
    pub controls: u64,
    /// Letters `n`: the most frequent escape beside those of the first two.
    pub ens: u64,
}

#[cfg(target_feature = "simd128")]
mod vectors {
    use super::{BLOCK, ROUND, Round, StringBits, halves};
    use core::arch::wasm32::{
        u8x16_bitmask, u8x16_eq, u8x16_lt, u8x16_min, u8x16_splat, u64x2, v128, v128_and, v128_any_true,
        v128_or,
    };

    #[inline(always)]
    fn find(block: &[u8; BLOCK]) -> [v128; 4] {
        let [low, high] = halves(block);
        let x = u64x2(low, high);
        let is = |b| u8x16_eq(x, u8x16_splat(b));
        [is(b'"'), is(b'\\'), u8x16_eq(u8x16_min(x, u8x16_splat(0x1f)), x), is(b'n')]
    }
    /// See `plain`.
    #[inline(always)]
    pub fn any(block: &[u8; BLOCK]) -> u16 {
        let [quotes, slashes, controls, _] = find(block);
        u8x16_bitmask(v128_or(v128_or(quotes, slashes), controls))
    }
    #[inline(always)]
    fn three(block: &[u8; BLOCK]) -> (v128, v128, v128) {
        let [low, high] = halves(block);
        let x = u64x2(low, high);
        let quotes = u8x16_eq(x, u8x16_splat(b'"'));
        let slashes = u8x16_eq(x, u8x16_splat(b'\\'));
        let controls = u8x16_lt(x, u8x16_splat(0x20));
        (
            v128_or(quotes, controls),
            slashes,
            v128_or(u8x16_eq(x, u8x16_splat(b'n')), v128_or(quotes, slashes)),
        )
    }
    /// See `plain`.
    #[inline(always)]
    pub fn round(block: &[u8; ROUND]) -> Round {
        let [a, b, c, d] = block.as_chunks::<BLOCK>().0 else { return Round::default() };
        let (a, b, c, d) = (three(a), three(b), three(c), three(d));
        let any = v128_or(
            v128_or(v128_or(a.0, a.1), v128_or(b.0, b.1)),
            v128_or(v128_or(c.0, c.1), v128_or(d.0, d.1)),
        );
        if !v128_any_true(any) {
            return Round::default();
        }
        let bits = |a, b, c, d| {
            u64::from(u8x16_bitmask(a))
                | u64::from(u8x16_bitmask(b)) << 16
                | u64::from(u8x16_bitmask(c)) << 32
                | u64::from(u8x16_bitmask(d)) << 48
        };
        Round {
            stops: bits(a.0, b.0, c.0, d.0),
            slashes: bits(a.1, b.1, c.1, d.1),
            usual: bits(a.2, b.2, c.2, d.2),
        }
    }
    /// See `plain`.
    #[inline(always)]
    pub fn letters(block: &[u8; ROUND], letter: u8) -> u64 {
        let (low, want) = (u8x16_splat(0x1f), u8x16_splat(letter));
        block.as_chunks::<BLOCK>().0.iter().rev().fold(0, |all, part| {
            let [a, b] = halves(part);
            all << BLOCK | u64::from(u8x16_bitmask(u8x16_eq(v128_and(u64x2(a, b), low), want)))
        })
    }
    /// See `plain`.
    #[inline(always)]
    pub fn string_bits(block: &[u8; BLOCK]) -> StringBits {
        let [quotes, slashes, controls, ens] = find(block).map(|v| u64::from(u8x16_bitmask(v)));
        StringBits { quotes, slashes, controls, ens }
    }
}

#[cfg(not(target_feature = "simd128"))]
use plain as vectors;
use vectors::round;
pub use vectors::{any, letters, string_bits};

/// Bytes of a round that end a stretch of a string, and escapes. Bit `i` is about byte `i`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Quotes and control characters.
    stops: u64,
    /// Backslashes.
    slashes: u64,
    /// The usual letters of an escape.
    usual: u64,
}

/// Plain words: used natively, and the reference for the vectors.
pub mod plain {
    use super::{BLOCK, ROUND, Round, StringBits, halves};

    const ONES: u64 = 0x0101_0101_0101_0101;
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;

    /// The high bit of each byte that is zero: no borrow or carry crosses bytes.
    fn zeros(x: u64) -> u64 {
        !((x & LOW).wrapping_add(LOW) | x | LOW)
    }
    /// High bits of bytes to a bit each.
    fn gather(x: u64) -> u64 {
        (x >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
    }
    #[inline(always)]
    fn find(x: u64) -> [u64; 4] {
        let is = |b: u8| zeros(x ^ ONES.wrapping_mul(b.into()));
        [is(b'"'), is(b'\\'), zeros(x & ONES.wrapping_mul(0xe0)), is(b'n')]
    }
    /// Kinds of the bytes of a block.
    #[inline(always)]
    pub fn string_bits(block: &[u8; BLOCK]) -> StringBits {
        let [low, high] = halves(block).map(|x| find(x).map(gather));
        let [quotes, slashes, controls, ens] = [0, 1, 2, 3].map(|i: usize| {
            let bits = |half: &[u64; 4]| half.get(i).copied().unwrap_or(0);
            bits(&low) | bits(&high) << 8
        });
        StringBits { quotes, slashes, controls, ens }
    }
    /// Kinds of the bytes of a round.
    #[inline(always)]
    #[cfg_attr(target_feature = "simd128", allow(dead_code, reason = "the twin of the vectors"))]
    pub fn round(block: &[u8; ROUND]) -> Round {
        let parts = block.as_chunks::<BLOCK>().0;
        if parts.iter().fold(0, |all, part| all | any(part)) == 0 {
            return Round::default();
        }
        parts.iter().rev().fold(Round::default(), |all, part| {
            let m = string_bits(part);
            Round {
                stops: all.stops << BLOCK | m.quotes | m.controls,
                slashes: all.slashes << BLOCK | m.slashes,
                usual: all.usual << BLOCK | m.ens | m.quotes | m.slashes,
            }
        })
    }
    /// Bytes whose low five bits are those of `letter`; bit `i` is about byte `i`.
    #[cfg_attr(target_feature = "simd128", allow(dead_code, reason = "the twin of the vectors"))]
    pub fn letters(block: &[u8; ROUND], letter: u8) -> u64 {
        block.as_chunks::<8>().0.iter().rev().fold(0, |all, part| {
            let x = u64::from_le_bytes(*part) & ONES.wrapping_mul(0x1f);
            all << 8 | gather(zeros(x ^ ONES.wrapping_mul(letter.into())))
        })
    }
    /// Bytes that are quotes, backslashes or control characters; bit `i` is about byte `i`.
    #[inline(always)]
    pub fn any(block: &[u8; BLOCK]) -> u16 {
        let [low, high] = halves(block).map(|x| find(x).iter().take(3).fold(0, |all, f| all | f));
        if low | high == 0 { 0 } else { (gather(low) | gather(high) << 8) as u16 }
    }
}

/// Position of the first quote, backslash or control character in a block; `BLOCK` if there is none.
#[inline(always)]
pub fn special(block: &[u8; BLOCK]) -> usize {
    (u32::from(any(block)) | 1 << BLOCK).trailing_zeros() as usize
}

fn halves(block: &[u8; BLOCK]) -> [u64; 2] {
    let (mut low, mut high) = ([0; 8], [0; 8]);
    low.copy_from_slice(block.get(..8).unwrap_or_default());
    high.copy_from_slice(block.get(8..).unwrap_or_default());
    [u64::from_le_bytes(low), u64::from_le_bytes(high)]
}

/// Position of the first backslash in a block; `BLOCK` if there is none.
#[inline(always)]
pub fn slash(block: &[u8; BLOCK]) -> usize {
    (string_bits(block).slashes | 1 << BLOCK).trailing_zeros() as usize
}

/// Number of escapes in a text in which none is cut.
pub fn escapes_in(bytes: &[u8]) -> usize {
    let (rounds, rest) = bytes.as_chunks::<ROUND>();
    let mut last = [0; ROUND];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let (mut escapes, mut carry) = (0usize, 0u64);
    for block in rounds.iter().chain(std::iter::once(&last)) {
        let starts = starts(round(block).slashes & !carry);
        carry = starts >> 63;
        escapes = escapes.wrapping_add(starts.count_ones() as usize);
    }
    escapes
}

/// The character that a backslash and this letter stand for.
pub fn letter(b: u8) -> Option<u8> {
    Some(match b {
        b'"' | b'\\' | b'/' => b,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return None,
    })
}

/// The backslashes that escape: of those in a row every other one, from the first.
fn starts(slashes: u64) -> u64 {
    const EVEN: u64 = 0x5555_5555_5555_5555;
    let firsts = slashes & !(slashes << 1);
    // Adding its first bit to a row clears the row.
    let from_even = slashes & !slashes.wrapping_add(firsts & EVEN);
    from_even & EVEN | slashes & !from_even & !EVEN
}

/// The bytes of a string up to one that needs more work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    /// Number of bytes.
    pub bytes: usize,
    /// One-letter escapes among them: unescaped the stretch is shorter by this number.
    pub escapes: usize,
}

/// The stretch before the closing quote, a control character, an escape of more than one letter, or the end.
pub fn stretch(bytes: &[u8]) -> Stretch {
    let (rounds, rest) = bytes.as_chunks::<ROUND>();
    // The last round is filled up with what stops, after a backslash, too.
    let mut last = [0; ROUND];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    // Without a branch that text decides: a processor that guesses wrong at every escape takes twice the time.
    let (mut at, mut escapes, mut carry) = (0usize, 0usize, 0u64);
    for block in rounds.iter().chain(std::iter::once(&last)) {
        let m = round(block);
        if m.stops | m.slashes | carry == 0 {
            at = at.saturating_add(ROUND);
            continue;
        }
        let starts = starts(m.slashes & !carry);
        let taken = starts << 1 | carry;
        carry = starts >> 63;
        let mut look = 0;
        // The letters of escapes, those at hand aside; the last one may be that of the next round.
        let mut rare = taken & !m.usual;
        while rare != 0 {
            let place = rare.trailing_zeros();
            if block.get(place as usize).is_none_or(|b| letter(*b).is_none()) {
                look = 1 << place;
                break;
            }
            rare &= rare.wrapping_sub(1);
        }
        let stops = m.stops & !taken | look;
        if stops != 0 {
            let first = stops.trailing_zeros() as usize;
            let before = (stops & stops.wrapping_neg()).wrapping_sub(1);
            escapes = escapes.saturating_add((starts & before).count_ones() as usize);
            // What follows a backslash stops in front of that.
            let unread = usize::from(taken >> first & 1 == 1);
            escapes = escapes.saturating_sub(unread);
            at = at.saturating_add(first).saturating_sub(unread);
            break;
        }
        escapes = escapes.saturating_add(starts.count_ones() as usize);
        at = at.saturating_add(ROUND);
    }
    Stretch { bytes: at.min(bytes.len()), escapes }
}

#[cfg(test)]
mod tests {
    use super::{any, *};
    use proptest::prelude::*;

    /// Byte by byte.
    fn plainly(bytes: &[u8]) -> Stretch {
        let (mut rest, mut escapes) = (bytes, 0usize);
        loop {
            rest = match rest {
                [b'\\', b, after @ ..] if letter(*b).is_some() => {
                    escapes = escapes.saturating_add(1);
                    after
                }
                [b, after @ ..] if *b >= 0x20 && !matches!(b, b'"' | b'\\') => after,
                _ => return Stretch { bytes: bytes.len().saturating_sub(rest.len()), escapes },
            }
        }
    }

    proptest! {
        #[test]
        fn vectors_find_what_plain_words_find(wild: [u8; BLOCK], near in prop::array::uniform16(prop_oneof![0x1eu8..0x24, Just(b'\\'), 0x5bu8..0x5e])) {
            for block in [wild, near, [b'x'; BLOCK], [0xff; BLOCK]] {
                let bits = |is: fn(&u8) -> bool| block.iter().rev().fold(0u64, |all, b| all << 1 | u64::from(is(b)));
                let want = StringBits {
                    quotes: bits(|b| *b == b'"'),
                    slashes: bits(|b| *b == b'\\'),
                    controls: bits(|b| *b < 0x20),
                    ens: bits(|b| *b == b'n'),
                };
                prop_assert_eq!(string_bits(&block), want);
                prop_assert_eq!(plain::string_bits(&block), want);
                prop_assert_eq!(any(&block), plain::any(&block));
                let place = block.iter().position(|b| *b == b'"' || *b == b'\\' || *b < 0x20);
                prop_assert_eq!(special(&block), place.unwrap_or(BLOCK));
            }
        }

        #[test]
        fn letters_are_found_in_either_case(block in prop::collection::vec(0u8.., ROUND), letter in 1u8..32) {
            let block: [u8; ROUND] = block.try_into().unwrap_or([0; ROUND]);
            let want = block.iter().rev().fold(0u64, |all, b| all << 1 | u64::from(b & 31 == letter));
            prop_assert_eq!(letters(&block, letter), want);
            prop_assert_eq!(plain::letters(&block, letter), want);
        }

        #[test]
        fn stretches_end_where_byte_by_byte_they_do(text in "(x|y{30}|\\\\[\"\\\\/bfnrt]|\\\\\\\\){0,200}", end in "(|\"|\\\\|\\\\u0041|\\\\q|\n)z{0,70}") {
            let bytes = [text, end].concat();
            prop_assert_eq!(stretch(bytes.as_bytes()), plainly(bytes.as_bytes()));
        }
    }
}
