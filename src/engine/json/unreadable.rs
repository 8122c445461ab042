//! Reasons why a body could not be read: one word each, for metrics, records and configuration.

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreadable {
    /// More than 128 header pairs or 64 KiB of headers.
    Headers,
    /// It is compressed, as its first bytes tell, whatever the headers say.
    Compressed,
    /// It is not JSON.
    NotJson,
    /// The JSON, or a body with a content-length, ends too early.
    Truncated,
    /// Something follows the JSON value.
    Trailing,
    /// A key that decides the meaning stands twice (`model`, `messages`, `role`, `content`, …), or two keys
    /// that exclude each other stand together (`text` and `content` of a part, `prompt` and `messages`).
    DuplicateKey,
    /// Nesting deeper than 64.
    Depth,
    /// More than 4,096 messages.
    Messages,
    /// `inspect.max_inspect_bytes` was reached before the facts were complete; or texts beside the prompt
    /// stand in several places and are longer than what is kept of them.
    BeyondWindow,
    /// A field of the dialect has the wrong type (a number as `messages`), or a message has a role or a part
    /// that some servers ignore.
    Shape,
    /// A request that should carry a prompt has none.
    Empty,
}

impl Unreadable {
    /// All reasons.
    pub const ALL: [Unreadable; 11] = [
        Unreadable::Headers,
        Unreadable::Compressed,
        Unreadable::NotJson,
        Unreadable::Truncated,
        Unreadable::Trailing,
        Unreadable::DuplicateKey,
        Unreadable::Depth,
        Unreadable::Messages,
        Unreadable::BeyondWindow,
        Unreadable::Shape,
        Unreadable::Empty,
    ];
    /// The word used in metrics and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Unreadable::Headers => "headers",
            Unreadable::Compressed => "compressed",
            Unreadable::NotJson => "not_json",
            Unreadable::Truncated => "truncated",
            Unreadable::Trailing => "trailing",
            Unreadable::DuplicateKey => "duplicate_key",
            Unreadable::Depth => "depth",
            Unreadable::Messages => "messages",
            Unreadable::BeyondWindow => "beyond_window",
            Unreadable::Shape => "shape",
            Unreadable::Empty => "empty",
        }
    }
}
