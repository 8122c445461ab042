//! A store in a directory: append-only segments, and a checkpoint that is written aside and renamed.
//!
//! | file | holds |
//! |---|---|
//! | `lock` | flock of the hub that is active, and its process id |
//! | `checkpoint-POSITION` | header, ledger and nodes, checksum |
//! | `segment-NUMBER` | header, then frames: one a group |
//!
//! A frame is written only after the one before it is durable, so that a frame which is not whole is either the last (a torn
//! write: nothing of it was acknowledged, it is cut off) or damage (whole frames follow: the start stops). After an error a segment is
//! not trusted: the next one begins, and its header says how far the one before counts. Integers are little-endian.

use super::store::{Blocked, Checkpoint, Done, Store, StoreError, StoreStatus};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use weir::engine::hash;
use weir::engine::wire::{self, Reader, Writer};

/// Longest group, bytes.
pub const GROUP_BYTES: usize = 4 << 20;
/// Size of a segment above which the next one begins, bytes.
pub const SEGMENT_BYTES: u64 = 32 << 20;
/// A checkpoint is made durable in pieces of this size, so that a group's own fsync waits for one of them and
/// not for all.
const CHECKPOINT_PIECE: usize = 4 << 20;
const SEGMENT: u64 = 0x3130_4753_5249_4557;
pub const CHECKPOINT: u64 = 0x3130_4b43_5249_4557;
const FRAME: u32 = 0x5246_5257;
/// Segment header: magic, number, first position, seed check, trusted bytes of the segment before, salt of its frames' checksums
/// (so that no node can send what looks like a frame), checksum.
const HEADER: u64 = 8 + 8 + 8 + 4 + 8 + 4 + 4;
/// Frame header: magic, length, position, checksum of those and of the group.
const AROUND: usize = 4 + 4 + 8 + 4;

fn segment_name(number: u64) -> String {
    format!("segment-{number:012}")
}
fn checkpoint_name(position: u64) -> String {
    format!("checkpoint-{position:012}")
}

impl From<io::Error> for StoreError {
    fn from(e: io::Error) -> StoreError {
        match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                StoreError::Full(e.to_string())
            }
            _ => StoreError::Failed(e.to_string()),
        }
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> Blocked + '_ {
    move |e| Blocked(format!("{}: {e}", path.display()))
}

struct Segment {
    file: File,
    number: u64,
    /// Bytes that are durable and complete.
    good: u64,
    /// Bytes written.
    written: u64,
    salt: u32,
}

/// A store in a directory: see the module.
pub struct Journal {
    dir: PathBuf,
    seed_check: u32,
    _lock: File,
    /// The segment that groups are written to; `None`: the next group begins one.
    open: Option<Segment>,
    /// Number and trusted bytes of the last segment.
    last: (u64, u64),
    /// Segments that are still needed, with their bytes of frames.
    kept: Vec<(u64, u64)>,
    position: u64,
    checkpoint: u64,
    #[cfg(test)]
    pub fail_sync: bool,
}

/// What was found at a start.
#[derive(Debug, Default)]
pub struct Found {
    /// The newest complete checkpoint.
    pub checkpoint: Option<Vec<u8>>,
    /// Messages: incomplete checkpoints, what was cut off.
    pub notes: Vec<String>,
}

