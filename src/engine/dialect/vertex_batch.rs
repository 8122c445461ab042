//! Batch jobs of Vertex. Their inputs are in a store that Weir does not see.
use super::tables::{Plain, always, any};
use super::{Field, Row, row};

/// The dialect.
pub static JOBS: Plain = Plain {
    fields,
    empty: always,
    ..Plain::new("vertex_batch", |path| path.ends_with(b"/batchpredictionjobs"))
};

fn fields(of: Field) -> &'static [Row] {
    match of {
        Field::Root => {
            const {
                &[
                    row("model", Field::Model),
                    row("inputconfig", Field::Media),
                    row("instances", Field::Items),
                    row("prompt", Field::Prompt),
                ]
            }
        }
        other => any(other),
    }
}
