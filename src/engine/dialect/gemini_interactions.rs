//! Gemini interactions.
use super::tables::{Plain, any};
use super::{Field, Row, row};

/// The dialect.
pub static INTERACTIONS: Plain =
    Plain { fields, ..Plain::new("gemini_interactions", |path| path.ends_with(b"/interactions")) };

fn fields(of: Field) -> &'static [Row] {
    match of {
        Field::Root => {
            const {
                &[
                    row("input", Field::Body),
                    row("system_instruction", Field::Instructions),
                    row("systeminstruction", Field::Instructions),
                    row("previous_interaction_id", Field::ToolCall),
                    row("model", Field::Model),
                    row("stream", Field::Stream),
                    row("generation_config", Field::Params),
                    row("generationconfig", Field::Params),
                ]
            }
        }
        other => any(other),
    }
}
