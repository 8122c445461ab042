//! The content of logs, by key and by campaign: decision records, and lines of `weir replay --decisions`.

use crate::explain::record::{self, Group, Own, Record};
use crate::lines::{Item, Lines, MAX_LINE};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;
use weir::engine::verdict::Action;

/// Malformed lines that are listed, at most.
const NAMED: u64 = 20;
/// Longest label, bytes.
const MAX_LABEL: usize = 128;
/// Number that stands for no campaign.
pub const NONE: &str = "00000000";
/// Index of the action tag in counts.
pub const TAG: usize = 1;
pub const BLOCK: usize = 3;

/// Counts by action: allow, tag, throttle, block.
pub type Counts = [u64; 4];

/// A line of `weir replay --decisions`; 24 bytes of a request are kept.
#[derive(Clone, Copy)]
pub struct Line {
    pub t_ms: u64,
    /// Index in `Logs::keys`.
    pub key: u32,
    pub would: u8,
    pub done: u8,
}

/// Content of the logs on one key.
#[derive(Default)]
pub struct Key {
    pub name: String,
    pub policy: String,
    pub label: Option<String>,
    /// Requests (lines, and records of workers) by what was decided, and by what was done.
    pub lines: (Counts, Counts),
    pub records: (Counts, Counts),
    /// Time of the first block (ms), by whichever record, with the requests that the ledger knew of the key
    /// by then, that one included.
    pub blocked_ms: Option<u64>,
    pub at_block: u64,
    /// Most requests of it that the ledger knew of.
    pub requests: u64,
    pub reason: String,
    pub case: Option<String>,
    pub campaign: String,
    pub own: Option<Own>,
}

/// Content of the logs on one campaign.
#[derive(Default)]
pub struct Campaign {
    pub policy: String,
    pub modes: BTreeSet<String>,
    pub first_ms: u64,
    pub last_ms: u64,
    pub since_s: u64,
    /// Case ids told to clients.
    pub cases: BTreeSet<String>,
    /// Times (ms) of each key's first record of it and of its first block.
    pub seen: BTreeMap<String, u64>,
    pub blocked: BTreeMap<String, u64>,
    /// The strongest evidence, and when it was written (ms).
    pub best: Option<(u64, Group)>,
    /// Keys and requests counted by the ledger, by time (ms).
    pub growth: BTreeMap<u64, (u64, u64)>,
    pub first_block: Option<(u64, String)>,
}

/// Content of all logs.
#[derive(Default)]
pub struct Logs {
    pub keys: Vec<Key>,
    places: HashMap<String, u32>,
    pub campaigns: BTreeMap<String, Campaign>,
    pub lines: Vec<Line>,
    /// Counts of workers' records by hour and by what was decided.
    pub hours: BTreeMap<u64, Counts>,
    pub reasons: BTreeMap<(String, String), (u64, BTreeSet<u32>)>,
    pub modes: BTreeMap<String, u64>,
    pub from_ms: u64,
    pub to_ms: u64,
    pub files: u64,
    pub records: u64,
    pub at_ledger: u64,
    pub malformed: u64,
    /// Number of lines of any kind.
    pub read: u64,
}

#[derive(Deserialize)]
struct Decided {
    #[serde(default)]
    t_ms: Option<u64>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    would: Option<String>,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

pub fn place(action: &str) -> Option<usize> {
    Action::ALL.iter().position(|a| a.name() == action)
}

/// A label that is safe to show: short, without control characters; `None` if nothing is left.
pub fn label(text: &str) -> Option<String> {
    (text.len() <= MAX_LABEL && !text.chars().any(char::is_control)).then(|| text.to_string())
}

impl Logs {
    /// Reads one log. Malformed records are named and skipped.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&mut self, path: &Path) -> io::Result<()> {
        self.files += 1;
        let mut lines = Lines::open(path)?;
        let mut number = 0u64;
        while let Some(item) = lines.next()? {
            number += 1;
            self.read += 1;
            let done = match item {
                Item::TooLong => Err(format!("line is longer than {MAX_LINE} bytes")),
                Item::Line(text) if text.starts_with(b"{\"i\":") => self.decided(text),
                Item::Line(text) => match record::find(text) {
                    None => Ok(()),
                    Some(found) => found.and_then(|(r, _)| self.take(r)),
                },
            };
            if let Err(e) = done {
                self.malformed += 1;
                if self.malformed <= NAMED {
                    eprintln!("{}:{number}: malformed record: {e}", path.display());
                }
            }
        }
        Ok(())
    }

