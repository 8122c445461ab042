//! OpenAI completions (legacy).

use super::path::ends_with;
use super::{CHAT_MESSAGE, Dialect, Field, Reply, Row, common, row};

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
    fn fields(&self, of: Field) -> &'static [Row] {
        match of {
            Field::Root => {
                const {
                    &[
                        row("prompt", Field::Prompt),
                        row("suffix", Field::Context),
                        row("prompt_embeds", Field::Media),
                        // Agents of Mistral answer on this path.
                        row("messages", Field::Messages),
                        row("model", Field::Model),
                        row("stream", Field::Stream),
                        row("temperature", Field::Param),
                        row("top_p", Field::Param),
                        row("n", Field::Count),
                        row("best_of", Field::Count),
                        row("max_tokens", Field::Param),
                        row("seed", Field::Param),
                        row("logprobs", Field::Param),
                    ]
                }
            }
            Field::Message => CHAT_MESSAGE,
            other => common(other),
        }
    }
    fn body(&self, reply: &Reply<'_>, out: &mut Vec<u8>) {
        reply.openai(out);
    }
}
