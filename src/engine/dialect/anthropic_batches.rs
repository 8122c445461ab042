//! Anthropic message batches: `requests`, each with `params`.
use super::Dialect;
use super::anthropic_messages::Messages;
use super::tables::Plain;

/// The dialect.
pub static BATCHES: Plain = Plain {
    errors: |reply, out| Messages.body(reply, out),
    ..Plain::new("anthropic_batches", |path| path.ends_with(b"/messages/batches"))
};
