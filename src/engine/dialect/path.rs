//! Paths as upstream servers interpret them: query and parameters removed, `%xx` decoded once, `//`, `.` and
//! `..` resolved, lower case. Paths that a server treats alike must be one path here.

/// Bytes that are kept of each end of a longer path, at least.
pub const MAX: usize = 256;

/// A normalised path. Routes look at its start, dialects at its end; up to twice `MAX` bytes both are the
/// whole path.
///
/// It is read from right to left: `..` removes the next segment not removed yet, of any length, and a long
/// path loses its middle.
#[derive(Debug)]
pub struct Normal {
    /// Filled from the back.
    front: [u8; 2 * MAX],
    at: usize,
    /// The end of a path that did not fit.
    tail: [u8; MAX],
    cut: bool,
}

impl Default for &Normal {
    /// The empty path.
    fn default() -> Self {
        static EMPTY: Normal = Normal::EMPTY;
        &EMPTY
    }
}

impl Normal {
    const EMPTY: Normal = Normal { front: [0; 2 * MAX], at: 2 * MAX, tail: [0; MAX], cut: false };

    /// Normalises a path as sent.
    pub fn of(raw: &[u8]) -> Normal {
        let mut normal = Normal::EMPTY;
        let end = raw.iter().position(|b| matches!(b, b'?' | b'#')).unwrap_or(raw.len());
        let path = raw.get(..end).unwrap_or_default();
        if is_simple(path)
            && let Some(slot) =
                normal.front.len().checked_sub(path.len()).and_then(|at| normal.front.get_mut(at..))
        {
            slot.iter_mut().zip(path).for_each(|(to, from)| *to = from.to_ascii_lowercase());
            normal.at = (2 * MAX).saturating_sub(path.len());
            return normal;
        }
        let mut rest = Some(path);
        let mut climbs = 0u32;
        while let Some(left) = rest {
            let (before, name) = last_segment(left);
            rest = before;
            if name.is_empty() || reads(name, b".") {
            } else if reads(name, b"..") {
                climbs = climbs.saturating_add(1);
            } else if climbs > 0 {
                climbs = climbs.saturating_sub(1);
            } else {
                Back(name).for_each(|(_, b)| normal.push(b.to_ascii_lowercase()));
                normal.push(b'/');
            }
        }
        normal
    }

    /// The path from its start, possibly cut.
    pub fn start(&self) -> &[u8] {
        self.front.get(self.at..).unwrap_or_default()
    }

    /// The path up to its end, possibly without its start.
    pub fn end(&self) -> &[u8] {
        if self.cut { &self.tail } else { self.start() }
    }

    fn push(&mut self, byte: u8) {
        if self.at == 0 {
            let (first, second) = self.front.split_at_mut(MAX);
            if !self.cut {
                self.cut = true;
                self.tail.copy_from_slice(second);
            }
            second.copy_from_slice(first);
            self.at = MAX;
        }
        self.at = self.at.saturating_sub(1);
        if let Some(slot) = self.front.get_mut(self.at) {
            *slot = byte;
        }
    }
}

/// True if the path is in its normal form already.
fn is_simple(path: &[u8]) -> bool {
    let mut last = 0u8;
    for b in path {
        let plain = b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'_' | b':')
            || (last != b'/' && matches!(b, b'/' | b'.'));
        if !plain {
            return false;
        }
        last = *b;
    }
    path.first() == Some(&b'/') && last != b'/'
}

/// The part before the last slash (`None` without a slash), and the segment after it without its parameters, which start at `;`.
fn last_segment(path: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let (mut start, mut end) = (path.len(), path.len());
    let mut before = None;
    for (at, byte) in Back(path) {
        match byte {
            b'/' => {
                before = path.get(..at);
                break;
            }
            b';' => (start, end) = (at, at),
            _ => start = at,
        }
    }
    (before, path.get(start..end).unwrap_or_default())
}

fn reads(segment: &[u8], as_text: &[u8]) -> bool {
    Back(segment).map(|(_, b)| b).eq(as_text.iter().rev().copied())
}

