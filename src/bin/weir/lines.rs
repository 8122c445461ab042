//! Lines of plain, .gz or .zst files, read as a stream: in blocks of complete lines, or one by one.

use crate::import::unfold::Unfold;
use std::io::{BufRead, BufReader, ErrorKind, Read, Result};
use std::path::Path;

/// Longest line with its end, bytes.
pub const MAX_LINE: usize = 16 << 20;

/// Bytes of a block for who takes line by line.
const BLOCK: usize = 64 << 10;

/// A source of bytes.
pub type Bytes = Box<dyn Read + Send>;

/// A line, or what stood in its place.
#[derive(Debug, PartialEq)]
pub enum Item<'a> {
    /// A line without its end.
    Line(&'a [u8]),
    /// A line longer than `MAX_LINE`, which is skipped.
    TooLong,
}

/// A block of complete lines.
#[derive(Default)]
pub struct Block {
    /// The buffer, of which the first `len` bytes are filled.
    bytes: Vec<u8>,
    len: usize,
    /// True if the block stands for one line that is too long.
    too_long: bool,
    /// True if the file begins here.
    first: bool,
}

impl Block {
    /// Its lines.
    pub fn lines(&self) -> impl Iterator<Item = Item<'_>> {
        let mut at = 0;
        std::iter::from_fn(move || self.line(&mut at))
    }

    /// The line at byte `at`, which is moved to the next line.
    fn line(&self, at: &mut usize) -> Option<Item<'_>> {
        if self.too_long {
            return (std::mem::replace(at, 1) == 0).then_some(Item::TooLong);
        }
        let rest = &self.bytes[*at..self.len];
        let n = memchr::memchr(b'\n', rest).map_or(rest.len(), |i| i + 1);
        if n == 0 {
            return None;
        }
        let first = self.first && *at == 0;
        *at += n;
        if n > MAX_LINE {
            return Some(Item::TooLong);
        }
        let line = rest[..n].trim_ascii();
        Some(Item::Line(line.strip_prefix(b"\xef\xbb\xbf").filter(|_| first).unwrap_or(line)))
    }

    fn is_done(&self, at: usize) -> bool {
        at >= if self.too_long { 1 } else { self.len }
    }

    /// Makes room for `room` bytes. Memory that a long line needed is freed.
    fn reset(&mut self, room: usize) {
        (self.len, self.too_long, self.first) = (0, false, false);
        if self.bytes.len() > 4 * room {
            self.bytes = Vec::new();
        }
        self.grow(room);
    }

    fn grow(&mut self, room: usize) {
        if self.bytes.len() < room {
            self.bytes.resize(room, 0);
        }
    }
}

/// Reads a file in blocks.
pub struct Blocks {
    reader: Bytes,
    /// Beginning of a line whose end was not in the block.
    rest: Vec<u8>,
    /// True if nothing was read yet.
    first: bool,
    /// Bytes read so far, decompressed.
    pub bytes: u64,
}

impl Blocks {
    /// Opens a file, or standard input for `-`. Compression is recognised by the first bytes.
    pub fn open(path: &Path, wrap: impl FnOnce(Bytes, u64) -> Bytes) -> Result<Blocks> {
        Ok(Blocks { reader: bytes(path, wrap)?, rest: Vec::new(), first: true, bytes: 0 })
    }

    /// Opens a file of JSON values in any layout: each value is a line.
    pub fn values(path: &Path, wrap: impl FnOnce(Bytes, u64) -> Bytes) -> Result<Blocks> {
        let reader = Box::new(Unfold::new(bytes(path, wrap)?));
        Ok(Blocks { reader, rest: Vec::new(), first: true, bytes: 0 })
    }

    /// Fills the block with complete lines, about `size` bytes. False if they were the file's last. If the
    /// file ends within compressed data, the block gets the complete lines before that.
    pub fn fill(&mut self, block: &mut Block, size: usize) -> Result<bool> {
        let mut room = size.max(self.rest.len() + size / 2);
        block.reset(room);
        block.first = std::mem::take(&mut self.first);
        block.bytes[..self.rest.len()].copy_from_slice(&self.rest);
        block.len = self.rest.len();
        self.rest.clear();
        let mut searched = 0;
        loop {
            let end = self.read_full(block, room);
            // At the end of the file a line needs no end of its own.
            if matches!(end, Ok(false)) {
                return end;
            }
            if let Some(i) = memchr::memrchr(b'\n', &block.bytes[searched..block.len]) {
                let whole = searched + i + 1;
                self.rest.extend_from_slice(&block.bytes[whole..block.len]);
                block.len = whole;
                return end;
            }
            searched = block.len;
            if end.is_err() {
                block.len = 0;
                return end;
            }
            if block.len > MAX_LINE {
                return self.pass_over(block);
            }
            room = (room * 2).min(room.max(MAX_LINE + 1));
            block.grow(room);
        }
    }

