//! The trace format: one JSON object a line, in any of the shapes that proxies and log shippers write.

mod headers;

use crate::skip::{Skip, shown_time};
use headers::Headers;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use weir::engine::edge::identity::Properties;
use weir::engine::units::Nanos;

/// Latest time of a line, seconds since the epoch.
const LATEST_S: u64 = 4_000_000_000;

/// A string of the line, borrowed if it has no escapes. (For a bare `Cow` in an `Option` or a list serde
/// makes an owned one.)
#[derive(Clone, Deserialize)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// One line of a trace. Unknown fields are ignored.
#[derive(Clone, Deserialize)]
pub struct Line<'a> {
    #[serde(borrow)]
    t: &'a RawValue,
    #[serde(borrow, default)]
    pub method: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub authority: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub path: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub route: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub source: Option<Text<'a>>,
    #[serde(borrow, default)]
    headers: Headers<'a>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
    #[serde(borrow, default)]
    body_text: Option<Text<'a>>,
    #[serde(borrow, default)]
    body_base64: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub label: Option<Text<'a>>,
    #[serde(default)]
    pub key_age_s: Option<f64>,
    #[serde(borrow, default)]
    pub tenant: Option<Text<'a>>,
    #[serde(borrow, default)]
    ja4: Option<Text<'a>>,
    #[serde(default)]
    properties: Option<HashMap<String, Option<String>>>,
    #[serde(default)]
    response: Option<Response>,
}

/// The answer of the upstream.
#[derive(Clone, Deserialize)]
struct Response {
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    #[allow(dead_code, reason = "its shape is checked; nothing uses it yet")]
    input_tokens: Option<u64>,
    #[serde(default)]
    #[allow(dead_code, reason = "its shape is checked; nothing uses it yet")]
    output_tokens: Option<u64>,
}

/// Host properties that a line tells.
pub struct LineProperties {
    map: HashMap<String, Option<String>>,
}

impl Properties for LineProperties {
    fn get(&self, path: &str) -> Option<Vec<u8>> {
        self.map.get(path)?.as_ref().map(|v| v.as_bytes().to_vec())
    }
}

impl<'a> Line<'a> {
    /// Parses a line.
    pub fn parse(text: &'a [u8]) -> Result<Line<'a>, Skip> {
        if !text.starts_with(b"{") {
            return Err(Skip::new("is not a JSON object"));
        }
        // Checked as a whole, bytes are UTF-8 sooner than string by string.
        let mut line: Line<'a> = match std::str::from_utf8(text) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(text),
        }
        .map_err(|e| Skip::json(&e))?;
        let bodies = [line.body.is_some(), line.body_text.is_some(), line.body_base64.is_some()];
        if bodies.iter().filter(|b| **b).count() > 1 {
            return Err(Skip::new("more than one of body, body_text, body_base64"));
        }
        if line.key_age_s.is_some_and(|a| !a.is_finite() || a < 0.0) {
            return Err(Skip::new("key_age_s must be a number of seconds, not negative"));
        }
        line.settle_path()?;
        Ok(line)
    }

