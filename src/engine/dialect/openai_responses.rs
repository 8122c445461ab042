//! OpenAI responses.

use super::path::ends_with;
use super::{Dialect, Field, Reply, Row, common, row};

/// `…/responses`, and `…/responses/compact`, which shortens histories.
#[derive(Debug)]
pub struct Responses;

impl Dialect for Responses {
    fn name(&self) -> &'static str {
        "openai_responses"
    }
    fn claims(&self, path: &[u8]) -> bool {
        ends_with(path, "/responses") || ends_with(path, "/responses/compact")
    }
    fn fields(&self, of: Field) -> &'static [Row] {
        match of {
            Field::Root => {
                const {
                    &[
                        row("input", Field::Input),
                        row("instructions", Field::Instructions),
                        row("prompt", Field::Template),
                        // The schema of the answer.
                        row("text", Field::Other),
                        // The history is kept by the server: a follow-up by its own word.
                        row("previous_response_id", Field::ToolCall),
                        row("conversation", Field::ToolCall),
                        row("model", Field::Model),
                        row("stream", Field::Stream),
                        row("temperature", Field::Param),
                        row("top_p", Field::Param),
                        row("max_output_tokens", Field::Param),
                        row("top_logprobs", Field::Param),
                    ]
                }
            }
            Field::Message => {
                const {
                    &[
                        row("role", Field::Role),
                        row("content", Field::Content),
                        row("output", Field::ToolText),
                        row("outputs", Field::ToolText),
                        row("results", Field::ToolText),
                        row("result", Field::Data),
                        row("call_id", Field::ToolCall),
                    ]
                }
            }
            other => common(other),
        }
    }
    fn body(&self, reply: &Reply<'_>, out: &mut Vec<u8>) {
        reply.openai(out);
    }
}
