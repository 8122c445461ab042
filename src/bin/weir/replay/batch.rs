//! What travels between the threads of a replay: a block of lines, and what became of each of them.

use crate::lines::{Block, Item};
use crate::skip::Skip;
use indicatif::ProgressBar;
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

/// One line that is not empty.
pub struct Judgeable {
    /// Within the batch, from 1.
    pub number: u64,
    /// A decision made without the ledger, none yet, or why the line was skipped.
    pub outcome: Result<Option<Decision>, Skip>,
    pub request: Request,
    pub labelled: bool,
    pub label: Range<usize>,
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
            end: End::Open,
        }
    }

    /// Splits the block and hands every line that is not empty to `each`.
    pub fn split(&mut self, mut each: impl FnMut(Item<'_>, &mut Judgeable, &mut String)) {
        self.count = 0;
        self.lines.used = 0;
        self.labels.clear();
        for item in self.text.lines() {
            self.count += 1;
            if !matches!(item, Item::Line([])) {
                let line = self.lines.add();
                line.number = self.count;
                each(item, line, &mut self.labels);
            }
        }
    }
}

/// A list whose entries keep their memory.
#[derive(Default)]
pub struct Lines {
    all: Vec<Judgeable>,
    used: usize,
}

impl Lines {
    fn add(&mut self) -> &mut Judgeable {
        if self.used == self.all.len() {
            self.all.push(Judgeable {
                number: 0,
                outcome: Ok(None),
                request: Request::default(),
                labelled: false,
                label: 0..0,
            });
        }
        self.used += 1;
        &mut self.all[self.used - 1]
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Judgeable> {
        self.all[..self.used].iter_mut()
    }
}
