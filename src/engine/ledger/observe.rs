//! One observation, start to end: the key's record is found or made, brought up to date, and turned into a `Touch`.
//!
//! Order matters: limits are charged and matches are looked up before the record is brought up to date, groups learn from the
//! new state of it, the ladder judges last. An allowed or anonymous request, and one without a
//! prompt, moves the clock and leaves no other trace (but what its key and tenant owe).

use super::Ledger;
use super::conviction::{self, Matched};
use crate::engine::config::campaign::off;
use crate::engine::detect::automation;
use crate::engine::hash;
use crate::engine::observation::{self, Observation};
use crate::engine::outcome::Outcome;
use crate::engine::tables::groups::Touch;
use crate::engine::tables::keys::{self, KeyState, flag};
use crate::engine::tables::novelty::Seen;
use crate::engine::units::tick_of;

/// Who left a network origin last: a key whose credential may be rotated.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Origin {
    pub(super) tag: u32,
    pub(super) key: u64,
}

/// Seconds after which a request that cannot be read is taken to start something new.
const SOON_S: u32 = 1_800;

pub(super) const ORIGINS: usize = 1 << 13;

impl Ledger {
    #[inline(never)]
    pub(super) fn observe_one(&mut self, obs: &Observation) -> Outcome {
        self.advance(u32::try_from(obs.time.secs()).unwrap_or(u32::MAX), false);
        if obs.flags & observation::ALLOWED != 0 {
            return Outcome::default();
        }
        if obs.flags & (observation::ANONYMOUS | observation::NO_PROMPT) != 0 || obs.key == 0 {
            // No key, but perhaps a tenant; or nothing but a charge.
            return Outcome { over: self.charge(obs), ..Outcome::default() };
        }
        let now_s = self.clock.now_s;
        let key_hash = (hash::mix(if obs.tenant != 0 { obs.tenant } else { obs.key }) >> 32) as u32;
        self.ensure_key(obs);
        let conversation = obs.flags & observation::CONVERSATION != 0;
        // Invented history does not hide an opening: only a first message that this key has sent before continues.
        let known = self.c.is_off(off::OPENING) || self.openings.sent(obs.key, obs.first_user);
        // What cannot be read may go on with a conversation: soon after another request it is taken to.
        let unread = obs.flags & observation::UNREADABLE != 0
            && obs.value_count == 0
            && !obs.anchors.as_slice().is_empty();
        let last_s = self.keys.get(obs.key).filter(|k| k.total > 0).map(|k| k.last_s);
        let soon = unread && last_s.is_some_and(|at| now_s.saturating_sub(at) < SOON_S);
        let single = if unread { !soon } else { !conversation || !known };
        self.openings.remember(obs.key, obs.last_user);
        let seen =
            if obs.exact == 0 { Seen::default() } else { self.novelty.see(obs.exact, key_hash, now_s / 60) };
        let matched = conviction::find(&self.cases, obs);
        let over = self.charge(obs);
        let touch = self.update_key(obs, key_hash, single, seen, &matched);
        let watched = self.learn(obs, &touch, &matched);
        let settled = self.settle(obs, &touch, &matched, watched);
        let budget = if settled.block { 0 } else { self.pay(obs, &matched) };
        Outcome { over, budget, ..settled }
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
        // A key that had to leave is no newcomer and nobody's heir. It has sent one request before this one, or more.
        let ghost = self.keys.recall(obs.key, now_s);
        let heir = created_min.is_none() && !learning && ghost.is_none() && self.is_heir(obs);
        let unread = obs.flags & observation::AGE_UNREAD != 0;
        let unknown = created_min.is_none() && (unread || ghost.map_or(learning || heir, |g| g.unknown));
        let mut fresh = KeyState {
            id: obs.key,
            first_min: created_min.unwrap_or(now_s / 60),
            last_s: now_s,
            born: tick_of(now_s),
            epoch: self.clock.epoch as u8,
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
        self.homes.add(fresh.home);
        self.keys.insert(fresh, now_s);
    }

    /// Rotated credentials: a new key from the origin of a trusted key takes over its unknown age, once, and has an heir of its
    /// own only when it was seen for a while (`keys::CHAIN_TICKS`).
    fn is_heir(&mut self, obs: &Observation) -> bool {
        let Some(at) = origin_of(obs) else { return false };
        let Some(o) = self.origins.get_mut(at.0).filter(|o| o.tag == at.1 && o.key != obs.key && o.key != 0)
        else {
            return false;
        };
        let donor = std::mem::take(&mut o.key);
        let (now_s, young_for) = (self.clock.now_s, self.c.young_for_s);
        let Some(k) = self.keys.get_mut(donor).filter(|k| k.may_have_heir(now_s, tick_of(now_s), young_for))
        else {
            return false;
        };
        k.set(flag::HEIR, true);
        true
    }

    /// The worker refused it, or it is a convicted key's and nobody has judged it yet.
    fn is_refused(&self, obs: &Observation) -> bool {
        match obs.flags & (observation::SERVED | observation::REFUSED) {
            0 => self.conviction(obs.key).is_some(),
            done => done & observation::REFUSED != 0,
        }
    }

    /// Brings the key's record up to date and says what the groups should know.
    fn update_key(
        &mut self,
        obs: &Observation,
        key_hash: u32,
        single: bool,
        seen: Seen,
        m: &Matched,
    ) -> Touch {
        let refused = self.is_refused(obs);
        let now_s = self.clock.now_s;
        let (c, block_for_s, epoch) = (&self.c, self.block_for_s, self.clock.epoch as u8);
        let Some(key) = self.keys.get_mut(obs.key) else { return Touch::default() };
        key.age_epoch(epoch);
        if key.has(flag::CONVICTED) && now_s.saturating_sub(key.last_s) > block_for_s {
            key.acquit();
        }
        if key.has(flag::AGE_UNKNOWN)
            && u64::from(now_s / 60).saturating_sub(u64::from(key.first_min)) > c.young_for_s / 60
        {
            key.set(flag::AGE_UNKNOWN, false);
        }
        let dup = obs.exact != 0 && !seen.novel;
        conviction::count(key, m, single, dup, refused);
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
        let young = key.is_young(now_s, c.young_for_s);
        let old = key.is_old(now_s, c.young_for_s);
        let donor = key.may_have_heir(now_s, tick_of(now_s), c.young_for_s);
        let touch = Touch {
            key_hash,
            now_s,
            tick: tick_of(now_s),
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
