//! Cohere chat, v1 (`message`, `chat_history`, `preamble`) and v2 (`messages`).

use super::path::ends_with;
use super::{COHERE_MESSAGE, COHERE_PARTS, COHERE_TOOL, Dialect, Field, Reply, Row, common, row};

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
    fn fields(&self, of: Field) -> &'static [Row] {
        match of {
            Field::Root => {
                const {
                    &[
                        row("messages", Field::Messages),
                        row("chat_history", Field::History),
                        row("message", Field::Prompt),
                        // LM Studio's chat of its own.
                        row("input", Field::Body),
                        row("system_prompt", Field::Instructions),
                        row("preamble", Field::Instructions),
                        row("conversation_id", Field::ToolCall),
                        row("tool_results", Field::ToolText),
                        row("documents", Field::Context),
                        row("model", Field::Model),
                        row("stream", Field::Stream),
                        row("temperature", Field::Param),
                        row("p", Field::Param),
                        row("max_tokens", Field::Param),
                        row("num_generations", Field::Count),
                        row("seed", Field::Param),
                        row("logprobs", Field::Param),
                    ]
                }
            }
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
