//! OpenAI chat completions (and everything that copies it).

use super::path::ends_with;
use super::{CHAT_MESSAGE, Dialect, Field, Reply, common};

/// `…/chat/completions`.
#[derive(Debug)]
pub struct Chat;

const SAMPLING: &[(&str, Field)] = &[
    ("messages", Field::Messages),
    // Servers that allow it read it instead of their own, and what it leaves out of the messages the model never sees.
    ("chat_template", Field::Prompt),
    // What the template may put in front of the model: vLLM, TGI.
    ("documents", Field::Context),
    ("chat_template_kwargs", Field::Context),
    ("tool_prompt", Field::Context),
    ("guideline", Field::Context),
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
