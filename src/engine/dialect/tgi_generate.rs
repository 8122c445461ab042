//! Generation in the form of TGI, SGLang, vLLM, Triton and others; also Cohere's first version, and TGI on
//! the root path.
use super::tables::{Plain, bare_error, ends_with_any};

/// The dialect.
pub static GENERATE: Plain = Plain {
    streams: |path| path.ends_with(b"stream"),
    errors: bare_error,
    empty: |path| path.is_empty(),
    ..Plain::new("tgi_generate", |path| {
        path.is_empty() || ends_with_any(path, &["/generate", "/generate_stream", "/generate/stream"])
    })
};
