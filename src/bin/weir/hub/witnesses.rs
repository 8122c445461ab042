//! Which nodes have seen how many keys of a case since it was confirmed, and where its verdicts are in force.
//!
//! **Quorum**: a case is in force everywhere once it does not depend on fewer than `quorum` identities:
//! without the `quorum - 1` identities that have seen most of it, the others have still seen eight of its
//! keys. Until then it is in force at each identity that has itself seen eight: a proxy may refuse its own
//! callers, whoever says so. Counted are keys that were blocked for what their request carried, so a key's
//! other traffic is no witness against it.
//!
//! Of each node and case the 64 smallest hashes of keys are kept: up to 64 keys the count is exact, beyond
//! that an estimate (usually within an eighth). Memory: 512 cases of 64 nodes, a KiB each: 32 MiB at most.
//! The case that was seen least recently is dropped for a new one. If a case has all its nodes, a new
//! identity replaces a node of the identity that has most, so that nobody can fill them with node ids of his
//! own.

use super::identity::Who;
use super::nodes::NodeId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use weir::engine::hash::mix;
use weir::engine::observation::Observation;
use weir::engine::outcome::Outcome;
use weir::engine::units::Nanos;
use weir::engine::verdict::Reason;
use weir::engine::wire::{Reader, Writer};

/// Cases with witnesses, at most.
pub const CASES: usize = 512;
/// Nodes of a case, at most.
pub const NODES: usize = 64;
/// Hashes that are kept of a node's keys in a case.
const KEYS: usize = 64;
/// Keys that an identity must have seen to count.
pub const LEAST: usize = 8;

#[derive(Clone, Debug, Default)]
struct Case {
    last: Nanos,
    nodes: BTreeMap<NodeId, (Who, BTreeSet<u64>)>,
    scope: Scope,
    /// True if observations came after the scope was found.
    stale: bool,
}

/// Compares what was seen, from which the scope follows.
impl PartialEq for Case {
    fn eq(&self, other: &Case) -> bool {
        (self.last, &self.nodes) == (other.last, &other.nodes)
    }
}

/// Where a case is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Scope {
    everywhere: bool,
    /// Identities at which it is in force, if it is not everywhere.
    at: BTreeSet<Who>,
}

/// Nodes and their keys, by case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Witnesses(HashMap<u32, Case>);

fn estimate(hashes: &BTreeSet<u64>) -> u64 {
    match hashes.last() {
        Some(last) if hashes.len() >= KEYS => {
            let part = *last as f64 / u64::MAX as f64;
            ((KEYS - 1) as f64 / part.max(f64::MIN_POSITIVE)) as u64
        }
        _ => hashes.len() as u64,
    }
}

impl Case {
    /// True if there is room for a node: an identity without a place may replace a node of the identity that
    /// has most.
    fn admits(&mut self, node: &NodeId, who: &Who) -> bool {
        if self.nodes.len() < NODES || self.nodes.contains_key(node) {
            return true;
        }
        let mut of: BTreeMap<Who, Vec<(usize, NodeId)>> = BTreeMap::new();
        for (id, (who, hashes)) in &self.nodes {
            of.entry(*who).or_default().push((hashes.len(), *id));
        }
        let most = of.values().max_by_key(|all| all.len()).filter(|all| all.len() > 1);
        match most.and_then(|all| all.iter().min()).filter(|_| !of.contains_key(who)) {
            Some((_, least)) => self.nodes.remove(least).is_some(),
            None => false,
        }
    }

    fn find(&self, quorum: usize) -> Scope {
        let mut of: BTreeMap<Who, BTreeSet<u64>> = BTreeMap::new();
        for (who, hashes) in self.nodes.values() {
            of.entry(*who).or_default().extend(hashes);
        }
        let at = of.iter().filter(|(_, keys)| keys.len() >= LEAST).map(|(who, _)| *who).collect();
        let mut by_size: Vec<BTreeSet<u64>> = of.into_values().collect();
        by_size.sort_by_key(|keys| std::cmp::Reverse(keys.len()));
        let others: BTreeSet<u64> = by_size.into_iter().skip(quorum.saturating_sub(1)).flatten().collect();
        Scope { everywhere: quorum < 2 || others.len() >= LEAST, at }
    }
}

/// Values of a case that a request of a convicted key must carry, for its node to be a witness.
const CARRIES: u8 = 3;

