//! Hugging Face: a model by its name, and pipelines.
use super::path::split_last;
use super::tables::{Plain, bare_error, holds, under};

/// The dialect.
pub static MODELS: Plain = Plain {
    errors: bare_error,
    ..Plain::new("huggingface", |path| {
        // Not `/v1/models/NAME/…` or `/v2/models/NAME/load`, which manage models.
        let (before, _) = split_last(path);
        let own = before.starts_with(b"/models/") || holds(before, "/hf-inference/models/");
        (own && under(before, "models")) || holds(path, "/pipeline/")
    })
};
