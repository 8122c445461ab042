//! What travels between the threads of a replay: a block of lines, and what became of each of them.

use crate::import::request::Piece;
use crate::lines::{Block, Item};
use crate::skip::Skip;
use indicatif::ProgressBar;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use weir::engine::Decision;
use weir::engine::edge::extract::Extracted;
use weir::engine::units::Nanos;

/// Bytes of text a batch holds: some hundred requests, so that handing it over costs nothing beside them.
pub const BATCH_BYTES: usize = 256 << 10;

/// A request without its text, ready to be judged.
#[derive(Default)]
pub struct Request {
    /// As the line says; the clock of the replay may be later.
    pub time: Nanos,
    /// Age of the key at that time, if the line says so.
    pub age: Option<Nanos>,
    pub x: Extracted,
}

/// What one record of a format became.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub records: u64,
    pub requests: u64,
    /// Requests whose body the log does not have.
    pub without_text: u64,
    /// Requests whose key is known by its SHA-256 only.
    pub by_hash: u64,
}

impl Count {
    pub fn add(&mut self, other: Count) {
        self.records += other.records;
        self.requests += other.requests;
        self.without_text += other.without_text;
        self.by_hash += other.by_hash;
    }
}

/// One request of a line, or what else became of the line.
pub struct Judgeable {
    /// Of the line within the batch, from 1.
    pub number: u64,
    /// A decision made without the ledger, none yet, or why the line was skipped.
    pub outcome: Result<Option<Decision>, Skip>,
    /// The line is a piece of a request; `outcome` says nothing.
    pub piece: Option<(String, Piece)>,
    /// The line is of another format than the trace's: such records may come in any order.
    pub imported: bool,
    pub request: Request,
    pub labelled: bool,
    pub label: Range<usize>,
    /// Fields that may say when the key was made, for `--tune`.
    pub times: Vec<(String, u32)>,
}

/// How the batch's file goes on behind it.
pub enum End {
    Open,
    /// It ended here, after so many bytes.
    File {
        bytes: u64,
    },
    Broken(std::io::Error),
}

/// Whole lines of one file. Used again and again: its memory stays.
pub struct Batch {
    /// Place in the order of all batches.
    pub at: u64,
    pub path: PathBuf,
    pub bar: ProgressBar,
    /// The file begins here.
    pub first: bool,
    pub text: Block,
    /// Lines of the block, empty ones included.
    pub count: u64,
    pub lines: Lines,
    /// The lines' labels, one behind the other.
    pub labels: String,
    /// By format, what the lines became.
    pub formats: BTreeMap<&'static str, Count>,
    /// When the file was written, for records without a time.
    pub file_time: String,
    pub end: End,
}

impl Batch {
    pub fn new() -> Batch {
        Batch {
            at: 0,
            path: PathBuf::new(),
            bar: ProgressBar::hidden(),
            first: false,
            text: Block::default(),
            count: 0,
            lines: Lines::default(),
            labels: String::new(),
            formats: BTreeMap::new(),
            file_time: String::new(),
            end: End::Open,
        }
    }

    /// Splits the block and hands every line that is not empty to `each`, with its number and what it fills.
    pub fn split(&mut self, mut each: impl FnMut(Item<'_>, u64, &mut Filled<'_>)) {
        self.count = 0;
        self.lines.used = 0;
        self.labels.clear();
        self.formats.clear();
        let Batch { text, lines, labels, formats, file_time, count, .. } = self;
        let mut filled = Filled { lines, labels, formats, file_time };
        for item in text.lines() {
            *count += 1;
            if !matches!(item, Item::Line([])) {
                each(item, *count, &mut filled);
            }
        }
    }
}

/// What the lines of a batch fill.
pub struct Filled<'a> {
    pub lines: &'a mut Lines,
    pub labels: &'a mut String,
    pub formats: &'a mut BTreeMap<&'static str, Count>,
    pub file_time: &'a str,
}

/// A list whose entries keep their memory.
#[derive(Default)]
pub struct Lines {
    all: Vec<Judgeable>,
    used: usize,
}

impl Lines {
    /// The next entry, of the line of this number.
    pub fn add(&mut self, number: u64) -> &mut Judgeable {
        if self.used == self.all.len() {
            self.all.push(Judgeable {
                number: 0,
                outcome: Ok(None),
                piece: None,
                imported: false,
                request: Request::default(),
                labelled: false,
                label: 0..0,
                times: Vec::new(),
            });
        }
        self.used += 1;
        let line = &mut self.all[self.used - 1];
        (line.number, line.piece, line.imported, line.labelled, line.label) =
            (number, None, false, false, 0..0);
        line.outcome = Ok(None);
        line.times.clear();
        line
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Judgeable> {
        self.all[..self.used].iter_mut()
    }
}
