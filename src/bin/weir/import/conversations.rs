//! Collections of conversations: WildChat, LMSYS-Chat-1M, ShareGPT. Each turn of a user is a request, with
//! all earlier turns before it.

use super::Format;
use super::record::Record;
use super::request::{Body, Found, Sink, Str, after};
use crate::skip::Skip;
use serde_json::json;
use std::borrow::Cow;

/// WildChat: with times and pseudonymous users.
pub struct WildChat;
/// LMSYS-Chat-1M: no times, no users. Each conversation is a key.
pub struct Lmsys;
/// ShareGPT: no times, no users. Each conversation is a key.
pub struct ShareGpt;

impl Format for WildChat {
    fn name(&self) -> &'static str {
        "wildchat"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        r.has(&["conversation.0.role"])
            && (r.get("conversation_hash").is_some() || r.get("hashed_ip").is_some())
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        let key = r.first(&["hashed_ip", "conversation.0.hashed_ip", "conversation_hash"]);
        let header = |name: &'static str| Some((Cow::Borrowed(name), r.text(&format!("header.{name}"))?));
        let headers: Vec<_> = ["user-agent", "accept-language"].into_iter().filter_map(header).collect();
        turns(r, "conversation", ("role", "content"), key, headers, out)
    }
}

impl Format for Lmsys {
    fn name(&self) -> &'static str {
        "lmsys"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        r.has(&["conversation.0.role", "conversation_id"])
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        turns(r, "conversation", ("role", "content"), r.text("conversation_id"), Vec::new(), out)
    }
}

impl Format for ShareGpt {
    fn name(&self) -> &'static str {
        "sharegpt"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        r.has(&["conversations.0.from"])
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        turns(r, "conversations", ("from", "value"), r.text("id"), Vec::new(), out)
    }
}

/// Turns are a minute apart where the record has one time for all of them.
const TURN_S: u64 = 60;

fn turns<'a>(
    r: &Record<'a>,
    list: &str,
    (role, content): (&str, &str),
    key: Option<Str<'a>>,
    headers: Vec<(Str<'a>, Str<'a>)>,
    out: &mut Sink<'_>,
) -> Result<(), Skip> {
    let first = r.text("timestamp").unwrap_or(Cow::Owned(out.file_time.to_string()));
    // Of a wrong time nothing is told, be there turns or not.
    after(&first, 0)?;
    let (mut said, mut turn) = (Vec::new(), 0);
    for message in r.list(list) {
        let who = match message.text(role).as_deref() {
            Some("human" | "user") => "user",
            Some("gpt" | "chatgpt" | "bing" | "bard" | "assistant") => "assistant",
            Some("system") => "system",
            _ => continue,
        };
        said.push(json!({"role": who, "content": message.text(content).unwrap_or_default()}));
        if who != "user" {
            continue;
        }
        let time = after(&first, turn * TURN_S * 1_000)?;
        turn += 1;
        let body = json!({"model": r.text("model"), "messages": said}).to_string();
        let found = Found {
            time: Some(Cow::Owned(time)),
            path: Cow::Borrowed("/v1/chat/completions"),
            headers: headers.clone(),
            body: Body::Json(Cow::Owned(body)),
            key: key.clone(),
            ..Found::default()
        };
        out.add(r, None, found);
    }
    Ok(())
}
