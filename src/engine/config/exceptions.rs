//! `exceptions`: decisions of people on a key, a template, a network or a case, for a node without a hub.
//!
//! Each entry is signed with the policy's seed (SipHash-1-3, 64 bits), says who decided it and why, and
//! expires. So whoever may write the configuration but does not have the seed cannot release or deny anybody
//! with it. `weir except` makes entries.

use super::Problems;
use super::read::{Object, quote};
use crate::engine::hash::{Purpose, Seed, sip13};
use crate::engine::sort;
use crate::engine::time::parse_time;
use crate::engine::verdict::{ALLOWED, DENIED, RELEASED};
use serde_json::Value;

/// Largest number of entries.
pub const MOST: usize = 1_024;
/// Longest `by` and longest `reason`, bytes.
pub const TEXT_BYTES: usize = 256;
/// Verbs, the decision that each stands for, and the prefixes of ids that it may be of (`""`: 8 hexadecimal
/// digits, the number of a case).
const VERBS: [(&str, u32, &[&str]); 3] = [
    ("release", RELEASED, &["kid:", "tid:", "nid:", ""]),
    ("allow", ALLOWED, &["kid:", "tid:", "nid:"]),
    ("deny", DENIED, &["kid:"]),
];

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Exception {
    /// Id of the key or value, or the number of the case.
    id: u64,
    /// The decision: `RELEASED`, `ALLOWED` or `DENIED`.
    what: u32,
    /// End of the exception, seconds since the epoch.
    until_s: u32,
}

/// All entries, sorted by id. 16 bytes each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exceptions(Vec<Exception>);

impl Exceptions {
    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// The decision on an id: `RELEASED`, `ALLOWED` or `DENIED` of `verdict`; 0 if there is none or it has
    /// expired.
    pub fn of(&self, id: u64, now_s: u32) -> u32 {
        let at = self.0.binary_search_by_key(&id, |e| e.id).ok();
        at.and_then(|at| self.0.get(at)).filter(|e| e.until_s >= now_s).map_or(0, |e| e.what)
    }
    /// The strongest decision on any of these ids; 0 if there is none.
    pub fn of_any(&self, ids: &[u64], now_s: u32) -> u32 {
        if self.is_empty() { 0 } else { ids.iter().map(|id| self.of(*id, now_s)).max().unwrap_or(0) }
    }
    /// Ids that are released or allowed now: the ledger convicts none of them.
    pub fn freed(&self, now_s: u32) -> impl Iterator<Item = u64> {
        self.0.iter().filter(move |e| e.what != DENIED && e.until_s >= now_s).map(|e| e.id)
    }
}

/// The signature of an entry: of its verb, its id, its end, its author and its reason, as they are written.
/// No part may hold a line end.
pub fn signature(seed: &Seed, parts: [&str; 5]) -> u64 {
    sip13(seed.key(Purpose::Exception), parts.join("\n").as_bytes())
}

/// The id in `of`; `None` if it has none of the prefixes.
fn id(of: &str, prefixes: &[&str]) -> Option<u64> {
    let prefix = prefixes.iter().find(|p| of.starts_with(**p))?;
    let digits = of.strip_prefix(prefix)?;
    let wanted = if prefix.is_empty() { 8 } else { 16 };
    let plain = digits.len() == wanted && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(digits, 16).ok().filter(|_| plain)
}

/// Problems of an object `{"exceptions": […]}`.
pub fn problems(v: &Value, seed: &Seed) -> Problems {
    let mut p = Problems::default();
    read(&mut Object::new(v, String::new(), &mut p), Some(seed), &mut p);
    p
}

/// Reads `exceptions` of the configuration.
pub(super) fn read(top: &mut Object<'_>, seed: Option<&Seed>, p: &mut Problems) -> Exceptions {
    let list = top.list("exceptions", p).map(Vec::as_slice).unwrap_or_default();
    if list.len() > MOST {
        p.add("exceptions", format_args!("has {} entries, at most {MOST} are allowed", list.len()));
        return Exceptions::default();
    }
    let mut out: Vec<Exception> = Vec::with_capacity(list.len());
    for (at, v) in list.iter().enumerate() {
        let path = format!("exceptions[{at}]");
        let mut e = Object::new(v, path.clone(), p);
        let mut found = None;
        let verbs = VERBS.iter().filter(|v| e.has(v.0)).count();
        for (verb, what, prefixes) in VERBS {
            let Some(of) = e.string(verb, p) else { continue };
            match id(of, prefixes) {
                Some(id) => found = Some((verb, what, of, id)),
                None => {
                    let or =
                        prefixes.iter().map(|p| if p.is_empty() { "a case" } else { p }).collect::<Vec<_>>();
                    e.problem(
                        verb,
                        format_args!("is {}, must be one of {} and its digits", quote(of), or.join(", ")),
                        p,
                    );
                }
            }
        }
        let [until, by, reason, signed] =
            ["until", "by", "reason", "signature"].map(|key| e.string(key, p).unwrap_or(""));
        e.finish(p);
        if verbs != 1 {
            p.add(&path, "must have one of release, allow and deny");
        }
        let Some((verb, what, of, id)) = found.filter(|_| verbs == 1) else { continue };
        let end = parse_time(until.as_bytes()).and_then(|t| u32::try_from(t.secs()).ok());
        let bad = |t: &&str| t.is_empty() || t.len() > TEXT_BYTES || t.contains(char::is_control);
        if end.is_none() || until.contains(char::is_control) {
            p.add(&path, "has no time until: when it ends, such as 2026-12-24T00:00:00Z");
        } else if [by, reason].iter().any(bad) {
            p.add(
                &path,
                format_args!(
                    "must say in by and reason who decided it and why, in at most {TEXT_BYTES} bytes each"
                ),
            );
        } else if seed
            .is_none_or(|s| format!("{:016x}", signature(s, [verb, of, until, by, reason])) != signed)
        {
            p.add(&path, "is not signed with the policy's seed: make the line with weir except, and change nothing in it");
        }
        out.extend(end.map(|until_s| Exception { id, what, until_s }));
    }
    // Of two lines of one id the later end counts, then the stronger.
    sort::by_key(&mut out, |e| (e.id, std::cmp::Reverse((e.until_s, e.what))));
    out.dedup_by_key(|e| e.id);
    Exceptions(out)
}
