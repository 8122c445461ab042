//! OpenAI responses.

use super::path::ends_with;
use super::{Dialect, Field, Reply, common};

/// `…/responses`.
#[derive(Debug)]
pub struct Responses;

impl Dialect for Responses {
    fn name(&self) -> &'static str {
        "openai_responses"
    }
    fn claims(&self, path: &[u8]) -> bool {
        ends_with(path, "/responses")
    }
    fn fields(&self, of: Field) -> &'static [(&'static str, Field)] {
        match of {
            Field::Root => &[
                ("input", Field::Input),
                ("instructions", Field::Instructions),
                ("prompt", Field::Template),
                // The history is kept by the server: a follow-up by its own word.
                ("previous_response_id", Field::ToolCall),
                ("conversation", Field::ToolCall),
                ("model", Field::Model),
                ("stream", Field::Stream),
                ("temperature", Field::Param),
                ("top_p", Field::Param),
                ("max_output_tokens", Field::Param),
                ("top_logprobs", Field::Param),
            ],
            Field::Message => &[
                ("role", Field::Role),
                ("content", Field::Content),
                ("output", Field::ToolText),
                ("outputs", Field::ToolText),
                ("results", Field::ToolText),
                ("result", Field::Data),
                ("call_id", Field::ToolCall),
            ],
            other => common(other),
        }
    }
    fn body(&self, reply: &Reply<'_>, out: &mut Vec<u8>) {
        reply.openai(out);
    }
}
