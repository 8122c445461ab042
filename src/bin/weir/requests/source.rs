//! Traces, one after another, in blocks of complete lines.

use super::batch::{BATCH_BYTES, Batch, End};
use crate::lines::Blocks;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Reads batches for all threads, which take turns; batches are numbered in the order read.
pub struct Source<'a> {
    rest: std::slice::Iter<'a, PathBuf>,
    open: Option<(Blocks, &'a Path, ProgressBar)>,
    file_time: String,
    first: bool,
    /// Batches read so far.
    pub read: u64,
}

impl<'a> Source<'a> {
    pub fn new(traces: &'a [PathBuf]) -> Source<'a> {
        Source { rest: traces.iter(), open: None, file_time: String::new(), first: false, read: 0 }
    }

    /// Reads the next batch. False after the last file, or if a file cannot be read on.
    pub fn next(&mut self, batch: &mut Batch) -> bool {
        if self.open.is_none() && !self.open_next(batch) {
            return false;
        }
        batch.at = self.read;
        self.read += 1;
        let Some((blocks, path, bar)) = &mut self.open else { return true };
        batch.path = path.to_path_buf();
        batch.bar = bar.clone();
        batch.file_time.clone_from(&self.file_time);
        batch.first = std::mem::take(&mut self.first);
        batch.end = match blocks.fill(&mut batch.text, BATCH_BYTES) {
            Ok(true) => End::Open,
            Ok(false) => End::File { bytes: blocks.bytes },
            Err(e) => {
                self.rest = Default::default();
                End::Broken(e)
            }
        };
        if !matches!(batch.end, End::Open) {
            self.open = None;
        }
        true
    }

    /// Opens the next file, or puts the error into an otherwise empty batch. False if there is no further
    /// file.
    fn open_next(&mut self, batch: &mut Batch) -> bool {
        let Some(path) = self.rest.next() else { return false };
        let mut bar = ProgressBar::hidden();
        self.file_time = written(path);
        let opened = Blocks::values(path, |raw, size| {
            bar = progress(path, size);
            Box::new(bar.wrap_read(raw))
        });
        self.first = true;
        match opened {
            Ok(blocks) => self.open = Some((blocks, path, bar)),
            Err(e) => {
                self.rest = Default::default();
                batch.text = Default::default();
                (batch.path, batch.end) = (path.clone(), End::Broken(e));
            }
        }
        true
    }
}

/// When a file was written; now, if that is not known.
pub fn written(path: &Path) -> String {
    let modified = std::fs::metadata(path).and_then(|m| m.modified()).ok();
    modified.and_then(|at| Timestamp::try_from(at).ok()).unwrap_or_else(Timestamp::now).to_string()
}

fn progress(path: &Path, size: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() || size == 0 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    let bar = ProgressBar::new(size).with_message(path.display().to_string());
    style.map(|s| bar.clone().with_style(s)).unwrap_or(bar)
}
