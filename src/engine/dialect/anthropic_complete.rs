//! Anthropic's text completions, and those of AI21.
use super::Dialect;
use super::anthropic_messages::Messages;
use super::tables::{Plain, ends_with_any};

/// The dialect.
pub static COMPLETE: Plain = Plain {
    errors: |reply, out| Messages.body(reply, out),
    ..Plain::new("anthropic_complete", |path| ends_with_any(path, &["/complete", ":complete"]))
};
