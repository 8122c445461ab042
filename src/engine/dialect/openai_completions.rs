//! OpenAI completions (legacy).

use super::path::ends_with;
use super::{CHAT_MESSAGE, Dialect, Field, Reply, common};

/// `…/completions` that is not chat.
#[derive(Debug)]
pub struct Completions;

impl Dialect for Completions {
    fn name(&self) -> &'static str {
        "openai_completions"
    }
    fn claims(&self, path: &[u8]) -> bool {
        ends_with(path, "/completions")
    }
    fn fields(&self, of: Field) -> &'static [(&'static str, Field)] {
        match of {
            Field::Root => &[
                ("prompt", Field::Prompt),
                ("suffix", Field::Context),
                ("prompt_embeds", Field::Media),
                // Agents of Mistral answer on this path.
                ("messages", Field::Messages),
                ("model", Field::Model),
                ("stream", Field::Stream),
                ("temperature", Field::Param),
                ("top_p", Field::Param),
                ("n", Field::Param),
                ("max_tokens", Field::Param),
                ("seed", Field::Param),
                ("logprobs", Field::Param),
            ],
            Field::Message => CHAT_MESSAGE,
            other => common(other),
        }
    }
    fn body(&self, reply: &Reply<'_>, out: &mut Vec<u8>) {
        reply.openai(out);
    }
}
