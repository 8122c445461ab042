//! Bedrock converse and converse-stream.

use super::path::split_last;
use super::tables::holds;
use super::{CHAT_MESSAGE, Dialect, Field, Reply, Row, common, row};

/// `/model/ID/converse`.
#[derive(Debug)]
pub struct Converse;

/// Appends the header that carries AWS's error type.
pub(super) fn error_type(reply: &Reply<'_>, out: &mut Vec<(&'static str, String)>) {
    let kind = match reply.status {
        400 => "ValidationException",
        403 => "AccessDeniedException",
        _ => "ThrottlingException",
    };
    out.push(("x-amzn-errortype", kind.to_string()));
}

/// True if `path` is `…/model/ID/VERB`. The id may be an ARN, which contains slashes.
pub(super) fn is_model_path(path: &[u8], verbs: &[&[u8]]) -> bool {
    let (before, verb) = split_last(path);
    verbs.contains(&verb) && holds(before, "/model/")
}

impl Dialect for Converse {
    fn name(&self) -> &'static str {
        "bedrock_converse"
    }
    fn claims(&self, path: &[u8]) -> bool {
        is_model_path(path, &[b"converse", b"converse-stream"])
    }
    fn fields(&self, of: Field) -> &'static [Row] {
        match of {
            Field::Root => {
                const {
                    &[
                        row("messages", Field::Messages),
                        row("system", Field::Instructions),
                        row("promptvariables", Field::Context),
                        row("inferenceconfig", Field::Params),
                    ]
                }
            }
            Field::Message => CHAT_MESSAGE,
            Field::Content => {
                const {
                    &[
                        row("text", Field::Content),
                        // Text for the guardrail is text for the model.
                        row("guardcontent", Field::Content),
                        row("toolresult", Field::ToolText),
                        row("tooluse", Field::ToolCall),
                        row("image", Field::Media),
                        row("document", Field::Media),
                        row("video", Field::Media),
                        row("audio", Field::Media),
                        row("searchresult", Field::Media),
                        row("citationscontent", Field::Media),
                    ]
                }
            }
            Field::Instructions => {
                const { &[row("text", Field::Instructions), row("guardcontent", Field::Instructions)] }
            }
            Field::ToolText => {
                const {
                    &[
                        row("tooluseid", Field::Ignore),
                        row("status", Field::Ignore),
                        row("image", Field::Media),
                        row("document", Field::Media),
                        row("video", Field::Media),
                        row("*", Field::ToolText),
                    ]
                }
            }
            // Documents may be plain text.
            Field::Media => {
                const {
                    &[
                        row("source", Field::Media),
                        row("format", Field::Kind),
                        row("text", Field::Content),
                        row("content", Field::Content),
                        row("name", Field::Context),
                        row("title", Field::Context),
                        row("context", Field::Context),
                    ]
                }
            }
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
