//! Gemini and Vertex over gRPC: `GenerateContent` and `StreamGenerateContent`, each a protobuf message in a
//! frame.
//!
//! The message is parsed as it streams, by tables of field numbers, and gives the reader the same events as
//! the JSON of `gemini_generate`. Memory: `LEVELS` levels and one number. Not read: tools, arguments of
//! calls, files.

use super::gemini_generate::Generate;
use super::path::split_last;
use super::{Dialect, Field, Reply, Row};
use crate::engine::json::scan::Sink;
use crate::engine::json::unreadable::Unreadable;

/// `…GenerativeService/GenerateContent`, `…PredictionService/StreamGenerateContent`.
#[derive(Debug)]
pub struct Grpc;

impl Dialect for Grpc {
    fn name(&self) -> &'static str {
        "gemini_grpc"
    }
    fn claims(&self, path: &[u8]) -> bool {
        let (before, last) = split_last(path);
        let service = before.ends_with(b".generativeservice") || before.ends_with(b".predictionservice");
        service && matches!(last, b"generatecontent" | b"streamgeneratecontent")
    }
    fn fields(&self, of: Field) -> &'static [Row] {
        Generate.fields(of)
    }
    fn streams(&self, path: &[u8]) -> bool {
        split_last(path).1.starts_with(b"stream")
    }
    fn protobuf(&self, path: &[u8]) -> Option<&'static [Entry]> {
        let vertex = split_last(path).0.ends_with(b".predictionservice");
        Some(if vertex { &VERTEX } else { &GEMINI })
    }
    fn body(&self, reply: &Reply<'_>, out: &mut Vec<u8>) {
        Generate.body(reply, out);
    }
}

/// A field of a protobuf message that is read.
#[derive(Debug)]
pub struct Entry {
    field: u64,
    /// Its name in JSON; empty: an element of the list around it.
    name: &'static str,
    node: Node,
}

