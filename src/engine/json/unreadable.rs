//! Reasons why a body could not be read: one word each, for metrics, records and rules.

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreadable {
    /// More than 128 header pairs or 64 KiB of headers.
    Headers,
    /// Compressed, as the first bytes of the body tell, whatever the headers say.
    Compressed,
    /// Not JSON.
    NotJson,
    /// JSON that ends too early, or a body shorter than its content-length.
    Truncated,
    /// Something follows the JSON value.
    Trailing,
    /// A key that decides the meaning stands twice (`model`, `messages`, `role`, `content`, …), or two stand together that
    /// exclude each other (`text` and `content` of a part, `prompt` and `messages`).
    DuplicateKey,
    /// Nesting deeper than 64.
    Depth,
    /// More than 4,096 messages.
    Messages,
    /// `inspect.max_inspect_bytes` was reached before the facts were complete, or texts beside the prompt stand in several
    /// places and are longer than what is kept of them.
    BeyondWindow,
    /// The dialect's own fields have the wrong type (say `messages` is a number), or a role or a kind of part that
    /// some servers pass over.
    Shape,
    /// No prompt in a request that should carry one.
    Empty,
}

impl Unreadable {
    /// All kinds.
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