    /// Finds the path, which logs write in several ways: as such, as a pseudo-header, as a URL, or as the
    /// request line (`POST /v1/messages HTTP/1.1`).
    fn settle_path(&mut self) -> Result<(), Skip> {
        let pseudo = [":path", ":method", ":authority"];
        if self.headers.0.iter().any(|(n, _)| n.as_ref().starts_with(':')) {
            let [path, method, authority] = pseudo.map(|name| self.headers.take(name));
            self.path = self.path.take().or(path);
            self.method = self.method.take().or(method);
            self.authority = self.authority.take().or(authority);
        }
        let path = self.path.as_ref().ok_or_else(|| Skip::new("missing field `path`"))?;
        if path.as_ref().starts_with('/') {
            return Ok(());
        }
        let mut target = path.as_ref().to_string();
        if let Some((method, rest)) = path.as_ref().split_once(' ') {
            let uri =
                rest.rsplit_once(' ').filter(|(_, v)| v.starts_with("HTTP/")).map_or(rest, |(uri, _)| uri);
            if !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase()) {
                self.method.get_or_insert(Text(Cow::Owned(method.to_string())));
                target = uri.trim().to_string();
            }
        }
        if let Some((_, rest)) =
            target.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"))
        {
            let at = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(at);
            self.authority.get_or_insert(Text(Cow::Owned(authority.to_string())));
            target = if path.starts_with('/') { path.to_string() } else { format!("/{path}") };
        }
        self.path = Some(Text(Cow::Owned(target)));
        Ok(())
    }

    /// The time of the request.
    ///
    /// # Errors
    /// It cannot be parsed.
    pub fn time(&self) -> Result<Nanos, Skip> {
        time_of(self.t.get())
    }

    /// True if the answer's status says that the request was refused: 401, 403 or 429.
    pub fn was_refused(&self) -> bool {
        matches!(self.response.as_ref().and_then(|r| r.status), Some(401 | 403 | 429))
    }

    /// Its headers, as bytes.
    pub fn headers(&self) -> Vec<(&[u8], &[u8])> {
        self.headers.0.iter().map(|(k, v)| (k.as_ref().as_bytes(), v.as_ref().as_bytes())).collect()
    }

    /// Its body as written in the line, as bytes; `None` without a body.
    pub fn body(&self) -> Result<Option<Cow<'_, [u8]>>, Skip> {
        use base64::Engine as _;
        if let Some(raw) = self.body {
            return Ok(Some(Cow::Borrowed(raw.get().as_bytes())));
        }
        if let Some(text) = &self.body_text {
            return Ok(Some(Cow::Borrowed(text.as_ref().as_bytes())));
        }
        match &self.body_base64 {
            None => Ok(None),
            Some(text) => base64::engine::general_purpose::STANDARD
                .decode(text.as_ref())
                .map(|b| Some(Cow::Owned(b)))
                .map_err(|e| Skip::of(format!("body_base64: {e}"), "body_base64 is not base64")),
        }
    }

    /// Its properties, `ja4` included.
    pub fn properties(&mut self) -> LineProperties {
        let mut map = self.properties.take().unwrap_or_default();
        if let Some(ja4) = &self.ja4 {
            map.insert("filter_state.weir.ja4".into(), Some(ja4.as_ref().to_string()));
        }
        LineProperties { map }
    }
}

/// The time in a JSON value: RFC 3339 and its common variants, or a number since the epoch, whose unit is
/// recognised by its magnitude.
///
/// # Errors
/// It cannot be parsed.
pub fn time_of(raw: &str) -> Result<Nanos, Skip> {
    let what = "must be RFC 3339, or seconds, ms, µs or ns since the epoch";
    let bad = || Skip::of(format!("t is {}, {what}", shown_time(raw)), "t cannot be read");
    let Some(text) = raw.strip_prefix('"').and_then(|r| r.strip_suffix('"')) else {
        return since_epoch(raw).ok_or_else(bad);
    };
    if let Some(t) = since_epoch(text.trim()) {
        return Ok(t);
    }
    let time = rfc3339(text.trim()).ok_or_else(bad)?;
    // One wild time would hold the clock there for the rest of the trace.
    if time.as_second() > LATEST_S as i64 {
        let why = format!("t is {}, after the year 2096", shown_time(raw));
        return Err(Skip::of(why, "t is after the year 2096"));
    }
    u64::try_from(time.as_nanosecond()).map(Nanos).map_err(|_| bad())
}

/// A number since the epoch in seconds with a fraction, milliseconds, microseconds or nanoseconds. Between
/// 2001 and 2096 their magnitudes do not overlap; smaller numbers are seconds.
fn since_epoch(text: &str) -> Option<Nanos> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) || !whole.bytes().all(|b| b.is_ascii_digit()) {
        let secs: f64 = text.parse().ok()?;
        let exact = text.starts_with(|c: char| c.is_ascii_digit()) && (0.0..=LATEST_S as f64).contains(&secs);
        return exact.then_some(Nanos((secs * 1e9) as u64));
    }
    let whole: u64 = whole.parse().ok()?;
    for (unit_ns, per_s) in [(1_000_000_000, 1), (1_000_000, 1_000), (1_000, 1_000_000), (1, 1_000_000_000)] {
        let from = if per_s == 1 { 0 } else { 1_000_000_000 * per_s };
        if (from..=LATEST_S * per_s).contains(&whole) {
            let part: u64 = format!("{fraction:0<9.9}").parse().unwrap_or(0);
            return Some(Nanos(whole * unit_ns + part * unit_ns / 1_000_000_000));
        }
    }
    None
}

/// RFC 3339, also as loggers write it: without a zone or with its name, with a space before it, with more
/// digits than nanoseconds.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let (clock, rest) = text.split_at_checked(19)?;
    let zone = rest.trim_start_matches([',', '.']).trim_start_matches(|c: char| c.is_ascii_digit());
    let fraction = &rest[..rest.len() - zone.len()];
    let zone = match zone.trim_start() {
        "" | "UTC" | "GMT" => "Z",
        zone => zone,
    };
    format!("{clock}{fraction:.10}{zone}").parse().ok()
}
