//! Dialects that are described by tables alone, and tables that many dialects share.

use super::path::{ends_with, split_last};
use super::{COHERE_TOOL, DOCUMENT, Dialect, Field, PARTS, Reply, Row, common, row};

/// A dialect without code of its own.
#[derive(Debug)]
pub struct Plain {
    /// Name in reports, metrics and fixtures.
    pub name: &'static str,
    /// True for a path that it claims (normalised).
    pub claims: fn(&[u8]) -> bool,
    /// Meanings of the keys of an object.
    pub fields: fn(Field) -> &'static [Row],
    /// True for a path that asks for a stream.
    pub streams: fn(&[u8]) -> bool,
    /// True for a path on which a body without a prompt is valid.
    pub empty: fn(&[u8]) -> bool,
    /// True for a path on which a list of texts is one call.
    pub one_call: fn(&[u8]) -> bool,
    /// True if bodies are lines of JSON, possibly in a form.
    pub lines: bool,
    /// Appends the body of an error reply.
    pub errors: fn(&Reply<'_>, &mut Vec<u8>),
}

impl Plain {
    /// A dialect with defaults: the tables of `any`, no streams, one document, errors in OpenAI's form.
    pub const fn new(name: &'static str, claims: fn(&[u8]) -> bool) -> Plain {
        Plain {
            name,
            claims,
            fields: any,
            streams: never,
            empty: never,
            one_call: never,
            lines: false,
            errors: openai,
        }
    }
}

impl Dialect for Plain {
    fn name(&self) -> &'static str {
        self.name
    }
    fn claims(&self, path: &[u8]) -> bool {
        (self.claims)(path)
    }
    fn fields(&self, of: Field) -> &'static [Row] {
        (self.fields)(of)
    }
    fn charges_items(&self, path: &[u8]) -> bool {
        !(self.one_call)(path)
    }
    fn streams(&self, path: &[u8]) -> bool {
        (self.streams)(path)
    }
    fn may_be_empty(&self, path: &[u8]) -> bool {
        (self.empty)(path)
    }
    fn lines(&self) -> bool {
        self.lines
    }
    fn body(&self, reply: &Reply<'_>, out: &mut Vec<u8>) {
        (self.errors)(reply, out);
    }
}

/// The predicate that holds for every path.
pub fn always(_: &[u8]) -> bool {
    true
}

fn never(_: &[u8]) -> bool {
    false
}

/// Errors in OpenAI's form.
pub fn openai(reply: &Reply<'_>, out: &mut Vec<u8>) {
    reply.openai(out);
}

/// Errors as an object with the message in `error`.
pub fn bare_error(reply: &Reply<'_>, out: &mut Vec<u8>) {
    reply.bare("error", out);
}

/// Errors as an object with the message in `message`.
pub fn bare_message(reply: &Reply<'_>, out: &mut Vec<u8>) {
    reply.bare("message", out);
}

/// True if the path ends with one of these.
#[inline(never)]
pub fn ends_with_any(path: &[u8], tails: &[&str]) -> bool {
    tails.iter().any(|tail| ends_with(path, tail))
}

/// True if the path contains `part` with something after it.
#[inline(never)]
pub fn holds(path: &[u8], part: &str) -> bool {
    let n = part.len();
    path.windows(n).position(|w| w == part.as_bytes()).is_some_and(|at| at.saturating_add(n) < path.len())
}

/// True if the last segment but one is `parent`.
#[inline(never)]
pub fn under(path: &[u8], parent: &str) -> bool {
    let (before, last) = split_last(path);
    !last.is_empty() && split_last(before).1 == parent.as_bytes()
}

/// The union of the fields that servers read on one path. Two fields of it that exclude each other make the
/// body unreadable.
pub const ANY_ROOT: &[Row] = &[
    row("messages", Field::Messages),
    row("contents", Field::Messages),
    row("chat_history", Field::History),
    row("history", Field::History),
    row("prompt", Field::Prompt),
    row("message", Field::Prompt),
    row("text", Field::Prompt),
    row("texts", Field::Prompt),
    row("text_input", Field::Prompt),
    row("inputtext", Field::Prompt),
    row("input_text", Field::Prompt),
    row("query", Field::Prompt),
    row("question", Field::Prompt),
    row("content", Field::Body),
    row("input", Field::Body),
    row("inputs", Field::Body),
    // Requests within a request.
    row("body", Field::Root),
    row("params", Field::Root),
    row("request", Field::Root),
    row("modelinput", Field::Root),
    row("requests", Field::Items),
    row("instances", Field::Items),
    row("system", Field::Instructions),
    row("system_prompt", Field::Instructions),
    row("instructions", Field::Instructions),
    row("instruction", Field::Instructions),
    row("preamble", Field::Instructions),
    row("systeminstruction", Field::Instructions),
    row("system_instruction", Field::Instructions),
    row("context", Field::Context),
    row("documents", Field::Context),
    row("suffix", Field::Context),
    row("tool_results", Field::ToolText),
    row("input_ids", Field::Prompt),
    row("image", Field::Media),
    row("images", Field::Media),
    row("image_data", Field::Media),
    row("audio_data", Field::Media),
    row("model", Field::Model),
    row("stream", Field::Stream),
    row("parameters", Field::Params),
    row("sampling_params", Field::Params),
    row("generationconfig", Field::Params),
    row("generation_config", Field::Params),
    row("temperature", Field::Param),
    row("top_p", Field::Param),
    row("n", Field::Param),
    row("max_tokens", Field::Param),
    row("seed", Field::Param),
];

/// A message with the fields of all formats.
pub const ANY_MESSAGE: &[Row] = &[
    row("role", Field::Speaker),
    row("content", Field::Content),
    row("parts", Field::Content),
    row("text", Field::Content),
    row("message", Field::Content),
    row("images", Field::Media),
    row("data", Field::Media),
    row("mime_type", Field::MediaType),
    row("tool_calls", Field::ToolCall),
    row("tool_call_id", Field::ToolCall),
    row("function_call", Field::ToolCall),
    row("tool_results", Field::ToolText),
    row("output", Field::ToolText),
    row("result", Field::ToolText),
];

/// The table that belongs to `ANY_ROOT` for an object with meaning `of`.
#[inline(never)]
pub fn any(of: Field) -> &'static [Row] {
    match of {
        Field::Root => ANY_ROOT,
        Field::Message => ANY_MESSAGE,
        Field::Content => PARTS,
        Field::ToolText => COHERE_TOOL,
        Field::Media => DOCUMENT,
        other => common(other),
    }
}
