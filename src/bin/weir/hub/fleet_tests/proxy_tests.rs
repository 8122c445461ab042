//! A proxy of a fleet: its VMs, their cells, and what a host does for them.

use super::*;

/// One VM.
pub struct Vm {
    /// `None`: it is in the midst of a callback, or dead.
    pub node: Option<Node>,
    pub is_dead: bool,
    pub uid: u64,
    /// Until when it stalls.
    pub asleep: u64,
    /// Answers of the hub that it has not heard.
    pub mail: Vec<(u32, Vec<u8>)>,
}

/// One process; the next one at its place has the same token.
pub struct Proxy {
    pub memory: Memory,
    pub vms: Vec<Vm>,
    pub config: Arc<Config>,
    /// Which of all processes.
    pub life: usize,
    /// Its wall clock less the true one.
    pub ahead: i64,
    pub epoch: u64,
    /// Counters of the dead.
    pub gone: Counts,
}

impl Proxy {
    pub fn new(memory: Memory, config: Arc<Config>, life: usize, ahead: i64) -> Proxy {
        Proxy { memory, vms: Vec::new(), config, life, ahead, epoch: 0, gone: Counts::default() }
    }

    pub fn live(&self) -> Vec<usize> {
        (0..self.vms.len()).filter(|i| self.vms[*i].node.is_some()).collect()
    }
    pub fn awake(&self, now: u64) -> Vec<usize> {
        self.live().into_iter().filter(|i| self.vms[*i].asleep <= now).collect()
    }
    pub fn cell<T>(&mut self, kind: &str, decode: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        let name = cells::name(&cells::prefix(&self.config), kind, &[]);
        self.memory.get(&name).and_then(|(bytes, _)| decode(&bytes))
    }
    /// VM that the head names.
    pub fn named(&mut self) -> Option<u64> {
        self.cell("H", Head::decode).filter(|h| h.state != cells::FREE).map(|h| h.uid)
    }
    /// The VM that holds the lease.
    pub fn holder(&mut self) -> Option<usize> {
        let named = self.named();
        let holds = |vm: &Vm| named == Some(vm.uid) && vm.node.as_ref().is_some_and(Node::leads);
        let all: Vec<usize> = (0..self.vms.len()).filter(|i| holds(&self.vms[*i])).collect();
        assert!(all.len() <= 1, "{all:?} hold the lease");
        all.first().copied()
    }
    pub fn sums(&self) -> Counts {
        let mut sum = self.gone;
        self.vms.iter().filter_map(|vm| vm.node.as_ref()).for_each(|n| add(&mut sum, n.counts()));
        sum
    }
    /// A VM is gone. What it has said of itself so far.
    pub fn bury(&mut self, i: usize, counts: Counts) {
        add(&mut self.gone, counts);
        let vm = &mut self.vms[i];
        (vm.node, vm.is_dead) = (None, true);
        vm.mail.clear();
    }
    /// What the workers have written into each ring.
    pub fn rings(&self) -> Vec<(u8, Slot)> {
        let first = cells::name(&cells::prefix(&self.config), "s/", &[]);
        let all = self.memory.cells.range(first.clone()..).take_while(|(name, _)| name.starts_with(&first));
        all.filter_map(|(name, (bytes, _))| Some((name[first.len()..].parse().ok()?, Slot::decode(bytes)?)))
            .collect()
    }

    /// Each kind of cell within its bounds.
    pub fn check_cells(&self) {
        let prefix = cells::prefix(&self.config);
        let pages = Ledger::new(&self.config).page_count();
        let mut left = cells::table(pages, true).map(|(kind, count, bytes)| {
            let each = if ["s", "r"].contains(&kind) { SLOTS as u64 } else { 1 };
            (kind, count * each, bytes)
        });
        for (name, (bytes, _)) in &self.memory.cells {
            let kind = name[prefix.len()..].split('/').next().unwrap();
            let (_, count, most) = left.iter_mut().find(|(k, ..)| *k == kind).unwrap();
            assert!(bytes.len() <= *most && *count > 0, "{name}: {} bytes", bytes.len());
            *count -= 1;
        }
    }
}

fn add(sum: &mut Counts, c: Counts) {
    sum.sent += c.sent;
    sum.dropped += c.dropped;
    sum.applied += c.applied;
    sum.lost += c.lost;
    sum.cells_refused += c.cells_refused;
    sum.pages_refused += c.pages_refused;
    sum.hub_sent += c.hub_sent;
    sum.hub_dropped += c.hub_dropped;
    sum.hub_failed += c.hub_failed;
}

/// The host of one VM during a callback.
pub struct Host<'a, 'b> {
    pub fleet: &'a mut Fleet<'b>,
    /// Place and VM.
    pub at: (usize, usize),
    pub midway: Midway,
    pub is_dead: bool,
}

impl Host<'_, '_> {
    fn call(&mut self) {
        if let Some(ticks) = self.midway.call() {
            self.fleet.pass(ticks);
        }
    }
}

impl Cells for Host<'_, '_> {
    fn get(&mut self, name: &str) -> Option<(Vec<u8>, u32)> {
        self.call();
        self.fleet.proxies[self.at.0].memory.get(name).filter(|_| !self.is_dead)
    }
    fn set(&mut self, name: &str, value: &[u8], cas: u32) -> Set {
        self.call();
        self.is_dead |= self.midway.dies();
        if self.is_dead {
            return Set::Failed;
        }
        let (place, i) = self.at;
        let proxy = &mut self.fleet.proxies[place];
        let life = proxy.life;
        let done = proxy.memory.set(name, value, cas);
        if done != Set::Done {
            return done;
        }
        let prefix = cells::prefix(&proxy.config);
        let mut words = name[prefix.len()..].split('/');
        match (words.next(), words.next()) {
            (Some("n"), _) => proxy.vms[i].uid = u64::from_le_bytes(value.try_into().unwrap()),
            (Some("hm"), _) => {
                let meta = HubMeta::decode(value).unwrap();
                self.fleet.names.insert(meta.node, life);
            }
            (Some("r"), Some(ring)) => {
                let (cell, batch) = Cell::decode(value).unwrap();
                let place = (life, ring.parse().unwrap(), cell.seq);
                self.fleet.written.entry(place).or_default().push(batch.to_vec());
            }
            _ => {}
        }
        Set::Done
    }
    fn random(&mut self) -> Option<[u8; 16]> {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.fleet.rng.next().to_le_bytes());
        Some(id)
    }
    fn monotonic(&mut self) -> u64 {
        self.fleet.now
    }
}
