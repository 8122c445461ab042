//! One observation from start to end: the key's state is found or made, updated, and turned into a `Touch`
//! for groups.
//!
//! The order matters. Limits are charged and matches looked up with the key's old state; groups learn from
//! the new one; the ladder judges last. A request that is allowed, anonymous or without a prompt advances the
//! clock and is charged to the limits of its key and tenant; nothing else of it is kept.

use super::Ledger;
use super::conviction::Request;
use super::matched::{self, Matched};
use super::rates::no_later;
use crate::engine::observation::{self, Observation};
use crate::engine::outcome::Outcome;
use crate::engine::units::Wait;
use crate::engine::value::bucket;

impl Ledger {
    #[inline(never)]
    pub(super) fn observe_one(&mut self, obs: &Observation) -> Outcome {
        self.changed();
        self.advance(u32::try_from(obs.time.secs()).unwrap_or(u32::MAX), false);
        if obs.flags & observation::ALLOWED != 0 {
            return Outcome::default();
        }
        if obs.flags & (observation::ANONYMOUS | observation::NO_PROMPT) != 0 || obs.key == 0 {
            // No key, but perhaps a tenant; or nothing but a charge.
            return Outcome { overdrawn: self.charge(obs), ..Outcome::default() };
        }
        if let Some(home) = self.keys.ensure(obs, &self.clock) {
            self.values.newcomer(home);
        }
        let reading = self.keys.read(obs, self.clock.now_s());
        let matched = matched::find(self.values.cases(), obs);
        let overdrawn = self.charge(obs);
        let refused = self.is_refused(obs);
        let touch = self.keys.update(obs, &reading, &matched, refused, &self.clock);
        let watched = self.values.touch_groups(obs, self.keys.get(obs.key), &touch, &matched);
        let request = Request { obs, touch: &touch, matched: &matched, watched };
        let (settled, is_news) = self.ladder.settle(&mut self.values, self.keys.get_mut(obs.key), &request);
        if is_news {
            self.publisher.note(obs.key);
        }
        let budget = if settled.block { 0 } else { self.pay(obs, &matched) };
        Outcome { overdrawn, budget, ..settled }
    }

    /// Charges a request that was served; returns the wait of one that is not decided yet.
    fn charge(&mut self, obs: &Observation) -> Option<Wait> {
        self.rates.charge(obs, self.keys.get_mut(obs.key), self.clock.now_s(), &mut self.publisher)
    }

    /// Charges a request that was not decided when it was observed and was served afterwards.
    pub(in crate::engine) fn served(&mut self, obs: &Observation) {
        self.rates.served(obs, self.keys.get_mut(obs.key), self.clock.now_s(), &mut self.publisher);
    }

    /// True if a worker has refused the request. One that is not decided yet counts as refused if its key is
    /// convicted.
    fn is_refused(&self, obs: &Observation) -> bool {
        match obs.flags & (observation::SERVED | observation::REFUSED) {
            0 => self.conviction(obs.key).is_some(),
            done => done & observation::REFUSED != 0,
        }
    }

    /// Bucket of the template budget that a request which nothing blocks is charged to, 0 if none. It is
    /// charged here if a worker has served the request.
    #[inline(never)]
    fn pay(&mut self, obs: &Observation, m: &Matched) -> u64 {
        if !self.budgets.exist() {
            return 0;
        }
        let now_s = self.clock.now_s();
        let (suspect, looked_into) = self.values.suspect(obs);
        let other = !looked_into && m.count == 0 && obs.flags & observation::REFUSED == 0;
        let Some(proof) = self.keys.prove(obs.key, other, now_s) else { return 0 };
        if proof.is_news {
            self.publisher.note(obs.key);
        }
        let id = bucket(if m.count > 0 { m.case } else { 0 }, suspect);
        if proof.proven || id == 0 || !self.budgets.has(obs.profile) {
            return 0;
        }
        if obs.flags & observation::SERVED != 0
            && let Some((id, debt)) = self.budgets.pay(id, obs.profile, no_later(obs.time, now_s))
        {
            self.rates.note(id, obs.profile, debt, &mut self.publisher);
        }
        id
    }
}
