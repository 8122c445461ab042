//! Batch jobs whose requests are in the body, or in a file uploaded before.
use super::tables::{Plain, always, any, ends_with_any};
use super::{Field, Row, row};

/// The dialect.
pub static JOBS: Plain = Plain {
    fields,
    empty: always,
    ..Plain::new("mistral_batch", |path| ends_with_any(path, &["/batch/jobs", "/batches"]))
};

fn fields(of: Field) -> &'static [Row] {
    match of {
        Field::Root => {
            const {
                &[
                    row("requests", Field::Items),
                    row("body", Field::Root),
                    row("params", Field::Root),
                    row("request", Field::Root),
                    row("messages", Field::Messages),
                    row("prompt", Field::Prompt),
                    row("input", Field::Body),
                    row("instructions", Field::Instructions),
                    row("system", Field::Instructions),
                    row("input_files", Field::Media),
                    row("input_file_id", Field::Media),
                    row("input_dataset_id", Field::Media),
                    row("model", Field::Model),
                ]
            }
        }
        other => any(other),
    }
}
