//! Scanner events to `Facts`, by a dialect's tables. It decides nothing: a malformed body is a fact, too.

use super::facts::{Facts, INSTRUCTIONS, Window, escape};
use super::sampler::Sampler;
use super::{Dialect, Field};
use crate::engine::hash;
use crate::engine::json::files::{File, is_text_type};
use crate::engine::json::scan::{DEPTH, KEY, Sink};
use crate::engine::json::unreadable::Unreadable;

/// Largest number of messages in a readable request.
pub const MESSAGES: u32 = 4_096;

/// Bytes kept of a role, a model's name or a parameter.
const WORD: usize = 64;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Role {
    /// None: a user's message, as in formats without roles.
    #[default]
    User,
    System,
    Assistant,
    Tool,
}

/// Bit of `met`, above those of the tables: the part has a `text` and a type other than text. Some servers
/// skip such a part.
const PART_TEXT: u64 = 1 << 59;
const OTHER_KIND: u64 = 1 << 60;
/// Bit of `met`: the container is a list.
const LIST: u64 = 1 << 58;

/// Roles as written; for system roles also which one.
const ROLES: &[(&str, Role, u8)] = &[
    ("user", Role::User, 0),
    ("assistant", Role::Assistant, 0),
    ("system", Role::System, 1),
    ("developer", Role::System, 2),
    ("tool", Role::Tool, 0),
    ("function", Role::Tool, 0),
    ("model", Role::Assistant, 0),
    ("chatbot", Role::Assistant, 0),
];

/// Parts of a message whose mean length is below this, bytes, are joined to one text.
const SHORT: u64 = 256;

/// First bytes of keys that hold text beside the messages, in every format: tools, functions, their arguments, and schemas of the
/// answer (`response_format`, `responseSchema`, `output_config`, `format`, `guided_json`, `grammar`).
const BESIDE: [u32; 12] = {
    const fn start(s: &[u8; 4]) -> u32 {
        u32::from_le_bytes(*s)
    }
    [
        start(b"tool"),
        start(b"func"),
        start(b"argu"),
        start(b"args"),
        start(b"inpu"),
        start(b"para"),
        start(b"resp"),
        start(b"outp"),
        start(b"guid"),
        start(b"form"),
        start(b"stru"),
        start(b"gram"),
    ]
};

/// Letters of a token id: those at which snippets start, and others that are common.
const TOKEN: &[u8; 16] = b"cmwygpaeiourlnst";

/// The window that a text goes to.
enum Place {
    Prompt,
    Context,
    Message,
}

/// The reader of one body.
#[derive(Debug)]
pub struct Reader {
    dialect: &'static dyn Dialect,
    /// Meaning of each open container; the last entry is the innermost.
    stack: [Field; DEPTH],
    /// Keys of the table seen in each container, to detect duplicates and keys that exclude each other.
    met: [u64; DEPTH],
    /// Bits that the key of the next value adds to `met`, unless the value is null.
    claim: u64,
    depth: usize,
    /// Meaning of the next value.
    next: Field,
    /// Hash of the key of the next value.
    key_hash: u64,
    message: Window,
    role: Role,
    /// The string of a role, model or parameter, assembled from its pieces, which depend on the chunks.
    word: [u8; WORD],
    /// Bytes of that string, kept or not.
    word_len: usize,
    /// Strings of `Data` in the innermost object, while it is unknown whether they are text.
    data: Window,
    /// True if they are text: a key beside them says so, or they contain a byte outside of base64.
    plain: bool,
    /// Decoder of a string in `Media` or `Data`, and the text read from it.
    file: File,
    wrote_file: bool,
    /// Facts beside files: the type is a text; they are in base64; one of them was skipped as not text.
    typed: bool,
    coded: bool,
    passed_file: bool,
    /// Bytes of strings that were skipped as not text.
    passed: u64,
    /// The last message so far, if it is the model's: a prefilled answer for the model to continue.
    prefill: Window,
    /// Texts of the request outside of messages (`prompt`, `message`).
    prompt: Window,
    /// True if the next prompt of a list is only sampled.
    passed_prompt: bool,
    /// Texts beside the prompt (`Context`); their length when the last key of the document began; the number of keys before it that
    /// gave some.
    context: Window,
    context_start: u64,
    contexts: u32,
    wrote_instructions: bool,
    open_message: bool,
    /// True if an assistant message came after the last user message.
    fresh_turn: bool,
    /// Roles of the system's side so far, bits: 1 = system, 2 = developer.
    above: u8,
    /// True if a tool may answer: the last message was the model's or a tool's.
    asked_tool: bool,
    last: Window,
    /// Sample of text that the windows drop.
    sampler: Sampler,
    /// Sample of everything up to the end of the first user message, once that has ended. A follow-up
    /// contains the same text, whatever was added.
    opening: Option<Sampler>,
    /// Sample of text beside the messages.
    beside: Sampler,
    /// Texts of the message that others follow, and whether they are so short that the separator matters: some servers join them
    /// without one, and so does the sample.
    parts: u64,
    joined: bool,
    facts: Facts,
    /// Requests of a batch that have been read, and a uniform sample of them.
    items: u16,
    sample: Vec<Facts>,
    /// Secret that the sample depends on, beside the number of items.
    seed: u64,
    /// The first of them that could not be read.
    unread: Option<Unreadable>,
}

