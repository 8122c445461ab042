//! Numbers as decimal text, in little code: the standard library's printer, exact for every double, is 26 KB
//! of the module.

use std::fmt::{Display, Formatter, Result};

/// Displays a number with one decimal; ties go to the even digit.
#[derive(Clone, Copy, Debug)]
pub struct Tenths(pub f64);

impl Display for Tenths {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let n = (self.0 * 10.0).round_ties_even().abs() as u64;
        let sign = if self.0.is_sign_negative() { "-" } else { "" };
        write!(f, "{sign}{}.{}", n / 10, n % 10)
    }
}

/// The number with as many decimals as it needs; `None` if six are not enough.
pub fn exact(x: f64) -> Option<String> {
    let millionths = (x * 1e6).round_ties_even();
    if millionths.abs() >= 9e15 || millionths / 1e6 != x {
        return None;
    }
    let (n, sign) = (millionths.abs() as u64, if x.is_sign_negative() { "-" } else { "" });
    let text = format!("{sign}{}.{:06}", n / 1_000_000, n % 1_000_000);
    Some(text.trim_end_matches('0').trim_end_matches('.').to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tenths_are_those_of_the_standard_library(x in -1e6f32..1e6, small in -3f32..3.0) {
            for x in [x, small].map(f64::from) {
                prop_assert_eq!(Tenths(x).to_string(), format!("{x:.1}"));
            }
        }
        #[test]
        fn what_is_told_exactly_reads_as_the_same_number(n in -10_000_000i32..10_000_000, x: f64) {
            for x in [f64::from(n) / 1e3, x] {
                if let Some(text) = exact(x) {
                    prop_assert_eq!(text, x.to_string());
                }
            }
        }
    }

    #[test]
    fn what_has_more_decimals_is_not_told() {
        assert_eq!((exact(20.5).as_deref(), exact(-0.25).as_deref()), (Some("20.5"), Some("-0.25")));
        assert_eq!((exact(1e-7), exact(1e30), exact(f64::NAN)), (None, None, None));
    }
}
