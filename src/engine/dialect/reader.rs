//! Scanner events to `Facts`, steered by a dialect's tables. Parsing never decides: a malformed body is a fact.

use super::facts::{Facts, Unreadable, Window};
use super::{Dialect, Field};
use crate::engine::edge::scan::{DEPTH, Sink};
use crate::engine::hash;

/// Messages beyond this make a request unreadable.
pub const MESSAGES: u32 = 4_096;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Role {
    /// Absent: a user's, as the formats without roles have it.
    #[default]
    User,
    System,
    Assistant,
    Tool,
}

/// Reads one body.
#[derive(Debug)]
pub struct Reader {
    dialect: &'static dyn Dialect,
    /// What the innermost containers are; the last entry is the innermost.
    stack: [Field; DEPTH],
    /// Keys of the table met in each container, to see duplicates.
    met: [u64; DEPTH],
    depth: usize,
    /// What the next value is.
    next: Field,
    /// Hash of the key in front of the next value.
    key_hash: u64,
    message: Window,
    role: Role,
    role_text: [u8; 16],
    role_len: usize,
    /// Texts of the request outside of messages (`prompt`, `message`).
    prompt: Window,
    wrote_instructions: bool,
    open_message: bool,
    /// An assistant message came since the last user message.
    fresh_turn: bool,
    last: Window,
    facts: Facts,
}

impl Reader {
    /// A reader for `dialect`.
    pub fn new(dialect: &'static dyn Dialect) -> Reader {
        Reader {
            dialect,
            stack: [Field::Ignore; DEPTH],
            met: [0; DEPTH],
            depth: 0,
            next: Field::Root,
            key_hash: 0,
            message: Window::default(),
            role: Role::User,
            role_text: [0; 16],
            role_len: 0,
            prompt: Window::default(),
            wrote_instructions: false,
            open_message: false,
            fresh_turn: false,
            last: Window::default(),
            facts: Facts::default(),
        }
    }

    /// The facts so far; the reader is empty afterwards.
    pub fn into_facts(mut self) -> Facts {
        if self.open_message {
            self.end_message();
        }
        let mut facts = std::mem::take(&mut self.facts);
        // A prompt beside a history (Cohere) is the last word, wherever it stands in the body.
        if self.prompt.is_empty() {
            facts.user = self.last;
        } else {
            if facts.first_user.is_empty() {
                facts.first_user = self.last;
            }
            facts.user = self.prompt;
        }
        let nothing = facts.user.is_empty() && facts.instructions.is_empty() && !facts.media;
        if nothing && facts.unreadable.is_none() {
            facts.unreadable = Some(Unreadable::Empty);
        }
        facts
    }

    /// Something is wrong; the first finding stays.
    pub fn fail(&mut self, what: Unreadable) {
        self.facts.unreadable.get_or_insert(what);
    }

    /// Facts end before the body does.
    pub fn beyond(&mut self) {
        self.facts.beyond_window = true;
        self.fail(Unreadable::BeyondWindow);
    }

    fn here(&self) -> Field {
        self.depth.checked_sub(1).and_then(|i| self.stack.get(i)).copied().unwrap_or(Field::Root)
    }

    /// What an unnamed value (an array's element, or the root) is.
    fn element(&self) -> Field {
        match self.here() {
            Field::Messages => Field::Message,
            other => other,
        }
    }

    /// Takes what the next value is; an element of an array has no key.
    fn take_next(&mut self) -> Field {
        let element = self.element();
        std::mem::replace(&mut self.next, element)
    }

    fn add_shape(&mut self, what: u64) {
        // A sum, so that the order of the fields does not matter.
        self.facts.shape = self.facts.shape.wrapping_add(hash::mix(what));
    }

    fn end_message(&mut self) {
        self.open_message = false;
        let mut text = std::mem::take(&mut self.message);
        match std::mem::take(&mut self.role) {
            Role::System => {
                let (head, tail) = text.regions();
                self.facts.push_instructions(head, true);
                self.facts.push_instructions(tail, false);
            }
            Role::Assistant => {
                self.facts.conversation = true;
                self.fresh_turn = true;
            }
            role => {
                self.facts.conversation |= role == Role::Tool;
                if text.is_empty() {
                    return;
                }
                // User messages in a row are one text, or a prompt cut in two would hide its first half.
                if !std::mem::take(&mut self.fresh_turn) && !self.last.is_empty() {
                    self.last.absorb(&mut text);
                    return;
                }
                let previous = std::mem::replace(&mut self.last, text);
                if self.facts.first_user.is_empty() {
                    self.facts.first_user = previous;
                }
            }
        }
    }

    fn set_role(&mut self) {
        let name = self.role_text.get(..self.role_len).unwrap_or_default().to_ascii_lowercase();
        self.role = match name.as_slice() {
            b"system" | b"developer" => Role::System,
            b"assistant" | b"model" | b"chatbot" => Role::Assistant,
            b"tool" | b"function" => Role::Tool,
            _ => Role::User,
        };
    }

    /// A value that is there at all (not null) says something.
    fn note(&mut self, field: Field) {
        match field {
            Field::Media => self.facts.media = true,
            Field::ToolText | Field::ToolCall => self.facts.conversation = true,
            _ => {}
        }
    }

