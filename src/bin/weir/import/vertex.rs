//! Vertex AI's request and response logs in BigQuery, exported as JSON.

use super::Format;
use super::record::Record;
use super::request::{Body, Found, Sink};
use crate::skip::Skip;
use std::borrow::Cow;

/// `{"endpoint": …, "api_method": …, "logging_time": …, "full_request": …}`.
pub struct BigQuery;

impl Format for BigQuery {
    fn name(&self) -> &'static str {
        "vertex-bigquery"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        r.has(&["logging_time"]) && (r.get("full_request").is_some() || r.get("api_method").is_some())
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        let method = r.text("api_method").unwrap_or(Cow::Borrowed("generateContent"));
        let (first, rest) = method.split_at_checked(1).unwrap_or((&method, ""));
        let endpoint = r.text("endpoint").unwrap_or_default();
        let found = Found {
            time: r.text("logging_time"),
            path: Cow::Owned(format!("/v1/{endpoint}:{}{rest}", first.to_ascii_lowercase())),
            body: Body::json(r.json("full_request")),
            ..Found::default()
        };
        out.add(r, None, found);
        Ok(())
    }
}
