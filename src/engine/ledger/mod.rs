//! The half that learns: consumes observations, owns every table, runs the whole ladder, publishes verdicts.
//!
//! One a node. Memory is allocated in `new` and does not grow. Time is what the witnesses say, see `clock`.

mod budget;
mod clock;
mod confirm;
pub mod conviction;
mod lives;
mod observe;
pub mod pages;
mod profile;
mod publish;
pub mod rates;
mod repair;
mod report;
mod state;
mod touch_groups;

use crate::engine::config::{Campaign, Config, Selector};
use crate::engine::map::{self, Map};
use crate::engine::observation::{self, BatchError, Observation};
use crate::engine::outcome::Outcome;
use crate::engine::tables::cases::Cases;
use crate::engine::tables::doorkeeper::Doorkeeper;
use crate::engine::tables::groups::{self, Groups};
use crate::engine::tables::keys::KeyTable;
use crate::engine::tables::large_samples::{self, LargeSamples};
use crate::engine::tables::novelty::{Novelty, Openings};
use crate::engine::tables::{homes, overdrawn};
use crate::engine::units::{Nanos, tick_of};
use crate::engine::value::Axis;
use clock::Clock;
use observe::{ORIGINS, Origin};

pub use conviction::Matched;
pub use state::StateError;

/// Sizes of the tables that are configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// `keys`.
    pub keys: u32,
    /// `campaign.groups`.
    pub groups: u32,
    /// `campaign.doorkeeper_bits`.
    pub doorkeeper_bits: u8,
    /// `campaign.novelty_bits`.
    pub novelty_bits: u8,
}

impl Sizes {
    /// As configured.
    pub fn of(c: &Config) -> Sizes {
        Sizes {
            keys: c.keys,
            groups: c.campaign.groups,
            doorkeeper_bits: c.campaign.doorkeeper_bits,
            novelty_bits: c.campaign.novelty_bits,
        }
    }
    /// May a configuration ask for them?
    pub fn is_sound(&self) -> bool {
        self.keys.is_power_of_two()
            && (1_024..=131_072).contains(&self.keys)
            && (64..=16_384).contains(&self.groups)
            && (10..=22).contains(&self.doorkeeper_bits)
            && (10..=22).contains(&self.novelty_bits)
    }
}

/// The learning half.
#[derive(Debug)]
pub struct Ledger {
    c: Campaign,
    learn_s: u32,
    block_for_s: u32,
    time_scale: u32,
    seed_check: u32,
    /// Values that are not learnt from, with their axes.
    allow: Map<Selector, usize>,
    rates: rates::Rates,
    budgets: budget::Budgets,
    clock: Clock,
    keys: KeyTable,
    door: Doorkeeper,
    novelty: Novelty,
    openings: Openings,
    groups: Groups,
    large_samples: LargeSamples,
    cases: Cases,
    origins: Vec<Origin>,
    homes: homes::Homes,
    over: overdrawn::Over,
    rollout_keys: u32,
    alarms: u64,
    short_lived_percent: u8,
    publisher: publish::Publisher,
}

impl Ledger {
    /// Allocates all tables.
    pub fn new(config: &Config) -> Ledger {
        Ledger::sized(config, Sizes::of(config))
    }

    /// Allocates tables of these sizes, whatever the configuration says.
    #[inline(never)]
    pub fn sized(config: &Config, sizes: Sizes) -> Ledger {
        let mut ledger = Ledger {
            c: config.campaign.clone(),
            learn_s: 0,
            block_for_s: 0,
            time_scale: 1,
            seed_check: config.seed.check(),
            allow: map::places([], map::fixed()),
            rates: rates::Rates::default(),
            budgets: budget::Budgets::default(),
            clock: Clock::default(),
            keys: KeyTable::new(sizes.keys),
            door: Doorkeeper::new(sizes.doorkeeper_bits),
            novelty: Novelty::new(sizes.novelty_bits),
            openings: Openings::new(sizes.novelty_bits),
            groups: Groups::new(sizes.groups),
            large_samples: LargeSamples::default(),
            cases: Cases::default(),
            origins: vec![Origin::default(); ORIGINS],
            homes: homes::Homes::default(),
            over: overdrawn::Over::default(),
            rollout_keys: 0,
            alarms: 0,
            short_lived_percent: 0,
            publisher: publish::Publisher::default(),
        };
        ledger.reconfigure(config);
        ledger
    }

