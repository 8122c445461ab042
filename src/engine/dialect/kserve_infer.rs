//! KServe's second protocol, and Triton's: tensors of text.
use super::tables::{Plain, any, bare_error};
use super::{Field, Row, row};

/// The dialect.
pub static INFER: Plain =
    Plain { fields, errors: bare_error, ..Plain::new("kserve_infer", |path| path.ends_with(b"/infer")) };

fn fields(of: Field) -> &'static [Row] {
    match of {
        Field::Root => const { &[row("inputs", Field::Prompt), row("parameters", Field::Params)] },
        Field::Prompt => {
            const {
                &[
                    row("data", Field::Prompt),
                    row("contents", Field::Prompt),
                    row("bytes_contents", Field::Media),
                ]
            }
        }
        other => any(other),
    }
}
