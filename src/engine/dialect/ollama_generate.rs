//! Ollama generate.

use super::path::ends_with;
use super::{Dialect, Field, Reply, common};

/// `/api/generate`.
#[derive(Debug)]
pub struct Generate;

impl Dialect for Generate {
    fn name(&self) -> &'static str {
        "ollama_generate"
    }
    fn claims(&self, path: &[u8]) -> bool {
        ends_with(path, "/api/generate")
    }
    fn fields(&self, of: Field) -> &'static [(&'static str, Field)] {
        match of {
            Field::Root => &[
                ("prompt", Field::Prompt),
                ("suffix", Field::Context),
                ("system", Field::Instructions),
                ("template", Field::Instructions),
                ("context", Field::ToolCall),
                ("images", Field::Media),
                ("model", Field::Model),
                ("stream", Field::Stream),
                ("options", Field::Params),
            ],
            other => common(other),
        }
    }
    fn body(&self, reply: &Reply<'_>, out: &mut Vec<u8>) {
        reply.bare("error", out);
    }
}
