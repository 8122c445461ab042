//! A growing log: its complete lines from a position on, through rotation and truncation.
//!
//! A part is one file that stood under the log's name. It is known by the name and its first line, so it is
//! recognised after a rename, a copy or a restart, and is another part once it is overwritten. A part that
//! was rotated away is read until it has been silent for `LINGER`, because its writer may still have it open.
//! Text at its end without a newline is a line, too.

use crate::lines::MAX_LINE;
use std::fs::File;
use std::io::Result;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use weir::engine::hash::sip13;

/// Longest beginning by which a part is recognised, bytes: its first line, or a part of it.
const HEAD_BYTES: usize = 4 << 10;
/// Bytes read at once.
pub const PIECE: usize = 1 << 20;
/// Time of silence after which a part that was rotated away has ended.
const LINGER: Duration = Duration::from_secs(10);

pub type PartId = [u8; 16];

/// One file.
pub struct Part {
    file: File,
    /// Device and inode.
    place: (u64, u64),
    head: Vec<u8>,
    pub id: PartId,
    /// Bytes of the file that were taken. The caller advances it once they are safe.
    pub at: u64,
    /// True within a line that is skipped.
    passing: bool,
    /// True if it does not stand under the log's name any more.
    rotated: bool,
    /// The size last seen, and since when.
    seen: u64,
    grew: Instant,
    /// True if nothing of the file is left.
    gone: bool,
    /// Observations made from it.
    pub total: u64,
    /// True once its position was asked for.
    pub placed: bool,
}

/// Lines read at once.
#[derive(Debug, Default, PartialEq)]
pub struct Piece {
    /// Complete lines, starting at `at`.
    pub text: Vec<u8>,
    /// Position behind them.
    pub end: u64,
    /// True if a line was too long and was skipped.
    pub too_long: bool,
}

impl Part {
    /// Opens a file; `None` if it has no complete first line yet.
    fn open(name: &Path, path: &Path) -> Result<Option<Part>> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(std::io::Error::other("is not a file"));
        }
        let mut head = vec![0; HEAD_BYTES];
        let n = read_at(&file, &mut head, 0)?;
        head.truncate(n);
        match memchr::memchr(b'\n', &head) {
            Some(i) => head.truncate(i + 1),
            None if n < HEAD_BYTES => return Ok(None),
            None => {}
        }
        let all = [name.as_os_str().as_encoded_bytes(), b"\0", &head].concat();
        let mut id = [0; 16];
        for (half, part) in (1..).zip(id.chunks_mut(8)) {
            part.copy_from_slice(&sip13((half, 0x776f_6c6c_6f66), &all).to_le_bytes());
        }
        let (place, grew) = ((meta.dev(), meta.ino()), Instant::now());
        let part = Part {
            file,
            place,
            head,
            id,
            at: 0,
            passing: false,
            rotated: false,
            seen: 0,
            grew,
            gone: false,
            total: 0,
            placed: false,
        };
        Ok(Some(part))
    }

    /// Size of the file now, bytes.
    pub fn len(&self) -> Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Continues at a byte; if that is within a line, with the next line.
    pub fn go_to(&mut self, at: u64) -> Result<()> {
        let mut before = [b'\n'];
        if at > 0 {
            read_at(&self.file, &mut before, at - 1)?;
        }
        (self.at, self.passing, self.placed) = (at, before != [b'\n'], true);
        Ok(())
    }

    /// True if it still begins as before and is no shorter.
    fn is_same(&self) -> Result<bool> {
        let mut head = vec![0; self.head.len()];
        let n = read_at(&self.file, &mut head, 0)?;
        Ok(n == self.head.len() && head == self.head && self.len()? >= self.at)
    }

    fn has_ended(&self) -> bool {
        self.rotated && self.grew.elapsed() >= LINGER
    }

    /// Reads complete lines from `at` on, at least one and as many as fit in a piece; `None` if there is none
    /// yet.
    pub fn read(&mut self) -> Result<Option<Piece>> {
        let mut text = vec![0; PIECE];
        let mut n = read_at(&self.file, &mut text, self.at)?;
        let mut end = memchr::memrchr(b'\n', &text[..n]);
        while end.is_none() && n == text.len() && n <= MAX_LINE {
            text.resize(n + PIECE, 0);
            n += read_at(&self.file, &mut text[n..], self.at + n as u64)?;
            end = memchr::memrchr(b'\n', &text[..n]);
        }
        let seen = self.at + n as u64;
        if seen > self.seen {
            (self.seen, self.grew) = (seen, Instant::now());
        }
        let mut piece = Piece::default();
        let whole = match end {
            Some(i) => i + 1,
            // A line that is too long is passed over, and what ended without a newline is a line.
            None if n > MAX_LINE || (n > 0 && self.passing) => n,
            None if n > 0 && self.has_ended() => n,
            None => return Ok(None),
        };
        text.truncate(whole);
        piece.end = self.at + whole as u64;
        if self.passing {
            let rest = memchr::memchr(b'\n', &text).map_or(text.len(), |i| i + 1);
            self.passing = end.is_none();
            text.drain(..rest);
        } else if end.is_none() && n > MAX_LINE {
            (self.passing, piece.too_long) = (true, true);
            text.clear();
        }
        piece.text = text;
        Ok(Some(piece))
    }
}

