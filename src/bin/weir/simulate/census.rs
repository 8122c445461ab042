//! Exact counts of what the keys of a template do, by a simulator that knows their class: the input of a fit.
//!
//! The counts are those of the ledger (`ledger::observe`), but exact: the ledger forgets texts when its table
//! is full, a census does not.

use super::corpus::Corpus;
use super::run::{self, Setup};
use super::texts::Text;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use weir::engine::config::Config;
use weir::engine::detect::coming::Visit;
use weir::engine::detect::hours;
use weir::engine::observation::CONVERSATION;

/// Seconds of a tick.
const TICK_S: u64 = 600;
/// Openings in a map of hours, at most.
const MAP: u8 = 63;

/// Counts of a key that has sent the template.
#[derive(Clone, Copy, Debug, Default)]
pub struct Key {
    /// True if it was young at its first request; `None` if its requests do not tell.
    pub young: Option<bool>,
    /// Ticks of its first and last request.
    pub first: u64,
    pub last: u64,
    /// All its openings.
    pub openings: u32,
    /// Openings with the template, and all openings since the first of them.
    pub hits: u32,
    pub after: u32,
    /// Follow-ups with the template.
    pub talk: u32,
    /// Openings with the template whose text somebody had sent before.
    pub repeats: u32,
    pub hours: u32,
    pub hours_n: u8,
    /// Ticks of silence at the end of the run.
    pub silent: u64,
}

impl Key {
    /// Its requests, as the law of `coming` needs them.
    pub fn visit(&self) -> Visit {
        Visit::uncounted(self.openings.saturating_sub(1), (self.last - self.first) as u32, self.silent as f64)
    }
    /// Evidence for sleep in its map of hours, nats (`hours::sleeper`).
    pub fn sleeper(&self) -> f64 {
        hours::sleeper(self.hours, self.hours_n, (self.last - self.first) as u32)
    }
}

/// Keys of one class that share a template.
#[derive(Clone, Debug)]
pub struct Class {
    pub name: &'static str,
    pub attack: bool,
    pub keys: Vec<Key>,
    /// Requests with the template, and signs of honest users among them as the groups count them: follow-ups,
    /// repeats, openings of old keys.
    pub requests: u64,
    pub signs: u64,
}

/// Counts the keys of a scenario's honest family (or newcomers), and those of its campaign.
pub fn take(s: &Setup, config: &Config, corpus: &Arc<Corpus>) -> Vec<Class> {
    let world = run::world(s, corpus);
    let (mut said, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut keys: BTreeMap<(u16, u64), Key> = BTreeMap::new();
    let mut sums: BTreeMap<u16, (u64, u64)> = BTreeMap::new();
    run::observe(&world, config, &mut |e, obs, probe| {
        let a = &world.actors[e.actor as usize];
        let novel = obs.exact != 0 && seen.insert(obs.exact);
        let attack = world.classes[usize::from(a.class)].attack;
        if !attack && !world.own.contains(&(e.actor as usize)) {
            return;
        }
        let single = obs.flags & CONVERSATION == 0 || !said.contains(&(obs.key, obs.first_user));
        said.insert((obs.key, obs.last_user));
        let with = probe || !attack && !matches!(a.text, Text::Chat);
        let (now_s, tick) = (obs.time.secs(), obs.time.secs() / TICK_S);
        let k = keys.entry((a.class, obs.key)).or_insert_with(|| Key { first: tick, ..Key::default() });
        if k.young.is_none() && obs.created_s != 0 {
            let age_s = now_s.saturating_sub(u64::from(obs.created_s));
            k.young = Some(age_s < config.campaign.young_for_s);
        }
        k.last = tick;
        k.openings += u32::from(single);
        k.hits += u32::from(single && with);
        k.after += u32::from(single && k.hits > 0);
        k.talk += u32::from(!single && with);
        k.repeats += u32::from(single && with && !novel);
        if single && with && k.hours_n < MAP {
            k.hours |= 1 << (now_s / 3600 % 24);
            k.hours_n += 1;
        }
        if with {
            let old = single && k.young == Some(false);
            let sum = sums.entry(a.class).or_default();
            *sum = (sum.0 + 1, sum.1 + u64::from(!single) + u64::from(single && !novel) + u64::from(old));
        }
    });
    let end = (super::world::START_S + u64::from(world.hours) * 3600) / TICK_S;
    let mut out: BTreeMap<u16, Class> = BTreeMap::new();
    for ((class, _), mut k) in keys.into_iter().filter(|(_, k)| k.hits > 0) {
        k.silent = end.saturating_sub(k.last);
        let c = &world.classes[usize::from(class)];
        let (requests, signs) = sums.get(&class).copied().unwrap_or_default();
        let empty = || Class { name: c.name, attack: c.attack, keys: Vec::new(), requests, signs };
        out.entry(class).or_insert_with(empty).keys.push(k);
    }
    out.into_values().collect()
}
