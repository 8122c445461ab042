//! The half that learns: consumes observations, owns every table, runs the whole ladder, publishes verdicts.
//!
//! One a node. Memory is allocated in `new` and does not grow. Time is the observation's; a clock that steps back saturates.

pub mod cases;
pub mod conviction;
pub mod doorkeeper;
pub mod groups;
pub mod keys;
pub mod novelty;
pub mod panels;
mod publish;
pub mod quota;
mod report;
mod state;

use crate::engine::config::campaign::off;
use crate::engine::config::{Campaign, Config, Limit, Selector};
use crate::engine::detect::{self, automation};
use crate::engine::hash;
use crate::engine::observation::{self, BatchError, Few, Observation};
use crate::engine::sketch::bottom_k::BottomK;
use crate::engine::units::Nanos;
use crate::engine::verdict::{Evidence, Reason};
use cases::Cases;
use doorkeeper::Doorkeeper;
use groups::{Axis, Group, Groups, Touch};
use keys::{KeyState, KeyTable, flag};
use novelty::{Novelty, Openings, Seen};
use panels::Panels;

pub use conviction::Matched;

/// What the ladder says of one observation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Block (campaign evidence), or only watch.
    pub block: bool,
    /// A limit is exceeded over all workers together: how long until a request would conform.
    pub over: Option<Nanos>,
    /// Mark for the upstream and the reports, no other effect.
    pub watch: bool,
    /// Why.
    pub reason: Reason,
    /// Campaign number, 0 if none.
    pub campaign: u32,
    /// Figures.
    pub evidence: Evidence,
}

/// What the groups of a request's values are known for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Company {
    /// Values under watch.
    watched: u32,
    /// A young group whose panel leaves no doubt about its load.
    uniform: bool,
}

/// Numbers that describe the ledger as a whole.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    /// Latest time seen, seconds.
    now_s: u32,
    /// First observation after an empty start.
    started_s: u32,
    /// `now / epoch`.
    epoch: u32,
    /// Times an observation was earlier than one before it by more than a second.
    steps_back: u64,
    /// Last expiry sweep, seconds.
    swept_s: u32,
}

/// Who left a network origin last: a key whose credential may be rotated.
#[derive(Clone, Copy, Debug, Default)]
struct Origin {
    tag: u32,
    key: u64,
}

const ORIGINS: usize = 1 << 13;
/// Octaves from here on hold everybody of an octave of load, not only the tireless.
const EVERYBODY: u8 = 64;
/// Values of one observation that may touch the learning tables, per axis.
const ANCHORS: usize = 12;
/// ... and of one that matches a confirmed template.
const LEARNT: usize = 36;
/// Values a request may offer to the doorkeeper.
const FEED: usize = 8;

/// The learning half.
#[derive(Debug)]
pub struct Ledger {
    c: Campaign,
    learn_s: u32,
    block_for_s: u32,
    seed_check: u32,
    allow: Vec<u64>,
    limits: Vec<Vec<Limit>>,
    clock: Clock,
    keys: KeyTable,
    door: Doorkeeper,
    novelty: Novelty,
    openings: Openings,
    groups: Groups,
    panels: Panels,
    cases: Cases,
    origins: Vec<Origin>,
    rollout_keys: u32,
    alarms: u64,
    publisher: publish::Publisher,
}

impl Ledger {
    /// Allocates all tables.
    pub fn new(config: &Config) -> Ledger {
        let mut ledger = Ledger {
            c: config.campaign.clone(),
            learn_s: 0,
            block_for_s: 0,
            seed_check: config.seed.check(),
            allow: Vec::new(),
            limits: Vec::new(),
            clock: Clock::default(),
            keys: KeyTable::new(config.keys),
            door: Doorkeeper::new(config.campaign.doorkeeper_bits),
            novelty: Novelty::new(config.campaign.novelty_bits),
            openings: Openings::new(config.campaign.novelty_bits),
            groups: Groups::new(config.campaign.groups),
            panels: Panels::default(),
            cases: Cases::default(),
            origins: vec![Origin::default(); ORIGINS],
            rollout_keys: 0,
            alarms: 0,
            publisher: publish::Publisher::default(),
        };
        ledger.reconfigure(config);
        ledger
    }

