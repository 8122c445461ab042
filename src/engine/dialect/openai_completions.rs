//! OpenAI completions (legacy).

use super::path::ends_with;
use super::{Dialect, Field, Reply, common};

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
                ("suffix", Field::Prompt),
                ("model", Field::Model),
                ("stream", Field::Stream),
                ("temperature", Field::Param),
                ("top_p", Field::Param),
                ("n", Field::Param),
                ("max_tokens", Field::Param),
                ("seed", Field::Param),
                ("logprobs", Field::Param),
            ],
            other => common(other),
        }
    }
    fn body(&self, reply: &Reply<'_>, out: &mut Vec<u8>) {
        reply.openai(out);
    }
}
