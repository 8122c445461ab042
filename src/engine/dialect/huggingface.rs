//! Hugging Face: a model by its name, and pipelines.
use super::path::split_last;
use super::tables::{Plain, bare_error, holds, under};

/// The format.
pub static MODELS: Plain = Plain {
    errors: bare_error,
    ..Plain::new("huggingface", |path| {
        let (before, last) = split_last(path);
        (!last.contains(&b':') && under(before, "models") && !before.ends_with(b"/models/"))
            || holds(path, "/pipeline/")
    })
};
