//! llama.cpp: completion and infill.
use super::tables::{Plain, any, ends_with_any};
use super::{Field, Row, row};

/// The dialect.
pub static COMPLETION: Plain = Plain {
    fields,
    ..Plain::new("llamacpp_completion", |path| ends_with_any(path, &["/completion", "/infill"]))
};

fn fields(of: Field) -> &'static [Row] {
    match of {
        Field::Root => {
            const {
                &[
                    row("prompt", Field::Prompt),
                    row("system_prompt", Field::Instructions),
                    row("input_prefix", Field::Context),
                    row("input_suffix", Field::Context),
                    row("input_extra", Field::Context),
                    row("image_data", Field::Media),
                    row("multimodal_data", Field::Media),
                    row("stream", Field::Stream),
                    row("n_predict", Field::Param),
                    row("temperature", Field::Param),
                    row("top_p", Field::Param),
                    row("top_k", Field::Param),
                    row("seed", Field::Param),
                ]
            }
        }
        other => any(other),
    }
}
