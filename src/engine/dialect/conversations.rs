//! Conversations that the server keeps: Mistral and OpenAI.
use super::tables::{Plain, always, any, ends_with_any, holds, under};
use super::{Field, Row, row};

/// The dialect.
pub static CONVERSATIONS: Plain = Plain {
    fields,
    empty: always,
    ..Plain::new("conversations", |path| {
        path.ends_with(b"/conversations")
            || under(path, "conversations")
            || (holds(path, "/conversations/") && ends_with_any(path, &["/items", "/restart", "/messages"]))
    })
};

fn fields(of: Field) -> &'static [Row] {
    match of {
        Field::Root => {
            const {
                &[
                    row("inputs", Field::Body),
                    row("items", Field::Messages),
                    row("instructions", Field::Instructions),
                    row("conversation_id", Field::ToolCall),
                    row("agent_id", Field::Model),
                    row("model", Field::Model),
                    row("stream", Field::Stream),
                    row("completion_args", Field::Params),
                ]
            }
        }
        other => any(other),
    }
}
