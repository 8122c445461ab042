//! watsonx: generation and chat.
use super::tables::{Plain, any, ends_with_any, holds};
use super::{Field, Row, row};

/// The dialect.
pub static TEXT: Plain = Plain {
    fields,
    streams: |path| path.ends_with(b"_stream"),
    ..Plain::new("watsonx", |path| {
        holds(path, "/text/")
            && ends_with_any(path, &["/generation", "/generation_stream", "/text/chat", "/chat_stream"])
    })
};

fn fields(of: Field) -> &'static [Row] {
    match of {
        Field::Root => {
            const {
                &[
                    row("input", Field::Body),
                    row("messages", Field::Messages),
                    row("system", Field::Instructions),
                    row("parameters", Field::Params),
                    row("prompt_variables", Field::Context),
                    row("model_id", Field::Model),
                    row("temperature", Field::Param),
                    row("top_p", Field::Param),
                    row("max_tokens", Field::Param),
                    row("seed", Field::Param),
                    row("n", Field::Param),
                ]
            }
        }
        other => any(other),
    }
}
