//! Ollama chat.

use super::path::ends_with;
use super::{CHAT_MESSAGE, Dialect, Field, Reply, Row, common, row};

/// `/api/chat`.
#[derive(Debug)]
pub struct Chat;

impl Dialect for Chat {
    fn name(&self) -> &'static str {
        "ollama_chat"
    }
    fn claims(&self, path: &[u8]) -> bool {
        ends_with(path, "/api/chat")
    }
    fn fields(&self, of: Field) -> &'static [Row] {
        match of {
            Field::Root => {
                const {
                    &[
                        row("messages", Field::Messages),
                        row("model", Field::Model),
                        row("stream", Field::Stream),
                        row("options", Field::Params),
                    ]
                }
            }
            Field::Message => CHAT_MESSAGE,
            other => common(other),
        }
    }
    fn body(&self, reply: &Reply<'_>, out: &mut Vec<u8>) {
        reply.bare("error", out);
    }
}
