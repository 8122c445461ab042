//! Several nodes, each with workers and a ledger of its own, and a hub that hears of all of them: what `simulate --nodes` measures.
//!
//! The hub is a ledger. Each half second it hears of the batches that the nodes' ledgers have heard of, and what it publishes is in force
//! in all workers a step later, beside their own ledger's verdicts. Which node a request meets goes by its key. A node may be
//! restarted once a day: it forgets everything, and gets the hub's shards again.

use crate::deployment::{Apart, STEP};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use weir::engine::config::Config;
use weir::engine::edge::extract::Extracted;
use weir::engine::ledger::Ledger;
use weir::engine::units::Nanos;
use weir::engine::{Decision, Status, hash};

/// Nodes at most.
pub const MOST: i64 = 64;
/// Time between exchanges.
const EXCHANGE: Nanos = Nanos::from_millis(500);
const DAY: u64 = 86_400;

/// How the nodes are.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub nodes: u8,
    /// Do they have a hub?
    pub hub: bool,
    /// Each is restarted once a day, one after the other.
    pub restarts: bool,
}

/// Nodes, and their hub.
pub struct Fleet {
    layout: Layout,
    edges: u8,
    nodes: Vec<Apart>,
    hub: Option<Hub>,
    /// Days that each node has lived to see.
    days: Vec<u64>,
}

struct Hub {
    ledger: Ledger,
    /// What the nodes have sent since the last exchange.
    inbox: Vec<Vec<u8>>,
    at: Nanos,
    shards: VecDeque<(Nanos, Vec<u8>)>,
    /// The last of each shard that is in force.
    in_force: BTreeMap<u8, Vec<u8>>,
}

impl Fleet {
    pub fn new(config: &Arc<Config>, layout: Layout, edges: u8) -> Fleet {
        let edges = edges.max(1);
        let hub = || Hub {
            ledger: Ledger::new(config),
            inbox: Vec::new(),
            at: Nanos(0),
            shards: VecDeque::new(),
            in_force: BTreeMap::new(),
        };
        Fleet {
            nodes: (0..layout.nodes).map(|_| Apart::new(Arc::clone(config), edges, layout.hub)).collect(),
            hub: layout.hub.then(hub),
            days: vec![0; usize::from(layout.nodes)],
            edges,
            layout,
        }
    }

    pub fn config(&self) -> &Arc<Config> {
        &self.nodes[0].config
    }

    pub fn edges(&self) -> usize {
        usize::from(self.edges)
    }

    pub fn judge(&mut self, now: Nanos, x: &mut Extracted) -> Decision {
        self.exchange(now);
        let i = (hash::mix(x.obs.key) % self.nodes.len() as u64) as usize;
        self.restart(i, now);
        self.nodes[i].judge(now, x)
    }

    pub fn advance(&mut self, now: Nanos) {
        self.exchange(now);
        self.nodes.iter_mut().for_each(|n| n.advance(now));
    }

    pub fn finish(&mut self) {
        let end = self.nodes.iter().map(|n| n.at).max().unwrap_or(Nanos(0));
        self.nodes.iter_mut().filter(|n| n.at != Nanos(0)).for_each(|n| n.step(end.plus(STEP)));
        self.exchange(end.plus(EXCHANGE).plus(EXCHANGE));
    }

    /// The ledger that knows most.
    pub fn ledger(&self) -> &Ledger {
        self.hub.as_ref().map_or(&self.nodes[0].ledger, |h| &h.ledger)
    }

    pub fn status(&self) -> Status {
        self.ledger().status()
    }

    pub fn convicted(&self, key: u64) -> bool {
        let hub = self.hub.as_ref().is_some_and(|h| h.ledger.was_convicted(key));
        hub || self.nodes.iter().any(|n| n.ledger.was_convicted(key))
    }

    /// Each node at its own hour of the day.
    fn restart(&mut self, i: usize, now: Nanos) {
        let shift = DAY * i as u64 / self.nodes.len() as u64;
        let day = (now.secs() + shift) / DAY;
        let before = std::mem::replace(&mut self.days[i], day);
        if !self.layout.restarts || before == 0 || before == day {
            return;
        }
        let config = Arc::clone(&self.nodes[i].config);
        self.nodes[i] = Apart::new(config, self.edges, self.layout.hub);
        let shards = self.hub.iter().flat_map(|h| h.in_force.values());
        for shard in shards {
            self.nodes[i].apply_hub(shard);
        }
    }

    fn exchange(&mut self, now: Nanos) {
        let Some(hub) = &mut self.hub else { return };
        if now.since(hub.at).0 < EXCHANGE.0 {
            return;
        }
        hub.at = now;
        for outbox in self.nodes.iter_mut().filter_map(|n| n.outbox.as_mut()) {
            hub.inbox.append(outbox);
        }
        for batch in hub.inbox.drain(..) {
            if let Err(e) = hub.ledger.observe(&batch, |_, _| ()) {
                eprintln!("weir: a batch was refused: {e:?}");
            }
        }
        hub.ledger.tick(now);
        let (shards, due) = (&mut hub.shards, now.plus(STEP));
        hub.ledger.publish(|i, bytes| shards.push_back((due, [&[i], bytes].concat())));
        while hub.shards.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, shard)) = hub.shards.pop_front() else { return };
            let (i, bytes) = (shard[0], &shard[1..]);
            self.nodes.iter_mut().for_each(|n| n.apply_hub(bytes));
            hub.in_force.insert(i, bytes.to_vec());
        }
    }
}