/// Requests of a batch whose facts are kept (64 KiB at most).
pub const SAMPLE: usize = 8;

impl Reader {
    /// A reader for `dialect`.
    pub fn new(dialect: &'static dyn Dialect) -> Reader {
        Reader {
            dialect,
            stack: [Field::Ignore; DEPTH],
            met: [0; DEPTH],
            claim: 0,
            depth: 0,
            next: Field::Root,
            key_hash: 0,
            message: Window::default(),
            role: Role::User,
            word: [0; WORD],
            word_len: 0,
            data: Window::default(),
            plain: false,
            file: File::default(),
            wrote_file: false,
            typed: false,
            coded: false,
            passed_file: false,
            passed: 0,
            prefill: Window::default(),
            prompt: Window::default(),
            passed_prompt: false,
            context: Window::default(),
            context_start: 0,
            contexts: 0,
            wrote_instructions: false,
            open_message: false,
            fresh_turn: false,
            above: 0,
            asked_tool: false,
            last: Window::default(),
            sampler: Sampler::default(),
            opening: None,
            beside: Sampler::default(),
            parts: 0,
            joined: false,
            facts: Facts::default(),
            items: 0,
            sample: Vec::new(),
            seed: 0,
            unread: None,
        }
    }

    /// Sets the secrets that decide which items of a batch (`items`, by client) and which snippets (`text`,
    /// by policy) are kept, so that a client cannot predict it.
    pub fn seed(&mut self, items: u64, text: u64) {
        self.seed = items;
        self.sampler.key(text);
        self.beside.key(text);
    }

    /// Stops sampling the text beside the messages: it teaches nothing, and nothing would match its snippets.
    pub fn leave_beside(&mut self) {
        self.beside.leave();
    }

    /// The facts read. `lines`: the body is a file of lines, which need not hold a prompt.
    pub fn into_facts(mut self, lines: bool) -> Facts {
        let own = self.take_facts();
        if self.items == 0 {
            let media = own.media || lines;
            let unreadable = own.unreadable.filter(|u| !lines || *u != Unreadable::Empty);
            return Facts { media, unreadable, ..own };
        }
        let unread = self.unread.or(own.unreadable.filter(|u| *u != Unreadable::Empty));
        let (items, stream, beyond_window) = (self.items, own.stream, own.beyond_window);
        // Text beside the items is as good as one of them.
        if !(own.user.is_empty() && own.instructions.is_empty()) {
            self.keep(own);
        }
        // Which of them stands for all depends on what they say, so that no place in a batch is safe from it.
        let seed = self.seed ^ self.sampler.secret();
        let said = self.sample.iter_mut().map(|f| f.user.digest((seed, seed)));
        let at = said.fold(seed, hash::combine).checked_rem(self.sample.len() as u64);
        let Some(at) = at.and_then(|at| usize::try_from(at).ok()) else {
            return Facts { items, unreadable: unread, ..Facts::default() };
        };
        let first = self.sample.swap_remove(at);
        let stream = stream || first.stream;
        Facts { items, sample: self.sample, unreadable: unread, stream, beyond_window, ..first }
    }

    /// Ends one request of a batch.
    pub fn end_item(&mut self) {
        let mut facts = self.take_facts();
        let empty = facts.unreadable == Some(Unreadable::Empty);
        // A line without a prompt is no request; an item of a list is.
        if empty && self.dialect.lines() {
            return;
        }
        if let Some(what) = facts.unreadable.filter(|_| !empty) {
            self.unread.get_or_insert(what);
        }
        self.items = self.items.saturating_add(1);
        facts.user.trim();
        facts.first_user.trim();
        if !empty {
            self.keep(facts);
        }
    }

    /// Drops what was read of an item that turned out not to be JSON.
    pub fn drop_item(&mut self) {
        let _ = self.take_facts();
        (self.depth, self.next, self.claim) = (0, Field::Root, 0);
    }

