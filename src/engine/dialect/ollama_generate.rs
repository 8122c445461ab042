//! Ollama generate.

use super::path::ends_with;
use super::{Dialect, Field, Reply, Row, common, row};

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
    fn fields(&self, of: Field) -> &'static [Row] {
        match of {
            Field::Root => {
                const {
                    &[
                        row("prompt", Field::Prompt),
                        row("suffix", Field::Context),
                        row("system", Field::Instructions),
                        row("template", Field::Instructions),
                        row("context", Field::ToolCall),
                        row("images", Field::Media),
                        row("model", Field::Model),
                        row("stream", Field::Stream),
                        row("options", Field::Params),
                    ]
                }
            }
            other => common(other),
        }
    }
    fn body(&self, reply: &Reply<'_>, out: &mut Vec<u8>) {
        reply.bare("error", out);
    }
}
