//! OpenAI assistants: threads, messages and runs.
use super::tables::{Plain, always, any, ends_with_any, holds, under};
use super::{Field, Row, TOOL_PARTS, row};

/// The dialect.
pub static THREADS: Plain = Plain {
    fields,
    empty: always,
    ..Plain::new("openai_assistants", |path| {
        ends_with_any(path, &["/threads", "/threads/runs", "/assistants"])
            || (holds(path, "/threads/")
                && ends_with_any(path, &["/messages", "/runs", "/submit_tool_outputs"]))
            || under(path, "assistants")
    })
};

fn fields(of: Field) -> &'static [Row] {
    match of {
        Field::Root => {
            const {
                &[
                    row("messages", Field::Messages),
                    row("additional_messages", Field::Messages),
                    row("thread", Field::Root),
                    row("content", Field::Body),
                    row("role", Field::Ignore),
                    row("instructions", Field::Instructions),
                    row("additional_instructions", Field::Context),
                    row("tool_outputs", Field::ToolText),
                    row("description", Field::Context),
                    row("attachments", Field::Media),
                    row("tool_resources", Field::Media),
                    row("assistant_id", Field::Media),
                    row("model", Field::Model),
                    row("stream", Field::Stream),
                    row("temperature", Field::Param),
                    row("top_p", Field::Param),
                ]
            }
        }
        Field::ToolText => TOOL_PARTS,
        other => any(other),
    }
}