    /// The values whose type carries meaning.
    fn check_type(&mut self, field: Field, container: Option<bool>) {
        let wrong = match (field, container) {
            // true = array, false = object
            (Field::Root, c) => c != Some(false),
            (Field::Messages, c) => c != Some(true),
            (Field::Message, c) => c == Some(true),
            _ => false,
        };
        if wrong {
            self.fail(Unreadable::Shape);
        }
    }
}

impl Sink for Reader {
    fn open(&mut self, array: bool) {
        let field = self.take_next();
        // A string or a list where messages are expected: several formats allow `input` to be either.
        let field =
            if field == Field::Input { if array { Field::Messages } else { Field::Prompt } } else { field };
        self.note(field);
        self.check_type(field, Some(array));
        if field == Field::Message && !array {
            if self.open_message {
                self.end_message();
            }
            self.open_message = true;
            self.role = Role::User;
            self.facts.messages = self.facts.messages.saturating_add(1);
            if self.facts.messages > MESSAGES {
                self.fail(Unreadable::Messages);
            }
        }
        if let (Some(slot), Some(met)) = (self.stack.get_mut(self.depth), self.met.get_mut(self.depth)) {
            *slot = field;
            *met = 0;
        }
        self.depth = self.depth.saturating_add(1);
        self.next = if array { self.element() } else { Field::Ignore };
    }

    fn close(&mut self) {
        let closed = self.here();
        self.depth = self.depth.saturating_sub(1);
        if closed == Field::Message && self.here() == Field::Messages {
            self.end_message();
        }
        self.next = self.element();
    }

    fn key(&mut self, key: &[u8]) {
        let here = self.here();
        let table = self.dialect.fields(here);
        let found = table.iter().position(|(name, _)| name.as_bytes().eq_ignore_ascii_case(key));
        let mut lower = [0u8; 64];
        lower.iter_mut().zip(key).for_each(|(l, k)| *l = k.to_ascii_lowercase());
        self.key_hash =
            hash::combine(hash::read_u64(&lower, 0) ^ key.len() as u64, hash::read_u64(&lower, 8));
        if here == Field::Root {
            self.add_shape(self.key_hash);
        }
        self.next = match found.and_then(|i| table.get(i)) {
            Some((_, field)) => *field,
            None => Field::Ignore,
        };
        let bit = found.map_or(0, |i| 1u64 << (i as u32 & 63));
        if let Some(met) = self.depth.checked_sub(1).and_then(|i| self.met.get_mut(i)) {
            let twice = *met & bit != 0;
            *met |= bit;
            if twice {
                self.fail(Unreadable::DuplicateKey);
            }
        }
    }

    fn string(&mut self) -> bool {
        let field = self.next;
        self.note(field);
        self.check_type(field, None);
        match field {
            Field::Role => self.role_len = 0,
            Field::Content | Field::ToolText | Field::Message if !self.message.is_empty() => {
                self.message.push(b"\n")
            }
            Field::Prompt | Field::Input if !self.prompt.is_empty() => self.prompt.push(b"\n"),
            Field::Instructions => self.wrote_instructions = false,
            _ => {}
        }
        !matches!(field, Field::Ignore | Field::Media | Field::ToolCall | Field::Root | Field::Messages)
    }

    fn piece(&mut self, bytes: &[u8]) {
        match self.next {
            Field::Content | Field::ToolText | Field::Message => self.message.push(bytes),
            Field::Prompt | Field::Input => self.prompt.push(bytes),
            Field::Instructions => {
                self.facts.push_instructions(bytes, !std::mem::replace(&mut self.wrote_instructions, true));
            }
            Field::Role => {
                for &b in bytes {
                    if let Some(slot) = self.role_text.get_mut(self.role_len) {
                        *slot = b;
                        self.role_len = self.role_len.saturating_add(1);
                    }
                }
            }
            Field::Model => {
                self.facts.model =
                    hash::combine(self.facts.model, hash::read_u64(bytes, 0) ^ bytes.len() as u64)
            }
            Field::Param | Field::Params => {
                self.add_shape(hash::combine(self.key_hash, hash::read_u64(bytes, 0)))
            }
            _ => {}
        }
    }

    fn string_end(&mut self) {
        match self.take_next() {
            Field::Role => self.set_role(),
            // A list of plain strings as messages: each is one.
            Field::Message => self.end_message(),
            _ => {}
        }
    }

    fn scalar(&mut self, text: &[u8]) {
        let in_array = self.here() == self.next;
        let field = self.take_next();
        let null = text == b"null";
        if !null {
            self.note(field);
        }
        match field {
            Field::Param | Field::Params => {
                self.add_shape(hash::combine(
                    self.key_hash,
                    hash::read_u64(text, 0) ^ hash::read_u64(text, 8),
                ));
            }
            Field::Stream => self.facts.stream = text == b"true",
            // Token ids: content that is not looked at.
            Field::Prompt | Field::Input if in_array => self.facts.media = true,
            Field::Messages | Field::Root | Field::Message if !null => self.fail(Unreadable::Shape),
            Field::Prompt | Field::Input | Field::Content | Field::Instructions | Field::Role if !null => {
                self.fail(Unreadable::Shape);
            }
            _ => {}
        }
        if field == Field::Stream {
            self.add_shape(hash::combine(self.key_hash, u64::from(text == b"true")));
        }
    }
}
