//! Bedrock invoke and invoke-with-response-stream: the body is the model family's own, so the table is their union.

use super::bedrock_converse::{error_type, is_model_path};
use super::{COHERE_MESSAGE, COHERE_TOOL, DOCUMENT, Dialect, Field, Reply, common};

/// `/model/ID/invoke`.
#[derive(Debug)]
pub struct Invoke;

impl Dialect for Invoke {
    fn name(&self) -> &'static str {
        "bedrock_invoke"
    }
    fn claims(&self, path: &[u8]) -> bool {
        is_model_path(path, &[b"invoke", b"invoke-with-response-stream"])
    }
    fn fields(&self, of: Field) -> &'static [(&'static str, Field)] {
        match of {
            Field::Root => &[
                ("messages", Field::Messages),
                ("chat_history", Field::History),
                ("system", Field::Instructions),
                ("preamble", Field::Instructions),
                ("prompt", Field::Prompt),
                ("inputtext", Field::Prompt),
                ("message", Field::Prompt),
                ("texts", Field::Prompt),
                ("inputprompt", Field::Prompt),
                ("documents", Field::Context),
                ("tool_results", Field::ToolText),
                ("temperature", Field::Param),
                ("top_p", Field::Param),
                ("max_tokens", Field::Param),
                ("max_gen_len", Field::Param),
                ("textgenerationconfig", Field::Params),
                ("inferenceconfig", Field::Params),
            ],
            Field::Message => COHERE_MESSAGE,
            Field::ToolText => COHERE_TOOL,
            Field::Media => DOCUMENT,
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
