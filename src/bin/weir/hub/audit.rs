//! The audit log: every decision of people and every change of a verdict is a line of an append-only file,
//! chained by hashes (`weir audit`).
//!
//! A decision's line is on disk before the decision is taken, so none is in force without a line. Changes of
//! verdicts are written as they are published, and reach the disk with the next decision, at the end, or when
//! the system writes them back. A file of more than 64 MiB is renamed and a new one continues its chain.

use super::acts::Act;
use super::core::Hub;
use super::events::Events;
use super::{log, tell};
use crate::audit::chain::{self, Head};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use weir::engine::value::KeyId;

/// Size of a file above which it is renamed, bytes.
pub const FILE_BYTES: u64 = 64 << 20;
/// Keys in a line, at most.
const KEYS: usize = 500;

pub struct Audit {
    path: PathBuf,
    file: File,
    /// Bytes of complete lines.
    len: u64,
    head: Head,
    most: u64,
    failures: u64,
    /// Campaign of each convicted key as last written, and the open cases.
    keys: HashMap<u64, u32>,
    cases: BTreeSet<u32>,
    events: Events,
    /// Those of the open cases that are in force only where they were seen.
    withheld: BTreeSet<u32>,
}

impl Audit {
    /// Continues the chain of the file, or of the one that was renamed last. An incomplete last line is cut
    /// off, and that is told. `events` is told of changes, too.
    ///
    /// # Errors
    /// The file cannot be read or written, or its last line was altered.
    pub fn open(path: &Path, events: Events) -> io::Result<Audit> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let (mut head, len, torn) = tail(&mut file)?;
        if head.is_none() {
            let old = renamed(path)?.pop();
            head = old.map(|old| tail(&mut File::open(old)?)).transpose()?.and_then(|t| t.0);
        }
        file.set_len(len)?;
        let mut audit = Audit {
            path: path.to_path_buf(),
            file,
            len,
            head: head.unwrap_or_default(),
            most: FILE_BYTES,
            failures: 0,
            keys: HashMap::new(),
            cases: BTreeSet::new(),
            events,
            withheld: BTreeSet::new(),
        };
        if torn > 0 {
            audit.write("torn", &json!({"bytes": torn}))?;
        }
        Ok(audit)
    }

    pub fn head(&self) -> &Head {
        &self.head
    }
    pub fn failures(&self) -> u64 {
        self.failures
    }

    fn write(&mut self, event: &str, fields: &Value) -> io::Result<()> {
        let t = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (line, head) = self.head.next(t.as_millis() as u64, event, fields);
        if self.len >= self.most {
            self.rename()?;
        }
        if let Err(e) = self.file.write_all(line.as_bytes()) {
            // Half a line is no line.
            let _ = self.file.set_len(self.len);
            return Err(e);
        }
        (self.len, self.head) = (self.len + line.len() as u64, head);
        Ok(())
    }

    fn rename(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, beside(&self.path, &format!("-{:012}", self.head.n)))?;
        self.file = OpenOptions::new().read(true).append(true).create(true).open(&self.path)?;
        self.len = 0;
        log::info("audit_renamed", json!({"n": self.head.n, "head": self.head.hash}));
        Ok(())
    }

    fn or_warn(&mut self, done: io::Result<()>) {
        if let Err(e) = done {
            if self.failures == 0 {
                let consequence = "acts are refused; changes of verdicts are not in the audit log";
                log::warn("audit_failed", json!({"message": e.to_string(), "consequence": consequence}));
            }
            self.failures += 1;
        }
    }

    /// Writes the state of the hub at a start or at the end, and waits until it is on disk. From now on
    /// changes are told.
    pub fn mark(&mut self, event: &str, hub: &Hub, position: u64) {
        let (keys, cases) = hub.published();
        self.keys = keys.into_iter().map(|k| (k.key, k.campaign)).collect();
        (self.cases, self.withheld) = (cases, hub.withheld());
        let fields = json!({
            "position": position, "cases": self.cases.len(), "convicted": self.keys.len(), "exceptions": hub.book().acts().count(),
        });
        let done = self.write(event, &fields).and_then(|()| self.file.sync_data());
        self.or_warn(done);
        log::info("audit", json!({"n": self.head.n, "head": self.head.hash}));
    }

    /// Writes a decision of people that is about to be taken, and waits until it is on disk.
    ///
    /// # Errors
    /// It is not on disk: the decision must not be taken.
    pub fn act(&mut self, act: &Act) -> io::Result<()> {
        let done = self.write("act", &tell::act(act)).and_then(|()| self.file.sync_data());
        if let Err(e) = &done {
            self.or_warn(Err(io::Error::new(e.kind(), e.to_string())));
        }
        done
    }

    /// Tells that the last decision is in force.
    pub fn taken(&self, act: &Act) {
        self.events.say("act", &tell::act(act));
    }

    /// Writes that the last decision was not taken after all.
    pub fn not_taken(&mut self, why: &str) {
        let done = self.write("act_not_taken", &json!({"n_of_act": self.head.n, "why": why}));
        self.or_warn(done);
    }

    /// Writes decisions that have ended by themselves.
    pub fn ended(&mut self, acts: &[Act]) {
        for a in acts {
            let fields = json!({a.name.kind(): a.name.text(), "verb": a.verb.name()});
            self.events.say("exception_ended", &fields);
            let done = self.write("exception_ended", &fields);
            self.or_warn(done);
        }
    }

    /// Writes the changes of what was published since the last call.
    pub fn published(&mut self, hub: &Hub) {
        let (keys, cases) = hub.published();
        let now: HashMap<u64, u32> = keys.into_iter().map(|k| (k.key, k.campaign)).collect();
        let mut lines: Vec<(&str, Value)> = Vec::new();
        let number = |c: &u32| format!("{c:08x}");
        let withheld = hub.withheld();
        let told = |c: &u32| json!({"case": number(c), "in_force": tell::in_force(hub, *c)});
        lines.extend(cases.difference(&self.cases).map(|c| ("case_opened", told(c))));
        let moved =
            cases.intersection(&self.cases).filter(|c| withheld.contains(c) != self.withheld.contains(c));
        lines.extend(moved.map(|c| ("case_in_force", told(c))));
        let mut of: BTreeMap<(bool, u32), Vec<u64>> = BTreeMap::new();
        let fresh = now.iter().filter(|(k, c)| self.keys.get(k) != Some(c));
        fresh.for_each(|(k, c)| of.entry((true, *c)).or_default().push(*k));
        let gone = self.keys.iter().filter(|(k, _)| !now.contains_key(k));
        gone.for_each(|(k, c)| of.entry((false, *c)).or_default().push(*k));
        for ((convicted, campaign), mut keys) in of {
            keys.sort_unstable();
            for some in keys.chunks(KEYS) {
                let keys: Vec<String> = some.iter().map(|k| KeyId(*k).to_string()).collect();
                let event = if convicted { "convicted" } else { "acquitted" };
                lines.push((event, json!({"case": number(&campaign), "keys": keys})));
            }
        }
        lines.extend(self.cases.difference(&cases).map(|c| ("case_ended", json!({"case": number(c)}))));
        for (event, fields) in &lines {
            self.events.say(event, fields);
            let done = self.write(event, fields);
            self.or_warn(done);
        }
        (self.keys, self.cases, self.withheld) = (now, cases, withheld);
    }
}

