//! OpenAI embeddings.

use super::path::ends_with;
use super::{CHAT_MESSAGE, Dialect, Field, Reply, Row, common, row};

/// `…/embeddings`.
#[derive(Debug)]
pub struct Embeddings;

impl Dialect for Embeddings {
    fn name(&self) -> &'static str {
        "openai_embeddings"
    }
    fn claims(&self, path: &[u8]) -> bool {
        ends_with(path, "/embeddings") && !ends_with(path, "/api/embeddings")
    }
    fn fields(&self, of: Field) -> &'static [Row] {
        match of {
            Field::Root => {
                const {
                    &[
                        row("input", Field::Prompt),
                        // llama.cpp, and vLLM.
                        row("content", Field::Prompt),
                        // watsonx.
                        row("inputs", Field::Prompt),
                        row("messages", Field::Messages),
                        row("model", Field::Model),
                        row("dimensions", Field::Param),
                    ]
                }
            }
            Field::Message => CHAT_MESSAGE,
            other => common(other),
        }
    }
    fn charges_items(&self, _path: &[u8]) -> bool {
        false
    }
    fn body(&self, reply: &Reply<'_>, out: &mut Vec<u8>) {
        reply.openai(out);
    }
}