/// What a field holds.
#[derive(Debug)]
enum Node {
    Text,
    Number,
    /// Its presence is enough.
    Mark,
    Message(&'static [Entry]),
    Messages(&'static [Entry]),
    /// A message whose texts form a list.
    Texts(&'static [Entry]),
    /// A message whose texts belong to the list around it.
    Inner(&'static [Entry]),
}
use Node::{Inner, Mark, Message, Messages, Number, Text, Texts};

const fn entry(field: u64, name: &'static str, node: Node) -> Entry {
    Entry { field, name, node }
}

/// `google.ai.generativelanguage`: request, content, part.
static GEMINI: [Entry; 4] = [
    entry(1, "model", Text),
    entry(2, "contents", Messages(&CONTENT)),
    entry(4, "generationconfig", Message(&[entry(1, "candidatecount", Number)])),
    entry(8, "systeminstruction", Message(&CONTENT)),
];
static CONTENT: [Entry; 2] = [entry(1, "parts", Messages(&PART)), entry(2, "role", Text)];
static PART: [Entry; 5] = [
    entry(2, "text", Text),
    entry(3, "inlinedata", Mark),
    entry(4, "functioncall", Mark),
    entry(5, "functionresponse", Texts(&RESPONSE)),
    entry(6, "filedata", Mark),
];
/// `google.cloud.aiplatform`: the same.
static VERTEX: [Entry; 4] = [
    entry(5, "model", Text),
    entry(2, "contents", Messages(&VERTEX_CONTENT)),
    entry(4, "generationconfig", Message(&[entry(4, "candidatecount", Number)])),
    entry(8, "systeminstruction", Message(&VERTEX_CONTENT)),
];
static VERTEX_CONTENT: [Entry; 2] = [entry(2, "parts", Messages(&VERTEX_PART)), entry(1, "role", Text)];
static VERTEX_PART: [Entry; 5] = [
    entry(1, "text", Text),
    entry(2, "inlinedata", Mark),
    entry(3, "filedata", Mark),
    entry(5, "functioncall", Mark),
    entry(6, "functionresponse", Texts(&RESPONSE)),
];
/// An answer of a function, in `google.protobuf.Struct`.
static RESPONSE: [Entry; 1] = [entry(2, "", Inner(&STRUCT))];
static STRUCT: [Entry; 1] = [entry(1, "", Inner(&PAIR))];
static PAIR: [Entry; 1] = [entry(2, "", Inner(&VALUE))];
static VALUE: [Entry; 3] = [entry(3, "", Text), entry(5, "", Inner(&STRUCT)), entry(6, "", Inner(&LIST))];
static LIST: [Entry; 1] = [entry(1, "", Inner(&VALUE))];

/// Deepest nesting of messages, levels; deeper ones are skipped and reported.
const LEVELS: usize = 32;
/// Bytes of a frame's head: one for compression, four of length.
const HEAD: u64 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Tag,
    Varint,
    Length,
    /// The current text, or the skipped bytes, end at this position.
    Bytes(u64),
    Done,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    table: &'static [Entry],
    end: u64,
    /// Number of the repeated field whose list is open, 0 = none.
    list: u64,
    /// True if the end of this message closes a container in the reader.
    closes: bool,
}

/// Reads one body.
#[derive(Debug)]
pub struct Walker {
    state: State,
    levels: [Level; LEVELS],
    depth: usize,
    at: u64,
    number: u64,
    shift: u32,
    field: u64,
    text: bool,
    wanted: bool,
}

impl Walker {
    /// A walker of the message that `table` describes.
    pub fn new(table: &'static [Entry]) -> Walker {
        let level = Level { table, end: 0, list: 0, closes: true };
        Walker {
            state: State::Head,
            levels: [level; LEVELS],
            depth: 1,
            at: 0,
            number: 0,
            shift: 0,
            field: 0,
            text: false,
            wanted: false,
        }
    }

    /// Takes a piece of the body.
    ///
    /// # Errors
    /// The message is malformed or compressed; the rest cannot be read.
    #[inline(never)]
    pub fn feed(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<(), Unreadable> {
        let mut rest = bytes;
        while let Some((&b, after)) = rest.split_first() {
            if let State::Bytes(to) = self.state {
                let n = usize::try_from(to.saturating_sub(self.at)).unwrap_or(usize::MAX).min(rest.len());
                let (piece, after) = rest.split_at_checked(n).unwrap_or((rest, &[]));
                if self.wanted {
                    sink.piece(piece);
                }
                (self.at, rest) = (self.at.saturating_add(n as u64), after);
                if self.at >= to {
                    self.end_value(sink)?;
                }
                continue;
            }
            (self.at, rest) = (self.at.saturating_add(1), after);
            match self.state {
                State::Head if self.at == 1 => {
                    if b != 0 {
                        return Err(Unreadable::Compressed);
                    }
                }
                State::Head => {
                    self.number = self.number << 8 | u64::from(b);
                    if self.at == HEAD {
                        sink.open(false);
                        let end = HEAD.saturating_add(std::mem::take(&mut self.number));
                        self.levels.iter_mut().take(1).for_each(|l| l.end = end);
                        self.end_value(sink)?;
                    }
                }
                State::Done => return Err(Unreadable::Trailing),
                _ => {
                    if self.shift > 63 {
                        return Err(Unreadable::Shape);
                    }
                    self.number |= u64::from(b & 0x7f) << (self.shift & 63);
                    self.shift = self.shift.wrapping_add(7);
                    if b < 0x80 {
                        self.shift = 0;
                        let number = std::mem::take(&mut self.number);
                        self.number(number, sink)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends the body.
    ///
    /// # Errors
    /// The message is incomplete.
    pub fn finish(&self) -> Result<(), Unreadable> {
        if self.state == State::Done { Ok(()) } else { Err(Unreadable::Truncated) }
    }

    fn level(&mut self) -> Option<&mut Level> {
        self.depth.checked_sub(1).and_then(|at| self.levels.get_mut(at))
    }

    /// Starts the value of a field and announces it to the reader. A list ends where another field begins.
    fn begin_value(&mut self, sink: &mut impl Sink) -> Option<&'static Entry> {
        let field = self.field;
        let level = self.level()?;
        if level.list != 0 && level.list != field {
            level.list = 0;
            sink.close();
        }
        let found = level.table.iter().find(|e| e.field == field)?;
        if level.list == 0 && !found.name.is_empty() {
            sink.key(found.name.as_bytes());
            if let Messages(_) = found.node {
                level.list = field;
                sink.open(true);
            }
        }
        Some(found)
    }

    fn number(&mut self, number: u64, sink: &mut impl Sink) -> Result<(), Unreadable> {
        match self.state {
            State::Tag => {
                self.field = number >> 3;
                (self.text, self.wanted) = (false, false);
                self.state = match number & 7 {
                    0 => State::Varint,
                    1 => State::Bytes(self.at.saturating_add(8)),
                    2 => State::Length,
                    5 => State::Bytes(self.at.saturating_add(4)),
                    _ => return Err(Unreadable::Shape),
                };
                Ok(())
            }
            State::Varint => {
                if let Some(Entry { node: Number, .. }) = self.begin_value(sink) {
                    sink.scalar(number.to_string().as_bytes());
                }
                self.end_value(sink)
            }
            _ => self.begin_bytes(number, sink),
        }
    }

    fn begin_bytes(&mut self, length: u64, sink: &mut impl Sink) -> Result<(), Unreadable> {
        let end = self.at.saturating_add(length);
        if self.level().is_none_or(|l| end > l.end) {
            return Err(Unreadable::Shape);
        }
        self.state = State::Bytes(end);
        let node = self.begin_value(sink).map(|e| &e.node);
        let (table, closes) = match node {
            Some(Text) => {
                (self.text, self.wanted) = (true, sink.string());
                (None, false)
            }
            Some(Mark) => {
                sink.open(false);
                sink.close();
                (None, false)
            }
            Some(Message(table) | Messages(table)) => {
                sink.open(false);
                (Some(*table), true)
            }
            Some(Texts(table)) => {
                sink.open(true);
                (Some(*table), true)
            }
            Some(Inner(table)) => (Some(*table), false),
            Some(Number) | None => (None, false),
        };
        if let Some(table) = table {
            match self.levels.get_mut(self.depth) {
                Some(level) => *level = Level { table, end, list: 0, closes },
                None => return Err(Unreadable::Depth),
            }
            self.depth = self.depth.saturating_add(1);
            self.state = State::Tag;
        }
        if self.at >= end { self.end_value(sink) } else { Ok(()) }
    }

    /// Ends a value, and the messages that end at the same byte.
    fn end_value(&mut self, sink: &mut impl Sink) -> Result<(), Unreadable> {
        if std::mem::take(&mut self.text) {
            sink.string_end();
        }
        (self.wanted, self.state) = (false, State::Tag);
        let at = self.at;
        while let Some(level) = self.level().filter(|l| l.end <= at) {
            if level.end < at {
                return Err(Unreadable::Shape);
            }
            if level.list != 0 {
                sink.close();
            }
            if level.closes {
                sink.close();
            }
            self.depth = self.depth.saturating_sub(1);
        }
        if self.depth == 0 {
            self.state = State::Done;
        }
        Ok(())
    }
}
