//! What holds after each step, and when the faults end; and what was learned before a schedule begins.

use super::*;

impl Fleet<'_> {
    pub(super) fn check(&mut self) {
        for place in 0..PROXIES {
            self.check_proxy(place);
        }
        let deep = self.steps.is_multiple_of(4);
        self.at_post(|post, is_written| post.check(deep, is_written));
    }

    fn check_proxy(&mut self, place: usize) {
        let proxy = &mut self.proxies[place];
        proxy.holder();
        if let Some(head) = proxy.cell("H", Head::decode) {
            assert!(head.epoch >= proxy.epoch, "the epoch goes back from {} to {}", proxy.epoch, head.epoch);
            proxy.epoch = head.epoch;
        }
        let largest =
            proxy.vms.iter().filter_map(|vm| vm.node.as_ref()).map(Node::size_bytes).max().unwrap_or(0);
        assert!(largest <= VM_BYTES, "{largest} bytes in a VM");
        let c = proxy.sums();
        assert_eq!((c.cells_refused, c.pages_refused), (0, 0), "{c:?}");
        // A ring whose end the hub has not acknowledged, and whose beginning is written over.
        let acked = proxy.cell("hm", HubMeta::decode).map_or([0; SLOTS], |m| m.acked);
        self.may_lose |= proxy.rings().iter().any(|(i, s)| s.seq >= acked[usize::from(*i)] + RING);
        let life = proxy.life;
        let own = |(node, _): &(&NodeId, &u64)| self.names.get(*node) == Some(&life);
        let told = self
            .post
            .tally
            .of_node
            .iter()
            .filter(own)
            .map(|(node, n)| n - self.before.get(node).unwrap_or(&0));
        let durable: u64 = told.sum();
        assert!(self.may_double || c.hub_sent <= durable, "{durable} are durable at proxy {place}: {c:?}");
    }

    /// The faults end.
    pub(super) fn settle(&mut self, caught: &[u64]) {
        self.faults = false;
        (self.cut, self.is_full, self.hub_asleep, self.hub_back, self.renewed_at) =
            ([0; PROXIES], false, 0, 0, 0);
        self.next_answer = Midway::Nothing;
        self.post.set_full(false);
        self.post.set_fault(Fault::Nothing);
        for place in 0..PROXIES {
            let proxy = &mut self.proxies[place];
            if proxy.config.hub.is_none() {
                proxy.config = usual();
            }
            proxy.vms.iter_mut().for_each(|vm| vm.asleep = 0);
            while self.proxies[place].live().len() < 2 {
                self.start(place, 1);
            }
        }
        let mut ticks = 0;
        while !(0..PROXIES).all(|place| self.proxies[place].holder().is_some()) {
            self.pass(1);
            self.check();
            ticks += 1;
            assert!(ticks <= LEADS, "nobody leads");
        }
        self.quieten();
        self.pass(AUDIT);
        // What a ring has lost at its end the next batch tells.
        for place in 0..PROXIES {
            for i in self.proxies[place].live() {
                self.person(place, i, Midway::Nothing);
            }
        }
        self.pass(2);
        self.quieten();
        self.compare();
        self.pass(4);
        self.check();
        self.post.check(true, &|_, _, _, _| false);
        self.are_refused(caught);
        self.proxies.iter().for_each(Proxy::check_cells);
    }

    /// Until the hub knows all that was written.
    fn quieten(&mut self) {
        let mut ticks = 0;
        while !(0..PROXIES).all(|place| self.is_quiet(place)) {
            self.pass(1);
            self.check();
            ticks += 1;
            if ticks > QUIET {
                let waits: Vec<_> = (0..PROXIES).map(|place| self.waits(place)).collect();
                panic!("what waits does not reach the hub: {waits:?}");
            }
        }
    }

    /// The leader has read all rings, and the hub has acknowledged all that it has sent.
    fn is_quiet(&mut self, place: usize) -> bool {
        self.waits(place) == Some((Some(0), 0))
    }

    /// Observations that the hub has not acknowledged, and that the leader has not read, if somebody leads.
    fn waits(&mut self, place: usize) -> Option<(Option<u64>, u64)> {
        let i = self.proxies[place].holder()?;
        let health = self.on(place, i, Midway::Nothing, |vm, host| vm.health(host))?;
        let tails = self.proxies[place].cell("cm", cells::Meta::decode)?.tails;
        let unread = |(at, slot): (u8, Slot)| slot.total.abs_diff(tails[usize::from(at)].total);
        let unread = self.proxies[place].rings().into_iter().map(unread).sum();
        Some((health.hub.map(|h| h.1), unread))
    }

    /// What the hub says of each ring is what its owner says.
    fn compare(&mut self) {
        let mut all = Counts::default();
        for place in 0..PROXIES {
            let proxy = &mut self.proxies[place];
            let node = proxy.cell("hm", HubMeta::decode).unwrap().node;
            let alive: Vec<u64> = proxy.live().into_iter().map(|i| proxy.vms[i].uid).collect();
            let (rings, sums) = (proxy.rings(), proxy.sums());
            let known = self.post.hub().nodes().get(&node).cloned().unwrap_or_default();
            for (at, slot) in rings {
                let total = known.rings[usize::from(at)].total;
                assert!(total <= slot.total, "ring {at}: the hub knows {total} of {slot:?}");
                let is_told = !self.is_hurt && (!self.may_lose || alive.contains(&slot.uid));
                assert!(total == slot.total || !is_told, "ring {at}: the hub knows {total} of {slot:?}");
            }
            let c = known.counts;
            assert!(self.may_lose || (c.lost, c.before) == (0, 0), "{c:?}");
            assert!(!self.is_good || c.duplicate == 0, "{c:?}");
            (all.sent, all.applied) = (all.sent + sums.sent, all.applied + sums.applied);
            (all.hub_sent, all.hub_dropped) =
                (all.hub_sent + sums.hub_sent, all.hub_dropped + sums.hub_dropped);
            (all.hub_failed, all.lost) = (all.hub_failed + sums.hub_failed, all.lost + sums.lost);
        }
        let t = self.post.hub().totals();
        let told = [
            ("sent", all.sent),
            ("told the hub", all.hub_sent),
            ("failed", all.hub_failed),
            ("lost on the way", t.lost),
            ("twice on the way", t.duplicate),
        ];
        for (what, n) in told.into_iter().filter(|t| t.1 > 0) {
            *self.seen.entry(what).or_default() += n;
        }
        if self.is_good {
            let told: u64 = self.post.tally.observations - self.before.values().sum::<u64>();
            let good = Counts { sent: told, applied: told, hub_sent: told, ..Counts::default() };
            assert_eq!(all, good);
        }
    }

    /// These accounts are refused, some of them at each VM, and what people have denied at all.
    fn are_refused(&mut self, accounts: &[u64]) {
        let now_s = self.post.wall().secs() as u32;
        let listed: BTreeSet<u64> =
            self.post.hub().listed().iter().filter(|k| k.until_s > now_s).map(|k| k.key).collect();
        let (mut free, mut n) = (BTreeMap::new(), 0);
        let denied = self.post.tally.denied();
        let fresh = if self.from.is_some() { FRESH..FRESH + NEW } else { 0..0 };
        let told = |d: &Decision, account: u64| {
            let is_known = !listed.contains(&d.key.0) || d.verdict.reason == Reason::Convicted;
            assert!(is_known, "{account} is convicted, and a VM does not know it: {d:?}");
        };
        for place in 0..PROXIES {
            for i in self.proxies[place].live() {
                for _ in 0..8.min(accounts.len()) {
                    n += 1;
                    let account = accounts[n % accounts.len()];
                    let d = self.account(place, i, account).unwrap();
                    if !d.action.rejects() {
                        free.insert(account, d.key.0);
                    }
                    told(&d, account);
                }
                for account in fresh.clone() {
                    let d = self.account(place, i, account).unwrap();
                    told(&d, account);
                }
                for key in &denied {
                    let d = self.guest(place, i, self.guests[key].clone()).unwrap();
                    assert!(d.action.rejects() && d.key.0 == *key, "a denied key passes at proxy {place}");
                }
            }
        }
        *self.seen.entry("convicted everywhere").or_default() += listed.len() as u64;
        if !free.is_empty() {
            self.are_rightly_free(&free);
        }
    }

    /// These accounts, with their keys, were convicted and are not any more: nor would they be of an engine alone, or of a hub that learns
    /// the same without an end, or clocks have stepped.
    fn are_rightly_free(&mut self, free: &BTreeMap<u64, u64>) {
        let all = [self.from.map_or(&[][..], |l| &l.asked), &self.asked].concat();
        let alone = engine(&all);
        let of_engine = |a: &u64| alone.contains(&format!("account-{a}")[..]);
        if !free.keys().any(of_engine) {
            return self.note("an engine alone frees as many");
        }
        let again = self.from.map(|l| self.post.learned_again(&l.kept)).unwrap_or_default();
        if !free.values().any(|key| again.contains(key)) {
            return self.note("a hub that knows what this one knows frees as many");
        }
        assert!(self.has_stepped, "{free:?} are free: {:?}", self.post.hub().status());
        self.note("after steps of clocks some are free");
    }

    /// A tick in which each account asks by odds of one in three, at its own proxy. Which of them are refused.
    fn campaign(&mut self, refused: &mut BTreeSet<u64>) {
        for account in 0..ACCOUNTS {
            if self.rng.one_in(3) {
                let place = account as usize % PROXIES;
                let live = self.proxies[place].live();
                let i = self.one_of(&live[1..]).unwrap();
                match self.account(place, i, account).map(|d| d.action.rejects()) {
                    Some(true) => refused.insert(account),
                    _ => refused.remove(&account),
                };
            }
        }
        for place in 0..PROXIES {
            let live = self.proxies[place].live();
            let i = self.one_of(&live[1..]).unwrap();
            self.person(place, i, Midway::Nothing);
        }
        self.pass(1);
    }
}

