//! The verdict on a request: one value for reply, metric, log line and command line.
//!
//! `enforce` is the only reader of the mode: shadow and enforce differ in nothing else.

use super::hash;
use super::units::Nanos;
use crate::engine::units::Wait;

/// Decision of people: limits alone apply, and nothing is learned from it. Of several decisions the largest
/// number counts.
pub const RELEASED: u32 = 1;
/// Decision of people: it passes.
pub const ALLOWED: u32 = 2;
/// Decision of people: it is refused.
pub const DENIED: u32 = 3;

/// What happens to a request, mildest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// It passes.
    #[default]
    Allow,
    /// It passes with the header `x-weir-verdict`.
    Tag,
    /// 429 with a short `retry-after`: a limit was exceeded, or a template's budget used up.
    Throttle,
    /// 429 that asks not to be retried: campaign evidence, the deny list, or an unreadable body under
    /// `reject`.
    Block,
}

/// Reason of a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nothing spoke against the request.
    #[default]
    None,
    /// No dialect claims the path, or the request carries no prompt.
    NotInference,
    /// Listed under `allow`.
    AllowList,
    /// Listed under `deny`.
    DenyList,
    /// The key is convicted and its case stands.
    Convicted,
    /// A confirmed template, and the key's odds suffice.
    Template,
    /// A confirmed network or client shape, and the key carries the campaign's load.
    Network,
    /// The same new prompts were sent by many keys.
    Rollout,
    /// A configured limit was exceeded.
    Rate,
    /// The load of a campaign, without a common text.
    Profile,
    /// Two different credentials in one request.
    Ambiguous,
    /// The body could not be read (`inspect.on_unreadable: reject`).
    Unreadable,
    /// Unproven keys have used up the budget of a template that is suspicious but not decided.
    Budget,
}

impl Action {
    /// All actions, mildest first.
    pub const ALL: [Action; 4] = [Action::Allow, Action::Tag, Action::Throttle, Action::Block];
    /// The word in replies, logs, metrics and decision files.
    pub const fn name(self) -> &'static str {
        match self {
            Action::Allow => "allow",
            Action::Tag => "tag",
            Action::Throttle => "throttle",
            Action::Block => "block",
        }
    }
    /// True if the request does not go upstream.
    pub const fn rejects(self) -> bool {
        matches!(self, Action::Throttle | Action::Block)
    }
}

impl Reason {
    /// All reasons.
    pub const ALL: [Reason; 13] = [
        Reason::None,
        Reason::NotInference,
        Reason::AllowList,
        Reason::DenyList,
        Reason::Convicted,
        Reason::Template,
        Reason::Network,
        Reason::Rollout,
        Reason::Rate,
        Reason::Profile,
        Reason::Ambiguous,
        Reason::Unreadable,
        Reason::Budget,
    ];
    /// The word in logs, metrics, response-code details and decision files; never in a reply.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::None => "none",
            Reason::NotInference => "not_inference",
            Reason::AllowList => "allow_list",
            Reason::DenyList => "deny_list",
            Reason::Convicted => "convicted",
            Reason::Template => "template",
            Reason::Network => "network",
            Reason::Rollout => "rollout",
            Reason::Rate => "rate",
            Reason::Profile => "profile",
            Reason::Ambiguous => "ambiguous",
            Reason::Unreadable => "unreadable",
            Reason::Budget => "budget",
        }
    }
    /// True if the verdict rests on evidence across keys.
    pub const fn is_campaign(self) -> bool {
        matches!(
            self,
            Reason::Convicted | Reason::Template | Reason::Network | Reason::Rollout | Reason::Profile
        )
    }
}

/// What the client may quote and the operator can look up. Opaque: it differs per key and does not reveal the
/// signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaseId(pub u32);

