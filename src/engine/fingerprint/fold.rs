//! Folds code points: look-alikes fold to the same bytes, invisible ones are dropped. Latin, Greek, Cyrillic
//! and Han are decided here, all others by Unicode's data (`tables.rs`). Cost of the latter: a binary search
//! in fewer than 200 runs.

use super::tables::{DROPPED, LETTERS, RUNS_0, RUNS_1, SEVERAL};

/// What a code point is folded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// Nothing: it is dropped.
    Drop,
    /// A word boundary.
    Break,
    /// An ASCII letter or digit.
    Ascii(u8),
    /// Several ASCII letters: ligatures, Roman numerals.
    Several(&'static str),
    /// This code point.
    Keep(u32),
    /// A word of its own (Han, kana, Hangul).
    Alone(u32),
}

/// Folds a non-ASCII code point.
pub fn fold(c: u32) -> Fold {
    match c {
        // The usual ones of `DROPPED`, told before the ranges below.
        0x00ad | 0x0300..=0x036f | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f => Fold::Drop,
        0x1ab0..=0x1aff | 0x20d0..=0x20ff | 0xffa0 | 0xfff0..=0xfffb => Fold::Drop,
        0x00aa => Fold::Ascii(b'a'),
        0x00ba => Fold::Ascii(b'o'),
        0x00a0..=0x00bf
        | 0x1680
        | 0x2000..=0x200a
        | 0x2010..=0x2029
        | 0x202f..=0x205f
        | 0x3000..=0x3003
        | 0x3008..=0x3020
        | 0xff5f..=0xff65 => Fold::Break,
        0x00c0..=0x017f | 0x1ea0..=0x1ef1 => latin(c),
        0x0370..=0x03ff => greek(c),
        0x0400..=0x04ff => cyrillic(c),
        0xff10..=0xff19 => letter(b'0', c.wrapping_sub(0xff10)),
        0xff21..=0xff3a => letter(b'a', c.wrapping_sub(0xff21)),
        0xff41..=0xff5a => letter(b'a', c.wrapping_sub(0xff41)),
        0xff01..=0xff0f | 0xff1a..=0xff20 | 0xff3b..=0xff40 | 0xff5b..=0xff5e => Fold::Break,
        0x1d400..=0x1d6a3 => letter(b'a', c.wrapping_sub(0x1d400) % 26),
        0x1d7ce..=0x1d7ff => letter(b'0', c.wrapping_sub(0x1d7ce) % 10),
        0x24b6..=0x24cf => letter(b'a', c.wrapping_sub(0x24b6)),
        0x24d0..=0x24e9 => letter(b'a', c.wrapping_sub(0x24d0)),
        0x1f110..=0x1f129 => letter(b'a', c.wrapping_sub(0x1f110)),
        0x1f130..=0x1f149 => letter(b'a', c.wrapping_sub(0x1f130)),
        0x1f150..=0x1f169 => letter(b'a', c.wrapping_sub(0x1f150)),
        0x1f170..=0x1f189 => letter(b'a', c.wrapping_sub(0x1f170)),
        0x2100..=0x2bff => letterlike(c),
        0x3040..=0x30ff
        | 0x31f0..=0x31ff
        | 0x3400..=0x4dbf
        | 0x4e00..=0x9fff
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff => Fold::Alone(c),
        0x20000..=0x3ffff => Fold::Alone(c),
        _ => by_table(c),
    }
}

/// Folds by Unicode's data (`tables.rs`).
fn by_table(c: u32) -> Fold {
    let dropped = DROPPED.partition_point(|(first, _)| *first <= c).checked_sub(1);
    if dropped.and_then(|at| DROPPED.get(at)).is_some_and(|(_, last)| c <= *last) {
        return Fold::Drop;
    }
    let runs = match c >> 16 {
        0 => RUNS_0,
        1 => RUNS_1,
        _ => return Fold::Keep(c),
    };
    match in_runs(runs, c as u16) {
        0 => Fold::Keep(c),
        b @ ..0x80 => Fold::Ascii(b),
        b => SEVERAL.get(usize::from(b & 0x7f)).map_or(Fold::Keep(c), |s| Fold::Several(s)),
    }
}

