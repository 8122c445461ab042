//! Paths as upstream servers read them: query and parameters cut, `%xx` decoded once, `//` and `.` collapsed, lower case.
//! A path that only looks different must not pass a filter that the server would not be fooled by.

/// Longest path that is compared; the tail of a longer one decides.
pub const MAX: usize = 256;

/// Normalises into `buf`; what does not fit at the front is dropped, because dialects are told by the end of a path.
pub fn normalise<'a>(raw: &[u8], buf: &'a mut [u8; MAX]) -> &'a [u8] {
    let end = raw.iter().position(|b| matches!(b, b'?' | b'#')).unwrap_or(raw.len());
    let raw = raw.get(..end).unwrap_or_default();
    let raw = raw.get(raw.len().saturating_sub(3 * MAX)..).unwrap_or_default();
    let mut decoded = [0u8; 3 * MAX];
    let n = decode(raw, &mut decoded);
    let decoded = decoded.get(..n).unwrap_or_default();
    let mut len = 0usize;
    for segment in decoded.split(|b| *b == b'/') {
        // `;` starts parameters of a segment; `.` and empty segments are nothing; `..` climbs.
        let name = segment.split(|b| *b == b';').next().unwrap_or_default();
        match name {
            b"" | b"." => continue,
            b".." => {
                let kept = buf.get(..len).unwrap_or_default();
                len = kept.iter().rposition(|b| *b == b'/').unwrap_or(0);
                continue;
            }
            _ => {}
        }
        let need = name.len().saturating_add(1);
        if need > MAX {
            len = 0;
            continue;
        }
        if len.saturating_add(need) > MAX {
            let drop = len.saturating_add(need).saturating_sub(MAX);
            buf.copy_within(drop..len, 0);
            len = len.saturating_sub(drop);
        }
        if let Some((slash, rest)) =
            buf.get_mut(len..len.saturating_add(need)).and_then(<[u8]>::split_first_mut)
        {
            *slash = b'/';
            rest.iter_mut().zip(name).for_each(|(d, s)| *d = s.to_ascii_lowercase());
        }
        len = len.saturating_add(need);
    }
    buf.get(..len).unwrap_or_default()
}

fn decode(raw: &[u8], out: &mut [u8]) -> usize {
    let (mut rest, mut n) = (raw, 0usize);
    while let Some((&b, after)) = rest.split_first() {
        let hex = |i: usize| after.get(i).and_then(|c| char::from(*c).to_digit(16));
        let (byte, used) = match (b, hex(0), hex(1)) {
            (b'%', Some(h), Some(l)) => ((h << 4 | l) as u8, 3),
            (b'\\', ..) => (b'/', 1),
            _ => (b, 1),
        };
        if let Some(slot) = out.get_mut(n) {
            *slot = byte;
            n = n.saturating_add(1);
        }
        rest = rest.get(used..).unwrap_or_default();
    }
    n
}

/// Does the path end with this sequence of whole segments?
pub fn ends_with(path: &[u8], tail: &str) -> bool {
    path.ends_with(tail.as_bytes())
}

/// The last segment, and what stands before it.
pub fn split_last(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(i) => {
            let (a, b) = path.split_at_checked(i).unwrap_or((path, &[]));
            (a, b.get(1..).unwrap_or_default())
        }
        None => (&[], path),
    }
}
