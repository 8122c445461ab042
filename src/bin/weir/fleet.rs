//! Several nodes, each with workers and a ledger of its own, and a hub that hears of all of them: what
//! `simulate --nodes` measures.
//!
//! The hub is that of `weir hub` without its disk. A node reports to it as the leader of a proxy does: one
//! call at a time, again after a failure, over a network that delays and loses calls (`link`). A node that is
//! restarted is a new process: it has forgotten everything, its queue is lost, and its first call comes with
//! its first tick.

mod link;

use crate::apart::{Apart, STEP};
use crate::hub::core::{Exchange, Hub, Moment, sizes};
use crate::hub::identity::Identity;
use link::Link;
use std::collections::VecDeque;
use std::sync::Arc;
use weir::engine::config::Config;
use weir::engine::edge::extract::Extracted;
use weir::engine::ledger::Ledger;
use weir::engine::units::Nanos;
use weir::engine::{Decision, Status, hash};

/// Largest number of nodes.
pub const MOST: i64 = 64;
/// Time between exchanges that the hub asks for, milliseconds.
const PERIOD_MS: u32 = 500;
const DAY: u64 = 86_400;
/// Time between the restarts of two nodes, if all are restarted in turn.
const ROLL: Nanos = Nanos::from_secs(60);

/// Properties of the nodes and their network.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub nodes: u8,
    /// True if they have a hub.
    pub hub: bool,
    /// Nodes that must have seen a case before it is in force at all of them.
    pub quorum: u8,
    /// True if each request of a key may go to any node; otherwise all go to the same.
    pub roaming: bool,
    /// Largest error of a node's clock; each node's is constant, ahead or behind.
    pub skew: Nanos,
    /// Delay from a node to the hub, and of the way back.
    pub delay: Nanos,
    /// Percent of the exchanges that are lost: half of them on the way there, half on the way back.
    pub loss: f64,
    /// True if each node is restarted once a day, one after the other.
    pub restarts: bool,
    /// Time from which all nodes are restarted, one after the other.
    pub roll: Option<Nanos>,
}

/// Several nodes, and their hub.
pub struct Fleet {
    layout: Layout,
    edges: u8,
    nodes: Vec<Node>,
    hub: Option<Post>,
    config: Arc<Config>,
    requests: u64,
    draws: u64,
    began: Nanos,
}

struct Node {
    apart: Apart,
    link: Option<Link>,
    /// Number of times that it was started.
    lives: u64,
    /// Its clock minus the true one, nanoseconds.
    skew: i64,
}

/// The hub, and its publications.
pub struct Post {
    hub: Hub,
    config: Arc<Config>,
    /// Time of the next publication, if the hub has learned since the last.
    due: Option<Nanos>,
    /// Times and numbers of the publications, and the newest.
    published: VecDeque<(Nanos, u64)>,
}

impl Post {
    fn new(config: &Arc<Config>, quorum: u8) -> Post {
        Post {
            hub: Hub::new(Arc::clone(config), sizes(config, config.keys), u32::MAX, 1).with_quorum(quorum),
            config: Arc::clone(config),
            due: None,
            published: VecDeque::from([(Nanos(0), 0)]),
        }
    }

    /// Takes an exchange that has arrived: it is durable and learned at once.
    fn take(&mut self, bytes: Vec<u8>, by: &Arc<Identity>, now: Nanos) -> Option<Vec<u8>> {
        let said = Exchange::read(bytes, &self.config, Moment { now, mono: now }).and_then(|x| {
            let x = x.by(Arc::clone(by));
            let mut group = Vec::new();
            self.hub.accept(&x, &mut group)?;
            Ok((x, group))
        });
        let (x, group) = match said {
            Ok(taken) => taken,
            Err(why) => {
                eprintln!("weir: an exchange was refused: {why}");
                return None;
            }
        };
        self.hub.commit();
        if !group.is_empty() {
            self.hub.apply(&group);
            self.due.get_or_insert(Nanos(now.0 - now.0 % STEP.0).plus(STEP));
        }
        let mut reply = Vec::new();
        self.hub.reply(&x, PERIOD_MS, &mut reply);
        Some(reply)
    }

