//! What goes wrong in a schedule, and when.

use super::*;

impl Fleet<'_> {
    /// Requests on one worker.
    fn traffic(&mut self) {
        let place = self.any_proxy();
        let awake = self.proxies[place].awake(self.now);
        // Number one is the main thread's, as a rule.
        let all = self.faults && self.rng.one_in(20);
        let workers = if all { &awake[..] } else { awake.get(1..).unwrap_or_default() };
        let Some(i) = self.one_of(workers) else { return };
        for _ in 0..1 + self.rng.below(6) {
            if self.rng.one_in(2) {
                let is_new = self.rng.one_in(8);
                let account = if is_new { FRESH + self.rng.below(NEW) } else { self.rng.below(ACCOUNTS) };
                self.account(place, i, account);
            } else {
                self.person(place, i, Midway::Nothing);
            }
        }
    }

    pub(super) fn step(&mut self) {
        self.steps += 1;
        match self.rng.below(100) {
            0..=34 => self.pass(1),
            35..=64 => self.traffic(),
            65..=79 if self.faults => self.of_proxies(),
            80..=94 if self.faults => self.of_hub(),
            _ => self.pass(3),
        }
        self.check();
    }

    fn of_proxies(&mut self) {
        let place = self.any_proxy();
        let awake = self.proxies[place].awake(self.now);
        // The leader, mostly.
        let holder = if self.rng.one_in(3) { None } else { self.proxies[place].holder() };
        let Some(i) = holder.filter(|i| awake.contains(i)).or_else(|| self.one_of(&awake)) else { return };
        let (stall, writes) = (self.rng.below(40), self.rng.below(if holder.is_some() { 100 } else { 4 }));
        match self.rng.below(30) {
            0..=1 => {
                self.note("a VM dies");
                self.kill(place, i);
            }
            2..=5 if self.proxies[place].live().len() < VMS => {
                self.note("a VM starts");
                self.start(place, 1);
            }
            6..=7 => {
                self.note("a VM stalls");
                // Its ring may be another's by then.
                self.may_lose = true;
                self.proxies[place].vms[i].asleep = self.now + stall * 2 * TICK;
            }
            8..=9 => {
                self.note("a VM dies in its tick");
                self.may_lose = true;
                self.wait(TICK);
                self.tick(place, i, Midway::Dies(writes));
            }
            10..=11 => {
                self.note("a VM stalls in its tick");
                (self.may_lose, self.may_double) = (true, true);
                self.wait(TICK);
                self.tick(place, i, Midway::Stalls(4 * writes, stall));
            }
            12..=13 => {
                self.note("a VM stalls as it hears an answer");
                (self.may_lose, self.may_double) = (true, true);
                self.next_answer = Midway::Stalls(writes % 4, stall);
            }
            14..=15 => {
                self.note("a VM dies as it hears an answer");
                self.next_answer = Midway::Dies(writes % 4);
            }
            16 => {
                self.note("a VM leaves");
                self.leave(place, i);
            }
            17..=18 => {
                self.note("a VM is replaced by newer or older code");
                self.leave(place, i);
                let rank = self.rng.below(4) as u32;
                self.start(place, rank);
            }
            19..=20 => {
                self.note("a proxy begins anew");
                self.restart(place);
            }
            21 => {
                self.note("a proxy stands still for some seconds");
                self.may_lose = true;
                let until = self.now + stall * 2 * TICK;
                self.proxies[place].vms.iter_mut().for_each(|vm| vm.asleep = until);
            }
            22..=23 => {
                self.note("a new configuration");
                // What is written meanwhile may be written over before the hub is back.
                self.may_lose |= stall.is_multiple_of(3);
                self.proxies[place].config = match stall % 3 {
                    0 => settings("", ""),
                    1 => settings(
                        r#","hub":{"cluster":"hub","every":"300ms"}"#,
                        r#","log":{"decisions":"all"}"#,
                    ),
                    _ => usual(),
                };
            }
            24..=25 => {
                self.note("a proxy's clock steps");
                self.has_stepped = true;
                self.proxies[place].ahead += [-300, -90, -20, -5, 5, 9, 20, 40][stall as usize % 8] * MINUTE;
            }
            26 if self.seed % 4 == 1 => self.harm(place),
            _ => {
                self.note("a proxy is cut off");
                self.cut[place] = self.now + stall * TICK;
            }
        }
    }

    /// A cell of the protocol with the hub is lost.
    fn harm(&mut self, place: usize) {
        let slots = self.proxies[place].rings();
        let kind = match self.rng.below(slots.len() as u64 + 1) as usize {
            0 => "hm".to_string(),
            n => format!("s/{}", slots[n - 1].0),
        };
        self.note("a host loses a cell");
        (self.is_hurt, self.may_lose) = (true, true);
        let name = cells::name(&cells::prefix(&self.proxies[place].config), &kind, &[]);
        self.proxies[place].memory.cells.remove(&name);
    }

    fn of_hub(&mut self) {
        let ticks = self.rng.below(30);
        if !self.post.is_up() {
            return self.pass(2);
        }
        match self.rng.below(24) {
            0..=3 => {
                self.note("the hub is killed");
                self.post.kill();
                self.hub_back = self.now + ticks * TICK;
            }
            4..=5 => {
                self.note("the hub ends in order");
                self.post.stop();
                self.hub_back = self.now + ticks * TICK;
            }
            6..=8 if self.post.is_shared => {
                self.note("another hub takes over");
                let rounds = 1 + self.rng.below(20);
                if self.post.replace(rounds) {
                    self.note("one that has followed begins");
                }
                self.post.set_full(self.is_full);
            }
            9..=12 if self.post.is_shared => {
                self.note("a standby reads");
                self.post.stand_by();
            }
            13..=15 if self.post.is_shared => {
                self.note("the lease is not renewed");
                self.post.lapse();
                self.renewed_at = self.now + ticks * TICK;
            }
            16..=17 => {
                self.note("the hub stands still");
                self.hub_asleep = self.now + 2 * ticks * TICK;
            }
            18..=19 => {
                self.note("the hub's clock steps");
                self.has_stepped = true;
                self.hub_ahead += [-90, -20, -5, 5, 9, 20, 40][ticks as usize % 7] * MINUTE;
                self.skip(0, 0);
            }
            20..=21 => {
                self.note("checkpoints fail, or no longer");
                self.is_full = !self.is_full;
                self.post.set_full(self.is_full);
            }
            22 => {
                self.note("an hour without the hub");
                self.may_lose = true;
                self.post.kill();
                self.hub_back = self.now + 3_601_000 * MS + ticks * TICK;
                self.skip(3_600_000 * MS, 3_600_000 * MS);
            }
            _ => self.deny(),
        }
    }

    /// People deny a key that has asked before.
    fn deny(&mut self) {
        let place = self.any_proxy();
        let awake = self.proxies[place].awake(self.now);
        let Some(i) = self.one_of(&awake) else { return };
        let credential = format!("guest-{}", self.guests.len());
        let Some(d) = self.guest(place, i, credential.clone()) else { return };
        assert!(!d.action.rejects(), "a guest is refused");
        let key = d.key.0;
        self.guests.insert(key, credential);
        if self.rng.one_in(3) {
            self.post.set_fault(if self.rng.one_in(2) { Fault::Refuses } else { Fault::Unanswered });
        }
        let is_denied = self.at_post(|post, is_written| post.deny(key, is_written));
        self.note(if is_denied { "people deny a key" } else { "a decision is not taken" });
    }
}
