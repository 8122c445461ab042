//! Ollama chat.

use super::path::ends_with;
use super::{CHAT_MESSAGE, Dialect, Field, Reply, common};

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
    fn fields(&self, of: Field) -> &'static [(&'static str, Field)] {
        match of {
            Field::Root => &[
                ("messages", Field::Messages),
                ("model", Field::Model),
                ("stream", Field::Stream),
                ("options", Field::Params),
            ],
            Field::Message => CHAT_MESSAGE,
            other => common(other),
        }
    }
    fn body(&self, reply: &Reply<'_>, out: &mut Vec<u8>) {
        reply.bare("error", out);
    }
}
