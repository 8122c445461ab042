//! SageMaker's path, which vLLM, TGI, MLflow and Databricks also serve: chat, completion, or a table of
//! inputs.
use super::tables::{Plain, any, bare_message, ends_with_any};
use super::{Field, Row, row};

/// The dialect.
pub static INVOCATIONS: Plain = Plain {
    fields,
    streams: |path| path.ends_with(b"-stream"),
    errors: bare_message,
    ..Plain::new("invocations", |path| ends_with_any(path, &["/invocations", "/invocations-response-stream"]))
};

fn fields(of: Field) -> &'static [Row] {
    match of {
        Field::Root => {
            const {
                &[
                    row("messages", Field::Messages),
                    row("prompt", Field::Prompt),
                    row("text", Field::Prompt),
                    row("query", Field::Prompt),
                    row("input", Field::Body),
                    row("inputs", Field::Body),
                    row("instances", Field::Items),
                    row("dataframe_split", Field::Context),
                    row("dataframe_records", Field::Context),
                    row("body", Field::Root),
                    row("system", Field::Instructions),
                    row("system_prompt", Field::Instructions),
                    row("instructions", Field::Instructions),
                    row("context", Field::Context),
                    row("documents", Field::Context),
                    row("suffix", Field::Context),
                    row("input_ids", Field::Prompt),
                    row("images", Field::Media),
                    row("parameters", Field::Params),
                    row("sampling_params", Field::Params),
                    row("model", Field::Model),
                    row("stream", Field::Stream),
                    row("temperature", Field::Param),
                    row("top_p", Field::Param),
                    row("n", Field::Param),
                    row("max_tokens", Field::Param),
                    row("seed", Field::Param),
                ]
            }
        }
        other => any(other),
    }
}