    /// Keeps or drops an item by reservoir sampling: every item is in the sample with the same probability.
    fn keep(&mut self, facts: Facts) {
        if self.sample.len() < SAMPLE {
            return self.sample.push(facts);
        }
        let n = u64::from(self.items.max(1));
        let at = hash::mix(self.seed ^ n).checked_rem(n).unwrap_or(0);
        if let Some(slot) = usize::try_from(at).ok().and_then(|at| self.sample.get_mut(at)) {
            *slot = facts;
        }
    }

    /// The facts read since the last request of a batch ended; resets the reader for the next one.
    fn take_facts(&mut self) -> Facts {
        if self.open_message {
            self.end_message();
        }
        self.end_context();
        let (mut last, mut prefill) = (std::mem::take(&mut self.last), std::mem::take(&mut self.prefill));
        let (prompt, mut context) = (std::mem::take(&mut self.prompt), std::mem::take(&mut self.context));
        let contexts = std::mem::take(&mut self.contexts);
        (self.context_start, self.above, self.passed_prompt) = (0, 0, false);
        (self.fresh_turn, self.asked_tool, self.wrote_instructions) = (false, false, false);
        // With a prompt of its own, an answer at the end of the history is history.
        if prompt.is_empty() && !prefill.is_empty() {
            if last.is_empty() {
                last = prefill;
            } else {
                last.absorb(&mut prefill, &mut self.sampler);
            }
        } else {
            prefill.leave(true, &mut self.sampler);
        }
        let mut facts = std::mem::take(&mut self.facts);
        facts.prompts = facts.prompts.max(1);
        // A prompt beside a history (Cohere) is the last word, wherever it stands in the body.
        if prompt.is_empty() {
            facts.user = last;
        } else {
            if facts.first_user.is_empty() {
                facts.first_user = last;
            } else {
                last.leave(true, &mut self.sampler);
            }
            facts.user = prompt;
        }
        // One place for text that a server does not read must not hide what stands in another.
        if contexts > 1 && context.text_len() > INSTRUCTIONS as u64 {
            facts.unreadable.get_or_insert(Unreadable::BeyondWindow);
        }
        // What stands beside the prompt never takes room from the instructions, wherever it stands in the body.
        if facts.user.is_empty() {
            facts.user = context;
        } else if !context.is_empty() {
            let before = facts.instructions.len();
            if context.text_len().saturating_add(before as u64) > INSTRUCTIONS as u64 {
                context.leave(before > 0, &mut self.sampler);
            }
            facts.push_instructions(context.regions().0, true);
        }
        let mut opening = self.opening.take().unwrap_or_else(|| self.sampler.split());
        if facts.first_user.is_empty() {
            facts.user.keep(&mut opening);
        } else {
            facts.user.keep(&mut self.sampler);
            facts.first_user.keep(&mut opening);
        }
        facts.picks = opening.take();
        facts.later = self.sampler.take();
        facts.beside = self.beside.take();
        let nothing = facts.user.is_empty() && facts.instructions.is_empty() && !facts.media;
        if nothing && facts.unreadable.is_none() {
            facts.unreadable = Some(Unreadable::Empty);
        }
        facts
    }

    /// Records why the body is unreadable. The first reason stays.
    pub fn fail(&mut self, what: Unreadable) {
        self.facts.unreadable.get_or_insert(what);
    }

    /// Records that the facts do not cover the whole body.
    pub fn beyond(&mut self) {
        self.facts.beyond_window = true;
        self.fail(Unreadable::BeyondWindow);
    }

    fn here(&self) -> Field {
        self.depth.checked_sub(1).and_then(|i| self.stack.get(i)).copied().unwrap_or(Field::Root)
    }

    /// Meaning of a value without a key: an element of an array, or the root.
    fn element(&self) -> Field {
        match self.here() {
            Field::Messages => Field::Message,
            Field::Items => Field::Root,
            other => other,
        }
    }

    /// Takes the meaning of the next value; an element of an array has no key.
    fn take_next(&mut self) -> Field {
        let element = self.element();
        std::mem::replace(&mut self.next, element)
    }

    fn add_shape(&mut self, what: u64) {
        // A sum, so that the order of the fields does not matter.
        self.facts.shape = self.facts.shape.wrapping_add(hash::mix(what));
    }

    /// Notes the number of answers requested; the largest of several counts.
    fn count(&mut self, answers: u16) {
        self.facts.answers = self.facts.answers.max(answers);
    }