/// Value of a code point by the runs of its plane; 0 if it is not in a run.
fn in_runs(runs: &[(u16, u16)], low: u16) -> u8 {
    let at = runs.partition_point(|(first, _)| *first <= low).checked_sub(1);
    let Some((first, run)) = at.and_then(|at| runs.get(at)) else { return 0 };
    let (at, offset) = (usize::from(run >> 5), low.wrapping_sub(*first));
    if offset >= run & 31 {
        return 0;
    }
    LETTERS.get(at.wrapping_add(usize::from(offset))).copied().unwrap_or(0)
}

fn letter(base: u8, at: u32) -> Fold {
    Fold::Ascii(base.wrapping_add((at % 26) as u8))
}

/// The block of letter-like symbols holds the gaps of the mathematical alphabets; the rest is symbols.
fn letterlike(c: u32) -> Fold {
    match c {
        0x2102 | 0x212d => Fold::Ascii(b'c'),
        0x210a => Fold::Ascii(b'g'),
        0x210b..=0x210e => Fold::Ascii(b'h'),
        0x2110 | 0x2111 => Fold::Ascii(b'i'),
        0x2112 | 0x2113 => Fold::Ascii(b'l'),
        0x2115 => Fold::Ascii(b'n'),
        0x2119 => Fold::Ascii(b'p'),
        0x211a => Fold::Ascii(b'q'),
        0x211b..=0x211d => Fold::Ascii(b'r'),
        0x2124 | 0x2128 => Fold::Ascii(b'z'),
        0x212a => Fold::Ascii(b'k'),
        0x212b => Fold::Ascii(b'a'),
        0x212c => Fold::Ascii(b'b'),
        0x212f | 0x2130 => Fold::Ascii(b'e'),
        0x2131 => Fold::Ascii(b'f'),
        0x2133 => Fold::Ascii(b'm'),
        0x2134 => Fold::Ascii(b'o'),
        // Roman numerals.
        0x2160..=0x2188 => by_table(c),
        _ => Fold::Break,
    }
}

/// One letter for each code point from U+00C0; `.` breaks.
const LATIN_1: &[u8] = b"aaaaaaaceeeeiiiidnooooo.ouuuuytsaaaaaaaceeeeiiiidnooooo.ouuuuyty";
/// From U+0100.
const LATIN_A: &[u8] = b"aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkkllllllllllnnnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";
/// From U+1EA0.
const VIETNAMESE: &[u8] =
    b"aaaaaaaaaaaaaaaaaaaaaaaaeeeeeeeeeeeeeeeeiiiioooooooooooooooooooooooouuuuuuuuuuuuuuyyyyyyyy";

fn latin(c: u32) -> Fold {
    let (table, base) = match c {
        0x00c0..=0x00ff => (LATIN_1, 0x00c0),
        0x0100..=0x017f => (LATIN_A, 0x0100),
        _ => (VIETNAMESE, 0x1ea0),
    };
    match table.get(c.wrapping_sub(base) as usize) {
        Some(b'.') => Fold::Break,
        Some(l) => Fold::Ascii(*l),
        None => Fold::Keep(c),
    }
}