    fn tick(&mut self, now: Nanos) {
        self.due = None;
        self.hub.tick(now);
        if self.hub.publish() > 0 {
            let n = self.published() + 1;
            self.published.push_back((now, n));
            // What a reply of before has brought is asked for within seconds.
            if self.published.len() > 1_024 {
                self.published.pop_front();
            }
        }
    }

    /// Number of publications so far.
    fn published(&self) -> u64 {
        self.published.back().map_or(0, |p| p.1)
    }

    /// Number of publications before a time.
    fn published_at(&self, t: Nanos) -> u64 {
        self.published.iter().rev().find(|p| p.0 < t).map_or(0, |p| p.1)
    }
}

impl Node {
    fn new(config: &Arc<Config>, layout: &Layout, edges: u8, id: (usize, u64), now: Nanos) -> Node {
        let apart = Apart::new(Arc::clone(config), edges, layout.hub);
        let unique = hash::mix(id.0 as u64 + 1) ^ hash::mix(!id.1);
        // From one end to the other: of two nodes each is at one.
        let most = i64::try_from(layout.skew.0).unwrap_or(i64::MAX);
        let part = if layout.nodes < 2 { 1.0 } else { 2.0 * id.0 as f64 / f64::from(layout.nodes - 1) - 1.0 };
        let skew = (most as f64 * part) as i64;
        Node { skew, apart, link: layout.hub.then(|| Link::new(config, unique, id.0, now)), lives: id.1 }
    }

    /// A true time, as its clock shows it.
    fn by_its_clock(&self, t: Nanos) -> Nanos {
        Nanos(t.0.saturating_add_signed(self.skew))
    }
    /// The true time at which its clock shows `t`.
    fn truly(&self, t: Nanos) -> Nanos {
        Nanos(t.0.saturating_add_signed(self.skew.saturating_neg()))
    }
    /// Time of its workers' next step with observations.
    fn due(&self) -> Option<Nanos> {
        self.apart.due().map(|t| self.truly(t))
    }

    /// Time at which something is next due here.
    fn next(&self, now: Nanos, published: u64) -> Option<Nanos> {
        let link = self.link.as_ref()?.next(now, published);
        self.due().into_iter().chain(link).min()
    }

    fn judge(&mut self, now: Nanos, x: &mut Extracted) -> Decision {
        let here = self.by_its_clock(now);
        x.set_time(here, None);
        let said = self.apart.judge(here, x);
        x.set_time(now, None);
        said
    }

    fn advance(&mut self, now: Nanos) {
        self.apart.advance(self.by_its_clock(now));
    }

    fn run(&mut self, now: Nanos, layout: &Layout, hub: &mut Post, draw: f64) {
        let (due, here) = (self.due(), self.by_its_clock(now));
        let Some(link) = &mut self.link else { return };
        if due.is_some_and(|t| t <= now) {
            self.apart.advance(here);
            self.apart.outbox.iter_mut().for_each(|outbox| link.push(outbox));
        } else {
            link.run((now, here), &Arc::clone(&self.apart.config), layout, hub, draw);
        }
    }

    fn apply(&mut self, now: Nanos) {
        if let Some(link) = &mut self.link {
            link.apply(now, &mut self.apart);
        }
    }
}

impl Fleet {
    pub fn new(config: &Arc<Config>, layout: Layout, edges: u8) -> Fleet {
        let edges = edges.max(1);
        let node = |i| Node::new(config, &layout, edges, (i, 0), Nanos(0));
        Fleet {
            nodes: (0..usize::from(layout.nodes)).map(node).collect(),
            hub: layout.hub.then(|| Post::new(config, layout.quorum)),
            config: Arc::clone(config),
            requests: 0,
            draws: 0,
            began: Nanos(0),
            edges,
            layout,
        }
    }

    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    pub fn edges(&self) -> usize {
        usize::from(self.edges)
    }