    /// Sends JSON string content with `escapes` one-letter escapes to its window; what the window drops goes to the sample.
    #[inline(never)]
    fn write(&mut self, field: Field, raw: &[u8], escapes: usize) {
        if is_sampled(field) {
            return self.beside.feed(raw);
        }
        let place = self.place(field);
        if self.passed_prompt && matches!(place, Place::Prompt) {
            return self.sampler.feed(raw);
        }
        let all = self.is_joined(&place);
        let (window, sampler) = self.window(&place);
        if all {
            window.push_raw(raw, escapes, None);
            sampler.feed(raw);
        } else {
            window.push_raw(raw, escapes, Some(sampler));
        }
    }

    /// Writes a token id in letters: the fingerprint ignores digits.
    fn write_token(&mut self, field: Field, id: u64) {
        let (mut word, mut len, mut rest) = ([b' '; 9], 1usize, id);
        for slot in word.iter_mut().skip(1) {
            *slot = TOKEN.get((rest & 15) as usize).copied().unwrap_or_default();
            (len, rest) = (len.wrapping_add(1), rest >> 4);
            if rest == 0 {
                break;
            }
        }
        self.write(field, word.get(..len).unwrap_or_default(), 0);
    }

    fn is_joined(&self, place: &Place) -> bool {
        self.joined && matches!(place, Place::Message)
    }

    /// Starts a further text of the same window.
    #[inline(never)]
    fn separate(&mut self, field: Field) {
        if is_sampled(field) {
            return self.beside.feed(b"\n");
        }
        let place = self.place(field);
        if self.passed_prompt && matches!(place, Place::Prompt) {
            return self.sampler.feed(b"\n");
        }
        let (mut joined, mut parts) = (self.joined, self.parts);
        let (window, sampler) = self.window(&place);
        if window.is_empty() {
            return;
        }
        if matches!(place, Place::Message) {
            parts = parts.saturating_add(1);
            if !joined && window.text_len() < parts.saturating_mul(SHORT) {
                joined = true;
                window.leave(true, sampler);
            }
        }
        window.push_raw(b"\n", 0, Some(sampler).filter(|_| !joined));
        (self.joined, self.parts) = (joined, parts);
    }

    fn end_message(&mut self) {
        self.open_message = false;
        let mut text = std::mem::take(&mut self.message);
        (self.parts, self.joined) = (0, false);
        self.sampler.end();
        match std::mem::take(&mut self.role) {
            Role::System => {
                let before = self.facts.instructions.len();
                if text.text_len().saturating_add(before as u64) > INSTRUCTIONS as u64 {
                    text.leave(before > 0, &mut self.sampler);
                }
                let (head, tail) = text.regions();
                self.facts.push_instructions(head, true);
                self.facts.push_instructions(tail, false);
            }
            Role::Assistant => {
                self.facts.conversation = true;
                (self.fresh_turn, self.asked_tool) = (true, true);
                if self.prefill.is_empty() {
                    self.prefill = text;
                } else {
                    self.prefill.absorb(&mut text, &mut self.sampler);
                }
            }
            role => {
                let tool = role == Role::Tool;
                self.facts.conversation |= tool;
                // The answer of a tool that nobody asked: some servers pass over it.
                if tool && !self.asked_tool {
                    self.fail(Unreadable::Shape);
                }
                self.asked_tool = tool;
                if text.is_empty() {
                    return;
                }
                self.prefill.leave(true, &mut self.sampler);
                self.prefill.clear();
                // User messages in a row are one text, or a prompt cut in two would hide its first half.
                if !std::mem::take(&mut self.fresh_turn) && !self.last.is_empty() {
                    self.last.absorb(&mut text, &mut self.sampler);
                    return;
                }
                let previous = std::mem::replace(&mut self.last, text);
                if self.opening.is_none() {
                    self.opening = Some(self.sampler.split());
                }
                if self.facts.first_user.is_empty() {
                    self.facts.first_user = previous;
                } else {
                    previous.leave(true, &mut self.sampler);
                }
            }
        }
    }

    fn set_role(&mut self, any_case: bool) {
        let word = self.word.get(..self.word_len).unwrap_or_default();
        let known = ROLES.iter().find(|(known, ..)| word.eq_ignore_ascii_case(known.as_bytes()));
        let (role, above) = known.map_or((None, 0), |(_, role, above)| (Some(*role), *above));
        self.role = role.unwrap_or_default();
        self.above |= above;
        // Chat templates pass over roles that they do not know (and many over `developer`): such a message, free of
        // charge for its sender, would fill the window of the one that the model reads.
        if role.is_none() || self.above == 3 || !any_case && word.iter().any(u8::is_ascii_uppercase) {
            self.fail(Unreadable::Shape);
        }
    }

