//! Arithmetic that gives the same bits on every target: software logarithm and exponential, and a few tables.
//!
//! The platform's `ln`, `log2` and `powf` differ between libraries; additions, multiplications and divisions
//! of IEEE 754 doubles do not. Everything here uses only those.

/// Natural logarithm, error below 1e-14 (relative, or absolute near 1) for normal positive numbers; a very
/// negative number for x <= 0. Source: a table of 128 logarithms and a series of five terms (Tang 1990). Most
/// of the cost of an evaluation is spent here.
///
/// Not `libm::log`, which is as portable: two in five arguments have other last bits there (up to 4 ulp, more
/// near 1), which changes recorded verdicts, and it takes 1.1 to 1.8 times as long.
pub fn ln(x: f64) -> f64 {
    if x.is_nan() || x <= 0.0 {
        return -1.0e3;
    }
    let bits = x.to_bits();
    let exponent = f64::from(((bits >> 52) & 0x7ff) as u32) - 1023.0;
    let m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    let Some((inverse, ln_c)) = LN.get((bits >> 45) as usize & 127) else { return 0.0 };
    let r = m * inverse - 1.0;
    let r2 = r * r;
    let series = r - r2 * (0.5 - r * (1.0 / 3.0)) - r2 * r2 * (0.25 - r * 0.2);
    series + (exponent * std::f64::consts::LN_2 + ln_c)
}

/// Of the middle of each 128th of 1..2: its inverse and its logarithm.
static LN: [(f64, f64); 128] = ln_table();

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated at compile time only")]
const fn ln_table() -> [(f64, f64); 128] {
    let mut out = [(0.0, 0.0); 128];
    let mut i = 0;
    while i < 128 {
        let c = 1.0 + (i as f64 + 0.5) / 128.0;
        out[i] = (1.0 / c, const_ln(c));
        i += 1;
    }
    out
}

/// e to the power of x, relative error below 1e-13; 0 below -700, and e^700 above 700. By a table of the 32nd
/// roots of 2 and a series of six terms.
pub fn exp(x: f64) -> f64 {
    if x.is_nan() || x < -700.0 {
        return 0.0;
    }
    let x = x.min(700.0);
    // x = k ln 2 / 32 + r with |r| <= 0.011.
    let k = (x * (32.0 * std::f64::consts::LOG2_E) + if x < 0.0 { -0.5 } else { 0.5 }) as i64;
    let r = x - (k as f64) * (std::f64::consts::LN_2 / 32.0);
    let series = 1.0
        + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0))))));
    let Some(root) = ROOTS.get(k as usize & 31) else { return 0.0 };
    series * root * f64::from_bits(((k >> 5).wrapping_add(1023) as u64) << 52)
}

/// 2^(i/32).
static ROOTS: [f64; 32] = roots();

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated at compile time only")]
const fn roots() -> [f64; 32] {
    let mut out = [1.0; 32];
    let mut i = 0;
    while i < 32 {
        let x = i as f64 * std::f64::consts::LN_2 / 32.0;
        let (mut sum, mut term, mut n) = (1.0, 1.0, 1.0);
        while n < 24.0 {
            term *= x / n;
            sum += term;
            n += 1.0;
        }
        out[i] = sum;
        i += 1;
    }
    out
}

/// ln(e^a + e^b).
pub fn ln_sum(a: f64, b: f64) -> f64 {
    let (most, least) = if a > b { (a, b) } else { (b, a) };
    if least - most < -40.0 { most } else { most + ln(1.0 + exp(least - most)) }
}

/// ln of a (a+1) … (a+n-1), the rising factorial, for a > 0. Products up to 16 factors, Stirling's series
/// beyond (error below 1e-9).
pub fn ln_rising(a: f64, n: u32) -> f64 {
    let product = |a: f64, n: u32| (0..n).fold(1.0, |p, j| p * (a + f64::from(j)));
    if n <= 16 {
        return ln(product(a, n));
    }
    let from = a + 8.0;
    ln(product(a, 8)) + stirling(a + f64::from(n)) - stirling(from)
}

/// ln of the gamma function without its constant, for x >= 8.
fn stirling(x: f64) -> f64 {
    (x - 0.5) * ln(x) - x + 1.0 / (12.0 * x) - 1.0 / (360.0 * x * x * x)
}

/// Base-2 logarithm.
pub fn log2(x: f64) -> f64 {
    ln(x) * std::f64::consts::LOG2_E
}

const LN_FACT: [f64; 128] = ln_factorials();

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated at compile time only")]
const fn ln_factorials() -> [f64; 128] {
    // ln k! by the product's logarithm, from a series that const evaluation can run.
    let mut out = [0.0; 128];
    let mut k = 2usize;
    while k < 128 {
        out[k] = out[k - 1] + const_ln(k as f64);
        k += 1;
    }
    out
}

