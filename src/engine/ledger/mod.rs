//! The half that learns: consumes observations, owns every table, runs the whole ladder, publishes verdicts.
//!
//! One ledger a node. Memory is allocated in `new` and does not grow. For its time see `clock`.

mod budget;
mod clock;
mod conviction;
mod keys;
mod lives;
mod matched;
mod observe;
pub mod pages;
mod publish;
pub mod rates;
mod report;
mod state;
mod values;

use crate::engine::config::{Config, Exceptions};
use crate::engine::observation::{self, Observation};
use crate::engine::outcome::Outcome;
use crate::engine::tables::keys::flag;
use crate::engine::units::{Nanos, tick_of};
use crate::engine::wire::Refused;
use budget::Budgets;
use clock::{Clock, Moved};
use conviction::Ladder;
use keys::Keys;
use publish::Publisher;
use rates::Rates;
use values::Values;

pub use matched::Matched;

/// Sizes of the tables that are configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Keys of the key table: `keys`.
    pub keys: u32,
    /// Groups: `campaign.groups`.
    pub groups: u32,
    /// log2 of the doorkeeper's cells: `campaign.doorkeeper_bits`.
    pub doorkeeper_bits: u8,
    /// log2 of the cells of `Texts`: `campaign.novelty_bits`.
    pub novelty_bits: u8,
}

impl Sizes {
    /// The sizes of a configuration.
    pub fn of(c: &Config) -> Sizes {
        Sizes {
            keys: c.keys,
            groups: c.campaign.groups,
            doorkeeper_bits: c.campaign.doorkeeper_bits,
            novelty_bits: c.campaign.novelty_bits,
        }
    }
    /// True if a configuration may ask for these sizes.
    pub fn is_sound(&self) -> bool {
        self.keys.is_power_of_two()
            && (1_024..=131_072).contains(&self.keys)
            && (64..=16_384).contains(&self.groups)
            && (10..=22).contains(&self.doorkeeper_bits)
            && (10..=22).contains(&self.novelty_bits)
    }
}

/// The learning half. Its parts have private tables and exchange data only through arguments.
#[derive(Debug)]
pub struct Ledger {
    seed_check: u32,
    clock: Clock,
    keys: Keys,
    values: Values,
    ladder: Ladder,
    rates: Rates,
    budgets: Budgets,
    publisher: Publisher,
    people: Exceptions,
    short_lived_percent: u8,
    /// Tick in which it was counted.
    lives_tick: u16,
    changes: u64,
}

impl Ledger {
    /// Allocates all tables.
    pub fn new(config: &Config) -> Ledger {
        Ledger::sized(config, Sizes::of(config))
    }

    /// Allocates tables of these sizes, in place of the configuration's.
    #[inline(never)]
    pub fn sized(config: &Config, sizes: Sizes) -> Ledger {
        let mut ledger = Ledger {
            seed_check: config.seed.check(),
            clock: Clock::default(),
            keys: Keys::new(&sizes),
            values: Values::new(&sizes),
            ladder: Ladder::default(),
            rates: Rates::default(),
            budgets: Budgets::default(),
            publisher: Publisher::default(),
            people: Exceptions::default(),
            short_lived_percent: 0,
            lives_tick: 0,
            changes: 0,
        };
        ledger.reconfigure(config);
        ledger
    }