fn greek(c: u32) -> Fold {
    let to = match c {
        0x0391 | 0x03b1 | 0x0386 | 0x03ac => b'a',
        0x0392 | 0x03b2 => b'b',
        0x0395 | 0x03b5 | 0x0388 | 0x03ad => b'e',
        0x0396 | 0x03b6 => b'z',
        0x0397 | 0x0389 => b'h',
        0x03b7 | 0x03ae => b'n',
        0x0399 | 0x03b9 | 0x038a | 0x03af | 0x03ca => b'i',
        0x039a | 0x03ba => b'k',
        0x039c => b'm',
        0x039d => b'n',
        0x03bd => b'v',
        0x039f | 0x03bf | 0x038c | 0x03cc | 0x03c3 => b'o',
        0x03a1 | 0x03c1 => b'p',
        0x03a4 | 0x03c4 => b't',
        0x03a5 | 0x038e => b'y',
        0x03c5 | 0x03cd | 0x03bc => b'u',
        0x03a7 | 0x03c7 => b'x',
        0x03c9 => b'w',
        0x03f2 | 0x03f9 => b'c',
        0x03f3 => b'j',
        0x0391..=0x03a9 => return Fold::Keep(c.wrapping_add(32)),
        _ => return by_table(c),
    };
    Fold::Ascii(to)
}

fn cyrillic(c: u32) -> Fold {
    let to = match c {
        0x0410 | 0x0430 => b'a',
        0x0412 | 0x0432 => b'b',
        0x0415 | 0x0435 | 0x0401 | 0x0451 => b'e',
        0x0405 | 0x0455 => b's',
        0x0406 | 0x0456 | 0x0407 | 0x0457 => b'i',
        0x0408 | 0x0458 => b'j',
        0x041a | 0x043a => b'k',
        0x041c | 0x043c => b'm',
        0x041d | 0x043d | 0x04bb => b'h',
        0x041e | 0x043e => b'o',
        0x0420 | 0x0440 => b'p',
        0x0421 | 0x0441 => b'c',
        0x0422 | 0x0442 => b't',
        0x0423 | 0x0443 | 0x04ae | 0x04af => b'y',
        0x0425 | 0x0445 => b'x',
        0x0500 | 0x0501 => b'd',
        0x051a..=0x051b => b'q',
        0x051c..=0x051d => b'w',
        0x0410..=0x042f => return Fold::Keep(c.wrapping_add(32)),
        0x0400..=0x040f => return Fold::Keep(c.wrapping_add(80)),
        _ => return by_table(c),
    };
    Fold::Ascii(to)
}

