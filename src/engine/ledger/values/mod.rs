//! What is learned of values: their groups with samples of their keys, what is confirmed, and the cases it belongs to.
//!
//! The tables are this part's own. The rest of the ledger tells it of an observation (`touch_groups`), of time (`sweep`, `age`,
//! `step_back`) and of matches (`note`), and asks what is known of a value. Memory: fixed, see `Sizes`.

mod confirm;
mod profile;
mod repair;
mod touch_groups;

use super::Sizes;
use super::matched::Matched;
use super::pages::Table;
use super::publish;
use crate::engine::config::{Campaign, Config, Selector};
use crate::engine::map::{self, Map};
use crate::engine::observation::Observation;
use crate::engine::snapshot::{CaseEntry, SHARDS, Shard, ValueEntry};
use crate::engine::sort::sort;
use crate::engine::tables::cases::{Cases, number_of};
use crate::engine::tables::doorkeeper::Doorkeeper;
use crate::engine::tables::groups::{Group, Groups, flag};
use crate::engine::tables::homes::Homes;
use crate::engine::tables::keys::KeyState;
use crate::engine::tables::large_samples::{LARGE_SAMPLES, LargeSamples};
use crate::engine::units::tick_of;
use crate::engine::value::Axis;
use crate::engine::verdict::Evidence;
use profile::Alarms;

pub(super) use profile::octave;

/// Tables that are saved, see `tables`.
pub(super) const TABLES: usize = 8;

/// Groups, large samples, confirmed values and cases, and the doorkeeper in front of them.
#[derive(Debug)]
pub(super) struct Values {
    c: Campaign,
    /// Allowed values, with their axes: requests with them teach nothing.
    allow: Map<Selector, usize>,
    door: Doorkeeper,
    groups: Groups,
    large_samples: LargeSamples,
    cases: Cases,
    homes: Homes,
    alarms: Alarms,
    /// Changes whenever a value becomes suspicious, or no longer is.
    suspects_version: u64,
}

impl Values {
    /// Allocates the tables. Call `configure` before use.
    pub(super) fn new(sizes: &Sizes) -> Values {
        Values {
            c: Campaign::default(),
            allow: map::places([], map::fixed()),
            door: Doorkeeper::new(sizes.doorkeeper_bits),
            groups: Groups::new(sizes.groups),
            large_samples: LargeSamples::default(),
            cases: Cases::default(),
            homes: Homes::default(),
            alarms: Alarms::default(),
            suspects_version: 0,
        }
    }

    /// Sets the parameters of a configuration. The tables stay.
    pub(super) fn configure(&mut self, config: &Config) {
        self.c = config.campaign.clone();
        // Values on an allow list are never confirmed and requests that carry them are not learnt from.
        let allowed = config.profiles.iter().flat_map(|p| p.allow.entries());
        let values = allowed.filter_map(|e| match e.selector {
            Selector::Template(v) => Some(Selector::Template(Axis::Text.tag(v))),
            Selector::Network(v) => Some(Selector::Network(Axis::Network.tag(v))),
            _ => None,
        });
        self.allow = map::places(values, map::fixed());
    }