    /// The type of a source of data, or of a part.
    fn set_kind(&mut self) {
        if self.here() == Field::Media {
            let word = self.word.get(..self.word_len).unwrap_or(&self.word);
            self.plain |= word.starts_with(b"text");
            self.typed |= is_text_type(word);
            self.coded |= word.eq_ignore_ascii_case(b"base64");
        } else if !self.word.get(..self.word_len).is_some_and(|kind| kind.ends_with(b"text")) {
            self.meet(OTHER_KIND);
        }
    }

    /// Bytes of files that were skipped because they are not text.
    pub fn passed(&self) -> u64 {
        self.passed.saturating_add(if self.next == Field::Media { self.file.passed() } else { 0 })
    }

    /// Takes a piece of a string that may be a file.
    #[inline(never)]
    fn read_file(&mut self, piece: Option<&[u8]>, raw: bool) {
        let mut file = std::mem::take(&mut self.file);
        let mut text = |text: &[u8]| {
            if !std::mem::replace(&mut self.wrote_file, true) {
                self.separate(Field::ToolText);
            }
            escape(text, |raw, escapes| self.write(Field::ToolText, raw, escapes));
        };
        match piece {
            Some(piece) => file.feed(piece, raw, &mut text),
            None => file.end(&mut text),
        }
        self.file = file;
    }

    /// Ends a string that may be a file.
    fn end_file(&mut self, field: Field) {
        self.read_file(None, false);
        if self.file.is_odd() {
            self.fail(Unreadable::Shape);
        }
        if field == Field::Media {
            self.passed = self.passed.saturating_add(self.file.passed());
        }
        self.passed_file |= self.file.is_binary();
        if self.wrote_file {
            self.pause(Field::ToolText);
        }
    }

    /// Ends the object around a file.
    fn end_media(&mut self) {
        let mut data = std::mem::take(&mut self.data);
        let plain = std::mem::take(&mut self.plain) && !data.is_empty();
        if plain && !self.wrote_file {
            self.message.absorb(&mut data, &mut self.sampler);
        }
        // What was passed over is called a text only now.
        if std::mem::take(&mut self.passed_file) && self.typed && (self.coded || !plain) && !self.wrote_file {
            self.fail(Unreadable::Shape);
        }
        (self.typed, self.coded, self.wrote_file) = (false, false, false);
    }

    /// Ends one of several texts.
    fn pause(&mut self, field: Field) {
        let place = self.place(field);
        let joined = self.is_joined(&place);
        let (window, sampler) = self.window(&place);
        window.pause(Some(sampler).filter(|_| !joined));
    }

    fn push_word(&mut self, bytes: &[u8]) {
        let room = self.word.get_mut(self.word_len..).unwrap_or_default();
        room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        self.word_len = self.word_len.saturating_add(bytes.len());
    }

    /// Hash of the assembled string.
    fn word_hash(&self) -> u64 {
        let kept = self.word.get(..self.word_len).unwrap_or(&self.word);
        let first = hash::read_u64(kept, 0) ^ self.word_len as u64;
        (8..kept.len()).step_by(8).fold(first, |h, at| hash::combine(h, hash::read_u64(kept, at)))
    }

    fn window(&mut self, place: &Place) -> (&mut Window, &mut Sampler) {
        let window = match place {
            Place::Prompt => &mut self.prompt,
            Place::Context => &mut self.context,
            Place::Message => &mut self.message,
        };
        (window, &mut self.sampler)
    }

    fn place(&self, field: Field) -> Place {
        match field {
            Field::Prompt | Field::Input => Place::Prompt,
            Field::Context => Place::Context,
            // Answers of tools beside the messages.
            Field::ToolText if !self.open_message => Place::Context,
            _ => Place::Message,
        }
    }

    /// Ends a key of the document; counts it if it gave text beside the prompt.
    fn end_context(&mut self) {
        let len = self.context.text_len();
        self.contexts = self.contexts.saturating_add(u32::from(len > self.context_start));
        self.context_start = len;
    }

    /// True if the innermost container is the document's list of prompts.
    fn in_list(&self) -> bool {
        self.depth == 2 && self.here() == Field::Prompt && self.met.get(1).is_some_and(|met| met & LIST != 0)
    }

