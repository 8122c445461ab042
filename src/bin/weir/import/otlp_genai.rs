//! OpenTelemetry spans of generative AI, as OTLP in JSON: many spans in a record.

use super::Format;
use super::record::{Record, text_of};
use super::request::{Body, Found, Sink};
use crate::skip::Skip;
use serde_json::{Value, json};
use std::borrow::Cow;

/// `{"resourceSpans": […]}`.
pub struct Spans;

impl Format for Spans {
    fn name(&self) -> &'static str {
        "otlp-genai"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        r.get("resourceSpans").is_some()
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        for resource in r.list("resourceSpans") {
            for scope in resource.list("scopeSpans") {
                for span in scope.list("spans") {
                    let Some(list) = span.get("attributes") else { continue };
                    one(r, &span, &Record::attributes(list), out);
                }
            }
        }
        Ok(())
    }
}

/// Reads one span. Spans that are no call of a model are ignored.
fn one(whole: &Record<'_>, span: &Record<'_>, of: &Record<'_>, out: &mut Sink<'_>) {
    let path = match of.text("gen_ai.operation.name").as_deref() {
        Some("chat") => "/v1/chat/completions",
        Some("generate_content") => "/v1/chat/completions",
        Some("text_completion") => "/v1/completions",
        Some("embeddings") => "/v1/embeddings",
        _ => return,
    };
    let found = Found {
        time: span.text("startTimeUnixNano"),
        path: Cow::Borrowed(path),
        source: of.first(&["client.address", "network.peer.address"]),
        body: body(of).map_or(Body::Unknown, |b| Body::Json(Cow::Owned(b.to_string()))),
        key: of.first(&["user.id", "enduser.id", "enduser.pseudo.id"]),
        ..Found::default()
    };
    out.add(whole, Some(of), found);
}

/// The body of a request. Messages hold parts in place of content, as JSON in a string or as OTLP's own
/// values.
fn body(of: &Record<'_>) -> Option<Value> {
    let mut messages = Vec::new();
    let system = value(of, "gen_ai.system_instructions").map(|v| content(&v));
    if let Some(parts) = system.filter(|parts| !parts.is_empty()) {
        messages.push(json!({"role": "system", "content": parts}));
    }
    for message in value(of, "gen_ai.input.messages")?.as_array()? {
        let parts = content(message.get("parts").or_else(|| message.get("content"))?);
        messages.push(json!({"role": message.get("role")?, "content": parts}));
    }
    let model = of.text("gen_ai.request.model");
    Some(match of.text("gen_ai.operation.name").as_deref() {
        Some("text_completion" | "embeddings") => {
            let all = messages.iter().flat_map(|m| m["content"].as_array().cloned().unwrap_or_default());
            let texts: Vec<Value> = all.filter_map(|p| p.get("text").cloned()).collect();
            json!({"model": model, "prompt": texts, "input": texts})
        }
        _ => json!({"model": model, "messages": messages}),
    })
}

fn value(of: &Record<'_>, name: &str) -> Option<Value> {
    let raw = of.get(name)?;
    match text_of(raw) {
        Some(text) => serde_json::from_str(&text).ok(),
        None => serde_json::from_str(raw.get()).ok().map(plain),
    }
}

/// OTLP's own values (`{"stringValue": …}`, `{"arrayValue": {"values": […]}}`, `{"kvlistValue": …}`) as JSON.
fn plain(v: Value) -> Value {
    let Value::Object(mut map) = v else {
        return match v {
            Value::Array(all) => all.into_iter().map(plain).collect(),
            other => other,
        };
    };
    for name in ["stringValue", "intValue", "boolValue", "doubleValue"] {
        if let Some(inner) = map.remove(name) {
            return inner;
        }
    }
    match (map.remove("arrayValue"), map.remove("kvlistValue"), map.remove("values")) {
        (Some(list), ..) | (_, Some(list), _) => plain(list),
        (.., Some(Value::Array(all))) if all.iter().all(|v| v.get("key").is_some()) && !all.is_empty() => {
            let pair = |v: Value| Some((v.get("key")?.as_str()?.to_string(), plain(v.get("value")?.clone())));
            Value::Object(all.into_iter().filter_map(pair).collect())
        }
        (.., Some(all)) => plain(all),
        _ => Value::Object(map.into_iter().map(|(k, v)| (k, plain(v))).collect()),
    }
}

fn content(parts: &Value) -> Vec<Value> {
    let text = |p: &Value| match p {
        Value::String(text) => Some(json!({"type": "text", "text": text})),
        p if p.get("type").is_some_and(|t| t == "text") => {
            Some(json!({"type": "text", "text": p.get("content").or_else(|| p.get("text"))?}))
        }
        p => Some(p.clone()),
    };
    match parts {
        Value::Array(all) => all.iter().filter_map(text).collect(),
        one => text(one).into_iter().collect(),
    }
}
