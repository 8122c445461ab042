//! OpenAI chat completions (and everything that copies it).

use super::path::ends_with;
use super::{CHAT_MESSAGE, Dialect, Field, Reply, common};

/// `…/chat/completions`.
#[derive(Debug)]
pub struct Chat;

const SAMPLING: &[(&str, Field)] = &[
    ("messages", Field::Messages),
    // Servers that allow it put its text in front of the model.
    ("chat_template", Field::Instructions),
    ("model", Field::Model),
    ("stream", Field::Stream),
    ("temperature", Field::Param),
    ("top_p", Field::Param),
    ("n", Field::Param),
    ("max_tokens", Field::Param),
    ("max_completion_tokens", Field::Param),
    ("seed", Field::Param),
    ("logprobs", Field::Param),
];

impl Dialect for Chat {
    fn name(&self) -> &'static str {
        "openai_chat"
    }
    fn claims(&self, path: &[u8]) -> bool {
        ends_with(path, "/chat/completions")
    }
    fn fields(&self, of: Field) -> &'static [(&'static str, Field)] {
        match of {
            Field::Root => SAMPLING,
            Field::Message => CHAT_MESSAGE,
            other => common(other),
        }
    }
    fn body(&self, reply: &Reply<'_>, out: &mut Vec<u8>) {
        reply.openai(out);
    }
}