    /// New parameters over the tables as they are (their sizes stay).
    pub fn reconfigure(&mut self, config: &Config) {
        self.c = config.campaign.clone();
        self.learn_s = u32::try_from(config.learn.secs()).unwrap_or(u32::MAX);
        let block_for = config.profiles.first().map_or(0, |p| p.actions.block_for.secs());
        self.block_for_s = u32::try_from(block_for).unwrap_or(u32::MAX);
        self.limits = config.profiles.iter().map(|p| p.limits.iter().take(2).cloned().collect()).collect();
        // Values on an allow list are never confirmed and requests that carry them are not learnt from.
        self.allow = config
            .profiles
            .iter()
            .flat_map(|p| &p.allow)
            .filter_map(|e| match e.selector {
                Selector::Template(v) => Some(Axis::Text.tag(v)),
                Selector::Network(v) => Some(Axis::Network.tag(v)),
                _ => None,
            })
            .collect();
        self.allow.sort_unstable();
    }

    /// Bytes of all tables.
    pub fn size_bytes(&self) -> usize {
        [
            self.keys.size_bytes(),
            self.door.size_bytes(),
            self.novelty.size_bytes(),
            self.openings.size_bytes(),
            self.groups.size_bytes(),
            self.panels.size_bytes(),
            self.cases.size_bytes(),
            self.origins.len().saturating_mul(std::mem::size_of::<Origin>()),
        ]
        .iter()
        .fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Applies a batch from an edge. `each` sees every observation with its outcome.
    ///
    /// # Errors
    /// A batch that is damaged or foreign is refused whole.
    pub fn observe(
        &mut self,
        batch: &[u8],
        mut each: impl FnMut(&Observation, Outcome),
    ) -> Result<u16, BatchError> {
        let check = self.seed_check;
        observation::decode(batch, check, |obs| {
            let outcome = self.observe_one(obs);
            each(obs, outcome);
        })
    }

    /// Expiry and ageing. Any rate is fine; work is done once a minute.
    pub fn tick(&mut self, now: Nanos) {
        self.advance(now);
        if self.clock.now_s.saturating_sub(self.clock.swept_s) < 60 {
            return;
        }
        self.clock.swept_s = self.clock.now_s;
        let expiry = u32::try_from(self.c.epoch_s).unwrap_or(u32::MAX);
        for value in self.cases.expired(self.clock.now_s, expiry) {
            self.cases.release(value);
            if let Some(g) = self.groups.get_mut(value) {
                g.set(groups::flag::CONFIRMED | groups::flag::AGED, false);
                g.armed = 0;
                g.case = 0;
            }
        }
        self.sweep_alarms();
    }

    /// A profile alarm whose keys fell silent goes out.
    fn sweep_alarms(&mut self) {
        if self.alarms == 0 {
            return;
        }
        let (now_s, off) = (self.clock.now_s, f64::from(self.c.profile_min) * 0.7);
        for octave in 0..64u32 {
            let tag = Axis::Profile.tag(u64::from(octave).wrapping_add(1));
            let on = self
                .groups
                .get(tag)
                .is_some_and(|g| g.distinct() >= off && now_s.saturating_sub(g.last_s) < 86_400);
            if !on {
                self.alarms &= !(1u64 << octave);
            }
        }
    }

    /// Moves the clock; ages everything at epoch boundaries, which are aligned to wall time on all nodes.
    fn advance(&mut self, now: Nanos) {
        let now_s = u32::try_from(now.secs()).unwrap_or(u32::MAX);
        if now_s < self.clock.now_s {
            if self.clock.now_s.saturating_sub(now_s) > 1 {
                self.clock.steps_back = self.clock.steps_back.saturating_add(1);
            }
            return;
        }
        self.clock.now_s = now_s;
        if self.clock.started_s == 0 {
            self.clock.started_s = now_s;
        }
        let epoch = (u64::from(now_s).checked_div(self.c.epoch_s).unwrap_or(0)) as u32;
        if epoch != self.clock.epoch {
            if self.clock.epoch != 0 {
                let tick = tick_of(now_s);
                let silent = u16::try_from(self.c.epoch_s / 600).unwrap_or(u16::MAX);
                for g in self.groups.slots_mut().iter_mut().filter(|g| g.tag != 0) {
                    g.age(tick, silent);
                }
                self.panels.age(tick, silent);
                self.cases.age();
            }
            self.clock.epoch = epoch;
        }
    }

    fn observe_one(&mut self, obs: &Observation) -> Outcome {
        self.advance(obs.time);
        if obs.flags & (observation::ANONYMOUS | observation::ALLOWED) != 0 || obs.key == 0 {
            return Outcome::default();
        }
        let now_s = self.clock.now_s;
        let kh = (hash::mix(if obs.tenant != 0 { obs.tenant } else { obs.key }) >> 32) as u32;
        self.ensure_key(obs);
        let conversation = obs.flags & observation::CONVERSATION != 0;
        // Invented history does not hide an opening: only a first message that this key has sent before continues.
        let known = self.c.is_off(off::OPENING) || self.openings.sent(obs.key, obs.first_user);
        let single = !conversation || !known;
        self.openings.remember(obs.key, obs.last_user);
        let seen = if obs.exact == 0 { Seen::default() } else { self.novelty.see(obs.exact, kh, now_s / 60) };
        let matched = conviction::find(&self.cases, &self.groups, obs);
        let over = self.charge(obs);
        let touch = self.update_key(obs, kh, single, seen, &matched);
        let company = self.learn(obs, &touch, &matched);
        Outcome { over, ..self.settle(obs, &touch, &matched, company) }
    }

    /// Charges the limits of the observation's profile, over all workers together.
    fn charge(&mut self, obs: &Observation) -> Option<Nanos> {
        let limits = self.limits.get(usize::from(obs.profile))?;
        let key = self.keys.get_mut(obs.key)?;
        let elapsed = self.clock.now_s.saturating_sub(key.last_s);
        quota::charge(key, limits, Nanos::from_secs(u64::from(elapsed)))
    }

    /// The key's record exists after this (unless its bucket is damaged).
    fn ensure_key(&mut self, obs: &Observation) {
        let now_s = self.clock.now_s;
        let created_min = if obs.created_s == 0 { None } else { Some(obs.created_s.min(now_s) / 60) };
        if let Some(key) = self.keys.get_mut(obs.key) {
            if let Some(min) = created_min {
                key.first_min = key.first_min.min(min);
                key.set(flag::CREATED, true);
                key.set(flag::AGE_UNKNOWN, false);
            }
            return;
        }
        let learning = now_s.saturating_sub(self.clock.started_s) < self.learn_s;
        let unknown = created_min.is_none() && (learning || self.is_heir(obs));
        let mut fresh = KeyState {
            id: obs.key,
            first_min: created_min.unwrap_or(now_s / 60),
            last_s: now_s,
            born: tick_of(now_s),
            epoch: self.clock.epoch as u8,
            ..KeyState::default()
        };
        fresh.set(flag::CREATED, created_min.is_some());
        fresh.set(flag::AGE_UNKNOWN, unknown);
        let young_for = self.c.young_for_s;
        self.keys.insert(fresh, now_s, young_for);
    }

    /// Rotated credentials: a new key from the origin of a trusted key takes over its unknown age, once.
    fn is_heir(&mut self, obs: &Observation) -> bool {
        let Some(at) = origin_of(obs) else { return false };
        let Some(o) = self.origins.get_mut(at.0).filter(|o| o.tag == at.1 && o.key != obs.key && o.key != 0)
        else {
            return false;
        };
        let donor = std::mem::take(&mut o.key);
        match self.keys.get_mut(donor) {
            Some(k) if k.strikes == 0 && !k.has(flag::HEIR) => {
                k.set(flag::HEIR, true);
                true
            }
            _ => false,
        }
    }

    /// Brings the key's record up to date and says what the groups should know.
    fn update_key(&mut self, obs: &Observation, kh: u32, single: bool, seen: Seen, m: &Matched) -> Touch {
        let now_s = self.clock.now_s;
        let (c, block_for_s, epoch) = (&self.c, self.block_for_s, self.clock.epoch as u8);
        let Some(key) = self.keys.get_mut(obs.key) else { return Touch::default() };
        key.age_epoch(epoch);
        if key.has(flag::CONVICTED) && now_s.saturating_sub(key.last_s) > block_for_s {
            key.set(flag::CONVICTED, false);
        }
        if key.has(flag::AGE_UNKNOWN)
            && u64::from(now_s / 60).saturating_sub(u64::from(key.first_min)) > c.young_for_s / 60
        {
            key.set(flag::AGE_UNKNOWN, false);
        }
        let dup = obs.exact != 0 && !seen.novel;
        conviction::count(key, m, single, dup);
        if seen.shared && single {
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
        let young = key.is_young(now_s, c.young_for_s);
        let old = key.is_old(now_s, c.young_for_s);
        let donor = key.strikes == 0 && (old || key.has(flag::AGE_UNKNOWN)) && !key.has(flag::HEIR);
        let touch = Touch {
            kh,
            now_s,
            tick: tick_of(now_s),
            hour: ((now_s / 3600) % 24) as u8,
            single,
            novel: seen.novel,
            young,
            old,
            automatic: key.has(flag::AUTOMATIC),
            phase: key.phase,
            phase_n: key.map_n(),
            tot: key.single,
            kfirst: key.born,
            gap: key.gap,
            repeats: key.has(flag::REPEAT),
            beats: key.beats,
            age: u16::try_from((now_s / 60).saturating_sub(key.first_min) / 10).unwrap_or(u16::MAX),
            struck: key.strikes > 0,
        };
        if donor
            && let Some((at, tag)) = origin_of(obs)
            && let Some(o) = self.origins.get_mut(at)
        {
            *o = Origin { tag, key: obs.key };
        }
        touch
    }

    /// Groups, doorkeeper, profile: what the observation teaches, and what its values' groups are known for.
    fn learn(&mut self, obs: &Observation, t: &Touch, m: &Matched) -> Company {
        let values = learnt_values(obs, t.single);
        let allowed = |v: &u64| self.allow.binary_search(v).is_ok();
        if !self.allow.is_empty() && values.as_slice().iter().chain(&obs.nets).any(allowed) {
            return Company::default();
        }
        // The strongest known phrase of this request: what is rarer than a quarter of it is a slot.
        let mut dom = 0u32;
        for v in m.values() {
            dom = dom.max(self.groups.get(*v).map_or(0, |g| g.total));
        }
        let mut company = Company::default();
        for g in values.as_slice().iter().filter_map(|v| self.groups.get(*v)) {
            if g.has(groups::flag::EXEMPT) {
                dom = dom.max(g.total);
            }
            company.watched = company.watched.saturating_add(u32::from(g.has(groups::flag::WATCH)));
            company.uniform |= g.has(groups::flag::UNIFORM);
        }
        let mut due = Few::<40>::default();
        let mut fed = 0usize;
        for &v in values.as_slice() {
            self.touch_value(v, t, dom, &mut fed, &mut due);
        }
        fed = 0;
        for &v in obs.nets.iter().filter(|v| **v != 0) {
            self.touch_value(v, t, 0, &mut fed, &mut due);
        }
        self.touch_profile(obs, t, m, &mut due);
        for &v in due.as_slice() {
            self.start_panel(v, values.as_slice());
            self.evaluate(v, values.as_slice());
        }
        for &v in values.as_slice() {
            self.join(v, values.as_slice());
        }
        company
    }

    fn touch_value(&mut self, value: u64, t: &Touch, dom: u32, fed: &mut usize, due: &mut Few<40>) {
        if let Some(g) = self.groups.get_mut(value) {
            g.touch(t);
            let slot = u64::from(g.total).saturating_mul(u64::from(self.c.dominance)) < u64::from(dom);
            g.under = g.under.saturating_add(u32::from(slot && !self.c.is_off(off::DOMINANCE)));
            if g.panel != 0 {
                self.panels.touch(g.panel, value, t);
            }
            if g.total >= g.next_eval {
                due.push(value);
            }
            return;
        }
        // What stands beside a confirmed value is wanted in full.
        if *fed >= if dom > 0 { LEARNT } else { FEED } {
            return;
        }
        *fed = fed.saturating_add(1);
        if self.door.offer(value, t.kh, t.now_s / 60)
            && let Some(g) = self.groups.create(value, t.now_s)
        {
            g.touch(t);
            g.under = u32::from(dom > 4 && !self.c.is_off(off::DOMINANCE));
        }
    }

    fn touch_profile(&mut self, obs: &Observation, t: &Touch, m: &Matched, due: &mut Few<40>) {
        if !(t.young && t.single) {
            return;
        }
        let Some(key) = self.keys.get(obs.key).copied() else { return };
        // A campaign that is blocked already must not keep the alarm on.
        if key.has(flag::CONVICTED) || m.best() > 0 {
            return;
        }
        let octave = octave(&key, t.tick);
        if automation::is_tireless(&key, t.tick) {
            self.touch_octave(octave, t, due);
        }
        // Everybody young of the octave who has sent enough to tell and is no timer, and who of them never sleeps.
        if key.map_n() >= 24 && !key.is_regular() && t.tick.wrapping_sub(key.born) >= 114 {
            let touch = Touch { automatic: automation::is_tireless(&key, t.tick), ..*t };
            self.touch_octave(octave.saturating_add(EVERYBODY), &touch, due);
        }
    }

    fn touch_octave(&mut self, number: u8, t: &Touch, due: &mut Few<40>) {
        let tag = Axis::Profile.tag(u64::from(number).wrapping_add(1));
        if self.groups.get(tag).is_none() {
            self.groups.create(tag, t.now_s);
            self.profile_panel(tag);
        }
        if let Some(g) = self.groups.get_mut(tag) {
            g.touch(t);
            self.panels.touch(g.panel, tag, t);
            if g.total >= g.next_eval {
                due.push(tag);
            }
        }
    }

    /// A profile has a panel from its first request on: there are few of them.
    fn profile_panel(&mut self, tag: u64) {
        let (now_s, groups) = (self.clock.now_s, &self.groups);
        let Some(g) = groups.get(tag) else { return };
        let rank = |v: u64| {
            groups
                .get(v)
                .map_or(f64::MIN, |o| o.promise(now_s) + if Axis::of(v) == Axis::Profile { 9.0 } else { 0.0 })
        };
        let slot = self.panels.start(g, 99.0, rank);
        if let Some(g) = self.groups.get_mut(tag) {
            g.panel = slot;
        }
    }

    /// Alarm by the number of tireless keys; burst by everybody's.
    fn evaluate_profile(&mut self, value: u64) {
        let (now_s, c) = (self.clock.now_s, &self.c);
        let number = (value.wrapping_sub(1) & 0xff) as u8;
        let Some(g) = self.groups.get_mut(value) else { return };
        if number < EVERYBODY {
            let bit = 1u64 << (number & 63);
            let d = g.distinct();
            if d >= f64::from(c.profile_min) {
                self.alarms |= bit;
            } else if d < f64::from(c.profile_min) * 0.7 {
                self.alarms &= !bit;
            }
            return;
        }
        let burst = self.panels.get(g.panel, value).and_then(|p| detect::burst(p.into(), tick_of(now_s), c));
        g.set(groups::flag::BURST, burst.is_some());
        if let Some(b) = burst {
            g.lam = b.lam as f32;
            let minutes = |ticks: u32| (now_s / 60).saturating_sub(ticks.saturating_mul(10));
            // A profile is never released and has no slots: these two fields hold the births of the burst.
            (g.immune_min, g.under) = (minutes(b.oldest).max(1), minutes(b.youngest));
        }
    }

    /// Gives a promising text group a panel while its own sample still holds every key, unless another value of the same
    /// template has one.
    fn start_panel(&mut self, value: u64, siblings: &[u64]) {
        let now_s = self.clock.now_s;
        let Some(g) = self.groups.get(value) else { return };
        let share =
            |part: u32, whole: u32| u64::from(part).saturating_mul(10) >= u64::from(whole).saturating_mul(9);
        // Popular templates of old keys are many: of those only what is new each time and never followed up.
        let fit = Axis::of(value) != Axis::Profile
            && !self.c.is_off(off::PANELS)
            && g.panel == 0
            && g.keys.threshold() == u32::MAX
            && g.keys.items().len() >= 12
            && (g.young_share() >= 0.45
                || (Axis::of(value) == Axis::Text && share(g.single, g.total) && share(g.novel, g.single)));
        let groups = &self.groups;
        let has = |v: &&u64| {
            groups.get(**v).is_some_and(|o| o.panel != 0 && self.panels.get(o.panel, **v).is_some())
        };
        if !fit || siblings.iter().any(|v| has(&v)) {
            return;
        }
        let rank = |tag: u64| {
            groups.get(tag).map_or(f64::MIN, |o| {
                let people = if o.score < -40 { 6.0 } else { 0.0 };
                o.promise(now_s) + if o.has(groups::flag::CONFIRMED) { 4.0 } else { 0.0 } - people
            })
        };
        let slot = self.panels.start(g, g.promise(now_s), rank);
        if let Some(g) = self.groups.get_mut(value) {
            g.panel = slot;
        }
    }

    /// Re-evaluates one group and acts on the result.
    fn evaluate(&mut self, value: u64, siblings: &[u64]) {
        let (now_s, tick) = (self.clock.now_s, tick_of(self.clock.now_s));
        let c = &self.c;
        let Some(g) = self.groups.get_mut(value) else { return };
        let (part, least) = if g.panel == 0 { (7, 8) } else { (16, 4) };
        g.next_eval = g.total.saturating_add(g.total / part).saturating_add(least);
        if Axis::of(value) == Axis::Profile {
            self.evaluate_profile(value);
            return;
        }
        let keys = self.panels.get(g.panel, value).map(Into::into);
        let a = detect::assess(g, keys, tick, c);
        g.score = clamp_i16(a.score);
        g.lam = a.lam as f32;
        g.set(groups::flag::EXEMPT, a.exempt);
        g.set(groups::flag::UNIFORM, a.uniform && a.young >= 0.9 && !a.exempt && a.timers() > -4.0);
        let tells = g.has(groups::flag::CONFIRMED);
        // A small sample may be lucky where the panel of the same template is not: the panel decides for all of its values.
        let defers = a.confirm && !tells && !a.panel && self.has_panel(value, siblings, a.distinct);
        let Some(g) = self.groups.get_mut(value) else { return };
        let d_min = if Axis::of(value) == Axis::Text { c.d_min } else { c.net_d_min };
        g.set(groups::flag::WATCH, a.score >= f64::from(c.t_watch) && a.distinct >= 2.0 * f64::from(d_min));
        if tells {
            self.describe_case(value);
        }
        let Some(g) = self.groups.get_mut(value) else { return };
        let c = &self.c;
        if g.has(groups::flag::CONFIRMED) {
            if a.aged && !g.has(groups::flag::AGED) {
                g.set(groups::flag::AGED, true);
                self.cases.set_aged(value);
            }
            let slot = g.is_slot();
            let people = a.exempt && (a.people || g.old.estimate() >= 0.05 * a.distinct);
            if a.score < f64::from(c.t_release) || a.novel < 0.75 || a.timers() <= -60.0 || slot || people {
                if people {
                    let immune = u32::try_from(c.release_immunity_s / 60).unwrap_or(u32::MAX);
                    g.immune_min = (now_s / 60).saturating_add(immune);
                }
                self.release(value);
            }
            return;
        }
        let dominant = Axis::of(value) != Axis::Text || !g.is_slot();
        let dominant = dominant && !defers;
        g.armed =
            if a.confirm && dominant && now_s / 60 >= g.immune_min { g.armed.saturating_add(1) } else { 0 };
        if g.armed >= if c.is_off(off::ARM) { 1 } else { c.arm } {
            let aged = a.aged || (a.aged_path && a.young < detect::ppm(c.y_gate_ppm));
            self.confirm(value, siblings, aged);
        }
    }

    /// A value of a confirmed template: all of its keys are the template's keys, or (among young keys) were blocked before.
    /// It needs no evidence of its own load.
    fn join(&mut self, value: u64, siblings: &[u64]) {
        let now_s = self.clock.now_s;
        if self.cases.live() == 0 || Axis::of(value) != Axis::Text || self.c.is_off(off::SIBLINGS) {
            return;
        }
        let Some(g) = self.groups.get(value) else { return };
        // Asked at 12 keys, and at every doubling of requests.
        let asked = g.total == 12 || (g.total >= 16 && g.total.is_power_of_two());
        if !asked
            || g.has(groups::flag::CONFIRMED)
            || g.keys.items().len() < 12
            || now_s / 60 < g.immune_min
            || g.is_slot()
            || detect::share(g.novel, g.single) < detect::ppm(self.c.n_gate_ppm)
        {
            return;
        }
        let young = g.young_share() >= detect::ppm(self.c.y_gate_ppm)
            && g.old.estimate() < 1.0 + 0.02 * g.distinct()
            && !g.has(groups::flag::EXEMPT);
        let (case, aged) = self.company_of(g.keys.items(), value, siblings);
        let struck = g.keys.items().iter().filter(|s| s.struck()).count();
        if case != 0 && (young || aged) {
            self.mark(value, case, aged);
        } else if young && struck.saturating_mul(2) >= g.keys.items().len() {
            let case = self.cases.open(value, now_s);
            self.mark(value, case, false);
            self.describe_case(value);
        }
    }

    /// Is there a panel of about the same keys among the other values of the request?
    fn has_panel(&self, value: u64, siblings: &[u64], d: f64) -> bool {
        let Some(g) = self.groups.get(value) else { return false };
        siblings.iter().filter(|v| **v != value).any(|v| {
            let Some(panel) = self.groups.get(*v).and_then(|o| self.panels.get(o.panel, *v)) else {
                return false;
            };
            let near = panel.estimate() >= 0.5 * d && panel.estimate() <= 2.0 * d;
            near && overlap(g.keys.items(), panel)
        })
    }

    /// The case of a confirmed value of the same request whose panel holds the same keys, and whether it is aged.
    fn company_of(&self, items: &[groups::Sample], value: u64, siblings: &[u64]) -> (u16, bool) {
        for v in siblings.iter().filter(|v| **v != value) {
            let Some(entry) = self.cases.get(*v) else { continue };
            let Some(panel) = self.groups.get(*v).and_then(|o| self.panels.get(o.panel, *v)) else {
                continue;
            };
            if overlap(items, panel) {
                return (self.cases.resolve(entry.case), entry.flags & cases::AGED != 0);
            }
        }
        (0, false)
    }

    /// Tells a value's case what the value's keys say of its cohort, unless a panel has told it.
    fn describe_case(&mut self, value: u64) {
        let now_s = self.clock.now_s;
        let Some(g) = self.groups.get(value) else { return };
        let keys = self.panels.get(g.panel, value).map(Into::into);
        let panel = keys.is_some();
        let a = detect::assess(g, keys, tick_of(now_s), &self.c);
        let case = self.cases.resolve(g.case);
        if panel || self.cases.case(case).is_some_and(|c| c.cohort_min == 0) {
            let born = (now_s / 60).saturating_sub(a.cohort_ticks.saturating_mul(10)).max(1);
            let ripe = a.ripe_ticks.saturating_mul(10);
            self.cases.describe(case, (born, ripe), a.flags(), a.lam as f32);
        }
    }

    fn release(&mut self, value: u64) {
        self.cases.release(value);
        if let Some(g) = self.groups.get_mut(value) {
            g.set(groups::flag::CONFIRMED | groups::flag::AGED, false);
            g.armed = 0;
            g.case = 0;
        }
    }

    /// Confirms a value and, on the text axis, its siblings: the other values of the same request with the same spread.
    fn confirm(&mut self, value: u64, siblings: &[u64], aged: bool) {
        let now_s = self.clock.now_s;
        let Some(d) = self.groups.get(value).map(Group::distinct) else { return };
        let case = self.join_or_open(value, siblings, d);
        self.mark(value, case, aged);
        self.describe_case(value);
        if Axis::of(value) != Axis::Text || self.c.is_off(off::SIBLINGS) {
            return;
        }
        for &other in siblings.iter().filter(|v| **v != value) {
            let Some(g) = self.groups.get(other).filter(|g| !g.has(groups::flag::CONFIRMED)) else {
                continue;
            };
            if now_s / 60 < g.immune_min {
                continue;
            }
            let keys = self.panels.get(g.panel, other).map(Into::into);
            let a = detect::assess(g, keys, tick_of(now_s), &self.c);
            let near = a.distinct >= 0.5 * d && a.distinct <= 2.0 * d;
            let young = a.young >= detect::ppm(self.c.y_gate_ppm);
            let score = if aged && !young { a.score - a.terms[1] + 20.0 } else { a.score };
            if near
                && score >= f64::from(self.c.t_watch)
                && (young || aged)
                && a.load() > 0.0
                && a.single >= detect::ppm(self.c.single_gate_ppm)
                && !a.exempt
                && (aged || g.old.estimate() < 1.0 + 0.02 * a.distinct)
                && !g.is_slot()
            {
                self.mark(other, case, aged);
            }
        }
    }

    /// The case of a confirmed value of the same request with a like spread, or a new one.
    fn join_or_open(&mut self, value: u64, siblings: &[u64], d: f64) -> u16 {
        let now_s = self.clock.now_s;
        for v in siblings.iter().filter(|v| **v != value) {
            let (Some(entry), Some(g)) = (self.cases.get(*v), self.groups.get(*v)) else { continue };
            let case = self.cases.resolve(entry.case);
            if case != 0 && g.distinct() >= 0.5 * d && g.distinct() <= 2.0 * d {
                return case;
            }
        }
        self.cases.open(value, now_s)
    }

    fn mark(&mut self, value: u64, case: u16, aged: bool) {
        let now_s = self.clock.now_s;
        if let Some(g) = self.groups.get_mut(value) {
            g.set(groups::flag::CONFIRMED, true);
            g.set(groups::flag::AGED, aged);
            g.case = case;
        }
        if let Some(victim) = self.cases.confirm(value, case, aged, now_s)
            && let Some(g) = self.groups.get_mut(victim)
        {
            g.set(groups::flag::CONFIRMED | groups::flag::AGED, false);
            g.armed = 0;
        }
    }
}

/// Nine tenths of the sampled keys are in the panel (of those that it would hold).
fn overlap(items: &[groups::Sample], panel: &BottomK<groups::Sample, { panels::KEYS }>) -> bool {
    let known = items.iter().filter(|s| panel.admits(s.kh));
    let (n, of) = known.fold((0usize, 0usize), |(n, of), s| {
        (n.saturating_add(usize::from(panel.contains(s.kh))), of.saturating_add(1))
    });
    of >= 12 && n.saturating_mul(10) >= of.saturating_mul(9)
}

/// The values that teach: for an opening the smallest of all regions, for a continuation only its own.
fn learnt_values(obs: &Observation, single: bool) -> Few<LEARNT> {
    if !single || obs.first_anchors.as_slice().is_empty() {
        let rest: &[u64] = if single { obs.rest.as_slice() } else { &[] };
        return Few::of(obs.anchors.as_slice().iter().chain(rest).copied());
    }
    let mut all: [u64; 24] = [u64::MAX; 24];
    let both = obs.anchors.as_slice().iter().chain(obs.first_anchors.as_slice());
    all.iter_mut().zip(both).for_each(|(slot, v)| *slot = *v);
    all.sort_unstable();
    let mut out = Few::default();
    let (mut last, mut n) = (u64::MAX, 0usize);
    for v in all {
        if v != last && v != u64::MAX && n < ANCHORS {
            out.push(v);
            n = n.saturating_add(1);
        }
        last = v;
    }
    obs.rest.as_slice().iter().filter(|v| !all.contains(v)).for_each(|v| {
        out.push(*v);
    });
    out
}

/// Tick of ten minutes, wrapping.
fn tick_of(now_s: u32) -> u16 {
    (now_s / 600) as u16
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

/// Octave of a key's load: floor(log2(requests a day)), 0..=63.
fn octave(key: &KeyState, tick: u16) -> u8 {
    let ticks = u32::from(tick.wrapping_sub(key.born)).max(1);
    let per_day = key.total.saturating_mul(144).checked_div(ticks).unwrap_or(0);
    (per_day.max(1).ilog2() as u8).min(63)
}

fn clamp_i16(x: f64) -> i16 {
    (x as i32).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]
mod tests;