    /// Starts another prompt of a list. A full window may start again: each prompt is read with the same
    /// probability, and the choice depends on their content, so that no position in the list hides a prompt.
    #[inline(never)]
    fn begin_prompt(&mut self) {
        let n = self.facts.prompts.saturating_add(1);
        self.facts.prompts = n;
        self.passed_prompt = self.prompt.is_full();
        if self.passed_prompt {
            let drawn = hash::mix(self.seed ^ self.sampler.secret() ^ self.prompt.tell() ^ u64::from(n));
            if drawn.checked_rem(u64::from(n)) == Some(0) {
                self.passed_prompt = false;
                let mut before = std::mem::take(&mut self.prompt);
                before.leave(true, &mut self.sampler);
                before.clear();
                self.prompt = before;
            }
        }
    }

    /// Notes a duplicate key, or two keys that exclude each other: servers differ in which one they read.
    fn meet(&mut self, bits: u64) {
        if let Some(met) = self.depth.checked_sub(1).and_then(|i| self.met.get_mut(i)) {
            let twice = *met & bits != 0;
            *met |= bits;
            if twice {
                self.fail(Unreadable::DuplicateKey);
            }
        }
    }

    /// Notes that a value is present (not null). `number`: a token id; a list of them is one prompt.
    fn note(&mut self, field: Field, number: bool) {
        if field == Field::Prompt && self.in_list() && !number {
            self.begin_prompt();
        }
        self.meet(self.claim);
        self.claim = 0;
        match field {
            Field::Media => self.facts.media = true,
            Field::ToolText | Field::ToolCall => self.facts.conversation = true,
            _ => {}
        }
    }

