//! Bedrock converse and converse-stream.

use super::path::split_last;
use super::{CHAT_MESSAGE, Dialect, Field, Reply, common};

/// `/model/ID/converse`.
#[derive(Debug)]
pub struct Converse;

/// The error type travels in a header.
pub(super) fn error_type(reply: &Reply<'_>, out: &mut Vec<(&'static str, String)>) {
    let kind = match reply.status {
        400 => "ValidationException",
        403 => "AccessDeniedException",
        _ => "ThrottlingException",
    };
    out.push(("x-amzn-errortype", kind.to_string()));
}

/// Is `path` `…/model/ID/VERB`?
pub(super) fn is_model_path(path: &[u8], verbs: &[&[u8]]) -> bool {
    let (before, verb) = split_last(path);
    let (before, _) = split_last(before);
    verbs.contains(&verb) && split_last(before).1 == b"model"
}

impl Dialect for Converse {
    fn name(&self) -> &'static str {
        "bedrock_converse"
    }
    fn claims(&self, path: &[u8]) -> bool {
        is_model_path(path, &[b"converse", b"converse-stream"])
    }
    fn fields(&self, of: Field) -> &'static [(&'static str, Field)] {
        match of {
            Field::Root => &[
                ("messages", Field::Messages),
                ("system", Field::Instructions),
                ("promptvariables", Field::Context),
                ("inferenceconfig", Field::Params),
            ],
            Field::Message => CHAT_MESSAGE,
            Field::Content => &[
                ("text", Field::Content),
                // Text for the guardrail is text for the model.
                ("guardcontent", Field::Content),
                ("toolresult", Field::ToolText),
                ("tooluse", Field::ToolCall),
                ("image", Field::Media),
                ("document", Field::Media),
                ("video", Field::Media),
                ("audio", Field::Media),
                ("searchresult", Field::Media),
                ("citationscontent", Field::Media),
            ],
            Field::Instructions => &[("text", Field::Instructions), ("guardcontent", Field::Instructions)],
            Field::ToolText => &[
                ("tooluseid", Field::Ignore),
                ("status", Field::Ignore),
                ("image", Field::Media),
                ("document", Field::Media),
                ("video", Field::Media),
                ("*", Field::ToolText),
            ],
            // Documents may be plain text.
            Field::Media => &[
                ("source", Field::Media),
                ("text", Field::Content),
                ("content", Field::Content),
                ("name", Field::Context),
                ("title", Field::Context),
                ("context", Field::Context),
            ],
            other => common(other),
        }
    }
    fn streams(&self, path: &[u8]) -> bool {
        path.ends_with(b"-stream")
    }
    fn body(&self, reply: &Reply<'_>, out: &mut Vec<u8>) {
        reply.bare("message", out);
    }
    fn headers(&self, reply: &Reply<'_>, out: &mut Vec<(&'static str, String)>) {
        error_type(reply, out);
    }
}