impl Journal {
    /// Takes the directory and reads the newest complete checkpoint. Call `replay` next.
    ///
    /// # Errors
    /// The directory belongs to another hub, or none of its checkpoints is complete.
    pub fn open(dir: &Path, seed_check: u32) -> Result<(Journal, Found), Blocked> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        let lock = take_lock(dir)?;
        let mut found = Found::default();
        for name in names(dir)?.iter().filter(|n| n.ends_with(".tmp")) {
            let _ = fs::remove_file(dir.join(name));
        }
        let mut refused = Vec::new();
        let (mut position, mut part) = (0, 0);
        for place in numbered(dir, "checkpoint-")?.into_iter().rev() {
            let path = dir.join(checkpoint_name(place));
            let bytes = fs::read(&path).map_err(at(&path))?;
            match read_checkpoint(bytes, seed_check) {
                Ok((done, bytes)) => {
                    (position, part) = (done.position, done.part);
                    found.checkpoint = Some(bytes);
                    break;
                }
                Err(why) => refused.push(format!("{}: {why}", path.display())),
            }
        }
        if found.checkpoint.is_none()
            && let Some(why) = refused.first()
        {
            return Err(Blocked(format!(
                "{why}; no other checkpoint is there. The way out: put a copy of the directory back, or move \
                 its files away and start empty (what was learned is lost)"
            )));
        }
        found.notes = refused;
        let journal = Journal {
            dir: dir.to_path_buf(),
            seed_check,
            _lock: lock,
            open: None,
            last: (part.saturating_sub(1), 0),
            kept: Vec::new(),
            position,
            checkpoint: position,
            #[cfg(test)]
            fail_sync: false,
        };
        Ok((journal, found))
    }

    /// Hands every group after the checkpoint to `each`, in order. Returns messages: an incomplete end that
    /// was cut off.
    ///
    /// # Errors
    /// Damage, a missing segment, or a group that `each` refuses; with what to do about it.
    pub fn replay(&mut self, mut each: impl FnMut(&[u8]) -> bool) -> Result<Vec<String>, Blocked> {
        let mut notes = Vec::new();
        let first = self.last.0 + 1;
        let all = numbered(&self.dir, "segment-")?;
        for old in all.iter().filter(|n| **n < first) {
            // The crash came between a checkpoint and the removal of what it stands for.
            let _ = fs::remove_file(self.dir.join(segment_name(*old)));
        }
        let needed: Vec<u64> = all.into_iter().filter(|n| *n >= first).collect();
        let mut segments = Vec::new();
        for (i, number) in needed.iter().enumerate() {
            let path = self.dir.join(segment_name(*number));
            let bytes = fs::read(&path).map_err(at(&path))?;
            let is_last = i + 1 == needed.len();
            match read_header(&bytes, *number, self.seed_check) {
                Ok(header) => segments.push((path, bytes, header, *number)),
                // The header is durable before a group is written.
                Err(_) if is_last && bytes.len() as u64 <= HEADER => {
                    notes.push(format!("{}: torn before its first group, removed", path.display()));
                    fs::remove_file(&path).map_err(at(&path))?;
                }
                Err(why) => {
                    return Err(Blocked(format!(
                        "{} at byte 0: {why}. {}",
                        path.display(),
                        way_out(&path, None)
                    )));
                }
            }
        }
        for i in 0..segments.len() {
            let (path, bytes, header, number) = &segments[i];
            let missing = |number: u64| {
                Blocked(format!(
                    "{} is missing or not whole, and acknowledged groups follow. The way out: put a copy of the directory \
                     back, or move {} and all later segments out of the directory (what they hold is lost)",
                    self.dir.join(segment_name(number)).display(),
                    segment_name(number + 1)
                ))
            };
            if *number != first + i as u64 || header.first != self.position {
                return Err(missing(number - 1));
            }
            if segments.get(i + 1).is_some_and(|s| s.3 != number + 1) {
                return Err(missing(number + 1));
            }
            // How much of it counts: all, if nothing is said of it.
            let trusted = segments.get(i + 1).map(|s| s.2.before);
            let counts = trusted.map_or(bytes.len(), |t| usize::try_from(t).unwrap_or(usize::MAX));
            let mut offset = HEADER as usize;
            while offset < counts {
                match read_frame(bytes, offset, header.salt, self.position) {
                    Some(group) => {
                        if !each(group) {
                            return Err(Blocked(format!(
                                "{} at byte {offset}: a group of another layout. {}",
                                path.display(),
                                way_out(path, Some(offset))
                            )));
                        }
                        offset += AROUND + group.len();
                        self.position += 1;
                    }
                    None if trusted.is_none() && find_frame(bytes, offset + 1, header.salt).is_none() => {
                        notes.push(format!(
                            "{}: torn at byte {offset}, {} bytes cut off: nothing of them was acknowledged",
                            path.display(),
                            bytes.len() - offset
                        ));
                        let file = OpenOptions::new().write(true).open(path).map_err(at(path))?;
                        file.set_len(offset as u64).and_then(|()| file.sync_all()).map_err(at(path))?;
                        break;
                    }
                    None => {
                        return Err(Blocked(format!(
                            "{} at byte {offset}: damaged, and acknowledged groups follow. {}",
                            path.display(),
                            way_out(path, Some(offset))
                        )));
                    }
                }
            }
            self.kept.push((*number, offset as u64 - HEADER));
            self.last = (*number, offset as u64);
        }
        Ok(notes)
    }

    /// Begins a segment behind the last one.
    fn begin_segment(&mut self) -> Result<&mut Segment, StoreError> {
        let number = self.last.0 + 1;
        let path = self.dir.join(segment_name(number));
        let mut header = Vec::new();
        let mut w = Writer(&mut header);
        w.u64(SEGMENT);
        w.u64(number);
        w.u64(self.position);
        w.u32(self.seed_check);
        w.u64(self.last.1);
        let salt = salt();
        w.u32(salt);
        let sum = wire::checksum(&header);
        Writer(&mut header).u32(sum);
        let made =
            OpenOptions::new().write(true).create(true).truncate(true).open(&path).and_then(|mut f| {
                f.write_all(&header)?;
                f.sync_all()?;
                sync_dir(&self.dir)?;
                Ok(f)
            });
        let file = made.inspect_err(|_| {
            let _ = fs::remove_file(&path);
        })?;
        self.last = (number, HEADER);
        self.kept.push((number, 0));
        Ok(self.open.insert(Segment { file, number, good: HEADER, written: HEADER, salt }))
    }

    /// The open segment is not trusted any more, beyond what was durable.
    fn distrust(&mut self) {
        if let Some(s) = self.open.take() {
            // Gives the room back. That it may not last does not matter: the next header says what counts.
            let _ = s.file.set_len(s.good);
            self.last = (s.number, s.good);
        }
    }

    fn write(&mut self, group: &[u8]) -> io::Result<()> {
        let position = self.position;
        let Some(s) = &mut self.open else { return Ok(()) };
        let head = frame_head(position, s.salt, group);
        s.file.write_all(&head)?;
        s.file.write_all(group)?;
        s.written += (head.len() + group.len()) as u64;
        Ok(())
    }
}

