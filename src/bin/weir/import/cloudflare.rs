//! Cloudflare AI Gateway's Logpush (`ai_gateway_events`). Bodies are encrypted with the account's key and cannot be read.

use super::Format;
use super::record::Record;
use super::request::{Body, Found, Sink};
use crate::skip::Skip;
use std::borrow::Cow;

/// `{"Endpoint": …, "Gateway": …, "Timestamp": …}`.
pub struct Events;

impl Format for Events {
    fn name(&self) -> &'static str {
        "cloudflare-logpush"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        r.has(&["Endpoint", "Gateway", "Timestamp"])
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        let endpoint = r.text("Endpoint").unwrap_or_default();
        let endpoint = endpoint.trim_start_matches('/');
        let is_versioned =
            endpoint.starts_with('v') && endpoint[1..].starts_with(|c: char| c.is_ascii_digit());
        let is_sealed = r.text("RequestBody.type").as_deref() == Some("encrypted");
        let found = Found {
            time: r.text("Timestamp"),
            path: Cow::Owned(format!("/{}{endpoint}", if is_versioned { "" } else { "v1/" })),
            body: if is_sealed { Body::Unknown } else { Body::json(r.json("RequestBody")) },
            key: r.first(&["Metadata.user", "Metadata.user_id", "Metadata.userId"]),
            status: r.text("StatusCode"),
            ..Found::default()
        };
        out.add(r, None, found);
        Ok(())
    }
}
