//! The verdict on a key. The ladder applies `rules` to each case that a request matched, then checks load
//! profiles. The first rung that applies decides.

use super::matched::Matched;
use super::values::{Values, octave};
use crate::engine::config::Campaign;
use crate::engine::detect::hours;
use crate::engine::observation::Observation;
use crate::engine::outcome::Outcome;
use crate::engine::rules::{self, Facts, Odds, Pieces, Ruling};
use crate::engine::tables::cases::Case;
use crate::engine::tables::groups::Touch;
use crate::engine::tables::keys::{KeyState, flag};
use crate::engine::verdict::{Evidence, Reason};

/// Nats for sleep below which a key's hours leave no doubt that it never sleeps.
const SLEEPLESS: f64 = -4.0;

/// A request as the ladder gets it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) obs: &'a Observation,
    pub(super) touch: &'a Touch,
    pub(super) matched: &'a Matched,
    /// How many of its values are under watch.
    pub(super) watched: u32,
}

/// The ladder: blocks, watches or allows a request, and convicts its key.
#[derive(Debug, Default)]
pub(super) struct Ladder {
    block_odds: u32,
    young_for_s: u64,
    strikes: u8,
    /// Keys that must have sent as many shared prompts as a roll-out before one is blocked for it.
    rollout_least: u32,
    /// Number of keys that have.
    rollout_keys: u32,
}

impl Ladder {
    /// Sets the parameters. Counts stay.
    pub(super) fn configure(&mut self, c: &Campaign) {
        (self.block_odds, self.young_for_s, self.strikes) = (c.block_odds, c.young_for_s, c.strikes);
        self.rollout_least = c.rollout_keys;
    }

    /// Number of keys that have sent as many shared prompts as a roll-out (`KeyState::shared`).
    pub(super) fn rollout_keys(&self) -> u32 {
        self.rollout_keys
    }

    /// Restores that number from saved state.
    pub(super) fn restore(&mut self, rollout_keys: u32) {
        self.rollout_keys = rollout_keys;
    }

    /// Records the match in its cases, runs the ladder, and counts a block against the key. Returns the
    /// outcome, and whether edges must be told because the key's standing has changed.
    pub(super) fn settle(
        &mut self,
        values: &mut Values,
        key: Option<&mut KeyState>,
        request: &Request<'_>,
    ) -> (Outcome, bool) {
        let Request { touch: t, matched: m, .. } = *request;
        // A case is kept alive by requests that are served and by those that the ladder itself blocks. A request that a
        // worker refused for another reason (a limit, a list, an older snapshot) does not keep it alive.
        if !t.refused {
            values.note(m, t.now_s);
        }
        let mut out = Outcome { evidence: evidence(values, m), ..Outcome::default() };
        let Some(key) = key else { return (out, false) };
        let was = key.has(flag::CONVICTED);
        let own;
        (out, own) = self.climb(values, out, key, request);
        if t.refused && out.block {
            values.note(m, t.now_s);
        }
        if out.block {
            key.strikes = key.strikes.saturating_add(1);
            match out.reason {
                Reason::Template | Reason::Network => {
                    let case = if out.reason == Reason::Network { m.network } else { m.case };
                    if key.case != case {
                        (key.case, key.seen_values, key.hits, key.after, key.talk) = (case, 0, 0, 0, 0);
                    }
                    key.convict(own);
                }
                // These two have no case that could be released, so it takes several blocks.
                Reason::Rollout | Reason::Profile if key.strikes >= self.strikes => {
                    key.convict(0.0);
                    key.case = 0;
                }
                _ => {}
            }
        }
        out.evidence.sample = t.key_hash;
        out.evidence.strikes = key.strikes;
        out.evidence.requests = key.total;
        // Edges go by who is known, and who is convicted.
        (out, was != key.has(flag::CONVICTED) || key.total == 1)
    }

    /// The ruling on a key for a case, and the sum of the key's own factors, nats. `pieces`: the matched
    /// values.
    fn rule(&self, key: &KeyState, t: &Touch, case: &Case, pieces: &Pieces) -> (Ruling, f32) {
        let odds = self.odds(key, t.now_s, t.tick, case, pieces);
        (rules::rule(&odds, self.block_odds), odds.nats() as f32 - case.numbers.prior)
    }

    /// The odds that a key belongs to a case's campaign.
    pub(super) fn odds(&self, key: &KeyState, now_s: u32, tick: u16, case: &Case, pieces: &Pieces) -> Odds {
        let facts = Facts::of(key, now_s, tick, self.young_for_s, pieces, case.shows());
        rules::odds(&facts, &case.numbers)
    }