    /// Checks the type of a value where the type carries meaning.
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
        let field = match (self.take_next(), array) {
            (Field::History, _) => Field::Messages,
            // A string or a list where messages are expected: several formats allow `input` to be either.
            (Field::Input, true) => Field::Messages,
            (Field::Input, false) => Field::Prompt,
            (Field::Body, true) => Field::Messages,
            // Some formats put the list of requests a level deeper, under the same name.
            (Field::Body | Field::Items, false) => Field::Root,
            // One message without its list: Google's servers take it.
            (Field::Messages, false) => Field::Message,
            (field, _) => field,
        };
        self.note(field, false);
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
            *met = if array { LIST } else { 0 };
        }
        self.depth = self.depth.saturating_add(1);
        self.next = if array { self.element() } else { Field::Ignore };
    }

    fn close(&mut self) {
        let closed = self.here();
        let met = self.depth.checked_sub(1).and_then(|i| self.met.get(i)).copied().unwrap_or(0);
        if met & (PART_TEXT | OTHER_KIND) == PART_TEXT | OTHER_KIND {
            self.fail(Unreadable::Shape);
        }
        self.claim = 0;
        self.depth = self.depth.saturating_sub(1);
        // What is said of one file holds for no other.
        let list = self.depth.checked_sub(1).and_then(|i| self.met.get(i)).is_some_and(|met| met & LIST != 0);
        let part = matches!(closed, Field::Content | Field::ToolText) && met & LIST == 0;
        if part || closed == Field::Message || closed == Field::Media && (list || self.here() != Field::Media)
        {
            self.end_media();
        }
        if closed == Field::Message && self.here() != Field::Message && self.open_message {
            self.end_message();
        }
        if closed == Field::Root && self.here() == Field::Items {
            self.end_item();
        }
        self.next = self.element();
    }

    fn key(&mut self, key: &[u8]) {
        let here = self.here();
        let table = self.dialect.fields(here);
        let mut lower = [0u8; KEY];
        let n = fold_key(key, &mut lower);
        let name = lower.get(..n).unwrap_or_default();
        let (start, more) = (hash::read_u64(&lower, 0), hash::read_u64(&lower, 8));
        let place = |name: &[u8], start: u32| {
            table.iter().position(|row| {
                row.start == start
                    && row.name.len() == name.len()
                    && (name.len() <= 4 || row.name.as_bytes() == name)
            })
        };
        let found = place(name, start as u32);
        self.key_hash = hash::combine(start ^ n as u64, more);
        if here == Field::Root {
            self.end_context();
            self.add_shape(self.key_hash);
        }
        // `*`: objects whose keys the caller chooses.
        let row = found.or_else(|| place(b"*", u32::from(b'*'))).and_then(|i| table.get(i));
        self.next = match row {
            Some(row) => row.field,
            None if here == Field::Other => here,
            None if here != Field::Ignore && BESIDE.contains(&(start as u32)) => Field::Other,
            // Files are told by what they hold.
            None if here == Field::Media => here,
            None => Field::Ignore,
        };
        self.meet(found.map_or(0, |i| 1u64 << (i as u32 & 63)));
        // Of keys that the caller chooses, none stands for another.
        self.claim = if found.is_some() { claim(here, self.next) } else { 0 };
        // The first row of the tables of parts.
        if here == Field::Content && found == Some(0) {
            self.claim |= PART_TEXT;
        }
    }

    fn string(&mut self) -> bool {
        if self.next == Field::Body || (self.next == Field::Root && self.here() == Field::Items) {
            self.next = Field::Prompt;
        }
        let field = self.next;
        self.note(field, false);
        self.check_type(field, None);
        match field {
            field if is_word(field) => {
                (self.word, self.word_len) = ([0; WORD], 0);
            }
            field if is_text(field) => self.separate(field),
            Field::Instructions => self.wrote_instructions = false,
            Field::Media => self.file = File::claimed(self.typed),
            Field::Data => self.file = File::claimed(self.typed && self.coded),
            _ => {}
        }
        !matches!(
            field,
            Field::Ignore
                | Field::ToolCall
                | Field::Root
                | Field::Messages
                | Field::Items
                | Field::History
                | Field::Template
        )
    }

    fn piece(&mut self, bytes: &[u8]) {
        match self.next {
            field if is_text(field) => {
                escape(bytes, |raw, escapes| self.write(field, raw, escapes));
            }
            Field::Instructions => {
                let first = !std::mem::replace(&mut self.wrote_instructions, true);
                let n = self.facts.push_instructions(bytes, first);
                escape(bytes.get(n..).unwrap_or_default(), |raw, _| self.sampler.feed(raw));
            }
            field if is_word(field) => {
                self.push_word(bytes);
            }
            Field::Data => {
                self.plain |= bytes.iter().any(|b| !is_base64(*b));
                self.data.push(bytes, None);
                self.read_file(Some(bytes), false);
            }
            Field::Media => self.read_file(Some(bytes), false),
            _ => {}
        }
    }

    fn takes_raw(&self) -> bool {
        is_text(self.next) || self.next == Field::Media
    }

    fn raw(&mut self, bytes: &[u8], escapes: usize) {
        match self.next {
            Field::Media => self.read_file(Some(bytes), true),
            field => self.write(field, bytes, escapes),
        }
    }

    fn string_end(&mut self) {
        match self.take_next() {
            Field::Role => self.set_role(false),
            Field::Speaker => self.set_role(true),
            Field::Kind => self.set_kind(),
            Field::MediaType => {
                self.typed |= is_text_type(self.word.get(..self.word_len).unwrap_or_default());
            }
            Field::Model => self.facts.model = hash::combine(self.facts.model, self.word_hash()),
            field @ (Field::Param | Field::Params | Field::Count) => {
                self.add_shape(hash::combine(self.key_hash, self.word_hash()));
                // Python's servers take "5" for 5.
                if field == Field::Count {
                    self.count(count(self.word.get(..self.word_len).unwrap_or_default()));
                }
            }
            // A list of plain strings as messages: each is one.
            Field::Message => self.end_message(),
            Field::Media => self.end_file(Field::Media),
            Field::Data => self.end_file(Field::Data),
            field if is_text(field) => self.pause(field),
            _ => {}
        }
        if self.here() == Field::Items {
            self.end_item();
        }
    }

    fn scalar(&mut self, text: &[u8]) {
        let in_array = self.here() == self.next;
        let field = self.take_next();
        let null = text == b"null";
        if !null {
            self.note(field, true);
        }
        match field {
            Field::Param | Field::Params | Field::Count => {
                self.add_shape(hash::combine(
                    self.key_hash,
                    hash::read_u64(text, 0) ^ hash::read_u64(text, 8),
                ));
                if field == Field::Count {
                    self.count(count(text));
                }
            }
            Field::Stream => self.facts.stream = text == b"true",
            Field::Prompt | Field::ToolCall if in_array => match whole(text) {
                Some(id) => self.write_token(field, id),
                None => self.facts.media = true,
            },
            Field::Messages | Field::History | Field::Root | Field::Message if !null => {
                self.fail(Unreadable::Shape)
            }
            Field::Prompt
            | Field::Input
            | Field::Body
            | Field::Items
            | Field::Content
            | Field::Instructions
            | Field::Role
            | Field::Speaker
                if !null =>
            {
                self.fail(Unreadable::Shape);
            }
            _ => {}
        }
        if field == Field::Stream {
            self.add_shape(hash::combine(self.key_hash, u64::from(text == b"true")));
        }
    }

    fn odd(&mut self, what: Unreadable) {
        self.fail(what);
    }
}

/// A number of answers, at most 65,535; anything but a whole number counts as one.
fn count(text: &[u8]) -> u16 {
    whole(text).map_or(1, |n| u16::try_from(n).unwrap_or(u16::MAX).max(1))
}

