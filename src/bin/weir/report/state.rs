//! A ledger's state at one moment: from a file of `weir replay --write-state`, a hub's checkpoint, or a hub's
//! directory.

use crate::hub::saved;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use weir::engine::GroupReport;
use weir::engine::config::Config;
use weir::engine::ledger::Ledger;

/// Groups that are listed, at most.
const GROUPS: usize = 20;

#[derive(Debug, Serialize)]
pub struct State {
    /// Source of the state: `ledger` (of a replay) or `hub` (a checkpoint).
    pub kind: &'static str,
    pub keys: u32,
    pub convicted: u32,
    pub groups: u32,
    pub confirmed: u32,
    pub cases: Vec<Case>,
    pub evidence: Vec<Value>,
}

#[derive(Debug, Serialize)]
pub struct Case {
    pub campaign: String,
    pub since_s: u32,
    pub last_s: u32,
    pub keys: u32,
    pub requests: u32,
    pub convicted: u32,
    /// Convicted keys that were made within an hour, within a day, within a week.
    pub made: [u32; 3],
    pub values: usize,
}

#[derive(Debug, Serialize)]
pub struct Value {
    pub id: String,
    pub campaign: String,
    pub state: &'static str,
    pub keys: u32,
    pub requests: u32,
    pub nats: i32,
    pub explanations: Vec<(&'static str, i32)>,
}

/// Reads a state.
///
/// # Errors
/// A message with what to do: there is none, it is of another seed or of other table sizes, or it cannot be
/// read.
pub fn read(path: &Path, config: &Arc<Config>) -> Result<State, String> {
    if path.is_dir() || saved::is_checkpoint(path).map_err(|e| e.to_string())? {
        return saved::read(path, config, |ledger| of("hub", ledger));
    }
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let mut ledger = Ledger::new(config);
    ledger.read_state(&bytes).map_err(|e| {
        format!("state refused: {e}; --config must be the file that the state was written with (seed and sizes of tables)")
    })?;
    Ok(of("ledger", &ledger))
}

fn of(kind: &'static str, ledger: &Ledger) -> State {
    let status = ledger.status();
    let value = |g: &GroupReport| Value {
        id: g.id.clone(),
        campaign: format!("{:08x}", g.campaign),
        state: g.state,
        keys: g.keys,
        requests: g.requests,
        nats: g.nats,
        explanations: g.explanations.clone(),
    };
    let weighed = ledger.groups_report();
    State {
        kind,
        keys: status.keys,
        convicted: status.convicted,
        groups: status.groups,
        confirmed: status.confirmed,
        cases: ledger
            .cases_report()
            .iter()
            .map(|c| Case {
                campaign: format!("{:08x}", c.campaign),
                since_s: c.since_s,
                last_s: c.last_s,
                keys: c.keys,
                requests: c.requests,
                convicted: c.convicted,
                made: c.made,
                values: c.values.len(),
            })
            .collect(),
        evidence: weighed.iter().filter(|g| !g.explanations.is_empty()).take(GROUPS).map(value).collect(),
    }
}