    /// New parameters over the tables as they are (their sizes stay).
    pub fn reconfigure(&mut self, config: &Config) {
        self.c = config.campaign.clone();
        self.time_scale = config.time_scale;
        self.learn_s = u32::try_from(config.learn.secs()).unwrap_or(u32::MAX);
        let block_for = config.profiles.first().map_or(0, |p| p.actions.block_for.secs());
        self.block_for_s = u32::try_from(block_for).unwrap_or(u32::MAX);
        self.rates.configure(config);
        self.budgets.configure(config);
        self.keys.mark(self.budgets.exist());
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
    pub fn size_bytes(&self) -> usize {
        [
            self.keys.size_bytes(),
            self.door.size_bytes(),
            self.novelty.size_bytes(),
            self.openings.size_bytes(),
            self.groups.size_bytes(),
            self.large_samples.size_bytes(),
            self.cases.size_bytes(),
            self.over.size_bytes(),
            self.budgets.size_bytes(),
            self.rates.size_bytes(),
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
        self.observe_each(batch, &mut each)
    }

    /// Applies a batch from another clock's domain: `time` says what a time of it is here.
    ///
    /// # Errors
    /// See `observe`.
    pub fn observe_rebased(
        &mut self,
        batch: &[u8],
        time: impl Fn(Nanos) -> Nanos,
    ) -> Result<u16, BatchError> {
        let check = self.seed_check;
        observation::decode(batch, check, |obs| {
            self.observe_one(&Observation { time: time(obs.time), ..*obs });
        })
    }

    /// Applies one observation of an edge in the same process.
    pub(in crate::engine) fn observe_direct(&mut self, obs: &Observation) -> Outcome {
        self.observe_one(obs)
    }

    /// One body for all callers: the path below it is a tenth of the module.
    #[inline(never)]
    fn observe_each(
        &mut self,
        batch: &[u8],
        each: &mut dyn FnMut(&Observation, Outcome),
    ) -> Result<u16, BatchError> {
        let check = self.seed_check;
        observation::decode(batch, check, |obs| {
            let outcome = self.observe_one(obs);
            each(obs, outcome);
        })
    }

    /// Expiry and ageing, and the host's word on the time. Any rate is fine; work is done once a minute.
    pub fn tick(&mut self, now: Nanos) {
        self.advance(u32::try_from(now.secs()).unwrap_or(u32::MAX), true);
        if self.clock.now_s.saturating_sub(self.clock.swept_s) < 60 {
            return;
        }
        self.clock.swept_s = self.clock.now_s;
        let expiry = u32::try_from(self.c.epoch_s).unwrap_or(u32::MAX);
        for value in self.cases.expired(self.clock.now_s, expiry) {
            self.release(value);
        }
        self.sweep_alarms();
        // A table of few keys tells nothing, and is not looked through.
        let few = self.keys.used() < lives::LEAST;
        self.short_lived_percent =
            if few { 0 } else { lives::short_percent(self.keys.slots(), tick_of(self.clock.now_s)) };
        // What is confirmed or watched about once an hour, whatever its traffic: what holds no longer is let go.
        let turn = (self.clock.now_s / 60) as usize % large_samples::LARGE_SAMPLES;
        let value = self.large_samples.slots().get(turn).map_or(0, |p| p.tag);
        let told = groups::flag::CONFIRMED | groups::flag::WATCH;
        if self
            .groups
            .get(value)
            .is_some_and(|g| usize::from(g.large_sample) == turn.wrapping_add(1) && g.has(told))
        {
            self.evaluate(value, &[]);
        }
    }
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
