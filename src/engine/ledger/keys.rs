//! Keys: their states, the texts they have sent, and which key may be another one's successor.
//!
//! Memory: fixed, see `Sizes`; 64 bytes a key.

use super::Sizes;
use super::budget;
use super::clock::Clock;
use super::lives;
use super::matched::Matched;
use super::pages::Table;
use super::publish;
use crate::engine::config::Config;
use crate::engine::config::campaign::off;
use crate::engine::detect::automation;
use crate::engine::hash;
use crate::engine::observation::{self, Observation};
use crate::engine::sketch::bloom;
use crate::engine::snapshot::{KeyEntry, Shard, filter_bytes};
use crate::engine::tables::cases::Cases;
use crate::engine::tables::groups::Touch;
use crate::engine::tables::keys::{self, KeyState, KeyTable, flag};
use crate::engine::tables::origins::Origin;
use crate::engine::tables::texts::{Seen, Texts};
use crate::engine::units::{past, tick_of};

/// Time after a key's last request from which a request that cannot be read is taken for an opening, seconds.
const SOON_S: u32 = 1_800;
const ORIGINS: usize = 1 << 13;
/// Number of tables that are saved, see `tables`.
pub(super) const TABLES: usize = 5;

/// What is known of a request's texts before its key's state is updated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    key_hash: u32,
    /// True if it is an opening.
    single: bool,
    seen: Seen,
}

/// The states of all keys, the texts seen, and the origins of keys.
#[derive(Debug)]
pub(super) struct Keys {
    young_for_s: u64,
    learn_s: u32,
    block_for_s: u32,
    /// True if an invented history makes no request a follow-up.
    openings_count: bool,
    table: KeyTable,
    texts: Texts,
    origins: Vec<Origin>,
}

impl Keys {
    /// Allocates the tables. Call `configure` before use.
    pub(super) fn new(sizes: &Sizes) -> Keys {
        Keys {
            young_for_s: 0,
            learn_s: 0,
            block_for_s: 0,
            openings_count: true,
            table: KeyTable::new(sizes.keys),
            texts: Texts::new(sizes.novelty_bits),
            origins: vec![Origin::default(); ORIGINS],
        }
    }

    /// Sets the parameters. The tables stay as they are. `budgets`: each key gets a mark for `budget`.
    pub(super) fn configure(&mut self, config: &Config, budgets: bool) {
        self.young_for_s = config.campaign.young_for_s;
        self.openings_count = !config.campaign.is_off(off::OPENING);
        self.learn_s = u32::try_from(config.learn.secs()).unwrap_or(u32::MAX);
        let block_for = config.profiles.first().map_or(0, |p| p.actions.block_for.secs());
        self.block_for_s = u32::try_from(block_for).unwrap_or(u32::MAX);
        self.table.mark(budgets);
    }

    /// Bytes of all tables.
    pub(super) fn size_bytes(&self) -> usize {
        let origins = self.origins.len().saturating_mul(std::mem::size_of::<Origin>());
        self.table.size_bytes().saturating_add(self.texts.size_bytes()).saturating_add(origins)
    }

    /// The key table.
    pub(super) fn table(&self) -> &KeyTable {
        &self.table
    }

    /// A key's state.
    pub(super) fn get(&self, key: u64) -> Option<&KeyState> {
        self.table.get(key)
    }

    /// A key's state, to change it.
    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut KeyState> {
        self.table.get_mut(key)
    }

    /// True if the key of this state is young now.
    pub(super) fn is_young(&self, key: &KeyState, now_s: u32) -> bool {
        key.is_young(now_s, self.young_for_s)
    }

    /// The case of the key's conviction, if it has not expired. It is not resolved (`Cases::resolve`); 0:
    /// none.
    pub(super) fn convicted(&self, key: u64, now_s: u32) -> Option<u16> {
        let k = self.table.get(key).filter(|k| k.has(flag::CONVICTED))?;
        (now_s.saturating_sub(k.last_s) <= self.block_for_s).then_some(k.case)
    }

    /// See `lives`. 0 without a look at the table while it holds few keys.
    pub(super) fn short_lived_percent(&self, now_s: u32) -> u8 {
        let few = self.table.used() < lives::LEAST;
        if few { 0 } else { lives::short_percent(self.table.slots(), tick_of(now_s)) }
    }