/// A whole number in any notation: servers read `5`, `5.0`, `50e-1` and `0.5e1` alike. All above 2⁴⁰ are one value.
fn whole(text: &[u8]) -> Option<u64> {
    const MOST: u64 = 1 << 40;
    let digits = |n: u64, text: &[u8]| {
        text.iter().try_fold(n, |n, b| {
            let digit = u64::from(b.wrapping_sub(b'0'));
            (digit < 10).then(|| n.wrapping_mul(10).wrapping_add(digit).min(MOST))
        })
    };
    let mut parts = text.split(|b| b.eq_ignore_ascii_case(&b'e'));
    let mut number = parts.next()?.split(|b| *b == b'.');
    let mut n = digits(0, number.next()?)?;
    let mut fraction = number.next().unwrap_or_default();
    while let Some((b'0', rest)) = fraction.split_last() {
        fraction = rest;
    }
    n = digits(n, fraction)?;
    let mut power = 0i64.wrapping_sub(fraction.len() as i64);
    if let Some(exponent) = parts.next() {
        let minus = exponent.first() == Some(&b'-');
        let signed = minus || exponent.first() == Some(&b'+');
        let by = digits(0, exponent.get(usize::from(signed)..)?)? as i64;
        power = power.wrapping_add(if minus { by.wrapping_neg() } else { by });
    }
    while power > 0 && n > 0 && n < MOST {
        (n, power) = (n.wrapping_mul(10), power.wrapping_sub(1));
    }
    while power < 0 && n > 0 {
        if n.checked_rem(10) != Some(0) {
            return None;
        }
        (n, power) = (n.wrapping_div(10), power.wrapping_add(1));
    }
    Some(n)
}

/// True if it is text, for a window or for the sample.
fn is_text(field: Field) -> bool {
    matches!(
        field,
        Field::Content
            | Field::ToolText
            | Field::Message
            | Field::Prompt
            | Field::Input
            | Field::Context
            | Field::Other
    )
}

/// True if it is text that is only sampled.
fn is_sampled(field: Field) -> bool {
    matches!(field, Field::Other | Field::ToolCall)
}

/// True if it is a value of one word. Words are stored until their strings end.
fn is_word(field: Field) -> bool {
    matches!(
        field,
        Field::Role
            | Field::Speaker
            | Field::Model
            | Field::Param
            | Field::Params
            | Field::Count
            | Field::Kind
            | Field::MediaType
    )
}

/// Bit that a key shares with those that servers read in its place in the same object.
fn claim(here: Field, field: Field) -> u64 {
    match (here, field) {
        (Field::Root, Field::Messages | Field::Input) => 3 << 62,
        (Field::Root, Field::Prompt | Field::Body) => 1 << 62,
        (Field::Root, Field::History) => 2 << 62,
        (Field::Root, Field::Instructions) => 1 << 61,
        (
            Field::Content | Field::ToolText | Field::Message | Field::Media | Field::Prompt,
            Field::Content | Field::ToolText | Field::Data | Field::Prompt,
        )
        | (Field::Instructions, Field::Instructions) => 1 << 62,
        _ => 0,
    }
}

/// Eight ASCII bytes in lower case.
fn lowercase(x: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let at_least = |n: u64| x.wrapping_add(ONES.wrapping_mul(0x80u64.wrapping_sub(n)));
    x | (at_least(0x41) & !at_least(0x5b) & ONES.wrapping_mul(0x80)) >> 2
}

/// A key in lower case, and its length. Go's JSON reader ignores case, and takes two letters beyond ASCII for `s` and `k`.
fn fold_key(key: &[u8], lower: &mut [u8; KEY]) -> usize {
    if key.is_ascii() {
        for (to, from) in lower.as_chunks_mut::<8>().0.iter_mut().zip(key.chunks(8)) {
            *to = lowercase(hash::read_u64(from, 0)).to_le_bytes();
        }
        return key.len().min(KEY);
    }
    let (mut rest, mut n) = (key, 0usize);
    while let Some((&b, after)) = rest.split_first() {
        let (b, after) = match rest {
            [0xc5, 0xbf, after @ ..] => (b's', after),
            [0xe2, 0x84, 0xaa, after @ ..] => (b'k', after),
            _ => (b.to_ascii_lowercase(), after),
        };
        if let Some(slot) = lower.get_mut(n) {
            *slot = b;
            n = n.saturating_add(1);
        }
        rest = after;
    }
    n
}

fn is_base64(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_' | b'\r' | b'\n')
}
