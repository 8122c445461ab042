//! The unit of work of a thread: a block of lines, and what became of each.

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

/// Bytes of text in a batch: some hundred requests, so that passing it between threads costs nothing in
/// comparison.
pub const BATCH_BYTES: usize = 256 << 10;

/// An extracted request, ready to be judged.
#[derive(Default)]
pub struct Request {
    /// Time in its line; the replay's clock may be later.
    pub time: Nanos,
    /// Age of the key at that time, if its line tells it.
    pub age: Option<Nanos>,
    pub x: Extracted,
}

/// Counts of one format.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub records: u64,
    pub requests: u64,
    /// Requests whose body is not in the log.
    pub without_text: u64,
    /// Requests whose key is known only by its SHA-256.
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
    /// Number of the line within the batch, from 1.
    pub number: u64,
    /// The decision, if it was made without the ledger; `None` if the request is to be judged; or why the
    /// line was skipped.
    pub outcome: Result<Option<Decision>, Skip>,
    /// A piece of a request, if the line is one; then `outcome` has no meaning.
    pub piece: Option<(String, Piece)>,
    /// True if the line is of another format than the trace's: such records may come in any order.
    pub imported: bool,
    pub request: Request,
    pub labelled: bool,
    pub label: Range<usize>,
    /// Times in the record that may be when the key was made, by field, for `--tune`.
    pub times: Vec<(String, u32)>,
}

/// What follows the batch in its file.
pub enum End {
    Open,
    /// The end of the file, after this number of bytes.
    File {
        bytes: u64,
    },
    Broken(std::io::Error),
}

/// Complete lines of one file. Batches are reused, to keep their memory.
pub struct Batch {
    /// Position in the order of all batches.
    pub at: u64,
    pub path: PathBuf,
    pub bar: ProgressBar,
    /// True if it is the file's first.
    pub first: bool,
    pub text: Block,
    /// Number of lines in the block, empty ones included.
    pub count: u64,
    pub lines: Lines,
    /// Labels of the lines, concatenated.
    pub labels: String,
    /// Counts by format.
    pub formats: BTreeMap<&'static str, Count>,
    /// Time when the file was written, for records without a time.
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

    /// Splits the block and hands every non-empty line to `each`, with its number and where to put its
    /// results.
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

/// Where the results of lines go.
pub struct Filled<'a> {
    pub lines: &'a mut Lines,
    pub labels: &'a mut String,
    pub formats: &'a mut BTreeMap<&'static str, Count>,
    pub file_time: &'a str,
}

/// A list that keeps the memory of its entries when it is reused.
#[derive(Default)]
pub struct Lines {
    all: Vec<Judgeable>,
    used: usize,
}

impl Lines {
    /// The next entry, for the line of this number.
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
