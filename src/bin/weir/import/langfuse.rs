//! Langfuse: exported observations. Only generations are requests to a model.

use super::Format;
use super::record::Record;
use super::request::{Body, Found, Sink, object, path_of, quoted};
use crate::skip::Skip;
use std::borrow::Cow;

/// `{"type": "GENERATION", "start_time": …, "input": …}`.
pub struct Observations;

impl Format for Observations {
    fn name(&self) -> &'static str {
        "langfuse"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        let trace = ["trace_id", "traceId"].iter().any(|f| r.get(f).is_some());
        let start = ["start_time", "startTime"].iter().any(|f| r.get(f).is_some());
        let kind = ["GENERATION", "SPAN", "EVENT", "EMBEDDING", "AGENT", "TOOL", "CHAIN"];
        trace && start && r.text("type").is_some_and(|t| kind.contains(&t.as_ref()))
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        if r.text("type").as_deref() != Some("GENERATION") {
            return Ok(());
        }
        let model = r.first(&["provided_model_name", "providedModelName", "model"]).map(|m| quoted(&m));
        let parameters = ["model_parameters", "modelParameters"].iter().find_map(|f| r.json(f));
        // Messages, a whole body, or text.
        let input = r.json("input").or_else(|| r.text("input").map(|text| quoted(&text)));
        let body = input.map(|input| match input.trim_start().as_bytes().first() {
            Some(b'{') if path_of(&input).is_some() => input,
            Some(b'[') => Cow::Owned(object(&[("model", model), ("messages", Some(input))], parameters)),
            first => {
                let content = if first == Some(&b'{') { quoted(&input) } else { input };
                let message = format!("[{{\"role\":\"user\",\"content\":{content}}}]");
                Cow::Owned(object(&[("model", model), ("messages", Some(Cow::Owned(message)))], parameters))
            }
        });
        let path = body.as_deref().and_then(path_of).unwrap_or("/v1/chat/completions");
        let found = Found {
            time: r.first(&["start_time", "startTime"]),
            path: Cow::Borrowed(path),
            body: Body::json(body),
            key: r.first(&["user_id", "userId"]),
            ..Found::default()
        };
        out.add(r, None, found);
        Ok(())
    }
}
