//! Gemini: cached contents, with which later requests begin, and the embedding of one content.

use super::gemini_generate::Generate;
use super::tables::{Plain, always, ends_with_any};
use super::{Dialect, Field, Row, row};

/// The dialect.
pub static CACHED: Plain = Plain {
    fields,
    errors: |reply, out| Generate.body(reply, out),
    empty: always,
    ..Plain::new("gemini_cached", |path| ends_with_any(path, &["/cachedcontents", ":embedcontent"]))
};

fn fields(of: Field) -> &'static [Row] {
    match of {
        Field::Root => {
            const {
                &[
                    row("cachedcontent", Field::Root),
                    row("embedcontentrequest", Field::Root),
                    row("contents", Field::Messages),
                    row("content", Field::Messages),
                    row("systeminstruction", Field::Instructions),
                    row("system_instruction", Field::Instructions),
                    row("generationconfig", Field::Params),
                    row("generation_config", Field::Params),
                    row("model", Field::Model),
                    row("title", Field::Context),
                ]
            }
        }
        other => Generate.fields(other),
    }
}
