//! OpenAI chat completions, and compatible APIs.

use super::path::ends_with;
use super::{CHAT_MESSAGE, Dialect, Field, Reply, Row, common, row};

/// `…/chat/completions`.
#[derive(Debug)]
pub struct Chat;

const SAMPLING: &[Row] = &[
    row("messages", Field::Messages),
    // Perplexity's asynchronous one.
    row("request", Field::Root),
    // Servers that allow it read it instead of their own, and what it leaves out of the messages the model never sees.
    row("chat_template", Field::Prompt),
    // What the template may put in front of the model: vLLM, TGI.
    row("documents", Field::Context),
    row("chat_template_kwargs", Field::Context),
    row("tool_prompt", Field::Context),
    row("guideline", Field::Context),
    row("model", Field::Model),
    row("stream", Field::Stream),
    row("temperature", Field::Param),
    row("top_p", Field::Param),
    row("n", Field::Count),
    row("best_of", Field::Count),
    row("max_tokens", Field::Param),
    row("max_completion_tokens", Field::Param),
    row("seed", Field::Param),
    row("logprobs", Field::Param),
];

impl Dialect for Chat {
    fn name(&self) -> &'static str {
        "openai_chat"
    }
    fn claims(&self, path: &[u8]) -> bool {
        ends_with(path, "/chat/completions")
    }
    fn fields(&self, of: Field) -> &'static [Row] {
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
