//! Envoy's tap filter: one request in a record (`http_buffered_trace`), or in several segments
//! (`http_streamed_trace_segment`).

use super::Format;
use super::record::Record;
use super::request::{Body, Found, Piece, Sink, Str, from_base64};
use crate::skip::Skip;
use std::borrow::Cow;

/// One request in each record, with its headers as sent.
pub struct Buffered;
/// Segments of requests, joined by their `trace_id`.
pub struct Streamed;

impl Format for Buffered {
    fn name(&self) -> &'static str {
        "envoy-tap"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        r.get("http_buffered_trace").is_some()
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        let mut found = head(r, "http_buffered_trace.request.headers")?;
        found.time = r.text("http_buffered_trace.request.headers_received_time");
        let address = "http_buffered_trace.downstream_connection.remote_address.socket_address.address";
        found.source = r.text(address);
        found.body = match body(r, "http_buffered_trace.request.body")? {
            Some(bytes) => Body::Bytes(bytes),
            // The tap has all there was: nothing.
            None => Body::Text(Cow::Borrowed("")),
        };
        out.add(r, None, found);
        Ok(())
    }
}

impl Format for Streamed {
    fn name(&self) -> &'static str {
        super::STREAMED
    }

    fn is(&self, r: &Record<'_>) -> bool {
        r.get("http_streamed_trace_segment").is_some()
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        let of = |name: &str| format!("http_streamed_trace_segment.{name}");
        let id = r.text(&of("trace_id")).ok_or_else(|| Skip::new("a segment of a tap without trace_id"))?;
        if r.get(&of("request_headers")).is_some() {
            let found = head(r, &of("request_headers.headers"))?;
            let line = out.line(&found);
            out.piece(&id, Piece::Head(line));
        } else if let Some(bytes) = body(r, &of("request_body_chunk"))? {
            out.piece(&id, Piece::Body(bytes));
        } else if r.get(&of("request_body_chunk")).is_none() {
            // Trailers, or the answer.
            out.piece(&id, Piece::End);
        }
        Ok(())
    }
}

/// Reads the headers with their pseudo-headers, which the trace format separates.
fn head<'a>(r: &Record<'a>, path: &str) -> Result<Found<'a>, Skip> {
    let pair = |h: Record<'a>| -> Option<(Str<'a>, Str<'a>)> {
        let value = match (h.text("value"), h.text("raw_value")) {
            (Some(value), _) => value,
            (None, Some(raw)) => Cow::Owned(String::from_utf8_lossy(&from_base64(&raw).ok()?).into_owned()),
            (None, None) => Cow::Borrowed(""),
        };
        Some((h.text("key")?, value))
    };
    let headers: Vec<_> = r.list(path).into_iter().filter_map(pair).collect();
    let path = headers.iter().find(|(name, _)| name == ":path").map(|(_, value)| value.clone());
    let path = path.ok_or_else(|| Skip::new("a tap without the header :path"))?;
    Ok(Found { path, headers, ..Found::default() })
}

fn body(r: &Record<'_>, path: &str) -> Result<Option<Vec<u8>>, Skip> {
    if let Some(text) = r.text(&format!("{path}.as_string")) {
        return Ok(Some(text.as_bytes().to_vec()));
    }
    r.text(&format!("{path}.as_bytes")).map(|b| from_base64(&b)).transpose()
}
