//! Portkey: exported logs.

use super::Format;
use super::record::Record;
use super::request::{Body, Found, Sink};
use crate::skip::Skip;

/// `{"created_at": …, "virtual_key": …, "request": {"url": …, "body": …}}`.
pub struct Logs;

impl Format for Logs {
    fn name(&self) -> &'static str {
        "portkey"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        let own = ["virtual_key", "ai_provider", "ai_model", "ai_org"];
        r.has(&["created_at", "request"]) && own.iter().any(|f| r.get(f).is_some())
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        // The request may be the body alone.
        let (url, body) = (r.text("request.url"), r.json("request.body"));
        let found = Found {
            time: r.text("created_at"),
            path: url.clone().unwrap_or("/v1/chat/completions".into()),
            method: r.text("request.method"),
            body: Body::json(body.or_else(|| r.json("request").filter(|_| url.is_none()))),
            key: r.first(&["virtual_key", "api_key_id", "metadata._user"]),
            status: r.first(&["response_status", "response.status"]),
            ..Found::default()
        };
        out.add(r, None, found);
        Ok(())
    }
}
