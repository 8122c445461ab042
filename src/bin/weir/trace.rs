//! The trace format: one JSON object a line.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use weir::engine::edge::identity::{Properties, parse_time};
use weir::engine::units::Nanos;

/// Latest time of a line, seconds since the epoch.
const LATEST_S: u64 = 4_000_000_000;

/// A string of the line, borrowed where it has no escapes. (Of a bare `Cow` in an `Option` or a list serde makes an owned one.)
#[derive(Deserialize)]
pub struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// One line. Unknown fields are ignored: users' logs carry more than we need.
#[derive(Deserialize)]
pub struct Line<'a> {
    #[serde(borrow)]
    t: &'a RawValue,
    #[serde(borrow, default)]
    pub method: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub authority: Option<Text<'a>>,
    #[serde(borrow)]
    pub path: Text<'a>,
    #[serde(borrow, default)]
    pub route: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub source: Option<Text<'a>>,
    #[serde(borrow, default)]
    headers: Vec<(Text<'a>, Text<'a>)>,
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
        // Checked as a whole, bytes are UTF-8 sooner than string by string.
        let line: Line<'a> = match std::str::from_utf8(text) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(text),
        }
        .map_err(|e| e.to_string())?;
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

    /// The headers' bytes.
    pub fn headers(&self) -> Vec<(&[u8], &[u8])> {
        self.headers.iter().map(|(k, v)| (k.as_ref().as_bytes(), v.as_ref().as_bytes())).collect()
    }

    /// The body's bytes as they stand in the line; `None` without a body.
    pub fn body(&self) -> Result<Option<Cow<'_, [u8]>>, String> {
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
                .map_err(|e| format!("body_base64: {e}")),
        }
    }

    /// The line's properties, `ja4` among them.
    pub fn properties(&mut self) -> LineProperties {
        let mut map = self.properties.take().unwrap_or_default();
        if let Some(ja4) = &self.ja4 {
            map.insert("filter_state.weir.ja4".into(), ja4.as_ref().to_string());
        }
        LineProperties { map }
    }
}
