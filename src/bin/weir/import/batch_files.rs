//! Files of requests for a provider's batch service. They have no times, and no key but the uploader's.

use super::Format;
use super::record::Record;
use super::request::{Body, Found, Sink};
use crate::skip::Skip;
use std::borrow::Cow;

/// OpenAI (Azure, Mistral and others have the same): `{"custom_id": …, "method": …, "url": …, "body": …}`.
pub struct OpenAi;
/// Anthropic: `{"requests": [{"custom_id": …, "params": …}]}`, or one of these.
pub struct Anthropic;
/// Gemini and Vertex AI: `{"key": …, "request": {"contents": …}}`.
pub struct Gemini;
/// Bedrock: `{"recordId": …, "modelInput": …}`.
pub struct Bedrock;

impl Format for OpenAi {
    fn name(&self) -> &'static str {
        "openai-batch"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        r.has(&["custom_id", "body"]) && r.get("t").is_none()
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        let found = Found {
            path: r.text("url").unwrap_or(Cow::Borrowed("/v1/chat/completions")),
            method: r.text("method"),
            body: Body::json(r.json("body")),
            ..Found::default()
        };
        out.add(r, None, found);
        Ok(())
    }
}

impl Format for Anthropic {
    fn name(&self) -> &'static str {
        "anthropic-batch"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        r.has(&["custom_id", "params"]) || r.has(&["requests.0.params"])
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        let one = |part: &Record<'_>, out: &mut Sink<'_>| {
            let path = Cow::Borrowed("/v1/messages");
            out.add(r, Some(part), Found { path, body: Body::json(part.json("params")), ..Found::default() });
        };
        if r.get("params").is_some() {
            one(r, out);
        }
        r.list("requests").iter().for_each(|part| one(part, out));
        Ok(())
    }
}

impl Format for Gemini {
    fn name(&self) -> &'static str {
        "gemini-batch"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        r.has(&["request.contents"])
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        let path = Cow::Borrowed("/v1beta/models/m:generateContent");
        out.add(r, None, Found { path, body: Body::json(r.json("request")), ..Found::default() });
        Ok(())
    }
}

impl Format for Bedrock {
    fn name(&self) -> &'static str {
        "bedrock-batch"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        r.has(&["recordId", "modelInput"])
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        let path = Cow::Borrowed("/model/m/invoke");
        out.add(r, None, Found { path, body: Body::json(r.json("modelInput")), ..Found::default() });
        Ok(())
    }
}
