//! The faults of a schedule, and when they happen.

use super::*;

/// The host of one VM during a callback.
pub(super) struct Host<'a, 'b> {
    pub(super) s: &'a mut Schedule<'b>,
    pub(super) midway: Midway,
    pub(super) is_dead: bool,
}

impl Host<'_, '_> {
    fn call(&mut self) {
        if let Some(ticks) = self.midway.call() {
            self.s.pass(ticks);
        }
    }
}

impl Cells for Host<'_, '_> {
    fn get(&mut self, name: &str) -> Option<(Vec<u8>, u32)> {
        self.call();
        self.s.w.memory.get(name).filter(|_| !self.is_dead)
    }
    fn set(&mut self, name: &str, value: &[u8], cas: u32) -> Set {
        self.call();
        self.is_dead |= self.midway.dies();
        if self.is_dead || self.s.is_full {
            return Set::Failed;
        }
        if self.s.rng.below(40) == 0
            && let Some((old, _)) = self.s.w.memory.get(name)
        {
            self.s.old.insert(name.to_string(), old);
        }
        self.s.w.memory.set(name, value, cas)
    }
    fn random(&mut self) -> Option<[u8; 16]> {
        self.s.w.memory.random()
    }
    fn monotonic(&mut self) -> u64 {
        self.s.w.memory.monotonic()
    }
}

impl Schedule<'_> {
    /// Requests on one worker.
    fn traffic(&mut self, midway: Midway) {
        let awake = self.awake();
        // Number one is the main thread's, as a rule.
        let workers = if self.rng.below(20) == 0 { &awake[..] } else { awake.get(1..).unwrap_or_default() };
        let Some(i) = self.one_of(workers) else { return };
        for _ in 0..1 + self.rng.below(6) {
            if self.rng.below(2) == 0 {
                let account = self.rng.below(ACCOUNTS);
                self.account(i, account);
            } else {
                self.person(i, midway);
            }
            if self.w.vms[i].is_none() {
                return;
            }
        }
    }

    /// The leader, mostly.
    fn victim(&mut self) -> Option<usize> {
        let awake = self.awake();
        let holder = if self.rng.below(3) == 0 { None } else { self.holder() };
        holder.filter(|i| awake.contains(i)).or_else(|| self.one_of(&awake))
    }

    pub(super) fn step(&mut self) {
        self.steps += 1;
        let n = self.rng.below(1_000);
        match n {
            0..=449 => self.pass(1),
            450..=749 => self.traffic(Midway::Nothing),
            750..=929 => self.fault(n),
            // Half of the schedules have whole cells and room for them.
            930..=949 if self.seed.is_multiple_of(4) => {
                self.is_full = !self.is_full;
                self.note("shared data is full, or no longer");
            }
            930..=969 if self.seed % 4 == 1 => self.harm(),
            _ => self.pass(3),
        }
        self.check();
    }

    fn fault(&mut self, n: u64) {
        let Some(i) = self.victim() else { return };
        let stall = self.rng.below(40);
        // A leader's tick, and that of any other VM, so that it is hit in its midst.
        let (calls, writes) = if self.holder() == Some(i) { (400, 200) } else { (80, 4) };
        let (calls, writes) = (self.rng.below(calls), self.rng.below(writes));
        match n {
            750..=769 => {
                self.note("a VM dies");
                self.w.kill(i);
            }
            770..=799 if self.live().len() < VMS && !self.is_full => {
                self.note("a VM starts");
                self.start(1);
            }
            800..=819 => {
                self.note("a VM stalls");
                self.asleep[i] = self.w.memory.now + stall * 2 * TICK;
            }
            820..=839 => {
                self.note("a VM dies in its tick");
                self.wait(TICK);
                self.tick(i, Midway::Dies(writes));
            }
            840..=859 => {
                self.note("a VM stalls in its tick");
                self.wait(TICK);
                self.tick(i, Midway::Stalls(calls, stall));
            }
            860..=864 => {
                self.note("a VM stalls as it decides");
                self.traffic(Midway::Stalls(calls % 3, stall));
            }
            865..=869 => {
                self.note("a VM writes more than its ring holds");
                for _ in 0..RING + stall {
                    self.person(i, Midway::Nothing);
                    self.on(i, Midway::Nothing, |vm, host| vm.flush(host));
                }
            }
            870..=879 => {
                self.note("a VM leaves");
                self.leave(i);
            }
            880..=889 if !self.is_full => {
                self.note("a VM is replaced by newer or older code");
                self.leave(i);
                let rank = self.rng.below(4) as u32;
                self.start(rank);
            }
            890..=899 => {
                self.note("a new configuration");
                let (keys, more) = [(1_024, r#","log":{"decisions":"all"}"#), (MOST_KEYS, ""), (1_024, "")]
                    [stall as usize % 3];
                self.config = settings(keys, more);
                let config = Arc::clone(&self.config);
                self.w.vms.iter_mut().flatten().for_each(|vm| vm.reconfigure(&config));
            }
            900..=909 => {
                self.note("the wall clock steps");
                let minutes = [-300, -90, -20, -5, 5, 9, 20, 40][stall as usize % 8];
                self.wall = Nanos(self.wall.0.saturating_add_signed(minutes * 60 * 1_000_000_000));
            }
            910..=919 => {
                self.note("the process is stopped for a minute");
                self.w.memory.now += 600 * TICK;
                self.wall = self.wall.plus(Nanos(600 * TICK));
            }
            _ => self.pass(30),
        }
    }

    pub(super) fn leave(&mut self, i: usize) {
        self.on(i, Midway::Nothing, |vm, host| vm.leave(host));
        self.w.kill(i);
    }

    /// A cell is lost, damaged, or holds again what it held before.
    fn harm(&mut self) {
        let prefix = cells::prefix(&self.config);
        let kind = ["H", "n", "p", "cm", "c", "v", "s", "r"][self.rng.below(8) as usize];
        let is_of = |name: &String| name[prefix.len()..].split('/').next() == Some(kind);
        let how = self.rng.below(3);
        let names: Vec<String> = if how == 2 {
            self.old.keys().filter(|n| is_of(n)).cloned().collect()
        } else {
            self.w.memory.cells.keys().filter(|n| is_of(n)).cloned().collect()
        };
        let at = self.rng.below(names.len() as u64) as usize;
        let Some(name) = names.get(at) else { return };
        self.hurt.any = true;
        self.hurt.numbers |= kind == "n";
        self.hurt.sums |= ["s", "cm"].contains(&kind) || kind == "H" && how == 2;
        if kind == "H" {
            self.epoch = 0;
        }
        if self.is_told {
            println!("{name}");
        }
        match how {
            0 => {
                self.note("a cell is lost");
                self.w.memory.cells.remove(name);
            }
            1 => {
                self.note("a cell is damaged");
                let byte = self.rng.next();
                if let Some((bytes, _)) = self.w.memory.cells.get_mut(name)
                    && !bytes.is_empty()
                {
                    let at = (byte >> 8) as usize % bytes.len();
                    bytes[at] ^= (byte as u8).max(1);
                }
            }
            _ => {
                self.note("a cell holds again what it held before");
                let old = self.old[name].clone();
                self.w.memory.set(name, &old, 0);
            }
        }
    }
}