    /// Number of changes so far to anything that `status` counts.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    fn changed(&mut self) {
        self.changes = self.changes.wrapping_add(1);
    }

    /// Sets the parameters of a configuration. The tables stay, and so do their sizes.
    pub fn reconfigure(&mut self, config: &Config) {
        self.changed();
        self.clock.configure(config);
        self.ladder.configure(&config.campaign);
        self.rates.configure(config);
        self.budgets.configure(config);
        self.keys.configure(config, self.budgets.exist());
        self.values.configure(config);
        self.people.clone_from(&config.exceptions);
    }

    /// Bytes of all tables.
    pub fn size_bytes(&self) -> usize {
        [self.keys.size_bytes(), self.values.size_bytes(), self.budgets.size_bytes(), self.rates.size_bytes()]
            .iter()
            .fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Applies a batch from an edge, and hands each observation with its outcome to `each`. Returns the
    /// number of observations.
    ///
    /// # Errors
    /// A batch that is damaged, or of another seed or layout, is refused whole.
    pub fn observe(
        &mut self,
        batch: &[u8],
        mut each: impl FnMut(&Observation, Outcome),
    ) -> Result<u16, Refused> {
        self.observe_each(batch, &mut each)
    }

    /// Applies a batch whose clock or identities are of another domain (a node's, at the hub): `here`
    /// converts each observation.
    ///
    /// # Errors
    /// See `observe`.
    pub fn observe_as(
        &mut self,
        batch: &[u8],
        here: impl Fn(&Observation) -> Observation,
        mut each: impl FnMut(&Observation, Outcome),
    ) -> Result<u16, Refused> {
        let check = self.seed_check;
        observation::decode(batch, check, |obs| {
            let obs = here(obs);
            let outcome = self.observe_one(&obs);
            each(&obs, outcome);
        })
    }

    /// Applies people's releases. `ids` are keys, values or campaign numbers: the keys are not convicted any
    /// more, and the cases end.
    pub fn pardon(&mut self, ids: &[u64]) {
        ids.iter().for_each(|id| self.pardon_one(*id));
    }

    #[inline(never)]
    fn pardon_one(&mut self, id: u64) {
        self.changed();
        self.values.pardon(id);
        if let Some(key) = self.keys.get_mut(id).filter(|k| k.has(flag::CONVICTED)) {
            key.acquit();
            key.strikes = 0;
            self.publisher.note(id);
        }
    }

    /// Applies one observation of an edge in the same process.
    pub(in crate::engine) fn observe_direct(&mut self, obs: &Observation) -> Outcome {
        self.observe_one(obs)
    }

    /// Applies one observation. Not generic, so that there is one copy of what it calls: a tenth of the
    /// module.
    #[inline(never)]
    fn observe_each(
        &mut self,
        batch: &[u8],
        each: &mut dyn FnMut(&Observation, Outcome),
    ) -> Result<u16, Refused> {
        let check = self.seed_check;
        observation::decode(batch, check, |obs| {
            let outcome = self.observe_one(obs);
            each(obs, outcome);
        })
    }

    /// Advances the time, from the host's clock. Any rate is fine; expiry and ageing run once a minute.
    pub fn tick(&mut self, now: Nanos) {
        self.advance(u32::try_from(now.secs()).unwrap_or(u32::MAX), true);
        if !self.people.is_empty() {
            let people = std::mem::take(&mut self.people);
            people.freed(self.clock.now_s()).for_each(|id| self.pardon_one(id));
            self.people = people;
        }
        if self.clock.is_sweep() {
            self.changed();
            let now_s = self.clock.now_s();
            self.values.sweep(now_s);
            // Lives are counted in ticks of ten minutes: once in each is enough for a pass over the table.
            let tick = tick_of(now_s);
            if std::mem::replace(&mut self.lives_tick, tick) != tick {
                self.short_lived_percent = self.keys.short_lived_percent(now_s);
            }
        }
    }

    /// Advances the clock by the time of a witness (see `clock`). At the end of an epoch the tables age. If
    /// the clock was set back, times in the tables that are later than now are set to now.
    fn advance(&mut self, now_s: u32, tick: bool) {
        let moved = self.clock.advance(now_s, tick);
        if moved != Moved::On {
            self.changed();
        }
        match moved {
            Moved::On => {}
            Moved::Epoch => self.values.age(self.clock.now_s()),
            Moved::Back => {
                self.keys.step_back(&self.clock);
                self.values.step_back(self.clock.now_s());
                self.rates.step_back();
                self.publisher = Publisher::default();
            }
        }
    }

    /// Campaign number of a key's conviction, if it stands.
    pub fn conviction(&self, key: u64) -> Option<u32> {
        let number = self.keys.convicted(key, self.clock.now_s())?;
        let cases = self.values.cases();
        let case = cases.resolve(number);
        (case != 0 || number == 0).then(|| cases.case(case).map_or(0, |c| c.id))
    }

    /// True if the key was convicted at its last request. This does not expire: it is for reports at the end
    /// of a run.
    pub fn was_convicted(&self, key: u64) -> bool {
        self.keys.get(key).is_some_and(|k| k.has(flag::CONVICTED))
    }

    /// True if an edge that has applied all published shards lacks changes of confirmed values.
    pub fn values_changed(&self) -> bool {
        self.publisher.lacks(self.version())
    }

    /// A number that changes with the confirmed values, and with those that have a budget.
    fn version(&self) -> u64 {
        self.values.version().wrapping_add(self.budgets.version())
    }

    /// Marks the shards of `mask` (bit per shard) to be published again, because their cells do not hold what
    /// was published.
    pub fn republish(&mut self, mask: u64) {
        self.publisher.again(mask);
    }

    /// Encodes each changed shard and hands it to `sink` with its index. Cost: one pass over the key table,
    /// and over 1/64 of it for each changed shard.
    pub fn publish(&mut self, mut sink: impl FnMut(u8, &[u8])) {
        self.publish_each(&mut sink);
    }

    #[inline(never)]
    fn publish_each(&mut self, sink: &mut dyn FnMut(u8, &[u8])) {
        let (now_s, version) = (self.clock.now_s(), self.version());
        let Some(mut shards) = self.publisher.open(version) else { return };
        self.values.place(&mut shards);
        if self.budgets.exist() {
            self.values.place_suspects(&mut shards);
        }
        self.keys.place(self.values.cases(), now_s, &mut shards);
        self.rates.place(now_s, &mut shards);
        self.publisher.close(shards, (now_s, self.seed_check, version), sink);
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