    /// Reads until the block holds `room` bytes. False at the end.
    fn read_full(&mut self, block: &mut Block, room: usize) -> Result<bool> {
        while block.len < room {
            match self.read(&mut block.bytes[block.len..room])? {
                0 => return Ok(false),
                n => block.len += n,
            }
        }
        Ok(true)
    }

    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        loop {
            match self.reader.read(to) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                n => return n.inspect(|n| self.bytes += *n as u64),
            }
        }
    }

    /// Skips the rest of a line that is too long, piece by piece.
    fn pass_over(&mut self, block: &mut Block) -> Result<bool> {
        block.len = 0;
        loop {
            let n = self.read(&mut block.bytes)?;
            let end = memchr::memchr(b'\n', &block.bytes[..n]);
            if n == 0 || end.is_some() {
                self.rest.extend_from_slice(&block.bytes[end.map_or(n, |i| i + 1)..n]);
                block.too_long = true;
                return Ok(n > 0);
            }
        }
    }
}

/// The bytes of a file, decompressed.
fn bytes(path: &Path, wrap: impl FnOnce(Bytes, u64) -> Bytes) -> Result<Bytes> {
    let (raw, size): (Bytes, u64) = if path.as_os_str() == "-" {
        (Box::new(std::io::stdin()), 0)
    } else {
        let f = std::fs::File::open(path)?;
        let size = f.metadata().map_or(0, |m| m.len());
        (Box::new(f), size)
    };
    // Reads of plain files are larger than this and pass it by.
    let mut inner = BufReader::with_capacity(64 << 10, wrap(raw, size));
    let magic = inner.fill_buf()?;
    let reader: Bytes = if magic.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(inner))
    } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::stream::read::Decoder::with_buffer(inner)?)
    } else {
        Box::new(inner)
    };
    Ok(reader)
}

/// Reads a file line by line.
pub struct Lines {
    blocks: Blocks,
    block: Block,
    at: usize,
    end: Option<Result<()>>,
}

impl Lines {
    /// See `Blocks::open`.
    pub fn open(path: &Path) -> Result<Lines> {
        Ok(Lines::of(Blocks::open(path, |raw, _| raw)?))
    }

    /// See `Blocks::values`.
    pub fn values(path: &Path) -> Result<Lines> {
        Ok(Lines::of(Blocks::values(path, |raw, _| raw)?))
    }

    fn of(blocks: Blocks) -> Lines {
        Lines { blocks, block: Block::default(), at: 0, end: None }
    }

    /// The next line; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Item<'_>>> {
        while self.block.is_done(self.at) {
            match self.end.take() {
                Some(Ok(())) => {
                    self.end = Some(Ok(()));
                    return Ok(None);
                }
                Some(Err(e)) => return Err(e),
                None => {}
            }
            self.at = 0;
            self.end = match self.blocks.fill(&mut self.block, BLOCK) {
                Ok(true) => None,
                Ok(false) => Some(Ok(())),
                Err(e) => Some(Err(e)),
            };
        }
        Ok(self.block.line(&mut self.at))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::type_complexity, reason = "tests")]
mod tests {
    use super::*;

    /// Lines by the definition: a line is what ends in a newline, or with the file.
    fn slow(text: &[u8]) -> Vec<Option<Vec<u8>>> {
        let lines = text.split_inclusive(|b| *b == b'\n').enumerate();
        let one = |(i, l): (usize, &[u8])| {
            let line = l.trim_ascii();
            let line = if i == 0 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
            (l.len() <= MAX_LINE).then(|| line.to_vec())
        };
        lines.map(one).collect()
    }

    fn owned(item: Item<'_>) -> Option<Vec<u8>> {
        match item {
            Item::Line(l) => Some(l.to_vec()),
            Item::TooLong => None,
        }
    }

    #[test]
    fn blocks_of_any_size_give_the_lines_of_the_file() {
        let long = |n: usize| [vec![b'x'; n], b"\n".to_vec()].concat();
        let texts: [Vec<u8>; 7] = [
            b"".into(),
            b"\n".into(),
            b"\xef\xbb\xbfa\r\n\n b \n\xef\xbb\xbfc".into(),
            (0..9_000).flat_map(|i| long(i % 300)).collect(),
            [long(3), long(MAX_LINE - 1), long(MAX_LINE), long(3), b"end".to_vec()].concat(),
            [long(40 << 20), long(5), vec![b'y'; MAX_LINE]].concat(),
            [long(7), vec![b'y'; MAX_LINE + 1]].concat(),
        ];
        for text in texts {
            let want = slow(&text);
            for size in [7, 1 << 10, 256 << 10] {
                if size < 1 << 10 && text.len() > 1 << 20 {
                    continue;
                }
                let reader: Bytes = Box::new(std::io::Cursor::new(text.clone()));
                let mut blocks = Blocks { reader, rest: Vec::new(), first: true, bytes: 0 };
                let (mut block, mut got, mut more) = (Block::default(), Vec::new(), true);
                while more {
                    more = blocks.fill(&mut block, size).unwrap();
                    got.extend(block.lines().map(owned));
                }
                assert!(got == want, "{} bytes in blocks of {size}", text.len());
                assert_eq!(blocks.bytes, text.len() as u64);
            }
        }
    }
}