    pub fn judge(&mut self, now: Nanos, x: &mut Extracted) -> Decision {
        self.run(now);
        self.requests += 1;
        let by = if self.layout.roaming { !self.requests } else { x.obs.key };
        let i = (hash::mix(by) % self.nodes.len() as u64) as usize;
        self.nodes[i].apply(now);
        self.nodes[i].judge(now, x)
    }

    pub fn advance(&mut self, now: Nanos) {
        self.run(now);
        for node in &mut self.nodes {
            node.apply(now);
            node.advance(now);
        }
        if let Some(hub) = &mut self.hub {
            hub.tick(now);
        }
    }

    pub fn finish(&mut self) {
        let seen = self.nodes.iter().filter(|n| n.apart.at != Nanos(0));
        let end = seen.map(|n| n.truly(n.apart.at)).max().unwrap_or(Nanos(0));
        // What was lost in the end comes again within the minute, most likely.
        for minute in 1..=60 {
            self.run(end.plus(Nanos::from_secs(60 * minute)));
            if self.nodes.iter().all(|n| n.link.as_ref().is_none_or(Link::is_idle)) {
                break;
            }
        }
        for node in self.nodes.iter_mut().filter(|n| n.link.is_none() && n.apart.at != Nanos(0)) {
            let last = node.by_its_clock(end.plus(STEP));
            node.apart.step(last);
        }
    }

    /// The ledger that has learned most.
    pub fn ledger(&self) -> &Ledger {
        self.hub.as_ref().map_or(&self.nodes[0].apart.ledger, |h| h.hub.ledger())
    }

    pub fn status(&self) -> Status {
        self.ledger().status()
    }

    pub fn convicted(&self, key: u64) -> bool {
        let hub = self.hub.as_ref().is_some_and(|h| h.hub.ledger().was_convicted(key));
        hub || self.nodes.iter().any(|n| n.apart.ledger.was_convicted(key))
    }

    /// Number of restarts of a node that are due by now.
    fn lives(&self, i: usize, now: Nanos) -> u64 {
        let days = |t: Nanos| (t.secs() + DAY * i as u64 / self.nodes.len() as u64) / DAY;
        let daily = if self.layout.restarts { days(now) - days(self.began) } else { 0 };
        let at = self.layout.roll.map(|t| t.plus(Nanos(ROLL.0 * i as u64)));
        daily + u64::from(at.is_some_and(|t| t <= now))
    }

    fn restart(&mut self, now: Nanos) {
        for i in 0..self.nodes.len() {
            let lives = self.lives(i, now);
            if self.nodes[i].lives < lives {
                self.nodes[i] = Node::new(&self.config, &self.layout, self.edges, (i, lives), now);
            }
        }
    }

    /// Runs everything that is due up to now, in order of time.
    fn run(&mut self, now: Nanos) {
        if self.began == Nanos(0) {
            self.began = now;
        }
        if self.layout.restarts || self.layout.roll.is_some() {
            self.restart(now);
        }
        let Some(hub) = &mut self.hub else { return };
        loop {
            let published = hub.published();
            let of_nodes =
                self.nodes.iter().enumerate().filter_map(|(i, n)| Some((n.next(now, published)?, i)));
            let first = of_nodes.min().filter(|(t, _)| *t <= now);
            match (first, hub.due.filter(|t| *t <= now)) {
                (first, Some(t)) if first.is_none_or(|(f, _)| t <= f) => hub.tick(t),
                (Some((t, i)), _) => {
                    self.draws += 1;
                    let draw = (hash::mix(!self.draws) >> 11) as f64 / (1u64 << 53) as f64;
                    self.nodes[i].run(t, &self.layout, hub, draw);
                }
                _ => return,
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
