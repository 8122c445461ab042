//! Builds `Decision`s: of requests that need no judging, of later verdicts of the ledger, and of batches (the
//! strictest counts).

use super::actions::LastActions;
use super::extract::Extracted;
use super::session::{Other, Session};
use crate::engine::config::{Config, ProfileId};
use crate::engine::decision::Decision;
use crate::engine::hash;
use crate::engine::observation;
use crate::engine::outcome::Outcome;
use crate::engine::value::KeyId;
use crate::engine::verdict::{self, Action, Mode, Reason, Verdict};

impl Decision {
    /// The decision on a request whose content does not matter: it was decided before, the mode is off, or
    /// its path passes. If `None`, the facts are final after this call.
    pub(in crate::engine) fn early(config: &Config, session: &mut Session) -> Option<Decision> {
        let mode = config.profile(session.profile).map_or(Mode::Off, |p| p.mode);
        let base =
            Decision { mode, profile: session.profile, key: session.identity.key, ..Decision::default() };
        if std::mem::replace(&mut session.decided, true) || mode == Mode::Off {
            return Some(base);
        }
        if session.other == Other::Passed {
            let verdict = Verdict { reason: Reason::NotInference, ..Verdict::default() };
            return Some(Decision { verdict, ..base });
        }
        session.finish();
        None
    }

    /// The ledger's decision on an observation, if it differs from the key's last: it carries the evidence
    /// that edges lack.
    pub fn at_ledger(
        config: &Config,
        last: &mut LastActions,
        obs: &observation::Observation,
        outcome: &Outcome,
    ) -> Option<Decision> {
        if obs.flags & observation::NO_PROMPT != 0 {
            return None;
        }
        if !outcome.block || !outcome.reason.is_campaign() {
            last.changed(obs.key, Action::Allow);
            return None;
        }
        let profile = config.profile(obs.profile)?;
        let secret = config.seed.key(hash::Purpose::Case).0;
        let verdict = super::decide::verdict(secret, profile, obs, outcome, None, || None);
        Some(Decision::of(config, last, verdict, KeyId(obs.key), obs.profile)).filter(|d| d.changed)
    }

    /// The decision on a batch: its first request's or, if that would be served, the strictest of the sampled
    /// items.
    pub(in crate::engine) fn or_of_items(
        self,
        x: &mut Extracted,
        mut judge: impl FnMut(&mut Extracted) -> Decision,
    ) -> Decision {
        let mut worst = self;
        if !worst.verdict.action.rejects() {
            for decision in x.others.iter_mut().map(&mut judge) {
                if decision.verdict.action > worst.verdict.action {
                    worst = decision;
                }
            }
        }
        worst
    }

    /// The decision that a verdict gives in its profile's mode.
    pub(in crate::engine) fn of(
        config: &Config,
        last: &mut LastActions,
        verdict: Verdict,
        key: KeyId,
        profile: ProfileId,
    ) -> Decision {
        let (mode, percent) = config.profile(profile).map_or((Mode::Off, 0), |p| (p.mode, p.enforce_percent));
        let action = verdict::enforce(&verdict, mode, percent, key.0);
        // A refused path says nothing new of its key.
        let changed = verdict.reason != Reason::NotInference && last.changed(key.0, verdict.action);
        Decision { verdict, action, mode, profile, key, changed }
    }
}
