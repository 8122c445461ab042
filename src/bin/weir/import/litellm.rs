//! LiteLLM: rows of its table of spend logs, and the records of its callbacks (`StandardLoggingPayload`). Their key is the
//! SHA-256 of the virtual key.

use super::Format;
use super::record::Record;
use super::request::{Body, Found, Sink, Str, object, quoted};
use crate::skip::Skip;
use std::borrow::Cow;

/// A row of `LiteLLM_SpendLogs`.
pub struct SpendLogs;
/// A callback's record.
pub struct Standard;

impl Format for SpendLogs {
    fn name(&self) -> &'static str {
        "litellm-spend-logs"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        r.has(&["call_type", "api_key", "startTime"])
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        // Both may be objects, or strings that hold them.
        let sent = r.json("proxy_server_request");
        let sent = sent.as_deref().and_then(|s| Record::object(s).ok());
        let body = sent.as_ref().and_then(|s| s.json("body"));
        let body = body.or_else(|| Some(Cow::Owned(object(&from_messages(r)?, None))));
        let url = sent.as_ref().and_then(|s| s.text("url"));
        let found = Found {
            time: r.text("startTime"),
            path: url.map_or_else(|| path(r), |u| Cow::Owned(u.into_owned())),
            source: r.text("requester_ip_address"),
            headers: agent(sent.as_ref()),
            body: Body::json(body.map(|b| Cow::Owned(b.into_owned()))),
            key: r.text("api_key"),
            key_is_hash: true,
            tenant: r.first(&["team_id", "metadata.user_api_key_team_id"]),
            ..Found::default()
        };
        out.add(r, None, found);
        Ok(())
    }
}

fn agent<'b>(sent: Option<&Record<'_>>) -> Vec<(Str<'b>, Str<'b>)> {
    let agent = sent.and_then(|s| s.text("headers.user-agent"));
    agent.map(|a| (Cow::Borrowed("user-agent"), Cow::Owned(a.into_owned()))).into_iter().collect()
}

impl Format for Standard {
    fn name(&self) -> &'static str {
        "litellm-standard"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        r.has(&["call_type", "startTime"])
            && (r.get("model_parameters").is_some() || r.has(&["metadata.user_api_key_hash"]))
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        let body = from_messages(r).map(|m| Cow::Owned(object(&m, r.json("model_parameters"))));
        let found = Found {
            time: r.text("startTime"),
            path: path(r),
            source: r.first(&["requester_ip_address", "metadata.requester_ip_address"]),
            body: Body::json(body),
            key: r.text("metadata.user_api_key_hash"),
            key_is_hash: true,
            tenant: r.text("metadata.user_api_key_team_id"),
            ..Found::default()
        };
        out.add(r, None, found);
        Ok(())
    }
}

type Members<'a> = [(&'static str, Option<Str<'a>>); 2];

/// Empty unless prompts are stored.
fn from_messages<'a>(r: &Record<'a>) -> Option<Members<'a>> {
    let list = r.json("messages").map(|m| ("messages", m));
    let (name, list) = list.or_else(|| r.text("messages").map(|t| ("input", quoted(&t))))?;
    let name = match r.text("call_type").as_deref() {
        Some("aembedding" | "embedding" | "aresponses" | "responses") => "input",
        Some("atext_completion" | "text_completion") => "prompt",
        _ => name,
    };
    Some([("model", r.text("model").map(|m| quoted(&m))), (name, Some(list))])
}

fn path<'a>(r: &Record<'_>) -> Str<'a> {
    Cow::Borrowed(match r.text("call_type").as_deref() {
        Some("aresponses" | "responses") => "/v1/responses",
        Some("anthropic_messages") => "/v1/messages",
        Some("aembedding" | "embedding") => "/v1/embeddings",
        Some("atext_completion" | "text_completion") => "/v1/completions",
        Some("arerank" | "rerank") => "/v1/rerank",
        _ => "/v1/chat/completions",
    })
}
