//! Helicone: exported requests. They have bodies if exported with `--include-body`; the newest comes first.

use super::Format;
use super::record::Record;
use super::request::{Body, Found, Sink};
use crate::skip::Skip;

/// `{"request_created_at": …, "request_path": …, "request_body": …}`.
pub struct Requests;

impl Format for Requests {
    fn name(&self) -> &'static str {
        "helicone"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        r.has(&["request_created_at"]) && (r.get("request_path").is_some() || r.get("request_id").is_some())
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        let found = Found {
            time: r.text("request_created_at"),
            path: r.text("request_path").unwrap_or("/v1/chat/completions".into()),
            body: Body::json(r.json("request_body")),
            key: r.text("request_user_id"),
            tenant: r.first(&["request_properties.Tenant", "request_properties.tenant"]),
            status: r.text("response_status"),
            ..Found::default()
        };
        out.add(r, None, found);
        Ok(())
    }
}
