//! Anthropic messages.

use super::path::ends_with;
use super::reply::put;
use super::{CHAT_MESSAGE, DOCUMENT, Dialect, Field, Reply, common};

/// `…/messages`.
#[derive(Debug)]
pub struct Messages;

const ROOT: &[(&str, Field)] = &[
    ("messages", Field::Messages),
    ("system", Field::Instructions),
    ("model", Field::Model),
    ("stream", Field::Stream),
    ("temperature", Field::Param),
    ("top_p", Field::Param),
    ("max_tokens", Field::Param),
];

impl Dialect for Messages {
    fn name(&self) -> &'static str {
        "anthropic_messages"
    }
    fn claims(&self, path: &[u8]) -> bool {
        ends_with(path, "/v1/messages") || path == b"/messages"
    }
    fn fields(&self, of: Field) -> &'static [(&'static str, Field)] {
        match of {
            Field::Root => ROOT,
            Field::Message => CHAT_MESSAGE,
            Field::Media => DOCUMENT,
            other => common(other),
        }
    }
    fn body(&self, reply: &Reply<'_>, out: &mut Vec<u8>) {
        let kind = match reply.status {
            400 => "invalid_request_error",
            403 => "permission_error",
            529 => "overloaded_error",
            _ => "rate_limit_error",
        };
        put(
            out,
            format_args!(
                r#"{{"type":"error","error":{{"type":"{kind}","message":"{}"}},"request_id":"req_{}"}}"#,
                reply.message(),
                reply.case
            ),
        );
    }
    fn headers(&self, reply: &Reply<'_>, out: &mut Vec<(&'static str, String)>) {
        out.push(("request-id", format!("req_{}", reply.case)));
    }
}
