//! Uploaded files of JSON lines, possibly in a form. Each line is a request, as in a batch, or an example
//! conversation.
use super::tables::{Plain, always, ends_with_any, holds};

/// The dialect.
pub static FILES: Plain = Plain {
    lines: true,
    empty: always,
    ..Plain::new("openai_files", |path| {
        ends_with_any(path, &["/files", "/files/upload", "/files/upload-multipart"])
            || (path.ends_with(b"/parts") && holds(path, "/uploads/"))
    })
};