impl Witnesses {
    /// Takes an observation of a node with the ledger's answer. The node is a witness of the case that the
    /// request is blocked for, if that is for what it carried.
    pub fn hear(&mut self, o: &Observation, said: &Outcome, node: &NodeId, who: &Who, now: Nanos) {
        let carries = said.reason != Reason::Convicted || said.evidence.matched >= CARRIES;
        if said.block && carries {
            self.note(said.campaign, node, who, o.key, now);
        }
    }

    /// Notes that a node has seen a key of a case.
    pub fn note(&mut self, campaign: u32, node: &NodeId, who: &Who, key: u64, now: Nanos) {
        if self.0.len() >= CASES
            && !self.0.contains_key(&campaign)
            && let Some(old) = self.0.iter().min_by_key(|(n, c)| (c.last, **n)).map(|(n, _)| *n)
        {
            self.0.remove(&old);
        }
        let case = self.0.entry(campaign).or_default();
        case.last = case.last.max(now);
        if !case.admits(node, who) {
            return;
        }
        let (of, hashes) = case.nodes.entry(*node).or_default();
        *of = *who;
        if hashes.insert(mix(key)) {
            case.stale = true;
        }
        if hashes.len() > KEYS {
            hashes.pop_last();
        }
    }

    /// Finds out where cases with new observations are in force. True if that has changed anywhere. What is
    /// in force everywhere stays so.
    pub fn settle(&mut self, quorum: u8) -> bool {
        let mut changed = false;
        for case in self.0.values_mut().filter(|c| c.stale && !c.scope.everywhere) {
            let scope = case.find(quorum.into());
            changed |= scope != case.scope;
            (case.scope, case.stale) = (scope, false);
        }
        changed
    }

    /// True if a case is in force at all nodes, as of the last `settle`.
    pub fn is_everywhere(&self, campaign: u32) -> bool {
        self.0.get(&campaign).is_some_and(|c| c.scope.everywhere)
    }

    /// True if a case is in force at this identity.
    pub fn is_at(&self, campaign: u32, who: &Who) -> bool {
        self.0.get(&campaign).is_some_and(|c| c.scope.everywhere || c.scope.at.contains(who))
    }

    /// True if anything is in force at this identity that is not in force everywhere.
    pub fn has_own(&self, who: &Who) -> bool {
        self.0.values().any(|c| !c.scope.everywhere && c.scope.at.contains(who))
    }

    /// Keys of a case by node, most first. A key that several nodes have seen counts with each.
    pub fn of(&self, campaign: u32) -> Vec<(NodeId, u64)> {
        let nodes = self.0.get(&campaign).into_iter().flat_map(|c| &c.nodes);
        let mut out: Vec<(NodeId, u64)> = nodes.map(|(id, (_, hashes))| (*id, estimate(hashes))).collect();
        out.sort_by_key(|(id, n)| (std::cmp::Reverse(*n), *id));
        out
    }

    pub fn put(&self, w: &mut Writer<'_>) {
        w.u16(self.0.len() as u16);
        for (campaign, case) in &self.0 {
            w.u32(*campaign);
            w.u64(case.last.0);
            w.u8(case.nodes.len() as u8);
            for (id, (who, hashes)) in &case.nodes {
                w.0.extend_from_slice(id);
                w.0.extend_from_slice(who);
                w.u8(hashes.len() as u8);
                hashes.iter().for_each(|h| w.u64(*h));
            }
        }
    }

