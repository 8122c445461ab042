//! Cohere chat, v1 (`message`, `chat_history`, `preamble`) and v2 (`messages`).

use super::path::ends_with;
use super::{COHERE_MESSAGE, COHERE_PARTS, COHERE_TOOL, Dialect, Field, Reply, common};

/// `/v1/chat` and `/v2/chat`.
#[derive(Debug)]
pub struct Chat;

impl Dialect for Chat {
    fn name(&self) -> &'static str {
        "cohere_chat"
    }
    fn claims(&self, path: &[u8]) -> bool {
        ends_with(path, "/v1/chat") || ends_with(path, "/v2/chat")
    }
    fn fields(&self, of: Field) -> &'static [(&'static str, Field)] {
        match of {
            Field::Root => &[
                ("messages", Field::Messages),
                ("chat_history", Field::History),
                ("message", Field::Prompt),
                ("preamble", Field::Instructions),
                ("conversation_id", Field::ToolCall),
                ("tool_results", Field::ToolText),
                ("documents", Field::Context),
                ("model", Field::Model),
                ("stream", Field::Stream),
                ("temperature", Field::Param),
                ("p", Field::Param),
                ("max_tokens", Field::Param),
                ("seed", Field::Param),
                ("logprobs", Field::Param),
            ],
            Field::Message => COHERE_MESSAGE,
            Field::Content => COHERE_PARTS,
            Field::ToolText => COHERE_TOOL,
            other => common(other),
        }
    }
    fn body(&self, reply: &Reply<'_>, out: &mut Vec<u8>) {
        reply.bare("message", out);
    }
}