    /// Sets the label of a key. A key that is in no log is ignored.
    pub fn label(&mut self, key: &str, label: String) {
        if let Some(k) = self.places.get(key).and_then(|at| self.keys.get_mut(*at as usize)) {
            k.label = Some(label);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.records == 0 && self.lines.is_empty()
    }

    fn key(&mut self, name: &str) -> usize {
        if let Some(at) = self.places.get(name) {
            return *at as usize;
        }
        let at = self.keys.len();
        self.places.insert(name.to_string(), u32::try_from(at).unwrap_or(u32::MAX));
        self.keys.push(Key { name: name.to_string(), campaign: NONE.into(), ..Key::default() });
        at
    }

    /// A key in the logs.
    pub fn find(&self, name: &str) -> Option<&Key> {
        self.keys.get(*self.places.get(name)? as usize)
    }

    fn span(&mut self, t_ms: u64) {
        let first = self.records == 0 && self.lines.is_empty();
        self.from_ms = if first { t_ms } else { self.from_ms.min(t_ms) };
        self.to_ms = self.to_ms.max(t_ms);
    }

    fn decided(&mut self, text: &[u8]) -> Result<(), String> {
        let d: Decided = serde_json::from_slice(text).map_err(|e| e.to_string())?;
        if d.error.is_some() {
            return Ok(());
        }
        let (Some(t_ms), Some(key)) = (d.t_ms, d.key.filter(|k| record::is_id(k, "kid:"))) else {
            return Err("a line of `weir replay --decisions` without `t_ms` and `key`: write it anew with this version".into());
        };
        let action = |a: Option<String>| a.as_deref().and_then(place).ok_or("is no decision that is known");
        let (done, would) = (action(d.action)?, action(d.would)?);
        self.span(t_ms);
        let at = self.key(&key);
        let k = &mut self.keys[at];
        k.lines.0[would] += 1;
        k.lines.1[done] += 1;
        if let Some(l) = d.label.as_deref().and_then(label) {
            k.label = Some(l);
        }
        let key = u32::try_from(at).map_err(|_| "more than 4,294,967,295 keys")?;
        self.lines.push(Line { t_ms, key, would: would as u8, done: done as u8 });
        Ok(())
    }

    fn take(&mut self, r: Record) -> Result<(), String> {
        let action = |a: &str| place(a).ok_or("its action is none that is known");
        let (would, done) = (action(&r.would)?, action(&r.action)?);
        self.span(r.t_ms);
        self.records += 1;
        let at_ledger = r.at.as_deref() == Some("ledger");
        let at = self.key(&r.key);
        if at_ledger {
            self.at_ledger += 1;
        } else {
            self.hours.entry(r.t_ms / 3_600_000).or_default()[would] += 1;
            *self.modes.entry(r.mode.clone()).or_default() += 1;
            let reason = self.reasons.entry((r.reason.clone(), r.would.clone())).or_default();
            reason.0 += 1;
            reason.1.insert(u32::try_from(at).unwrap_or(u32::MAX));
        }
        let known = r.evidence.requests.max(r.own.as_ref().map_or(0, |o| o.requests));
        let k = &mut self.keys[at];
        k.policy.clone_from(&r.policy);
        k.requests = k.requests.max(known);
        if !at_ledger {
            k.records.0[would] += 1;
            k.records.1[done] += 1;
        }
        if would == BLOCK {
            match k.blocked_ms {
                Some(t) if t < r.t_ms => {}
                Some(t) if t == r.t_ms => k.at_block = k.at_block.max(known),
                _ => (k.blocked_ms, k.at_block) = (Some(r.t_ms), known),
            }
        }
        let hard = would >= k.reason_rank();
        if hard {
            k.reason.clone_from(&r.reason);
            if r.case.is_some() {
                k.case.clone_from(&r.case);
            }
            if r.campaign != NONE {
                k.campaign.clone_from(&r.campaign);
            }
        }
        self.campaign(&r, would);
        let k = &mut self.keys[at];
        if r.own.is_some() && (hard || k.own.is_none()) {
            k.own = r.own;
        }
        Ok(())
    }

    fn campaign(&mut self, r: &Record, would: usize) {
        if r.campaign == NONE || would < TAG || !record::is_hex(&r.campaign, 8) {
            return;
        }
        let c = self.campaigns.entry(r.campaign.clone()).or_default();
        if c.seen.is_empty() {
            (c.first_ms, c.last_ms) = (r.t_ms, r.t_ms);
        }
        c.policy.clone_from(&r.policy);
        c.modes.insert(r.mode.clone());
        c.first_ms = c.first_ms.min(r.t_ms);
        c.last_ms = c.last_ms.max(r.t_ms);
        c.cases.extend(r.case.iter().cloned());
        let earliest = |map: &mut BTreeMap<String, u64>| {
            let t = map.entry(r.key.clone()).or_insert(r.t_ms);
            *t = (*t).min(r.t_ms);
        };
        earliest(&mut c.seen);
        if would == BLOCK {
            earliest(&mut c.blocked);
            if c.first_block.as_ref().is_none_or(|f| r.t_ms < f.0) {
                c.first_block = Some((r.t_ms, r.reason.clone()));
            }
        }
        let Some(g) = r.group.as_ref().filter(|g| g.campaign == r.campaign || g.campaign.is_empty()) else {
            return;
        };
        if g.since_s > 0 && (c.since_s == 0 || g.since_s < c.since_s) {
            c.since_s = g.since_s;
        }
        let at = c.growth.entry(r.t_ms).or_default();
        *at = ((at.0).max(g.keys), (at.1).max(g.requests));
        let rank = |g: &Group| (!g.explanations.is_empty(), g.state == "confirmed", g.nats.unwrap_or(0));
        if c.best.as_ref().is_none_or(|(_, b)| rank(g) >= rank(b)) {
            c.best = Some((r.t_ms, g.clone()));
        }
    }
}

impl Key {
    /// Index of the hardest verdict so far.
    fn reason_rank(&self) -> usize {
        self.records.0.iter().rposition(|n| *n > 0).unwrap_or(0).max(if self.blocked_ms.is_some() {
            BLOCK
        } else {
            0
        })
    }
    pub fn is_blocked(&self) -> bool {
        self.blocked_ms.is_some() || self.lines.0[BLOCK] > 0
    }
    /// Number of requests: lines, or what the ledger knew of if that is more.
    pub fn count(&self) -> u64 {
        let lines: u64 = self.lines.0.iter().sum();
        lines.max(self.requests)
    }
}
