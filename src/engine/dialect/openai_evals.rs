//! OpenAI evals: prompts and the data that fill them.
use super::tables::{Plain, always, any, holds};
use super::{Field, Row, row};

/// The dialect.
pub static EVALS: Plain = Plain {
    fields,
    empty: always,
    ..Plain::new("openai_evals", |path| {
        path.ends_with(b"/evals") || (path.ends_with(b"/runs") && holds(path, "/evals/"))
    })
};

fn fields(of: Field) -> &'static [Row] {
    match of {
        Field::Root => {
            const {
                &[
                    row("data_source", Field::Root),
                    row("source", Field::Root),
                    row("content", Field::Context),
                    row("id", Field::Media),
                    row("input_messages", Field::Root),
                    row("template", Field::Messages),
                    row("data_source_config", Field::Media),
                    row("testing_criteria", Field::Context),
                    row("model", Field::Model),
                    row("sampling_params", Field::Params),
                ]
            }
        }
        other => any(other),
    }
}
