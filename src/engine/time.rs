//! Parses points in time, as headers, tokens, logs and configurations write them.

use super::units::Nanos;

/// Parses RFC 3339 (`2026-05-01T10:00:00Z`, with an offset, with a fraction), or a number since the epoch:
/// seconds (also with a fraction), milliseconds, microseconds or nanoseconds, by their magnitude. Each unit
/// is read for the years 1973 to 5138.
pub fn parse_time(text: &[u8]) -> Option<Nanos> {
    let text = std::str::from_utf8(text).ok()?.trim();
    if let Some(n) = number(text) {
        return n;
    }
    let number = |from: usize, to: usize| -> Option<i64> {
        let t = text.get(from..to)?;
        if t.bytes().all(|b| b.is_ascii_digit()) { t.parse().ok() } else { None }
    };
    let sep = |at: usize, c: &[u8]| text.as_bytes().get(at).is_some_and(|b| c.contains(b));
    if !(sep(4, b"-") && sep(7, b"-") && sep(10, b"Tt ") && sep(13, b":") && sep(16, b":")) {
        return None;
    }
    let (y, m, d) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (h, min, s) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&m) || !(1..=31).contains(&d) || h > 23 || min > 59 || s > 60 {
        return None;
    }
    let rest = text.get(19..)?.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let offset_s = match rest.as_bytes() {
        [] | [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let two = |a: usize, b: usize| rest.get(a..b)?.parse::<i64>().ok();
            let total = two(1, 3)?.checked_mul(3600)?.checked_add(two(4, 6)?.checked_mul(60)?)?;
            if *sign == b'+' { total } else { total.checked_neg()? }
        }
        _ => return None,
    };
    let clock = h.checked_mul(3600)?.checked_add(min.checked_mul(60)?)?.checked_add(s)?;
    let secs = days_from_civil(y, m, d)?.checked_mul(86_400)?.checked_add(clock)?;
    u64::try_from(secs.checked_sub(offset_s)?).ok().map(Nanos::from_secs)
}

/// A number since the epoch, by its magnitude; `None` if the text is none at all.
fn number(text: &str) -> Option<Option<Nanos>> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let per_s = |n: u64| match n {
        0..=99_999_999_999 => 1,
        100_000_000_000..=99_999_999_999_999 => 1_000,
        100_000_000_000_000..=99_999_999_999_999_999 => 1_000_000,
        _ => 1_000_000_000u64,
    };
    Some(whole.parse::<u64>().ok().and_then(|n| n.checked_div(per_s(n))).map(Nanos::from_secs))
}

/// Days since 1970-01-01 (Hinnant's algorithm).
fn days_from_civil(y: i64, m: i64, d: i64) -> Option<i64> {
    let y = if m <= 2 { y.checked_sub(1)? } else { y };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = (m.checked_add(9)?).rem_euclid(12);
    let doy = (mp.checked_mul(153)?.checked_add(2)?).div_euclid(5).checked_add(d)?.checked_sub(1)?;
    let doe = yoe.checked_mul(365)?.checked_add(yoe / 4)?.checked_sub(yoe / 100)?.checked_add(doy)?;
    era.checked_mul(146_097)?.checked_add(doe)?.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_by_magnitude() {
        let secs = |t: &[u8]| parse_time(t).map(Nanos::secs);
        for text in [
            "1777629600",
            "1777629600.75",
            "1777629600123",
            "1777629600123456",
            "1777629600123456789",
            "2026-05-01T10:00:00Z",
            "2026-05-01 12:00:00.25+02:00",
            " 1777629600 ",
        ] {
            assert_eq!(secs(text.as_bytes()), Some(1_777_629_600), "{text}");
        }
        for text in
            ["yesterday", "", "-5", "1.", ".5", "1e9", "2026-13-01T00:00:00Z", "99999999999999999999999"]
        {
            assert_eq!(secs(text.as_bytes()), None, "{text}");
        }
    }
}
