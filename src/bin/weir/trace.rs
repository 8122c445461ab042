//! The trace format: one JSON object a line, read as a stream from plain, .gz or .zst files.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use weir::engine::edge::identity::{Properties, parse_time};
use weir::engine::units::Nanos;

/// Longest line, bytes.
pub const MAX_LINE: usize = 16 << 20;

/// Latest time of a line, seconds since the epoch.
const LATEST_S: u64 = 4_000_000_000;

/// One line. Unknown fields are ignored: users' logs carry more than we need.
#[derive(Deserialize)]
pub struct Line<'a> {
    #[serde(borrow)]
    t: &'a RawValue,
    #[serde(borrow, default)]
    pub method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub authority: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    #[serde(borrow, default)]
    pub route: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub source: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
    #[serde(borrow, default)]
    body_text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    body_base64: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub label: Option<Cow<'a, str>>,
    #[serde(default)]
    pub key_age_s: Option<f64>,
    #[serde(borrow, default)]
    pub tenant: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    ja4: Option<Cow<'a, str>>,
    #[serde(default)]
    properties: Option<HashMap<String, String>>,
    #[serde(default)]
    #[allow(dead_code, reason = "its shape is checked; nothing uses it yet")]
    response: Option<Response>,
}

/// What the upstream answered.
#[derive(Deserialize)]
#[allow(dead_code, reason = "its shape is checked; nothing uses it yet")]
struct Response {
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
}

/// Properties of a line.
pub struct LineProperties {
    map: HashMap<String, String>,
}

impl Properties for LineProperties {
    fn get(&self, path: &str) -> Option<Vec<u8>> {
        self.map.get(path).map(|v| v.as_bytes().to_vec())
    }
}

impl<'a> Line<'a> {
    /// Parses a line.
    pub fn parse(text: &'a [u8]) -> Result<Line<'a>, String> {
        if !text.starts_with(b"{") {
            return Err("is not a JSON object".into());
        }
        let line: Line<'a> = serde_json::from_slice(text).map_err(|e| e.to_string())?;
        let bodies = [line.body.is_some(), line.body_text.is_some(), line.body_base64.is_some()];
        if bodies.iter().filter(|b| **b).count() > 1 {
            return Err("more than one of body, body_text, body_base64".into());
        }
        if line.key_age_s.is_some_and(|a| !a.is_finite() || a < 0.0) {
            return Err("key_age_s must be a number of seconds, not negative".into());
        }
        Ok(line)
    }

    /// The time.
    pub fn time(&self) -> Result<Nanos, String> {
        let raw = self.t.get();
        let bad = || format!("t is {raw:.40}, must be RFC 3339 or seconds since the epoch");
        if let Some(text) = raw.strip_prefix('"').and_then(|r| r.strip_suffix('"')) {
            let whole = parse_time(text.as_bytes()).ok_or_else(bad)?;
            // parse_time reads whole seconds; the fraction orders requests within one.
            let digits: String = text
                .split_once('.')
                .map(|(_, f)| f.chars().take_while(char::is_ascii_digit).take(9).collect())
                .unwrap_or_default();
            let nanos = format!("{digits:0<9}").parse().unwrap_or(0);
            // One wild time would hold the clock there for the rest of the trace.
            if whole > Nanos::from_secs(LATEST_S) {
                return Err(format!("t is {raw:.40}, after the year 2096"));
            }
            return Ok(whole.plus(Nanos(nanos)));
        }
        let secs: f64 = raw.parse().map_err(|_| bad())?;
        if !(0.0..=LATEST_S as f64).contains(&secs) {
            return Err(bad());
        }
        Ok(Nanos((secs * 1e9) as u64))
    }

    /// The body's bytes as they stand in the line; `None` without a body.
    pub fn body(&self) -> Result<Option<Cow<'_, [u8]>>, String> {
        use base64::Engine as _;
        if let Some(raw) = self.body {
            return Ok(Some(Cow::Borrowed(raw.get().as_bytes())));
        }
        if let Some(text) = &self.body_text {
            return Ok(Some(Cow::Borrowed(text.as_bytes())));
        }
        match &self.body_base64 {
            None => Ok(None),
            Some(text) => base64::engine::general_purpose::STANDARD
                .decode(text.as_bytes())
                .map(|b| Some(Cow::Owned(b)))
                .map_err(|e| format!("body_base64: {e}")),
        }
    }

    /// The line's properties, `ja4` among them.
    pub fn properties(&mut self) -> LineProperties {
        let mut map = self.properties.take().unwrap_or_default();
        if let Some(ja4) = &self.ja4 {
            map.insert("filter_state.weir.ja4".into(), ja4.to_string());
        }
        LineProperties { map }
    }
}

/// A reader of lines that never holds more than one.
pub struct Lines {
    reader: Box<dyn BufRead + Send>,
    buf: Vec<u8>,
    /// Bytes read, decompressed.
    pub bytes: u64,
}

/// What a line was.
pub enum Item<'a> {
    /// A line without its end.
    Line(&'a [u8]),
    /// Longer than `MAX_LINE`; passed over.
    TooLong,
}

impl Lines {
    /// Opens a file, or standard input for `-`. Compression is told by the first bytes.
    pub fn open(
        path: &Path,
        wrap: impl FnOnce(Box<dyn Read + Send>, u64) -> Box<dyn Read + Send>,
    ) -> std::io::Result<Lines> {
        let (raw, size): (Box<dyn Read + Send>, u64) = if path.as_os_str() == "-" {
            (Box::new(std::io::stdin()), 0)
        } else {
            let f = std::fs::File::open(path)?;
            let size = f.metadata().map_or(0, |m| m.len());
            (Box::new(f), size)
        };
        let mut inner = BufReader::with_capacity(1 << 20, wrap(raw, size));
        let magic = inner.fill_buf()?;
        let reader: Box<dyn BufRead + Send> = if magic.starts_with(&[0x1f, 0x8b]) {
            Box::new(BufReader::with_capacity(1 << 20, flate2::bufread::MultiGzDecoder::new(inner)))
        } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Box::new(BufReader::with_capacity(1 << 20, zstd::stream::read::Decoder::with_buffer(inner)?))
        } else {
            Box::new(inner)
        };
        Ok(Lines { reader, buf: Vec::new(), bytes: 0 })
    }

    /// The next line; `None` at the end.
    pub fn next(&mut self) -> std::io::Result<Option<Item<'_>>> {
        self.buf.clear();
        let n = (&mut self.reader).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut self.buf)?;
        if n == 0 {
            return Ok(None);
        }
        self.bytes += n as u64;
        if n > MAX_LINE {
            // The rest of the line goes by in pieces.
            while self.buf.last() != Some(&b'\n') {
                self.buf.clear();
                let n = (&mut self.reader).take(1 << 20).read_until(b'\n', &mut self.buf)?;
                if n == 0 {
                    break;
                }
                self.bytes += n as u64;
            }
            return Ok(Some(Item::TooLong));
        }
        let first = self.bytes == n as u64;
        let line = self.buf.trim_ascii();
        Ok(Some(Item::Line(line.strip_prefix(b"\xef\xbb\xbf").filter(|_| first).unwrap_or(line))))
    }
}
