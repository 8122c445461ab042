//! Files that are uploaded: lines of JSON, perhaps in a form. Each line is a request, as batches have it, or an example of a conversation.
use super::tables::{Plain, always, ends_with_any, holds};

/// The format.
pub static FILES: Plain = Plain {
    lines: true,
    empty: always,
    ..Plain::new("openai_files", |path| {
        ends_with_any(path, &["/files", "/files/upload", "/files/upload-multipart"])
            || (path.ends_with(b"/parts") && holds(path, "/uploads/"))
    })
};