    /// Makes a state for the key if there is none (and its bucket has room). Returns the home of a key that
    /// had none.
    pub(super) fn ensure(&mut self, obs: &Observation, clock: &Clock) -> Option<u16> {
        let now_s = clock.now_s();
        let created_min = if obs.created_s == 0 { None } else { Some(obs.created_s.min(now_s) / 60) };
        if let Some(key) = self.table.get_mut(obs.key) {
            if let Some(min) = created_min {
                key.first_min = key.first_min.min(min);
                key.set(flag::CREATED, true);
                key.set(flag::AGE_UNKNOWN, false);
            }
            return None;
        }
        let learning = clock.running_s() < self.learn_s;
        // A key that had to leave the table is no newcomer and no heir. It has sent at least one request before this one.
        let ghost = self.table.recall(obs.key, now_s);
        let heir = created_min.is_none() && !learning && ghost.is_none() && self.is_heir(obs, now_s);
        let unread = obs.flags & observation::AGE_UNREAD != 0;
        let unknown = created_min.is_none() && (unread || ghost.map_or(learning || heir, |g| g.unknown));
        let mut fresh = KeyState {
            id: obs.key,
            first_min: created_min.unwrap_or(now_s / 60),
            last_s: now_s,
            born: tick_of(now_s),
            epoch: clock.epoch() as u8,
            home: home_of(obs),
            ..KeyState::default()
        };
        fresh.set(flag::CREATED, created_min.is_some());
        fresh.set(flag::AGE_UNKNOWN, unknown);
        fresh.set(flag::INHERITED, heir || ghost.is_some_and(|g| g.unknown));
        if let Some(g) = ghost {
            fresh.first_min = created_min.unwrap_or(g.first_min.min(now_s / 60));
            if g.once {
                fresh.born = tick_of(g.first_min.saturating_mul(60));
            }
            (fresh.total, fresh.single) = (1, 1);
            fresh.window(true, false);
        }
        self.table.insert(fresh, now_s);
        Some(fresh.home)
    }

    /// True if the new key may be a rotated credential: one from the origin of a trusted key gets an unknown
    /// age in place of a young one. A key has one heir, and an heir has one only after `keys::CHAIN_TICKS`.
    fn is_heir(&mut self, obs: &Observation, now_s: u32) -> bool {
        let Some(at) = origin_of(obs) else { return false };
        let Some(o) = self.origins.get_mut(at.0).filter(|o| o.tag == at.1 && o.key != obs.key && o.key != 0)
        else {
            return false;
        };
        let donor = std::mem::take(&mut o.key);
        let young_for = self.young_for_s;
        let Some(k) = self.table.get_mut(donor).filter(|k| k.may_have_heir(now_s, tick_of(now_s), young_for))
        else {
            return false;
        };
        k.set(flag::HEIR, true);
        true
    }

    /// Tells whether the request is an opening and whether its text was sent before, and remembers its texts.
    pub(super) fn read(&mut self, obs: &Observation, now_s: u32) -> Reading {
        let key_hash = (hash::mix(if obs.tenant != 0 { obs.tenant } else { obs.key }) >> 32) as u32;
        let conversation = obs.flags & observation::CONVERSATION != 0;
        // An invented history does not hide an opening: a follow-up starts with a message that this key has sent before.
        let known = !self.openings_count || self.texts.sent(obs.key, obs.first_user);
        // A request that cannot be read may be a follow-up. Soon after another request it is taken to be one.
        let unread = obs.flags & observation::UNREADABLE != 0
            && obs.value_count == 0
            && !obs.anchors.as_slice().is_empty();
        let last_s = self.table.get(obs.key).filter(|k| k.total > 0).map(|k| k.last_s);
        let soon = unread && last_s.is_some_and(|at| now_s.saturating_sub(at) < SOON_S);
        let single = if unread { !soon } else { !conversation || !known };
        self.texts.remember(obs.key, obs.last_user);
        let seen =
            if obs.exact == 0 { Seen::default() } else { self.texts.see(obs.exact, key_hash, now_s / 60) };
        Reading { key_hash, single, seen }
    }