/// Decodes the first code point of non-empty `bytes`, leniently. Returns it (`None`: an invalid byte) and its
/// length.
pub fn decode(bytes: &[u8]) -> (Option<u32>, usize) {
    let Some(&first) = bytes.first() else { return (None, 1) };
    let (len, mut c, min) = match first {
        0x00..=0x7f => return (Some(u32::from(first)), 1),
        0xc2..=0xdf => (2usize, u32::from(first & 0x1f), 0x80),
        0xe0..=0xef => (3, u32::from(first & 0x0f), 0x800),
        0xf0..=0xf4 => (4, u32::from(first & 0x07), 0x1_0000),
        _ => return (None, 1),
    };
    for i in 1..len {
        match bytes.get(i) {
            Some(b) if b & 0xc0 == 0x80 => c = c << 6 | u32::from(b & 0x3f),
            _ => return (None, 1),
        }
    }
    if c < min || c > 0x10_ffff || (0xd800..0xe000).contains(&c) { (None, 1) } else { (Some(c), len) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_alikes_fold_to_ascii() {
        for (text, want) in [
            ("ＡｂＣ１", "abc1"),
            ("𝐇𝒆𝓵𝔩𝕠", "hello"),
            ("ⓗⓔⓛⓛⓞ", "hello"),
            ("naïve Café ß", "naivecafes"),
            ("ŁódźŸ", "lodzy"),
            ("Ằn", "an"),
            ("раураl", "paypal"),
            ("h\u{200b}e\u{ad}l\u{301}lo", "hello"),
            ("ℂ𝟗", "c9"),
        ] {
            let got: String = text
                .chars()
                .filter_map(|c| match (c.is_ascii(), c) {
                    (true, ' ') => None,
                    (true, c) => Some(c.to_ascii_lowercase()),
                    _ => match fold(c as u32) {
                        Fold::Ascii(b) => Some(b as char),
                        _ => None,
                    },
                })
                .collect();
            assert_eq!(got, want, "{text}");
        }
        assert_eq!(LATIN_1.len(), 64);
        assert_eq!(LATIN_A.len(), 128);
        assert_eq!(fold(0x4e2d), Fold::Alone(0x4e2d));
        assert_eq!(fold(0x2014), Fold::Break);
        assert_eq!(fold(0x0416), Fold::Keep(0x0436));
    }

    /// A text as folded, code point by code point.
    fn seen(text: &str) -> String {
        let mut out = String::new();
        for c in text.chars() {
            match (c.is_ascii(), fold(c as u32)) {
                (true, _) => out.push(c.to_ascii_lowercase()),
                (_, Fold::Ascii(b)) => out.push(b as char),
                (_, Fold::Several(letters)) => out.push_str(letters),
                (_, Fold::Keep(c) | Fold::Alone(c)) => out.extend(char::from_u32(c)),
                (_, Fold::Break) => out.push(' '),
                (_, Fold::Drop) => {}
            }
        }
        out
    }

    #[test]
    fn unicode_says_what_looks_alike_and_what_is_not_seen() {
        for (text, want) in [
            (
                "a\u{3164}b\u{1d173}c\u{1bca0}d\u{115f}e\u{fe0f}f\u{e0041}g\u{180e}h\u{34f}i\u{2065}j",
                "abcdefghij",
            ),
            ("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz"),
            ("ɑıɡȷ", "aigj"),
            ("ᎪᏴᏟᎠᎬᎻᎫᏦᏞᎷᏢᎡᏚᎢᏙᎳᏃ", "abcdehjklmprstvwz"),
            ("ꭺꮯꭼꭻꮶꮮꮇꮲꮪꮩꮃ", "acejklmpsvw"),
            ("ⅠⅤⅩⅬⅭⅮⅯ ⅰⅴⅹⅼⅽⅾⅿ ⅳ", "ivxlcdm ivxlcdm iv"),
            ("ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ", "abcdefghijklmnoprstuvwxyz"),
            ("ᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁᵂ ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", "abdeghijklmnoprtuw aehijklmnoprstuvx"),
            ("ɓɗɖƙƭƴȥɲ", "bddktyzn"),
            ("օոѕցհ ⲟⲥⲣ 𐐬 ꓮꓐꓚ", "onsgh ocp o abc"),
            ("ﬁﬂﬀ", "fiflff"),
            ("٣ ३ ๓ ３", "3 3 3 3"),
            ("привет мир", "пpиbet mиp"),
            ("日本 ", "日本 "),
        ] {
            assert_eq!(seen(text), want, "{text}");
        }
        assert!(RUNS_0.is_sorted() && RUNS_1.is_sorted() && DROPPED.is_sorted());
        assert!(RUNS_0.iter().chain(RUNS_1).all(|(_, r)| usize::from((r >> 5) + (r & 31)) <= LETTERS.len()));
        let ok = |v: &u8| {
            *v == 0 || v.is_ascii_lowercase() || v.is_ascii_digit() || SEVERAL.len() > usize::from(v & 0x7f)
        };
        assert!(LETTERS.iter().all(ok));
        let count = |runs| (0..=u16::MAX).filter(|c| in_runs(runs, *c) != 0).count();
        assert_eq!((count(RUNS_0), count(RUNS_1)), (1_388, 734));
    }

    #[test]
    fn decoding_agrees_with_the_standard_library() {
        let mut x = 1u64;
        for _ in 0..20_000 {
            x = crate::engine::hash::mix(x);
            let bytes = x.to_le_bytes();
            let (c, n) = decode(&bytes);
            let std = (1..=4).find_map(|n| {
                std::str::from_utf8(bytes.get(..n)?).ok()?.chars().next().map(|c| (c as u32, n))
            });
            match std {
                Some((want, len)) => assert_eq!((c, n), (Some(want), len)),
                None => assert_eq!((c, n), (None, 1)),
            }
        }
    }
}
