//! UTF-16 and UTF-32 bodies to UTF-8, chunk by chunk: Python's `json.loads` accepts them, and so do most
//! model servers.
//!
//! The encoding is told by the first four bytes, as in Python; a byte order mark is optional. UTF-8 passes
//! without a copy.

/// The transcoder of one body.
#[derive(Clone, Debug, Default)]
pub struct Transcoder {
    /// Bytes of a code unit; 0 = not known yet.
    unit: u32,
    big: bool,
    /// The first bytes, until the width is known.
    first: [u8; 4],
    /// The code unit so far, and its bytes.
    code: u32,
    len: u32,
    /// A high surrogate whose low one has not come yet.
    high: u32,
}

impl Transcoder {
    /// Hands `chunk` to `out` as UTF-8. A body of one byte, and an incomplete last code unit, are dropped.
    pub fn feed(&mut self, chunk: &[u8], out: &mut dyn FnMut(&[u8])) {
        let mut rest = chunk;
        while self.unit == 0 {
            let Some((&b, after)) = rest.split_first() else { return };
            rest = after;
            if let Some(slot) = self.first.get_mut(self.len as usize) {
                *slot = b;
            }
            self.len = self.len.saturating_add(1);
            self.detect();
            if self.unit != 0 {
                let (first, n) = (self.first, std::mem::take(&mut self.len));
                self.decode(first.get(..n as usize).unwrap_or_default(), out);
            }
        }
        self.decode(rest, out);
    }

    /// JSON begins with two characters of ASCII, so zero bytes tell the width; or with a byte order mark.
    fn detect(&mut self) {
        let [a, b, c, d] = self.first;
        if self.len == 2 && a != 0 && b != 0 && !matches!((a, b), (0xfe, 0xff) | (0xff, 0xfe)) {
            self.unit = 1;
        } else if self.len == 4 {
            self.big = matches!(a, 0 | 0xfe);
            self.unit = if (self.big && b != 0) || (!self.big && c | d != 0) { 2 } else { 4 };
        }
    }

    fn decode(&mut self, bytes: &[u8], out: &mut dyn FnMut(&[u8])) {
        if self.unit == 1 {
            return out(bytes);
        }
        let mut text = String::new();
        for &b in bytes {
            let shift = if self.big { 0 } else { self.len << 3 };
            self.code = if self.big { self.code << 8 } else { self.code } | u32::from(b) << (shift & 31);
            self.len = self.len.saturating_add(1);
            if self.len < self.unit {
                continue;
            }
            self.len = 0;
            let (mut code, high) = (std::mem::take(&mut self.code), std::mem::take(&mut self.high));
            let low = code & 0xffff_fc00 == 0xdc00;
            if high != 0 && low {
                code = 0x1_0000u32.saturating_add((high & 0x3ff) << 10 | code & 0x3ff);
            } else if high != 0 {
                text.push('\u{fffd}');
            }
            if code & 0xffff_fc00 == 0xd800 {
                self.high = code;
            } else {
                text.push(char::from_u32(code).unwrap_or('\u{fffd}'));
            }
        }
        out(text.as_bytes());
    }
}