    /// Updates the key's state and returns the `Touch` that its groups get. `refused`: a worker refused the
    /// request, or would have in enforce mode.
    pub(super) fn update(
        &mut self,
        obs: &Observation,
        reading: &Reading,
        m: &Matched,
        refused: bool,
        clock: &Clock,
    ) -> Touch {
        let now_s = clock.now_s();
        let (young_for_s, tick) = (self.young_for_s, tick_of(now_s));
        let Reading { key_hash, single, seen } = *reading;
        let Some(key) = self.table.get_mut(obs.key) else {
            return Touch { now_s, tick, ..Touch::default() };
        };
        key.age_epoch(clock.epoch() as u8);
        if key.has(flag::CONVICTED) && now_s.saturating_sub(key.last_s) > self.block_for_s {
            key.acquit();
        }
        let dup = obs.exact != 0 && !seen.novel;
        count(key, m, single, dup, refused);
        if seen.shared && single && !key.has(flag::CONVICTED) {
            key.dup_x = key.dup_x.saturating_add(1);
            key.dup_map |= 1u64 << (obs.exact & 63);
        }
        if single {
            if key.total > 1 {
                let code = keys::gap_code(now_s.saturating_sub(key.last_s));
                if code != 0 {
                    let repeats = key.gap != 0 && key.gap.abs_diff(code) <= if code >= 30 { 3 } else { 1 };
                    key.set(flag::REPEAT, repeats);
                    key.beats =
                        if repeats { key.beats.saturating_add(3) } else { key.beats.saturating_sub(1) };
                    key.gap = code;
                }
            }
            if key.map_n() < keys::MAP_LIMIT {
                key.hours = (key.hours | 1 << ((now_s / 3600) % 24)).wrapping_add(1 << 24);
                key.phase |= 1 << ((u64::from(now_s % 3600) * 32 / 3600) & 31);
            }
        }
        key.last_s = now_s;
        if let Some(auto) = automation::is_automatic(key) {
            key.set(flag::AUTOMATIC, auto);
        }
        let young = key.is_young(now_s, young_for_s);
        // Who came young has grown old by what was served: a refused request makes nobody a member of long standing.
        let old = key.is_old(now_s, young_for_s) && !(refused && key.came_young(now_s, tick, young_for_s));
        let donor = key.may_have_heir(now_s, tick, young_for_s);
        let touch = Touch {
            key_hash,
            now_s,
            tick,
            hour: ((now_s / 3600) % 24) as u8,
            single,
            novel: seen.novel,
            home: key.home,
            young,
            old,
            automatic: key.has(flag::AUTOMATIC),
            phase: key.phase,
            phase_n: key.map_n(),
            key_openings: key.single,
            key_first: key.born,
            gap: key.gap,
            repeats: key.has(flag::REPEAT),
            regular: key.is_regular(),
            habits: habits(key),
            age: u16::try_from((now_s / 60).saturating_sub(key.first_min) / 10).unwrap_or(u16::MAX),
            struck: key.strikes > 0,
            refused,
        };
        if donor
            && let Some((at, tag)) = origin_of(obs)
            && let Some(o) = self.origins.get_mut(at)
        {
            *o = Origin { tag, key: obs.key };
        }
        touch
    }

    /// Records a request that nothing blocks in the key's mark, and returns whether the key is proven; `None`
    /// without budgets. `other`: none of its values has a large sample.
    pub(super) fn prove(&mut self, key: u64, other: bool, now_s: u32) -> Option<budget::Proof> {
        let young_for_s = self.young_for_s;
        let (key, mark) = self.table.marked(key)?;
        Some(budget::prove(key, mark, other, key.is_old(now_s, young_for_s)))
    }

    /// After the clock was set back: moves times in the states that are later than now to now. Cost: one pass
    /// over the states. Debts of limits are relative and stay.
    pub(super) fn step_back(&mut self, clock: &Clock) {
        let now_s = clock.now_s();
        let (now_min, now) = (now_s / 60, tick_of(now_s));
        for k in self.table.slots_mut().iter_mut().filter(|k| k.id != 0) {
            (k.first_min, k.last_s) = (k.first_min.min(now_min), k.last_s.min(now_s));
            k.born = past(k.born, now);
            k.epoch = clock.epoch() as u8;
        }
    }

    /// Writes convicted keys, known keys and proven keys into the shards that are published.
    pub(super) fn place(&self, cases: &Cases, now_s: u32, shards: &mut [Option<Shard>]) {
        let proven_bytes = self.proven_bytes();
        for (at, key) in self.table.slots().iter().enumerate().filter(|(_, k)| k.id != 0) {
            if let Some(s) = publish::of(shards, key.id) {
                self.place_key(key, cases, now_s, s);
                if self.table.marks().get(at).is_some_and(|mark| budget::is_marked(*mark)) {
                    s.proven.resize(proven_bytes, 0);
                    bloom::add(&mut s.proven, key.id);
                }
            }
        }
    }

    fn place_key(&self, key: &KeyState, cases: &Cases, now_s: u32, shard: &mut Shard) {
        if key.has(flag::CONVICTED) {
            let case = cases.resolve(key.case);
            let until_s = key.last_s.saturating_add(self.block_for_s);
            if (case != 0 || key.case == 0) && until_s >= now_s {
                let campaign = cases.case(case).map_or(0, |c| c.id);
                shard.keys.push(KeyEntry { key: key.id, campaign, until_s });
            }
            return;
        }
        if shard.known.is_empty() {
            shard.known = vec![0; filter_bytes(self.table.slots().len())];
        }
        bloom::add(&mut shard.known, key.id);
    }

