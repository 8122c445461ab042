//! OpenAI Realtime: sessions, and the messages that clients send over WebSocket. Responses over WebSocket use
//! the same messages.
use super::tables::{Plain, always, any, ends_with_any, holds, under};
use super::{Field, Row, row};

/// The dialect.
pub static REALTIME: Plain = Plain {
    fields,
    empty: always,
    ..Plain::new("openai_realtime", |path| {
        path.ends_with(b"/realtime")
            || path.ends_with(b".bidigeneratecontent")
            || under(path, "realtime")
            || (holds(path, "/realtime/")
                && ends_with_any(path, &["/sessions", "/client_secrets", "/calls", "/accept"]))
    })
};

fn fields(of: Field) -> &'static [Row] {
    match of {
        Field::Root => {
            const {
                &[
                    row("item", Field::Messages),
                    row("items", Field::Messages),
                    row("input", Field::Input),
                    row("response", Field::Root),
                    row("session", Field::Root),
                    row("setup", Field::Root),
                    row("clientcontent", Field::Root),
                    row("client_content", Field::Root),
                    row("realtimeinput", Field::Root),
                    row("realtime_input", Field::Root),
                    row("turns", Field::Messages),
                    row("text", Field::Prompt),
                    row("instructions", Field::Instructions),
                    row("systeminstruction", Field::Instructions),
                    row("system_instruction", Field::Instructions),
                    row("prompt", Field::Template),
                    row("previous_response_id", Field::ToolCall),
                    row("conversation", Field::ToolCall),
                    row("audio", Field::Media),
                    row("mediachunks", Field::Media),
                    row("toolresponse", Field::ToolText),
                    row("model", Field::Model),
                    row("stream", Field::Stream),
                    row("temperature", Field::Param),
                    row("top_p", Field::Param),
                    row("max_output_tokens", Field::Param),
                ]
            }
        }
        other => any(other),
    }
}