pub(super) fn learned() -> Learned {
    let mut f = Fleet::new(0, None);
    f.scale = LEARNING;
    let mut refused = BTreeSet::new();
    for _ in 0..200 {
        f.campaign(&mut refused);
        f.check();
    }
    assert!(refused.len() as u64 * 4 >= ACCOUNTS * 3, "{} are refused", refused.len());
    f.quieten();
    f.pass(5);
    let caught: Vec<u64> = refused.into_iter().collect();
    f.are_refused(&caught);
    f.pass(5);
    f.quieten();
    for place in 0..PROXIES {
        for i in f.proxies[place].live().into_iter().rev() {
            f.leave(place, i);
        }
    }
    f.post.stop();
    let kept = f.post.kept.lock().unwrap().clone();
    Learned {
        memories: f.proxies.iter().map(|p| p.memory.cells.clone()).collect(),
        kept,
        tally: f.post.tally.clone(),
        names: f.names.clone(),
        written: std::mem::take(&mut f.written),
        now: f.now,
        wall: f.wall,
        caught,
        asked: std::mem::take(&mut f.asked),
    }
}

/// What an engine alone does about the same requests in the same order: whom it refused last. None of the people ever.
pub(super) fn engine(asked: &[Asked]) -> BTreeSet<&str> {
    let mut engine = Engine::new(usual());
    let mut refused = BTreeSet::new();
    for a in asked {
        engine.tick(a.now);
        if a.credential.is_empty() {
            continue;
        }
        let (headers, body) = (a.headers(), a.body());
        let mut session = engine.open(a.now, &of(&headers));
        session.push(body.as_bytes(), true);
        match engine.decide(a.now, &mut session).action.rejects() {
            true => refused.insert(&a.credential[..]),
            false => refused.remove(&a.credential[..]),
        };
        let is_account = a.credential.starts_with("account");
        assert!(is_account || !refused.contains(&a.credential[..]), "{} is refused", a.credential);
    }
    refused
}
