//! Anthropic's text completions, and those of AI21.
use super::anthropic_messages::Messages;
use super::tables::{Plain, ends_with_any};
use super::{Dialect, Reply};

/// The format.
pub static COMPLETE: Plain = Plain {
    errors,
    ..Plain::new("anthropic_complete", |path| ends_with_any(path, &["/complete", ":complete"]))
};

fn errors(reply: &Reply<'_>, out: &mut Vec<u8>) {
    Messages.body(reply, out);
}