    /// Bytes of a shard's filter of proven keys: sixteen bits for each of them, or up to twice as much.
    fn proven_bytes(&self) -> usize {
        filter_bytes(self.table.marks().iter().filter(|mark| budget::is_marked(**mark)).count())
    }

    /// After the last page was restored: removes the second state of a key that has two.
    pub(super) fn part_twins(&mut self) {
        self.table.part_twins();
    }

    /// After `Values::mend`, at the end of a restore: a key whose case is gone is not convicted of it any
    /// more. One strike stays, as when a case is released.
    pub(super) fn follow(&mut self, cases: &Cases) {
        for k in self.table.slots_mut().iter_mut().filter(|k| k.id != 0 && k.case != 0) {
            if cases.case(k.case).is_some() {
                continue;
            }
            (k.case, k.seen_values) = (0, 0);
            if k.has(flag::CONVICTED) {
                k.acquit();
                k.strikes = k.strikes.min(1);
            }
        }
        self.table.recount();
    }

    /// The tables that are saved. Their order here and in `table_mut` is part of the layout.
    pub(super) fn tables(&self) -> [&dyn Table; TABLES] {
        let [seen, sent] = self.texts.tables();
        [self.table.slots(), seen, sent, &self.origins, self.table.ghosts().cells()]
    }

    /// One of `tables`, to restore it. Call `part_twins` and `follow` after the last page.
    pub(super) fn table_mut(&mut self, at: usize) -> &mut dyn Table {
        let [seen, sent] = self.texts.tables_mut();
        match at {
            0 => self.table.slots_mut(),
            1 => seen,
            2 => sent,
            3 => &mut self.origins,
            _ => self.table.ghosts_mut().cells_mut(),
        }
    }
}

/// Setters for tests.
#[cfg(test)]
impl Keys {
    pub(super) fn fill(&mut self, state: impl Fn(usize) -> KeyState, cell: impl Fn(usize) -> u64) {
        self.table.slots_mut().iter_mut().enumerate().for_each(|(i, k)| *k = state(i));
        self.table.recount();
        let [seen, sent] = self.texts.tables_mut();
        seen.iter_mut().enumerate().for_each(|(i, c)| *c = cell(i));
        sent.fill(1);
        self.table.ghosts_mut().cells_mut().iter_mut().for_each(|c| *c = 3);
        self.origins.iter_mut().for_each(|o| *o = Origin { tag: 1, key: 2 });
    }
    pub(super) fn insert(&mut self, key: KeyState, now_s: u32) {
        self.table.insert(key, now_s);
    }
}

/// Counts a request into the key's state: totals, window, matches. Of a convicted key that is refused only the totals are
/// counted.
fn count(key: &mut KeyState, m: &Matched, single: bool, dup: bool, refused: bool) {
    key.total = key.total.saturating_add(1);
    key.single = key.single.saturating_add(u32::from(single));
    if refused && key.has(flag::CONVICTED) {
        return;
    }
    key.window(single, dup);
    let matched = m.count > 0;
    if matched && key.case != m.case && !key.has(flag::CONVICTED) {
        (key.case, key.seen_values, key.hits, key.after, key.talk) = (m.case, 0, 0, 0, 0);
    }
    let ours = matched && key.case == m.case;
    if ours {
        key.seen_values |= m.bits;
    }
    if !single {
        key.talk = key.talk.saturating_add(u8::from(ours));
        return;
    }
    // Shares are what counts: both give way together.
    if key.after == u8::MAX {
        (key.hits, key.after, key.talk) = (key.hits / 2, key.after / 2, key.talk / 2);
    }
    key.after = key.after.saturating_add(u8::from(ours || key.hits > 0));
    key.hits = key.hits.saturating_add(u8::from(ours));
}

/// See `Sample::habits`.
fn habits(key: &KeyState) -> u8 {
    let part = |k: u32, n: u32| k.saturating_mul(15).div_ceil(n.max(1)).min(15) as u8;
    part(key.total.saturating_sub(key.single), key.total) << 4
        | part(u32::from(key.win_dup), u32::from(key.win_total))
}

/// Hash of the request's address prefix, 0 if unknown.
fn home_of(obs: &Observation) -> u16 {
    match obs.nets {
        [0, _] => 0,
        [prefix, _] => (hash::mix(prefix) >> 48) as u16 | 1,
    }
}

/// Slot and tag of the request's origin (address prefix and request shape), if both are known.
fn origin_of(obs: &Observation) -> Option<(usize, u32)> {
    let [prefix, shape] = obs.nets;
    if prefix == 0 || shape == 0 {
        return None;
    }
    let h = hash::combine(prefix, shape);
    Some((h as usize % ORIGINS, (h >> 32) as u32 | 1))
}
