//! The state before a schedule's faults, and what must hold after their end.

use super::*;
use crate::engine::Engine;
use std::ops::Range;

impl Schedule<'_> {
    /// Ends the faults.
    pub(super) fn settle(&mut self, caught: &[u64]) {
        self.is_full = false;
        self.asleep.iter_mut().for_each(|until| *until = 0);
        while self.live().len() < 2 {
            self.start(1);
        }
        let mut ticks = 0;
        while self.holder().is_none() {
            self.pass(1);
            self.check();
            ticks += 1;
            assert!(ticks <= LEADS, "nobody leads");
        }
        (0..AUDIT).for_each(|_| {
            self.pass(1);
            self.check();
        });
        // Perhaps one takes over even now.
        while !self.are_rings_empty() || !self.are_pages_whole() {
            self.pass(1);
            self.check();
            ticks += 1;
            assert!(ticks <= LEADS, "rings or pages are not what they should be");
        }
        // Each serves, and knows what the ledger knows.
        for i in self.live() {
            self.person(i, Midway::Nothing);
        }
        self.pass(2);
        let c = self.w.counts();
        let told = [
            ("lost", c.lost),
            ("late", c.late),
            ("dropped", c.dropped),
            ("twice", self.twice),
            ("applied", c.applied),
        ];
        told.into_iter().for_each(|(what, n)| *self.seen.entry(what).or_default() += n);
        self.scale = LEARNING;
        if self.hurt.any || caught.is_empty() {
            self.convict(ANOTHER..ANOTHER + ACCOUNTS, LEARNS);
        } else {
            self.are_refused(caught);
            self.convict(FRESH..FRESH + ACCOUNTS, KEEPS);
        }
        self.check();
    }

    /// The leader has passed all that was written.
    fn are_rings_empty(&mut self) -> bool {
        let written = self.written();
        let lead = |vm: &Node| vm.lead.as_ref().map(|l| l.tails.iter().map(|t| t.total).sum::<u64>());
        let passed = self.holder().and_then(|i| lead(self.w.vms[i].as_ref()?));
        self.hurt.sums || passed == Some(written)
    }

    /// These accounts ask until most of them are refused.
    fn convict(&mut self, accounts: Range<u64>, within: u64) {
        let accounts: Vec<u64> = accounts.collect();
        let (mut ticks, mut refused) = (0, BTreeSet::new());
        while refused.len() * 4 < accounts.len() * 3 {
            ticks += 1;
            if ticks > within {
                let free: Vec<&u64> = accounts.iter().filter(|a| !refused.contains(*a)).collect();
                return self.as_alone(&free, accounts.len() / 4);
            }
            self.campaign(&accounts, &mut refused);
        }
        self.pass(2);
        // A case that was learned from what was left may not last.
        if !self.hurt.any {
            self.are_refused(&refused.into_iter().collect::<Vec<_>>());
        }
    }

    /// These accounts are free, more than there should be: an engine alone frees them, too.
    fn as_alone(&mut self, free: &[&u64], most: usize) {
        let all = [self.from.map_or(&[][..], |l| &l.asked), &self.asked].concat();
        let alone = engine(&all);
        let of_engine = free.iter().filter(|a| !alone.contains(&format!("account-{a}")[..])).count();
        assert!(of_engine > most, "{free:?} are free, of an engine {of_engine}");
        self.note("an engine alone frees as many");
    }

    /// Some of these accounts are, at every VM.
    fn are_refused(&mut self, accounts: &[u64]) {
        for i in self.live() {
            let some = accounts.iter().take(8);
            let free: Vec<&u64> = some.filter(|a| self.account(i, **a) != Some(true)).collect();
            if !free.is_empty() {
                self.as_alone(&free, 0);
            }
        }
    }

    /// Nothing was learned for a cycle: a ledger that is made of the pages knows as many keys and as many values of the campaign.
    fn are_pages_whole(&mut self) -> bool {
        let Some(meta) = self.cell_of("cm", cells::Meta::decode) else { return self.hurt.any };
        let mut ledger = Ledger::sized(&self.config, meta.sizes);
        for at in 0..ledger.page_count() {
            self.cell_of(&format!("c/{at}"), |cell| ledger.read_page(at, cell).ok());
        }
        ledger.finish_restore();
        let known = |s: crate::engine::Status| (s.keys, s.confirmed);
        let hurt = self.hurt.any;
        let holder = self.holder().and_then(|i| self.w.vms[i].as_mut());
        hurt || holder.is_some_and(|vm| {
            vm.head.epoch == meta.epoch && vm.status().map(known) == Some(known(ledger.status()))
        })
    }

    /// A tick in which each account asks by odds of one in three: three times an hour. Which of them are refused.
    fn campaign(&mut self, accounts: &[u64], refused: &mut BTreeSet<u64>) {
        let live = self.live();
        for account in accounts {
            if self.rng.below(3) == 0 {
                let i = self.one_of(&live).unwrap();
                match self.account(i, *account) {
                    Some(true) => refused.insert(*account),
                    _ => refused.remove(account),
                };
            }
        }
        for i in live {
            self.person(i, Midway::Nothing);
        }
        self.pass(1);
    }
}

pub(super) fn learned() -> Learned {
    let mut s = Schedule::new(0, None);
    s.scale = LEARNING;
    let (accounts, mut refused): (Vec<u64>, _) = ((0..ACCOUNTS).collect(), BTreeSet::new());
    for _ in 0..150 {
        s.campaign(&accounts, &mut refused);
        s.check();
    }
    assert!(refused.len() as u64 * 4 >= ACCOUNTS * 3, "{} are refused", refused.len());
    s.pass(5);
    let caught: Vec<u64> = refused.into_iter().collect();
    s.are_refused(&caught);
    s.pass(5);
    s.live().into_iter().rev().for_each(|i| s.leave(i));
    Learned {
        memory: std::mem::take(&mut s.w.memory),
        wall: s.wall,
        caught,
        asked: std::mem::take(&mut s.asked),
    }
}

/// The keys that an engine refuses last, given the same requests in the same order. People never are.
pub(super) fn engine(asked: &[Asked]) -> BTreeSet<&str> {
    let mut engine = Engine::new(settings(1_024, ""));
    let mut refused = BTreeSet::new();
    for a in asked {
        engine.tick(a.now);
        let headers = a.headers();
        let mut session = engine.open(a.now, &of(&headers));
        session.push(body(&a.prompt).as_bytes(), true);
        match engine.decide(a.now, &mut session).action.rejects() {
            true => refused.insert(&a.credential[..]),
            false => refused.remove(&a.credential[..]),
        };
        assert!(
            !refused.contains(&a.credential[..]) || a.credential.starts_with("account"),
            "{}",
            a.credential
        );
    }
    refused
}
