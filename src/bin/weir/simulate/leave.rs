//! `--leave-one-out`: each honest family is judged by numbers that were fitted without it, on other seeds and
//! other texts.
//!
//! This reveals a constant that was chosen to suit a family. The result is a rate for a family that no rule
//! has seen.

use super::bound;
use super::fit::{self, Counts, Fit};
use super::run::Report;
use super::scenarios::{self, Scenario};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Largest accepted share of blocked keys of a family that was left out.
pub const GOAL: f64 = 1e-4;

/// Sizes of the families that are judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sizes {
    /// 40 to 800 keys.
    All,
    /// The smallest of those.
    Small,
}

/// The scenarios to judge: of the named families, in these sizes.
pub fn judged(named: &[&'static Scenario], sizes: Sizes) -> Vec<&'static Scenario> {
    let among = |s: &&Scenario| (40..=800).contains(&s.keys);
    let mut least: BTreeMap<&str, usize> = BTreeMap::new();
    for s in named.iter().copied().filter(among) {
        let n = least.entry(fit::row(s)).or_insert(s.keys);
        *n = s.keys.min(*n);
    }
    let fits = |s: &&Scenario| sizes == Sizes::All || least.get(fit::row(s)) == Some(&s.keys);
    named.iter().copied().filter(among).filter(fits).collect()
}

/// The result of one family.
#[derive(Clone, Debug)]
pub struct Row {
    pub family: &'static str,
    pub runs: usize,
    /// Keys and blocked keys: of the family, then of all other classes.
    pub own: (u64, u64),
    pub others: (u64, u64),
    pub fit: Fit,
}

impl Row {
    pub fn kept(&self) -> bool {
        (self.own.1 as f64) <= GOAL * self.own.0 as f64
    }
}

/// Sums the runs of each family.
pub fn rows(reports: &[Report], counts: &Counts) -> Vec<Row> {
    let mut out: Vec<Row> = Vec::new();
    for r in reports {
        let Some(family) = scenarios::find(r.name).map(|s| s.family) else { continue };
        let at = out.iter().position(|row| row.family == family).unwrap_or_else(|| {
            let fit = fit::fit(counts, Some(family));
            out.push(Row { family, runs: 0, own: (0, 0), others: (0, 0), fit });
            out.len() - 1
        });
        let row = &mut out[at];
        row.runs += 1;
        for c in &r.honest {
            let sum = if c.own { &mut row.own } else { &mut row.others };
            *sum = (sum.0 + u64::from(c.keys), sum.1 + u64::from(c.blocked));
        }
    }
    out
}

fn total(rows: &[Row], of: fn(&Row) -> (u64, u64)) -> (u64, u64) {
    rows.iter().map(of).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
}

/// Prints the results as a table in Markdown, as in `tests/detection/README.md`.
pub fn table(rows: &[Row], origin: &str) {
    println!("texts of the judged runs: {origin}\n");
    println!(
        "| family left out | runs | keys | blocked | % | upper % (95) | others | blocked | young | talk | repeats | devoted | sleep | stop | shape | sign |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let counts = |(keys, blocked): (u64, u64)| {
        let percent = 100.0 * blocked as f64 / keys.max(1) as f64;
        format!("{keys} | {blocked} | {percent:.3} | {:.3}", 100.0 * bound::upper(blocked, keys))
    };
    for r in rows {
        let n = &r.fit.numbers;
        println!(
            "| {} | {} | {} | {} | {} | {:.2} ({:.1}) | {:.2} ({:.1}) | {:.2} ({:.1}) | {:.2} ({:.1}) | {:.2} ({:.1}) | {:.3} | {:.2} | {:.3} |",
            r.family,
            r.runs,
            counts(r.own),
            r.others.0,
            r.others.1,
            n.young,
            n.young_weight,
            n.talk.mean,
            n.talk.precision,
            n.repeats.mean,
            n.repeats.precision,
            n.devoted.mean,
            n.devoted.precision,
            n.sleep,
            n.sleep_weight,
            n.stop,
            n.shape,
            n.sign
        );
    }
    let (own, others) = (total(rows, |r| r.own), total(rows, |r| r.others));
    let runs: usize = rows.iter().map(|r| r.runs).sum();
    println!("| all | {runs} | {} | {} | {} | | | | | | | | |", counts(own), others.0, others.1);
    println!(
        "\nA key of two runs is two. In brackets: precision, in keys. Goal: at most {GOAL} of a family's keys."
    );
}

/// The results as JSON.
pub fn json(rows: &[Row], origin: &str) -> Value {
    let counts = |(keys, blocked): (u64, u64)| json!({"keys": keys, "blocked": blocked, "upper_percent": 100.0 * bound::upper(blocked, keys)});
    let one = |r: &Row| {
        let kept: Vec<&str> = r.fit.of.iter().filter(|o| o.2.is_some()).map(|o| o.0).collect();
        json!({"family": r.family, "runs": r.runs, "own": counts(r.own), "others": counts(r.others),
            "fitted": fit::json_of(&r.fit.numbers), "not_fitted": kept})
    };
    json!({"families": rows.iter().map(one).collect::<Vec<_>>(), "own": counts(total(rows, |r| r.own)),
        "others": counts(total(rows, |r| r.others)), "texts": origin})
}
