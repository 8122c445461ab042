//! Rerankers, scores and classifiers: Cohere, Jina, Voyage, TEI, vLLM; Azure's online endpoints share a path with them.
use super::tables::{Plain, any, ends_with_any};
use super::{Field, Row, row};

/// The dialect.
pub static RERANK: Plain = Plain {
    fields,
    one_call: |path| ends_with_any(path, &["/rerank", "/score", "/classify", "/similarity"]),
    ..Plain::new("rerank", |path| {
        ends_with_any(path, &["/rerank", "/score", "/classify", "/predict", "/similarity", "/summarize"])
    })
};

fn fields(of: Field) -> &'static [Row] {
    match of {
        Field::Root => {
            const {
                &[
                    row("query", Field::Prompt),
                    row("queries", Field::Prompt),
                    row("text_1", Field::Prompt),
                    row("data_1", Field::Prompt),
                    row("inputs", Field::Prompt),
                    row("input", Field::Body),
                    row("text", Field::Prompt),
                    row("texts", Field::Context),
                    row("documents", Field::Context),
                    row("text_2", Field::Context),
                    row("data_2", Field::Context),
                    row("items", Field::Context),
                    row("examples", Field::Context),
                    row("input_data", Field::Root),
                    row("input_string", Field::Input),
                    row("messages", Field::Messages),
                    row("prompt", Field::Prompt),
                    row("instances", Field::Items),
                    row("parameters", Field::Params),
                    row("model", Field::Model),
                ]
            }
        }
        // Pairs to compare.
        Field::Prompt => const { &[row("source_sentence", Field::Prompt), row("sentences", Field::Context)] },
        other => any(other),
    }
}
