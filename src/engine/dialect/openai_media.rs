//! OpenAI: images, speech, videos, edits, moderations.
use super::tables::{Plain, ends_with_any};

/// The dialect.
pub static MEDIA: Plain = Plain::new("openai_media", |path| {
    ends_with_any(path, &["/images/generations", "/audio/speech", "/videos", "/moderations", "/edits"])
        && !path.ends_with(b"/images/edits")
});
