//! Anthropic messages.

use super::path::ends_with;
use super::reply::put;
use super::{CHAT_MESSAGE, DOCUMENT, Dialect, Field, Reply, Row, common, row};

/// `…/messages`.
#[derive(Debug)]
pub struct Messages;

const ROOT: &[Row] = &[
    row("messages", Field::Messages),
    row("system", Field::Instructions),
    row("model", Field::Model),
    row("stream", Field::Stream),
    row("temperature", Field::Param),
    row("top_p", Field::Param),
    row("max_tokens", Field::Param),
];

impl Dialect for Messages {
    fn name(&self) -> &'static str {
        "anthropic_messages"
    }
    fn claims(&self, path: &[u8]) -> bool {
        ends_with(path, "/v1/messages") || path == b"/messages"
    }
    fn fields(&self, of: Field) -> &'static [Row] {
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
