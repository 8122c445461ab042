//! Kong's log plug-ins (http-log, file-log and others). They have bodies if the AI plug-in logs payloads.

use super::Format;
use super::record::Record;
use super::request::{Body, Found, Sink};
use crate::skip::Skip;
use std::borrow::Cow;

/// `{"started_at": …, "request": {"uri": …}, "consumer": …}`.
pub struct Log;

impl Format for Log {
    fn name(&self) -> &'static str {
        "kong"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        r.has(&["started_at"]) && (r.get("request.uri").is_some() || r.get("request.url").is_some())
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        // The AI plug-in's name stands between in newer versions: `ai.proxy.payload`, `ai.ai-proxy.payload`.
        let body =
            ["ai.proxy.payload.request", "ai.ai-proxy.payload.request", "ai.payload.request", "request.body"];
        let header = |name: &'static str| {
            let value = r.text(&format!("request.headers.{name}"))?;
            Some((Cow::Borrowed(name), value))
        };
        let found = Found {
            time: r.text("started_at"),
            path: r.first(&["request.uri", "request.url"]).unwrap_or_default(),
            method: r.text("request.method"),
            source: r.text("client_ip"),
            route: r.text("route.name"),
            // Credentials are taken out of them.
            headers: ["user-agent", "x-forwarded-for", "host"].into_iter().filter_map(header).collect(),
            body: Body::json(body.iter().find_map(|f| r.json(f))),
            key: r.first(&[
                "consumer.username",
                "consumer.custom_id",
                "consumer.id",
                "authenticated_entity.id",
            ]),
            status: r.text("response.status"),
            ..Found::default()
        };
        out.add(r, None, found);
        Ok(())
    }
}