fn read_at(file: &File, out: &mut [u8], at: u64) -> Result<usize> {
    let mut n = 0;
    while n < out.len() {
        match file.read_at(&mut out[n..], at + n as u64) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}

/// A log, and the files that have stood under its name.
pub struct Log {
    pub path: PathBuf,
    /// Its parts: those rotated away first, oldest first; the last may be the file under the name.
    pub parts: Vec<Part>,
    /// True once it was looked at: parts that appear later are read from their beginning.
    pub known: bool,
}

impl Log {
    pub fn new(path: &Path) -> Log {
        Log { path: path.to_path_buf(), parts: Vec::new(), known: false }
    }

    /// Files beside it that may have stood under its name: those whose names begin with it, and are not
    /// compressed.
    pub fn rotated(&self) -> Vec<Part> {
        let dir = self.path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let Some(name) = self.path.file_name().map(|n| n.as_encoded_bytes()) else { return Vec::new() };
        let beside = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let mut found: Vec<_> = beside
            .filter(|e| {
                let other = e.file_name();
                let other = other.as_encoded_bytes();
                other.len() > name.len()
                    && other.starts_with(name)
                    && ![&b".gz"[..], b".zst", b".bz2", b".xz"].iter().any(|end| other.ends_with(end))
            })
            .filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path())))
            .collect();
        found.sort();
        let open = |path: &PathBuf| Part::open(&self.path, path).ok().flatten();
        found.iter().filter_map(|(_, path)| open(path)).map(|p| Part { rotated: true, ..p }).collect()
    }

    /// Looks at the file under the name. A new part is added at the end.
    pub fn look(&mut self) -> Result<()> {
        for part in &mut self.parts {
            // Truncated, written anew, or silent for long.
            part.gone = !part.is_same()? || (part.has_ended() && part.len()? <= part.at);
        }
        self.parts.retain(|p| !p.gone);
        let there = match std::fs::metadata(&self.path) {
            Ok(meta) => Some((meta.dev(), meta.ino())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        for part in self.parts.iter_mut().filter(|p| Some(p.place) != there && !p.rotated) {
            (part.rotated, part.grew) = (true, Instant::now());
        }
        let is_new = there.is_some() && !self.parts.iter().any(|p| Some(p.place) == there && !p.rotated);
        if is_new && let Some(part) = Part::open(&self.path, &self.path)? {
            // By its first line it is one that is read already: a copy, or put back.
            match self.parts.iter_mut().find(|p| p.id == part.id) {
                Some(old) => {
                    let Part { at, total, placed, passing, .. } = *old;
                    *old = Part { at, total, placed, passing, ..part };
                }
                None => self.parts.push(part),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
#[path = "tail_tests.rs"]
mod tests;
