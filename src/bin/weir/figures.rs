//! Counts and times as people read them.

/// A number with its noun: `1 key`, `150 keys`.
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// A number with a comma at each thousand.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(d);
    }
    out
}

/// Seconds since the epoch as RFC 3339 in UTC.
pub fn utc(secs: u64) -> String {
    // A mad number stays printable.
    let last = jiff::Timestamp::MAX.as_second();
    let time = jiff::Timestamp::from_second(i64::try_from(secs).unwrap_or(last).min(last));
    time.unwrap_or_default().to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use weir::engine::edge::identity::parse_time;

    #[test]
    fn times_agree_with_the_parser() {
        for secs in (0..4_000_000_000).step_by(7_654_321).chain([951_782_400, 951_868_799, 1_709_164_800]) {
            assert_eq!(parse_time(utc(secs).as_bytes()).unwrap().secs(), secs);
        }
        assert_eq!(utc(u64::MAX), "9999-12-30T22:00:00Z");
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!(
            (grouped(7), grouped(1_000), grouped(1_234_567)),
            ("7".into(), "1,000".into(), "1,234,567".into())
        );
    }
}
