//! Envoy's access logs: JSON with the names of Envoy's documentation (as Istio's), or the default text.

use super::Format;
use super::record::Record;
use super::request::{Found, Sink, Str};
use crate::skip::Skip;
use std::borrow::Cow;

/// `{"start_time": …, "path": …, "response_code": …}`.
pub struct Json;
/// `[2026-05-01T10:00:00.000Z] "POST /v1/chat/completions HTTP/1.1" 200 - …`.
pub struct Text;

impl Format for Json {
    fn name(&self) -> &'static str {
        "envoy-access"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        let answer = ["response_code", "response_flags", "upstream_host", "upstream_cluster"];
        r.has(&["start_time", "path"]) && answer.iter().any(|f| r.get(f).is_some())
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        let header = |field: &str, name: &'static str| r.text(field).map(|v| (Cow::Borrowed(name), v));
        let headers = [
            header("x_forwarded_for", "x-forwarded-for"),
            header("user_agent", "user-agent"),
            header("authorization", "authorization"),
        ];
        let found = Found {
            time: r.text("start_time"),
            path: r.text("path").unwrap_or_default(),
            method: r.text("method"),
            authority: r.text("authority"),
            route: r.text("route_name"),
            source: r.text("downstream_remote_address"),
            headers: headers.into_iter().flatten().filter(|(_, v)| v != "-").collect(),
            status: r.text("response_code"),
            ..Found::default()
        };
        out.add(r, None, found);
        Ok(())
    }
}

impl Format for Text {
    fn name(&self) -> &'static str {
        "envoy-access-text"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        parts(r.text).is_some()
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        let (time, quoted) = parts(r.text).ok_or_else(|| Skip::new("is not Envoy's default access log"))?;
        let at = |i: usize| quoted.get(i).filter(|v| **v != "-").map(|v| Str::Borrowed(*v));
        let header = |name: &'static str, i: usize| at(i).map(|v| (Cow::Borrowed(name), v));
        let found = Found {
            time: Some(Cow::Borrowed(time)),
            path: at(0).unwrap_or_default(),
            authority: at(4),
            headers: [header("x-forwarded-for", 1), header("user-agent", 2)].into_iter().flatten().collect(),
            ..Found::default()
        };
        out.add(r, None, found);
        Ok(())
    }
}

/// Splits a line into the time and the texts in quotation marks: request line, x-forwarded-for, user agent,
/// request id, authority, upstream.
fn parts(text: &str) -> Option<(&str, Vec<&str>)> {
    let (time, rest) = text.strip_prefix('[')?.split_once("] \"")?;
    let quoted: Vec<&str> = rest.split('"').step_by(2).collect();
    let is_request = quoted.first()?.rsplit(' ').next()?.starts_with("HTTP/");
    (is_request && quoted.len() >= 5).then_some((time, quoted))
}
