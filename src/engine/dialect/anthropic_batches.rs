//! Anthropic message batches: `requests`, each with `params`.
use super::anthropic_messages::Messages;
use super::tables::Plain;
use super::{Dialect, Reply};

/// The format.
pub static BATCHES: Plain =
    Plain { errors, ..Plain::new("anthropic_batches", |path| path.ends_with(b"/messages/batches")) };

fn errors(reply: &Reply<'_>, out: &mut Vec<u8>) {
    Messages.body(reply, out);
}
