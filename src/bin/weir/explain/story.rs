//! What the logs hold on one key: changes of its verdict in order, and the most informative record.

use super::record::Record;
use crate::figures;
use std::collections::BTreeSet;

/// Changes shown at each end of a long history.
const SHOWN: usize = 8;
/// Changes kept of one key.
const KEPT: usize = 10_000;

/// A run of equal records of one key.
struct Run {
    first_ms: u64,
    records: u64,
    mode: String,
    action: String,
    would: String,
    reason: String,
}

/// All records of one key under one policy.
pub struct Story {
    pub cases: BTreeSet<String>,
    first_ms: u64,
    last_ms: u64,
    records: u64,
    runs: Vec<Run>,
    /// The most informative record: the hardest verdict; of those one with evidence; of those the latest.
    pub best: Record,
}

fn severity(would: &str) -> u8 {
    match would {
        "block" => 3,
        "throttle" => 2,
        "tag" => 1,
        _ => 0,
    }
}

impl Story {
    pub fn new(r: Record) -> Story {
        let mut s = Story {
            cases: r.case.iter().cloned().collect(),
            first_ms: r.t_ms,
            last_ms: r.t_ms,
            records: 1,
            runs: Vec::new(),
            best: r,
        };
        s.runs.push(Run::new(&s.best));
        s
    }

    pub fn add(&mut self, r: Record) {
        self.records += 1;
        self.first_ms = self.first_ms.min(r.t_ms);
        self.last_ms = self.last_ms.max(r.t_ms);
        self.cases.extend(r.case.iter().cloned());
        let room = self.runs.len() < KEPT;
        match self.runs.last_mut() {
            Some(run) if run.continues(&r) => run.records += 1,
            _ if room => self.runs.push(Run::new(&r)),
            _ => {}
        }
        let rank = |r: &Record| (severity(&r.would), r.group.is_some(), r.t_ms);
        if rank(&r) >= rank(&self.best) {
            self.best = r;
        }
    }

    pub fn history(&self, out: &mut String) {
        out.push_str(&format!(
            "What was done ({}, {} to {})\n",
            figures::count(self.records, "record", "records"),
            figures::utc(self.first_ms / 1000),
            figures::utc(self.last_ms / 1000)
        ));
        let mut runs: Vec<&Run> = self.runs.iter().collect();
        runs.sort_by_key(|r| r.first_ms);
        for (i, r) in runs.iter().enumerate() {
            if i >= SHOWN && i + SHOWN < runs.len() {
                if i == SHOWN {
                    out.push_str(&format!("  … {} changes more\n", runs.len() - 2 * SHOWN));
                }
                continue;
            }
            let done = match () {
                () if r.action == r.would => String::new(),
                () if r.mode == "enforce" => format!("  ({} done: outside enforce_percent)", r.action),
                () => format!("  ({} done: mode {})", r.action, r.mode),
            };
            let times = if r.records > 1 { format!("  {} records", r.records) } else { String::new() };
            let line = format!(
                "  {}  {:<8}  {}{done}{times}",
                figures::utc(r.first_ms / 1000),
                r.would,
                if r.reason == "none" { "-" } else { &r.reason }
            );
            out.push_str(&line);
            out.push('\n');
        }
    }
}

impl Run {
    fn new(r: &Record) -> Run {
        Run {
            first_ms: r.t_ms,
            records: 1,
            mode: r.mode.clone(),
            action: r.action.clone(),
            would: r.would.clone(),
            reason: r.reason.clone(),
        }
    }
    fn continues(&self, r: &Record) -> bool {
        (&self.mode, &self.action, &self.would, &self.reason) == (&r.mode, &r.action, &r.would, &r.reason)
    }
}