    /// The outcome of the ladder, and the sum of the key's own factors (nats) by which it is convicted, if it
    /// is.
    fn climb(
        &mut self,
        values: &mut Values,
        mut out: Outcome,
        key: &mut KeyState,
        request: &Request<'_>,
    ) -> (Outcome, f32) {
        let Request { touch: t, matched: m, .. } = *request;
        let block = |reason: Reason, campaign: u32| Outcome { block: true, reason, campaign, ..out };
        if key.has(flag::CONVICTED) {
            let case = values.cases().resolve(key.case);
            // A conviction stands while its case does, until the case's numbers, or the facts of a key that was served,
            // overrule it.
            let stands = match values.cases().case(case).filter(|_| case != 0) {
                Some(c) if t.refused => {
                    rules::ruling(f64::from(c.numbers.prior + key.own()), self.block_odds) >= Ruling::Watch
                }
                Some(c) => {
                    // One popular phrase of the template does not free the key. A key that was convicted by its network has
                    // shown no phrase.
                    let few = Pieces::of(u32::from(key.hits == 0));
                    let pieces = if m.case == case && m.count >= 3 { m.pieces } else { few };
                    self.rule(key, t, c, &pieces).0 >= Ruling::Watch
                }
                None => key.case == 0,
            };
            if stands {
                let id = values.cases().case(case).map_or(0, |c| c.id);
                // A campaign that sends another template is still alive.
                values.keep(case, t.now_s);
                return (block(Reason::Convicted, id), 0.0);
            }
            key.acquit();
            key.strikes = 0;
        }
        let mut watch = Ruling::Allow;
        if m.count > 0
            && let Some(case) = values.cases().case(m.case)
        {
            let (ruling, own) = self.rule(key, t, case, &m.pieces);
            if ruling == Ruling::Block {
                return (block(Reason::Template, case.id), own);
            }
            watch = ruling;
        }
        if let Some(case) = values.cases().case(m.network).filter(|_| m.network != 0) {
            // A network is worth as much as one phrase.
            let (ruling, own) = self.rule(key, t, case, &Pieces::of(1));
            if ruling == Ruling::Block {
                values.rests_on([&[m.network_value], &[]], m.network, &mut out.evidence);
                return (Outcome { block: true, reason: Reason::Network, campaign: case.id, ..out }, own);
            }
        }
        (self.by_load(values, out, key, request, watch), 0.0)
    }

    /// The rungs for a key that no case blocks: its load, its shared prompts, and what is only watched.
    fn by_load(
        &mut self,
        values: &Values,
        mut out: Outcome,
        key: &mut KeyState,
        request: &Request<'_>,
        watch: Ruling,
    ) -> Outcome {
        let Request { obs, touch: t, matched: m, watched } = *request;
        let alarm = values.alarm(key, t);
        if alarm && values.in_burst(key, t) {
            let octave = octave(key, t.tick);
            values.rests_on([&[values.alarms().nearest(octave)], &[]], 0, &mut out.evidence);
            return Outcome { block: true, reason: Reason::Profile, ..out };
        }
        let broad = key.shared() >= 28
            && u32::from(key.dup_x).saturating_mul(2) >= key.total
            && t.young
            && key.single_percent() >= 90;
        if broad {
            if !key.has(flag::ROLLOUT) {
                self.rollout_keys = self.rollout_keys.saturating_add(1);
                key.set(flag::ROLLOUT, true);
            }
            // People who share one set of prompts (lessons, tests, contests) sleep.
            let ticks = u32::from(t.tick.wrapping_sub(key.born));
            if self.rollout_keys >= self.rollout_least
                && hours::sleeper(key.hour_bits(), key.map_n(), ticks) <= SLEEPLESS
            {
                return Outcome { block: true, reason: Reason::Rollout, ..out };
            }
        }
        if alarm {
            let octave = octave(key, t.tick);
            values.rests_on([&[values.alarms().nearest(octave)], &[]], 0, &mut out.evidence);
            return Outcome { watch: true, reason: Reason::Profile, ..out };
        }
        if watch == Ruling::Watch || watched >= 3 || (watched == 2 && m.value_count <= 10) {
            out.campaign = values.cases().case(m.case).map_or(0, |c| c.id);
            if m.count == 0 {
                let lists = [obs.anchors.as_slice(), obs.first_anchors.as_slice()];
                values.rests_on(lists, 0, &mut out.evidence);
            }
            return Outcome { watch: true, reason: Reason::Template, ..out };
        }
        out
    }
}

fn evidence(values: &Values, m: &Matched) -> Evidence {
    let mut evidence = Evidence {
        matched: u8::try_from(m.count).unwrap_or(u8::MAX),
        values: u8::try_from(m.value_count).unwrap_or(u8::MAX),
        ..Evidence::default()
    };
    values.rests_on([m.values(), &[]], m.case, &mut evidence);
    evidence
}
