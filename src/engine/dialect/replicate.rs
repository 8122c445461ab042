//! Predictions: Replicate and Cog; DeepInfra's inference.
use super::tables::{Plain, any, holds, under};
use super::{Field, Row, row};

/// The dialect.
pub static PREDICTIONS: Plain = Plain {
    fields,
    ..Plain::new("replicate", |path| {
        path.ends_with(b"/predictions") || under(path, "predictions") || holds(path, "/v1/inference/")
    })
};

fn fields(of: Field) -> &'static [Row] {
    match of {
        Field::Root => {
            const {
                &[
                    row("input", Field::Body),
                    row("prompt", Field::Prompt),
                    row("text", Field::Prompt),
                    row("message", Field::Prompt),
                    row("messages", Field::Messages),
                    row("system_prompt", Field::Instructions),
                    row("system", Field::Instructions),
                    row("prompt_template", Field::Context),
                    row("pre_prompt", Field::Context),
                    row("image", Field::Media),
                    row("version", Field::Model),
                    row("model", Field::Model),
                    row("stream", Field::Stream),
                    row("temperature", Field::Param),
                    row("top_p", Field::Param),
                    row("seed", Field::Param),
                    row("max_tokens", Field::Param),
                    row("max_new_tokens", Field::Param),
                ]
            }
        }
        other => any(other),
    }
}