    /// Reads encoded witnesses; `None` if the bytes are none. `named`: identities are included.
    pub fn read(r: &mut Reader<'_>, named: bool) -> Option<Witnesses> {
        let mut all = Witnesses::default();
        for _ in 0..r.u16()? {
            let (campaign, last) = (r.u32()?, Nanos(r.u64()?));
            let mut nodes = BTreeMap::new();
            for _ in 0..r.u8()? {
                let id = r.bytes(16)?.try_into().ok()?;
                let who = if named { r.bytes(16)?.try_into().ok()? } else { [0; 16] };
                let n = usize::from(r.u8()?);
                let mut of = Reader(r.bytes(n * 8)?);
                nodes.insert(id, (who, (0..n).map_while(|_| of.u64()).take(KEYS).collect()));
            }
            all.0.insert(campaign, Case { last, nodes, stale: true, ..Case::default() });
        }
        (all.0.len() <= CASES).then_some(all)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const SHARED: Who = [0; 16];

    #[test]
    fn a_few_keys_are_counted_and_many_are_estimated_within_bounds() {
        let mut w = Witnesses::default();
        for key in 0..4_000u64 {
            w.note(7, &[1; 16], &SHARED, key, Nanos(key));
            w.note(7, &[2; 16], &[2; 16], key % 40, Nanos(key));
        }
        let of = w.of(7);
        assert!(of[0].0 == [1; 16] && (2_800..5_600).contains(&of[0].1), "{of:?}");
        assert_eq!(of[1], ([2; 16], 40));
        assert_eq!(w.of(8), []);
        let mut bytes = Vec::new();
        w.put(&mut Writer(&mut bytes));
        assert_eq!(Witnesses::read(&mut Reader(&bytes), true), Some(w.clone()));
        assert!(
            (0..bytes.len()).step_by(7).all(|n| Witnesses::read(&mut Reader(&bytes[..n]), true).is_none())
        );
        for i in 0..200u8 {
            w.note(7, &[i; 16], &SHARED, 1, Nanos(9_000));
        }
        assert_eq!(w.of(7).len(), NODES);
        for campaign in 100..100 + CASES as u32 {
            w.note(campaign, &[1; 16], &SHARED, 1, Nanos(u64::from(campaign)));
        }
        assert!(w.0.len() == CASES && w.of(7).len() == NODES && w.of(100).is_empty(), "the oldest gives way");
    }

    /// So many keys of case 7 from each identity, the first from key `from`.
    fn seen(w: &mut Witnesses, who: u8, from: u64, n: u64) {
        for key in from..from + n {
            w.note(7, &[who; 16], &[who; 16], key, Nanos(key));
        }
    }

    #[test]
    fn a_case_is_in_force_where_it_was_seen_until_the_rest_have_seen_it_without_whoever_has_most() {
        let mut w = Witnesses::default();
        seen(&mut w, 1, 0, 7);
        assert!(!w.settle(2) && !w.is_at(7, &[1; 16]), "too few keys");
        seen(&mut w, 1, 7, 5_000);
        assert!(w.settle(2) && w.is_at(7, &[1; 16]) && w.has_own(&[1; 16]));
        assert!(!w.is_everywhere(7) && !w.is_at(7, &[2; 16]) && !w.settle(2));
        // Three that have seen few each are together a second.
        (2..5).for_each(|i| seen(&mut w, i, 10_000 + 2 * u64::from(i), 2));
        assert!(!w.settle(2) && !w.is_at(7, &[2; 16]));
        seen(&mut w, 5, 20_000, 2);
        assert!(w.settle(2) && w.is_everywhere(7) && w.is_at(7, &[9; 16]) && !w.has_own(&[1; 16]));
        // Of three the rest after two that have most is six keys.
        let again = |w: &Witnesses| {
            let mut bytes = Vec::new();
            w.put(&mut Writer(&mut bytes));
            Witnesses::read(&mut Reader(&bytes), true).unwrap()
        };
        let mut w = again(&w);
        assert!(w.settle(3) && !w.is_everywhere(7));
        seen(&mut w, 6, 30_000, 8);
        assert!(w.settle(3) && w.is_everywhere(7) && !w.settle(3));
        // The same keys again are no more keys.
        let mut w = Witnesses::default();
        seen(&mut w, 1, 0, 20);
        (0..9).for_each(|_| seen(&mut w, 2, 0, 7));
        assert!(w.settle(2) && !w.is_everywhere(7));
        let mut w = again(&w);
        assert!(w.settle(1) && w.is_everywhere(7), "a quorum of one is none");
    }

    #[test]
    fn ids_of_ones_own_choice_leave_room_for_others() {
        let mut w = Witnesses::default();
        for i in 0..200u64 {
            let mut id = [9; 16];
            id[..8].copy_from_slice(&i.to_le_bytes());
            w.note(7, &id, &[1; 16], i, Nanos(i));
        }
        assert_eq!(w.of(7).len(), NODES);
        assert!(w.settle(2) && !w.is_everywhere(7) && w.is_at(7, &[1; 16]));
        seen(&mut w, 2, 1_000, 8);
        assert!(w.settle(2) && w.is_everywhere(7));
        assert_eq!(w.of(7).len(), NODES);
    }
}