impl Store for Journal {
    fn append(&mut self, group: &[u8]) -> Result<(), StoreError> {
        if group.len() > GROUP_BYTES {
            return Err(StoreError::Failed(format!("a group of {} bytes", group.len())));
        }
        if self.open.as_ref().is_some_and(|s| s.good >= SEGMENT_BYTES) {
            self.open = None;
        }
        if self.open.is_none() {
            self.begin_segment()?;
        }
        self.write(group).map_err(|e| {
            self.distrust();
            e.into()
        })
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let Some(s) = &mut self.open else { return Ok(()) };
        if s.written == s.good {
            return Ok(());
        }
        let done = s.file.sync_data();
        #[cfg(test)]
        let done = if std::mem::take(&mut self.fail_sync) { Err(io::Error::other("fsync")) } else { done };
        if let Err(e) = done {
            self.distrust();
            return Err(e.into());
        }
        s.good = s.written;
        self.position += 1;
        self.last = (s.number, s.good);
        if let Some(kept) = self.kept.last_mut() {
            kept.1 = s.good - HEADER;
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<Checkpoint, StoreError> {
        if self.open.as_ref().is_none_or(|s| s.good != HEADER) {
            self.open = None;
            self.begin_segment()?;
        }
        let done = Done { position: self.position, part: self.last.0 };
        let (dir, seed_check) = (self.dir.clone(), self.seed_check);
        Ok(Box::new(move |parts| {
            write_checkpoint(&dir, done, seed_check, parts)?;
            Ok(done)
        }))
    }

    fn cut(&mut self, done: &Done) -> Result<(), StoreError> {
        self.checkpoint = done.position;
        self.kept.retain(|(number, _)| *number >= done.part);
        let numbers = |prefix| numbered(&self.dir, prefix).map_err(|e| StoreError::Failed(e.0));
        for old in numbers("checkpoint-")?.into_iter().filter(|p| *p < done.position) {
            fs::remove_file(self.dir.join(checkpoint_name(old)))?;
        }
        for old in numbers("segment-")?.into_iter().filter(|n| *n < done.part) {
            fs::remove_file(self.dir.join(segment_name(old)))?;
        }
        Ok(())
    }

    fn status(&self) -> StoreStatus {
        StoreStatus {
            position: self.position,
            checkpoint: self.checkpoint,
            bytes: self.kept.iter().map(|k| k.1).sum(),
            parts: self.kept.len() as u64,
            lost: false,
        }
    }
}

fn way_out(path: &Path, offset: Option<usize>) -> String {
    let cut = offset.map_or_else(
        || format!("move {} and all later segments out of the directory", path.display()),
        |o| format!("`truncate -s {o} {}` and move all later segments out of the directory", path.display()),
    );
    format!("The way out: put a copy of the directory back, or {cut} (what stands there and behind is lost)")
}

fn take_lock(dir: &Path) -> Result<File, Blocked> {
    let path = dir.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(at(&path))?;
    if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        let owner = fs::read_to_string(&path).unwrap_or_default();
        return Err(Blocked(format!(
            "{}: another hub (process {}) uses this directory",
            dir.display(),
            owner.trim()
        )));
    }
    // For people only; a full disk is no reason not to start.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn names(dir: &Path) -> Result<Vec<String>, Blocked> {
    let mut out = Vec::new();
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        out.extend(entry.map_err(at(dir))?.file_name().into_string());
    }
    Ok(out)
}