    /// Bytes of all tables.
    pub(super) fn size_bytes(&self) -> usize {
        [
            self.door.size_bytes(),
            self.groups.size_bytes(),
            self.large_samples.size_bytes(),
            self.cases.size_bytes(),
        ]
        .iter()
        .fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// The groups, for reading.
    pub(super) fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Confirmed values and cases, for reading.
    pub(super) fn cases(&self) -> &Cases {
        &self.cases
    }

    /// The load profiles in alarm.
    pub(super) fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// The load profiles in alarm, for restoring.
    pub(super) fn alarms_mut(&mut self) -> &mut Alarms {
        &mut self.alarms
    }

    /// The case that a group belongs to today, 0 if none.
    #[inline(never)]
    pub(super) fn case_of(&self, g: &Group) -> u16 {
        self.cases.resolve(g.case)
    }

    /// Counts the home of a key that got a state.
    pub(super) fn newcomer(&mut self, home: u16) {
        self.homes.add(home);
    }

    /// Notes a request's matches in its cases.
    pub(super) fn note(&mut self, m: &Matched, now_s: u32) {
        m.note(&mut self.cases, now_s);
    }

    /// Notes that keys of a case still send.
    pub(super) fn keep(&mut self, case: u16, now_s: u32) {
        self.cases.keep(case, now_s);
    }

    /// Once a minute: releases expired values, puts out alarms whose keys fell silent, and evaluates one large sample
    /// again.
    pub(super) fn sweep(&mut self, now_s: u32) {
        let expiry = u32::try_from(self.c.epoch_s).unwrap_or(u32::MAX);
        for value in self.cases.expired(now_s, expiry) {
            self.release(value);
        }
        self.sweep_alarms(now_s);
        // What is confirmed or watched is judged again about once an hour, whatever its traffic.
        let turn = (now_s / 60) as usize % LARGE_SAMPLES;
        let value = self.large_samples.slots().get(turn).map_or(0, |p| p.tag);
        let told = flag::CONFIRMED | flag::WATCH;
        if self
            .groups
            .get(value)
            .is_some_and(|g| usize::from(g.large_sample) == turn.wrapping_add(1) && g.has(told))
        {
            self.evaluate(value, &[], now_s);
        }
    }

    /// Starts an epoch: counters are halved.
    pub(super) fn age(&mut self, now_s: u32) {
        let tick = tick_of(now_s);
        let silent = u16::try_from(self.c.epoch_s / 600).unwrap_or(u16::MAX);
        for g in self.groups.slots_mut().iter_mut().filter(|g| g.tag != 0) {
            g.age(tick, silent);
        }
        self.large_samples.age(tick, silent);
        self.cases.age();
    }

    /// After the clock was set back: makes no time in the tables later than now. One pass over them.
    pub(super) fn step_back(&mut self, now_s: u32) {
        let (now_min, now) = (now_s / 60, tick_of(now_s));
        let immune =
            now_min.saturating_add(u32::try_from(self.c.release_immunity_s / 60).unwrap_or(u32::MAX));
        for g in self.groups.slots_mut().iter_mut().filter(|g| g.tag != 0) {
            (g.created_s, g.last_s) = (g.created_s.min(now_s), g.last_s.min(now_s));
            if Axis::of(g.tag) != Axis::Profile {
                g.immune_min = g.immune_min.min(immune);
            }
            g.keys.items_mut().iter_mut().for_each(|s| s.until(now));
        }
        for p in self.large_samples.slots_mut().iter_mut().filter(|p| p.tag != 0) {
            p.keys.items_mut().iter_mut().for_each(|s| s.until(now));
        }
        let (values, cases) = self.cases.tables_mut();
        for v in values.iter_mut() {
            (v.since_min, v.last_s) = (v.since_min.min(now_min), v.last_s.min(now_s));
        }
        for c in cases.iter_mut() {
            (c.first_s, c.last_s) = (c.first_s.min(now_s), c.last_s.min(now_s));
        }
        self.door.step_back(now_min);
    }

    /// The suspicious value of a request with the least number (0: none), so that all workers charge the same one; and
    /// whether any of its values has a large sample and is not plainly people's.
    pub(super) fn suspect(&self, obs: &Observation) -> (u64, bool) {
        let [own, first] = [obs.anchors.as_slice(), obs.first_anchors.as_slice()];
        let lists = [own, first, obs.matched.as_slice(), obs.middle.as_slice()];
        let (mut least, mut looked_into) = (u64::MAX, false);
        for g in lists.into_iter().flatten().filter_map(|v| self.groups.get(*v)) {
            if g.large_sample == 0 || self.large_samples.get(g.large_sample, g.tag).is_none() {
                continue;
            }
            looked_into |= !g.has(flag::HONEST);
            if g.has(flag::SUSPECT) {
                least = least.min(g.tag);
            }
        }
        (if least == u64::MAX { 0 } else { least }, looked_into)
    }

    /// Notes the group that a verdict rests on, with its figures: the strongest of these values. Groups of `case` come
    /// first, then those that are confirmed or watched.
    #[inline(never)]
    pub(super) fn rests_on(&self, lists: [&[u64]; 2], case: u16, evidence: &mut Evidence) {
        let mut best = (false, false, i16::MIN);
        for g in lists.into_iter().flatten().filter_map(|v| self.groups.get(*v)).filter(|g| g.tag != 0) {
            let told = g.has(flag::CONFIRMED | flag::WATCH);
            let rank = (self.case_of(g) == case, told, g.score);
            if rank > best {
                best = rank;
                evidence.group = g.tag;
                evidence.score = g.score;
                evidence.group_keys = g.distinct() as u32;
            }
        }
    }

    /// Changes with the confirmed values, and with those that are suspicious: time to publish.
    pub(super) fn version(&self) -> u64 {
        self.cases.version().wrapping_add(self.suspects_version)
    }

    /// Places confirmed values and cases in the shards that are published.
    pub(super) fn place(&self, shards: &mut [Option<Shard>]) {
        for v in self.cases.values().iter().filter(|v| v.value != 0) {
            if let Some(s) = publish::of(shards, v.value) {
                s.values.push(ValueEntry {
                    value: v.value,
                    prior: v.prior,
                    case: self.cases.resolve(v.case),
                });
            }
        }
        for (i, c) in self.cases.cases().iter().enumerate().filter(|(_, c)| c.id != 0 && c.values > 0) {
            let case = number_of(i, c.turn);
            if let Some(Some(s)) = shards.get_mut(usize::from(case) % SHARDS) {
                s.cases.push(CaseEntry { case, campaign: c.id, usual: c.shows(), numbers: c.numbers });
            }
        }
    }

    /// Places suspicious values in the shards that are published.
    pub(super) fn place_suspects(&self, shards: &mut [Option<Shard>]) {
        for tag in
            self.large_samples.slots().iter().map(|p| p.tag).filter(|t| *t != 0 && Axis::of(*t) == Axis::Text)
        {
            let suspect =
                |g: &Group| g.has(flag::SUSPECT) && self.large_samples.get(g.large_sample, tag).is_some();
            if self.groups.get(tag).is_some_and(suspect)
                && let Some(s) = publish::of(shards, tag)
            {
                s.suspects.push(tag);
            }
        }
        shards.iter_mut().flatten().for_each(|s| sort(&mut s.suspects));
    }

    /// The tables that are saved. Their order is part of the layout, here and in `table_mut`.
    pub(super) fn tables(&self) -> [&dyn Table; TABLES] {
        let (cells, candidates) = self.door.tables();
        [
            self.groups.slots(),
            self.large_samples.slots(),
            self.cases.values(),
            self.cases.cases(),
            self.cases.pairs(),
            cells,
            candidates,
            self.groups.ghosts().cells(),
        ]
    }

    /// One of `tables`, for restoring. Call `repair` after the last.
    pub(super) fn table_mut(&mut self, at: usize) -> &mut dyn Table {
        match at {
            0 => self.groups.slots_mut(),
            1 => self.large_samples.slots_mut(),
            2 => self.cases.tables_mut().0,
            3 => self.cases.tables_mut().1,
            4 => self.cases.pairs_mut(),
            5 => self.door.tables_mut().0,
            6 => self.door.tables_mut().1,
            _ => self.groups.ghosts_mut().cells_mut(),
        }
    }

    /// Counts the homes of all keys anew.
    pub(super) fn count_homes(&mut self, keys: &[KeyState]) {
        self.homes = Homes::default();
        keys.iter().for_each(|k| self.homes.add(k.home));
    }
}

/// For tests that set the scene.
#[cfg(test)]
impl Values {
    pub(super) fn groups_mut(&mut self) -> &mut Groups {
        &mut self.groups
    }
    pub(super) fn large_samples(&self) -> &LargeSamples {
        &self.large_samples
    }
    pub(super) fn large_samples_mut(&mut self) -> &mut LargeSamples {
        &mut self.large_samples
    }
    pub(super) fn cases_mut(&mut self) -> &mut Cases {
        &mut self.cases
    }
    pub(super) fn door_mut(&mut self) -> &mut Doorkeeper {
        &mut self.door
    }
}