const fn const_ln(x: f64) -> f64 {
    let mut m = x;
    let mut exponent = 0.0;
    while m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1.0;
    }
    let s = (m - 1.0) / (m + 1.0);
    let t = s * s;
    let mut term = s;
    let mut sum = 0.0;
    let mut i = 1.0;
    while i < 25.0 {
        sum += term / i;
        term *= t;
        i += 2.0;
    }
    2.0 * sum + exponent * std::f64::consts::LN_2
}

/// ln k!. A table up to 127, Stirling's series beyond (error below 1e-9).
pub fn ln_factorial(k: u32) -> f64 {
    match LN_FACT.get(k as usize) {
        Some(v) => *v,
        None => {
            let x = f64::from(k);
            x * ln(x) - x + 0.5 * ln(2.0 * std::f64::consts::PI * x) + 1.0 / (12.0 * x)
        }
    }
}

/// Expected number of distinct bins hit by 0 to 64 uniform draws.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated at compile time only")]
pub const fn expected_table<const BINS: usize>() -> [f64; 65] {
    let mut out = [0.0; 65];
    let keep = 1.0 - 1.0 / BINS as f64;
    let mut empty = 1.0;
    let mut n = 0;
    while n < 65 {
        out[n] = BINS as f64 * (1.0 - empty);
        empty *= keep;
        n += 1;
    }
    out
}

static HOURS: [f64; 65] = expected_table::<24>();
static PHASES: [f64; 65] = expected_table::<32>();

/// Expected distinct hours of the day after `n` uniform requests (n <= 64).
pub fn expected_hours(n: u8) -> f64 {
    HOURS.get(usize::from(n)).copied().unwrap_or(24.0)
}

/// Expected distinct 112.5 s bins of the hour after `n` uniform requests (n <= 64).
pub fn expected_phases(n: u8) -> f64 {
    PHASES.get(usize::from(n)).copied().unwrap_or(32.0)
}

/// Longest circular run of zero bits among the low `width` bits, in bits.
pub fn longest_gap(bits: u32, width: u32) -> u32 {
    let mask = if width >= 32 { u32::MAX } else { (1u32 << width).wrapping_sub(1) };
    if bits & mask == 0 {
        return width;
    }
    let mut empty = u64::from(!bits & mask);
    empty |= empty << width;
    let mut run = 0u32;
    while empty != 0 {
        empty &= empty << 1;
        run = run.wrapping_add(1);
    }
    run.min(width)
}

/// `x` limited to `lo..=hi`; NaN becomes `lo`.
pub fn clamp(x: f64, lo: f64, hi: f64) -> f64 {
    if x >= hi {
        hi
    } else if x >= lo {
        x
    } else {
        lo
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn logarithm_agrees_with_the_platform() {
        let mut x = 1.0e-9;
        while x < 1.0e12 {
            assert!((ln(x) - f64::ln(x)).abs() <= 1e-13 * f64::ln(x).abs().max(1.0), "{x}");
            x *= 1.137;
        }
        assert!(ln(0.0) < -900.0 && ln(-1.0) < -900.0 && ln(f64::NAN) < -900.0);
    }

    #[test]
    fn exponential_and_rising_factorial_agree_with_the_platform() {
        let mut x = -690.0;
        while x < 690.0 {
            assert!((exp(x) / f64::exp(x) - 1.0).abs() < 1e-12, "{x}");
            x += 0.737;
        }
        assert_eq!((exp(-1e9), exp(f64::NAN), exp(0.0)), (0.0, 0.0, 1.0));
        for a in [0.02, 0.3, 1.0, 2.5, 8.0, 64.0] {
            let mut sum = 0.0;
            for n in 0..400u32 {
                assert!((ln_rising(a, n) - sum).abs() < 1e-7 * sum.abs().max(1.0), "{a} {n}");
                sum += (a + f64::from(n)).ln();
            }
        }
        assert!((ln_sum(-3.0, -2.0) - (f64::exp(-3.0) + f64::exp(-2.0)).ln()).abs() < 1e-12);
    }

    #[test]
    fn factorials_and_expectations() {
        let mut sum = 0.0;
        for k in 1..400u32 {
            sum += f64::from(k).ln();
            assert!((ln_factorial(k) - sum).abs() < 1e-6, "{k}");
        }
        assert!((expected_hours(1) - 1.0).abs() < 1e-12);
        assert!((expected_phases(64) - 32.0 * (1.0 - (31.0f64 / 32.0).powi(64))).abs() < 1e-9);
    }

    #[test]
    fn gaps_are_circular() {
        let slow = |bits: u32| {
            (0..24u32)
                .map(|s| (0..24).take_while(|i| bits & (1 << ((s + i) % 24)) == 0).count() as u32)
                .max()
                .unwrap_or(0)
        };
        let mut x = 12345u64;
        for _ in 0..2000 {
            x = crate::engine::hash::mix(x);
            let bits = (x as u32) & ((x >> 32) as u32) & 0xff_ffff;
            assert_eq!(longest_gap(bits, 24), slow(bits), "{bits:b}");
        }
        assert_eq!(longest_gap(0, 24), 24);
        assert_eq!(longest_gap(0xff_ffff, 24), 0);
    }
}