/// Numbers of the files of a kind, in order.
fn numbered(dir: &Path, prefix: &str) -> Result<Vec<u64>, Blocked> {
    let all = names(dir)?;
    let mut out: Vec<u64> = all.iter().filter_map(|n| n.strip_prefix(prefix)?.parse().ok()).collect();
    out.sort_unstable();
    Ok(out)
}

struct Header {
    first: u64,
    /// Bytes of the segment before that count.
    before: u64,
    salt: u32,
}

fn salt() -> u32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    (hash::mix(now.as_nanos() as u64 ^ u64::from(std::process::id()) << 40) >> 32) as u32
}

fn read_header(bytes: &[u8], number: u64, seed_check: u32) -> Result<Header, &'static str> {
    let mut r = Reader(bytes);
    let head = (r.u64(), r.u64(), r.u64(), r.u32(), r.u64(), r.u32(), r.u32());
    let (Some(SEGMENT), Some(n), Some(first), Some(seed), Some(before), Some(salt), Some(sum)) = head else {
        return Err("no segment's header");
    };
    if bytes.get(..HEADER as usize - 4).map(wire::checksum) != Some(sum) || n != number {
        return Err("the header is damaged");
    }
    if seed != seed_check {
        return Err("written under another seed");
    }
    Ok(Header { first, before, salt })
}

fn sum_of(head: &[u8], salt: u32, group: &[u8]) -> u32 {
    (wire::checksum(head) ^ salt).rotate_left(1) ^ wire::checksum(group)
}

fn frame_head(position: u64, salt: u32, group: &[u8]) -> Vec<u8> {
    let mut head = Vec::with_capacity(AROUND);
    let mut w = Writer(&mut head);
    w.u32(FRAME);
    w.u32(group.len() as u32);
    w.u64(position);
    let sum = sum_of(&head, salt, group);
    Writer(&mut head).u32(sum);
    head
}

