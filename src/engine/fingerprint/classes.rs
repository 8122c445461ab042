//! Classes of 64 bytes at a time for the folding: letter, digit, not ASCII. Vectors in the module, plain
//! words natively.

/// Bytes in a block.
pub const BLOCK: usize = 64;

/// Classes of the bytes of a block: bit `i` is about byte `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classes {
    /// ASCII letters and digits.
    pub words: u64,
    /// ASCII digits.
    pub digits: u64,
    /// Bytes beyond ASCII.
    pub wide: u64,
}

#[cfg(target_feature = "simd128")]
mod vectors {
    use super::{BLOCK, Classes};
    use core::arch::wasm32::{u8x16_bitmask, u8x16_lt, u8x16_splat, u8x16_sub, u64x2, v128_or};

    /// See `plain`.
    #[inline(always)]
    pub fn classify(block: &[u8; BLOCK]) -> Classes {
        let mut out = Classes { words: 0, digits: 0, wide: 0 };
        let mut high = u64x2(0, 0);
        let mut all = [high; 4];
        for (to, part) in all.iter_mut().zip(block.as_chunks::<16>().0) {
            let half = |at: usize| {
                u64::from_le_bytes(*part.get(at..).and_then(|h| h.first_chunk::<8>()).unwrap_or(&[0; 8]))
            };
            *to = u64x2(half(0), half(8));
            high = v128_or(high, *to);
        }
        for x in all.into_iter().rev() {
            let digit = u8x16_lt(u8x16_sub(x, u8x16_splat(b'0')), u8x16_splat(10));
            let letter =
                u8x16_lt(u8x16_sub(v128_or(x, u8x16_splat(0x20)), u8x16_splat(b'a')), u8x16_splat(26));
            out.words = out.words << 16 | u64::from(u8x16_bitmask(v128_or(digit, letter)));
            out.digits = out.digits << 16 | u64::from(u8x16_bitmask(digit));
        }
        if u8x16_bitmask(high) != 0 {
            for x in all.into_iter().rev() {
                out.wide = out.wide << 16 | u64::from(u8x16_bitmask(x));
            }
        }
        out
    }
}

#[cfg(not(target_feature = "simd128"))]
use plain as vectors;
pub use vectors::classify;

/// Plain words: used natively, and the reference for the vectors.
#[cfg_attr(target_feature = "simd128", allow(dead_code, reason = "the twin of the vectors"))]
pub mod plain {
    use super::{BLOCK, Classes};

    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;

    /// High bits of bytes to a bit each.
    fn gather(x: u64) -> u64 {
        (x >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
    }

    /// Classes of the bytes of a block.
    pub fn classify(block: &[u8; BLOCK]) -> Classes {
        let mut out = Classes { words: 0, digits: 0, wide: 0 };
        for part in block.as_chunks::<8>().0.iter().rev() {
            let x = u64::from_le_bytes(*part);
            let (digit, letter) = super::super::classes(x);
            out.words = out.words << 8 | gather(digit | letter);
            out.digits = out.digits << 8 | gather(digit);
            out.wide = out.wide << 8 | gather(x & HIGHS);
        }
        let _ = ONES;
        out
    }
}