/// The same file name with `mark` before its extension.
fn beside(path: &Path, mark: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let ending = path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}{mark}{ending}"))
}

/// The renamed files, in order.
fn renamed(path: &Path) -> io::Result<Vec<PathBuf>> {
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut out = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let number = |n: &str| n.len() == 12 && n.bytes().all(|b| b.is_ascii_digit());
        let digits = name.rsplit_once('-').map(|(_, r)| r.split('.').next().unwrap_or_default().to_string());
        if let Some(d) = digits.filter(|d| number(d))
            && path.with_file_name(&name) == beside(path, &format!("-{d}"))
        {
            out.push(path.with_file_name(name));
        }
    }
    out.sort();
    Ok(out)
}

/// The head at the end of a file, the bytes of its complete lines, and the bytes after them.
fn tail(file: &mut File) -> io::Result<(Option<Head>, u64, u64)> {
    let size = file.metadata()?.len();
    let from = size.saturating_sub(2 * chain::LINE_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let Some(end) = bytes.iter().rposition(|b| *b == b'\n') else {
        let begun = bytes.iter().zip(b"{\"n\":").all(|(a, b)| a == b);
        return if begun { Ok((None, 0, size)) } else { Err(io::Error::other("it is no audit log")) };
    };
    let whole = &bytes[..end];
    let line = &whole[whole.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1)..];
    let link = chain::read(line).ok_or_else(|| {
        io::Error::other("the last line is not as it was written: look with `weir audit verify`, and move the file away to begin anew")
    })?;
    let len = from + end as u64 + 1;
    Ok((Some(Head { n: link.n, hash: link.hash.into() }), len, size - len))
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