/// The frame that begins here, with its position.
fn any_frame(bytes: &[u8], offset: usize, salt: u32) -> Option<(u64, &[u8])> {
    let mut r = Reader(bytes.get(offset..)?);
    if r.u32()? != FRAME {
        return None;
    }
    let len = r.u32()? as usize;
    let (position, sum) = (r.u64()?, r.u32()?);
    let group = r.bytes(len).filter(|_| len <= GROUP_BYTES)?;
    let head = bytes.get(offset..offset + AROUND - 4)?;
    (sum_of(head, salt, group) == sum).then_some((position, group))
}

fn read_frame(bytes: &[u8], offset: usize, salt: u32, position: u64) -> Option<&[u8]> {
    any_frame(bytes, offset, salt).filter(|f| f.0 == position).map(|f| f.1)
}

/// A whole frame at `from` or behind.
fn find_frame(bytes: &[u8], from: usize, salt: u32) -> Option<usize> {
    let magic = FRAME.to_le_bytes();
    let rest = bytes.get(from..)?;
    memchr::memmem::find_iter(rest, &magic).map(|i| from + i).find(|i| any_frame(bytes, *i, salt).is_some())
}

fn write_checkpoint(dir: &Path, done: Done, seed_check: u32, parts: &[Vec<u8>]) -> io::Result<()> {
    let (path, temp) = (dir.join(checkpoint_name(done.position)), dir.join("checkpoint.tmp"));
    let mut head = Vec::new();
    let mut w = Writer(&mut head);
    w.u64(CHECKPOINT);
    w.u64(done.position);
    w.u64(done.part);
    w.u32(seed_check);
    w.u32(parts.len() as u32);
    for part in parts {
        w.u64(part.len() as u64);
        w.u32(wire::checksum(part));
    }
    let sum = wire::checksum(&head);
    Writer(&mut head).u32(sum);
    let written = (|| {
        let mut file = File::create(&temp)?;
        file.write_all(&head)?;
        for piece in parts.iter().flat_map(|p| p.chunks(CHECKPOINT_PIECE)) {
            file.write_all(piece)?;
            file.sync_data()?;
        }
        file.sync_all()?;
        fs::rename(&temp, &path)?;
        sync_dir(dir)
    })();
    written.inspect_err(|_| {
        let _ = fs::remove_file(&temp);
    })
}

/// Reads a checkpoint file: its position, and its parts joined.
///
/// # Errors
/// What is wrong with it.
pub fn read_checkpoint(mut bytes: Vec<u8>, seed_check: u32) -> Result<(Done, Vec<u8>), &'static str> {
    const SHORT: &str = "no checkpoint, damaged, or cut short";
    let mut r = Reader(&bytes);
    let head = (r.u64(), r.u64(), r.u64(), r.u32(), r.u32());
    let (Some(CHECKPOINT), Some(position), Some(part), Some(seed), Some(count)) = head else {
        return Err(SHORT);
    };
    let mut parts = Vec::new();
    for _ in 0..count {
        parts.push((r.u64().ok_or(SHORT)?, r.u32().ok_or(SHORT)?));
    }
    let of_head = bytes.len() - r.0.len();
    if r.u32() != Some(wire::checksum(&bytes[..of_head])) {
        return Err(SHORT);
    }
    for (len, sum) in parts {
        let part = usize::try_from(len).ok().and_then(|n| r.bytes(n)).ok_or(SHORT)?;
        if wire::checksum(part) != sum {
            return Err(SHORT);
        }
    }
    if !r.0.is_empty() {
        return Err(SHORT);
    }
    if seed != seed_check {
        return Err("written under another seed");
    }
    bytes.drain(..of_head + 4);
    Ok((Done { position, part }, bytes))
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