impl std::fmt::Display for CaseId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl CaseId {
    /// The id of one key's part in one campaign (or in one reason, if `campaign` is 0). Never zero.
    pub fn new(secret: u64, campaign: u32, key: u64, reason: Reason) -> CaseId {
        let what = if campaign == 0 { 0x1_0000_0000 | reason as u64 } else { u64::from(campaign) };
        CaseId(((hash::combine(hash::combine(secret, what), key) >> 32) as u32).max(1))
    }
}

/// Figures behind a verdict, for its record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Values of the request that belong to the case it matches best.
    pub matched: u8,
    /// Values of the request.
    pub values: u8,
    /// Blocks counted against the key.
    pub strikes: u8,
    /// Requests of the key (saturating).
    pub requests: u32,
    /// Score of the group that the verdict rests on, at its last evaluation, nats.
    pub score: i16,
    /// Estimated distinct keys of that group.
    pub group_keys: u32,
    /// Tag of that group (text, network or octave of load), 0 if none.
    pub group: u64,
    /// Hash by which groups sample the key (or its tenant), 0 if the ledger did not judge it.
    pub sample: u32,
}

/// The answer to one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Action, without regard to the mode.
    pub action: Action,
    /// Reason.
    pub reason: Reason,
    /// Case id. Set on every throttle and block, and on tags that rest on campaign evidence.
    pub case_id: Option<CaseId>,
    /// Number of the campaign, 0 if none.
    pub campaign: u32,
    /// How long the client is told to wait, for throttles: the true wait, or the longest that is told.
    pub retry_after: Nanos,
    /// True wait of a throttle, and the limit that it is for.
    pub wait: Wait,
    /// Figures.
    pub evidence: Evidence,
}

/// `mode` of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Nothing is evaluated.
    Off,
    /// Everything is evaluated and counted; no request is changed.
    #[default]
    Shadow,
    /// Verdicts are carried out.
    Enforce,
}

impl Mode {
    /// The word in configuration and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Off => "off",
            Mode::Shadow => "shadow",
            Mode::Enforce => "enforce",
        }
    }
}

/// The action to carry out: in enforce mode the verdict's own for `percent` of the keys (always the same
/// keys), else `Allow`.
pub fn enforce(verdict: &Verdict, mode: Mode, percent: u8, key: u64) -> Action {
    // All clients without a key are one: they come last, not first (`mix(0)` is 0).
    let place = if key == 0 { 99 } else { hash::mix(key) % 100 };
    match mode {
        Mode::Enforce if place < u64::from(percent) => verdict.action,
        _ => Action::Allow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_enforce_acts_and_percent_is_stable() {
        let v = Verdict { action: Action::Block, ..Verdict::default() };
        for key in 0..1000 {
            assert_eq!(enforce(&v, Mode::Shadow, 100, key), Action::Allow);
            assert_eq!(enforce(&v, Mode::Off, 100, key), Action::Allow);
            assert_eq!(enforce(&v, Mode::Enforce, 100, key), Action::Block);
            assert_eq!(enforce(&v, Mode::Enforce, 0, key), Action::Allow);
        }
        let n = (0..10_000).filter(|&k| enforce(&v, Mode::Enforce, 30, k) == Action::Block).count();
        assert!((2_700..3_300).contains(&n), "{n}");
        for percent in [1, 30, 99] {
            assert_eq!(enforce(&v, Mode::Enforce, percent, 0), Action::Allow, "without a key, {percent} %");
        }
    }

    #[test]
    fn case_ids_differ_by_key_and_reason() {
        assert_ne!(CaseId::new(1, 7, 1, Reason::Template), CaseId::new(1, 7, 2, Reason::Template));
        assert_eq!(CaseId::new(1, 7, 1, Reason::Template), CaseId::new(1, 7, 1, Reason::Convicted));
        assert_ne!(CaseId::new(1, 0, 1, Reason::Rate), CaseId::new(1, 0, 1, Reason::DenyList));
        assert_eq!(CaseId(0xab).to_string(), "000000ab");
    }
}
