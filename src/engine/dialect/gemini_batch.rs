//! Gemini batches: `requests`, in the body or nested in it, or a file uploaded before.

use super::gemini_generate::Generate;
use super::tables::{Plain, always, ends_with_any};
use super::{Dialect, Field, Row, row};

/// Texts to embed.
const EMBEDS: &[&str] = &[":batchembedcontents", ":asyncbatchembedcontent"];

/// The dialect.
pub static BATCH: Plain = Plain {
    fields,
    errors: |reply, out| Generate.body(reply, out),
    empty: always,
    one_call: |path| ends_with_any(path, EMBEDS),
    ..Plain::new("gemini_batch", |path| {
        path.ends_with(b":batchgeneratecontent") || ends_with_any(path, EMBEDS)
    })
};

fn fields(of: Field) -> &'static [Row] {
    match of {
        Field::Root => {
            const {
                &[
                    row("requests", Field::Items),
                    row("request", Field::Root),
                    row("batch", Field::Root),
                    row("inputconfig", Field::Root),
                    row("input_config", Field::Root),
                    row("filename", Field::Media),
                    row("file_name", Field::Media),
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
