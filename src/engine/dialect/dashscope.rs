//! DashScope: all fields are in `input`.
use super::tables::{Plain, ends_with_any, holds};

/// The dialect.
pub static SERVICES: Plain = Plain {
    one_call: |path| ends_with_any(path, &["/text-embedding", "/text-rerank"]),
    ..Plain::new("dashscope", |path| {
        (holds(path, "/services/")
            && ends_with_any(path, &["/generation", "/text-embedding", "/text-rerank", "/image-synthesis"]))
            || (holds(path, "/apps/") && path.ends_with(b"/completion"))
    })
};