/// Decoded bytes from right to left, each with its position. `%` is no hex digit, so both directions decode alike.
struct Back<'a>(&'a [u8]);

impl Iterator for Back<'_> {
    type Item = (usize, u8);
    #[inline]
    fn next(&mut self) -> Option<(usize, u8)> {
        let hex = |b: u8| char::from(b).to_digit(16);
        if let [rest @ .., b'%', high, low] = self.0
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            self.0 = rest;
            return Some((rest.len(), (high << 4 | low) as u8));
        }
        let (last, rest) = self.0.split_last()?;
        self.0 = rest;
        Some((rest.len(), if *last == b'\\' { b'/' } else { *last }))
    }
}

/// True if the path ends with these whole segments.
#[inline(never)]
pub fn ends_with(path: &[u8], tail: &str) -> bool {
    path.ends_with(tail.as_bytes())
}

/// The last segment, and the path before it.
#[inline(never)]
pub fn split_last(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(i) => {
            let (a, b) = path.split_at_checked(i).unwrap_or((path, &[]));
            (a, b.get(1..).unwrap_or_default())
        }
        None => (&[], path),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;

    /// Reference for the tests: left to right on a stack, without a bound.
    fn plainly(raw: &[u8]) -> Vec<u8> {
        let raw = raw.split(|b| matches!(b, b'?' | b'#')).next().unwrap();
        let (mut decoded, mut i) = (Vec::new(), 0);
        while i < raw.len() {
            let code = raw.get(i..i + 3).filter(|c| c[0] == b'%' && c[1..].iter().all(u8::is_ascii_hexdigit));
            decoded.push(match code {
                Some(code) => u8::from_str_radix(std::str::from_utf8(&code[1..]).unwrap(), 16).unwrap(),
                None if raw[i] == b'\\' => b'/',
                None => raw[i],
            });
            i += if code.is_some() { 3 } else { 1 };
        }
        let mut stack: Vec<Vec<u8>> = Vec::new();
        for segment in decoded.split(|b| *b == b'/') {
            match segment.split(|b| *b == b';').next().unwrap() {
                b"" | b"." => {}
                b".." => drop(stack.pop()),
                name => stack.push(name.to_ascii_lowercase()),
            }
        }
        stack.iter().flat_map(|s| std::iter::once(b'/').chain(s.iter().copied())).collect()
    }

    #[test]
    fn both_ends_are_those_of_the_whole_path() {
        let long = "x".repeat(300);
        let many = "a/b;c/%2e/".repeat(500);
        let up = format!("/v1/{}{}chat/completions", "y/".repeat(700), "../".repeat(700));
        for raw in [
            "".to_string(),
            "/".into(),
            "/..".into(),
            "/../v1//chat/./Completions?x=/y".into(),
            format!("/v1/{long}/../chat/completions"),
            format!("/v1/{long}/%2e%2E;p/chat%2fcompletions"),
            format!("/v1/{long}/chat/completions"),
            format!("/v1/chat/{many}/completions"),
            format!("/v1/{}/chat/completions", "%41".repeat(400)),
            up,
            "v1\\chat\\..\\models".into(),
            "/v1/%%32%3".into(),
            "/;x/..;/v1;/a".into(),
        ] {
            let (got, want) = (Normal::of(raw.as_bytes()), plainly(raw.as_bytes()));
            let (start, end) = (got.start(), got.end());
            assert!(want.starts_with(start) && want.ends_with(end), "{raw}");
            let least = want.len().min(MAX);
            assert!(start.len() >= least && end.len() >= least, "{raw}");
        }
    }

    proptest::proptest! {
        #[test]
        fn reads_as_from_left_to_right(raw in "(/|\\\\|\\.|\\.\\.|%2[ef5F]|;|%|a|B|\\?){0,60}") {
            let got = Normal::of(raw.as_bytes());
            let want = plainly(raw.as_bytes());
            proptest::prop_assert_eq!(got.start(), &want[..]);
            proptest::prop_assert_eq!(got.end(), &want[..]);
        }
    }
}
