//! The honest population (DETECTION 5.1 and 7): classes that look like a campaign in one respect or another and are not.

use super::rng::Rng;
use super::texts::Text;
use super::world::{Actor, DAY_S, Plan, START_S, World};

/// Traits of the population.
#[derive(Clone, Copy, Debug)]
pub struct Population {
    /// Requests tell the creation of the account.
    pub ages: bool,
    /// Share of honest keys that sit on the campaign's relays or use its client.
    pub neighbours: f64,
}

/// Adds keys with the traits that most classes share.
pub struct Maker<'w> {
    pub world: &'w mut World,
    pub rng: Rng,
    pub ages: bool,
    pub neighbours: f64,
}

/// Address prefixes of homes, shared by honest keys and by campaigns on residential addresses.
const HOMES: u64 = 20_000;
/// Client programs.
const CLIENTS: u64 = 40;

impl<'w> Maker<'w> {
    pub fn new(world: &'w mut World, p: Population) -> Maker<'w> {
        let seed = world.seed;
        world.relays = (0..200).map(|i| Rng::at(seed ^ 0x72_656c_6179, i, 0).u64() | 1).collect();
        Maker { rng: Rng::new(seed ^ 0x686f_6e65), world, ages: p.ages, neighbours: p.neighbours }
    }
    pub fn home(&mut self) -> u64 {
        Rng::at(0x68_6f6d_6573, self.rng.below(HOMES), 0).u64() | 1
    }
    pub fn relay(&mut self) -> u64 {
        *self.rng.pick(&self.world.relays)
    }
    /// A client program and a model, popular ones more often.
    pub fn client(&mut self) -> u64 {
        let which = self.rng.zipf(CLIENTS) * 8 + self.rng.zipf(4);
        Rng::at(0x63_6c69_656e_7473, which, 0).u64() | 1
    }
    /// The client of campaigns that have one of their own.
    pub fn own_client(&self) -> u64 {
        Rng::at(self.world.seed ^ 0x6f77_6e63, 0, 0).u64() | 1
    }
    pub fn end_s(&self) -> u32 {
        self.world.hours * 3600
    }
    /// Age of an account at the start: exponential, mean 150 days, beyond two weeks.
    fn old_age_s(&mut self) -> f64 {
        (14.5 + self.rng.exp(150.0)) * f64::from(DAY_S)
    }
    /// A key of class `name`, young with probability `young`. Half of the young ones sign up during the run.
    pub fn key(&mut self, name: &'static str, young: f64, plan: Plan, text: Text) -> &mut Actor {
        let end = u64::from(self.end_s());
        let is_young = self.rng.chance(young);
        let (from_s, created) = if !is_young {
            (0, START_S - self.old_age_s() as u64)
        } else if self.rng.chance(0.5) {
            let from = self.rng.below(end);
            (from as u32, START_S + from)
        } else {
            (0, START_S - self.rng.below(14 * 86_400))
        };
        self.born(name, created, from_s, plan, text)
    }
    /// A key created at a time of the run, first seen within the hour.
    pub fn newcomer(&mut self, name: &'static str, at_s: u32, plan: Plan, text: Text) -> &mut Actor {
        self.born(name, START_S + u64::from(at_s), at_s, plan, text)
    }
    pub fn born(
        &mut self,
        name: &'static str,
        created: u64,
        from_s: u32,
        plan: Plan,
        text: Text,
    ) -> &mut Actor {
        let class = self.world.class(name, false);
        let neighbour = self.rng.chance(self.neighbours);
        let prefix = if neighbour { self.relay() } else { self.home() };
        let client = if neighbour && self.rng.chance(0.1) { self.own_client() } else { self.client() };
        let until_s = self.end_s();
        let key = self.rng.u64() | 1;
        let created_s = if self.ages { created as u32 } else { 0 };
        let actors = &mut self.world.actors;
        actors.push(Actor { class, key, prefix, client, tenant: 0, created_s, from_s, until_s, plan, text });
        let last = actors.len() - 1;
        &mut actors[last]
    }
    /// Three humps: the Americas, Europe, East Asia.
    pub fn tz(&mut self) -> i8 {
        *self.rng.pick(&[-8i8, -6, -5, -5, 0, 1, 1, 2, 8, 8, 9])
    }
    pub fn people(&mut self, median: f64, sigma: f64, turns: u8, follow: f32) -> Plan {
        let rate = self.rng.log_normal(median, sigma).min(2_000.0) as f32;
        Plan::People { rate, tz: self.tz(), turns, follow, gap_s: 150 }
    }
    /// A system prompt of one's own: texts that nobody else joins in this order.
    pub fn own_system(&mut self) -> u16 {
        let mut text = b"You are ".to_vec();
        let mut rng = Rng::new(self.rng.u64());
        self.world.pool.words(&mut rng, 12, &mut text);
        self.world.pool.human(&mut rng, 4, &mut text);
        let at = 8;
        self.world.pool.replace_words(&mut rng, 0.35, &mut text, at);
        self.world.pool.system(text)
    }
    /// A system prompt made from a public template.
    pub fn agent_system(&mut self, which: usize) -> u16 {
        let mut text = Vec::new();
        let agents = &self.world.pool.corpus.agents;
        agents[which % agents.len()].fill(&mut text, &mut |_, out| out.extend_from_slice(b"workspace"));
        self.world.pool.system(text)
    }
    fn count(&self, n: f64, scale: f64) -> usize {
        (n * scale).round().max(1.0) as usize
    }
}

/// All classes of DETECTION 5.1.
pub fn populate(m: &mut Maker<'_>, scale: f64) {
    chat_and_agents(m, scale);
    services(m, scale);
    communities(m, scale);
    machines(m, scale);
}

fn chat_and_agents(m: &mut Maker<'_>, scale: f64) {
    for _ in 0..m.count(12_000.0, scale) {
        let plan = m.people(0.8, 1.0, 6, 0.55);
        m.key("chat", 0.10, plan, Text::Chat);
    }
    let systems: Vec<u16> = (0..20).map(|i| m.agent_system(i)).collect();
    let next = {
        let mut text = m.world.pool.systems[usize::from(systems[0])].0.clone();
        let mut rng = Rng::new(m.world.seed ^ 5);
        m.world.pool.replace_words(&mut rng, 0.3, &mut text, 0);
        m.world.pool.system(text)
    };
    let half = m.end_s() / 2;
    m.world.pool.systems[usize::from(systems[0])].1 = Some((half, next));
    for _ in 0..m.count(5_000.0, scale) {
        let system = systems[m.rng.zipf(20) as usize];
        let rate = m.rng.log_normal(1.5, 1.1).min(60.0) as f32;
        let plan = Plan::People { rate, tz: m.tz(), turns: 25, follow: 0.93, gap_s: 25 };
        m.key("agent", 0.15, plan, Text::Agent { system });
    }
    let system = m.world.pool.system(
        b"Complete the code at the cursor. Return only the inserted code without explanation or markdown fences."
            .to_vec(),
    );
    for _ in 0..m.count(1_500.0, scale) {
        let rate = m.rng.log_normal(50.0, 0.9).min(900.0) as f32;
        let plan = Plan::Office { rate, tz: m.tz(), turns: 1, follow: 0.0, gap_s: 20 };
        m.key("ide", 0.12, plan, Text::Code { system });
    }
}

fn services(m: &mut Maker<'_>, scale: f64) {
    for _ in 0..m.count(900.0, scale) {
        let system = m.own_system();
        let rate = m.rng.log_normal(60.0, 1.5).min(2_500.0) as f32;
        let tz = m.tz();
        let flat = m.rng.chance(0.3);
        let plan = if flat {
            Plan::Flat { rate, turns: 1, gap_s: 1 }
        } else {
            Plan::People { rate, tz, turns: 1, follow: 0.0, gap_s: 1 }
        };
        m.key("app", 0.12, plan, Text::App { system });
    }
    for _ in 0..m.count(2_500.0, scale) {
        let task = m.rng.zipf(26) as u16;
        let plan = m.people(12.0, 1.2, 1, 0.0);
        m.key("rag", 0.12, plan, Text::Task { task, slot_texts: 5 });
    }
    for _ in 0..3 {
        let system = m.own_system();
        let prefixes = [m.home(), m.home()];
        let client = m.client();
        for _ in 0..m.count(400.0, scale) {
            let plan = m.people(3.0, 1.2, 3, 0.4);
            let at = m.rng.below(u64::from(m.end_s())) as u32;
            let early = m.rng.chance(0.6);
            let a = if early {
                let age = m.rng.below(10 * 86_400);
                m.born("tenant", START_S - age, 0, plan, Text::App { system })
            } else {
                m.newcomer("tenant", at, plan, Text::App { system })
            };
            a.client = client;
            a.prefix = prefixes[(a.key >> 40) as usize % 2];
        }
    }
}

fn communities(m: &mut Maker<'_>, scale: f64) {
    let patterns = m.world.pool.corpus.patterns.len() as u64;
    for _ in 0..m.count(1_500.0, scale) {
        let first = m.rng.zipf(patterns) as u16;
        let plan = m.people(2.0, 1.0, 1, 0.0);
        m.key("library", 0.12, plan, Text::Library { first });
    }
    for _ in 0..m.count(150.0, scale) {
        let at_s = m.rng.below(u64::from(m.end_s().saturating_sub(10_000))) as u32;
        let (n, over_s) = (m.rng.between(500, 1640) as u32, m.rng.between(1200, 7200) as u32);
        let set = m.rng.below(64) as u16;
        let template = if m.rng.chance(0.5) { 1 + m.rng.below(40) as u16 } else { 0 };
        m.key("evaluation", 0.3, Plan::Burst { at_s, n, over_s }, Text::Eval { set, template }).from_s = 0;
    }
    for _ in 0..5 {
        let (set, item) = (m.rng.below(64) as u16, m.rng.below(40) as u16);
        let day = m.rng.below(u64::from(m.end_s() / DAY_S).max(3) - 2);
        for _ in 0..m.count(150.0, scale) {
            let rate = m.rng.log_normal(5.0, 0.7) as f32;
            let plan = Plan::People { rate, tz: 1, turns: 3, follow: 0.5, gap_s: 200 };
            let a = m.key("class", 0.6, plan, Text::Assignment { set, item });
            a.from_s = (day * 86_400) as u32;
            a.until_s = a.from_s + 2 * DAY_S;
            if a.created_s != 0 && u64::from(a.created_s) > START_S + u64::from(a.from_s) {
                a.created_s = (START_S + u64::from(a.from_s)) as u32;
            }
        }
    }
    let system = m.own_system();
    for _ in 0..m.count(1_500.0, scale) {
        let plan = m.people(2.0, 1.1, 2, 0.15);
        m.key("viral", 0.6, plan, Text::App { system });
    }
    for _ in 0..2 {
        let system = m.own_system();
        let at_s = m.rng.below(u64::from(m.end_s().saturating_sub(2 * DAY_S))) as u32;
        for _ in 0..m.count(120.0, scale) {
            let plan = m.people(40.0, 1.0, 2, 0.3);
            hackathon(m, "hackathon", 0.8, at_s, plan, system);
        }
    }
}

fn hackathon(m: &mut Maker<'_>, name: &'static str, young: f64, at_s: u32, plan: Plan, system: u16) {
    let join = at_s + m.rng.below(4 * 3600) as u32;
    let a = if m.rng.chance(young) {
        m.newcomer(name, join, plan, Text::App { system })
    } else {
        let a = m.key(name, 0.0, plan, Text::App { system });
        a.from_s = join;
        a
    };
    a.until_s = at_s + 2 * DAY_S;
}

fn machines(m: &mut Maker<'_>, scale: f64) {
    for i in 0..m.count(250.0, scale) {
        let at_s = m.rng.below(u64::from(DAY_S)) as u32;
        let n = m.rng.log_normal(250.0, 0.8).min(3_000.0) as f32;
        let over_s = m.rng.between(600, 3 * 3600) as u32;
        let text = if i % 5 == 0 {
            Text::Task { task: 26 + m.rng.zipf(20) as u16, slot_texts: 2 }
        } else {
            Text::App { system: m.own_system() }
        };
        m.key("batch", 0.12, Plan::Daily { at_s, n, over_s }, text);
    }
    for young in [0.30, 0.75] {
        let system = m.own_system();
        for _ in 0..m.count(600.0, scale) {
            let plan = Plan::Timer { period_s: 3600, phase_s: m.rng.below(3600) as u32, jitter_s: 20 };
            m.key("cron", young, plan, Text::App { system });
        }
    }
    let system = m.own_system();
    let (prefix, client) = (m.home(), m.client());
    for _ in 0..m.count(600.0, scale) {
        let plan = Plan::Timer { period_s: 3600, phase_s: m.rng.below(3600) as u32, jitter_s: 300 };
        let age = m.rng.below(10 * 86_400);
        let a = m.born("device", START_S - age, 0, plan, Text::App { system });
        a.client = client;
        a.prefix = prefix;
    }
}

/// Honest newcomers of one size (DETECTION 7): every kind that fresh traffic was blocked for.
pub fn newcomers(m: &mut Maker<'_>, n: usize) {
    let day = DAY_S;
    let system = m.own_system();
    for _ in 0..n {
        let plan = m.people(3.0, 1.1, 4, 0.3);
        let at = 2 * day + m.rng.below(u64::from(2 * day)) as u32;
        m.newcomer("launch", at, plan, Text::App { system });
    }
    let system = m.own_system();
    for _ in 0..n {
        let rate = m.rng.log_normal(8.0, 0.8) as f32;
        let at = 2 * day + 8 * 3600 + m.rng.below(7200) as u32;
        m.newcomer(
            "staff",
            at,
            Plan::Office { rate, tz: 0, turns: 3, follow: 0.3, gap_s: 120 },
            Text::App { system },
        );
    }
    let system = m.own_system();
    for _ in 0..n {
        let plan = m.people(30.0, 0.9, 2, 0.3);
        hackathon(m, "hackathon_new", 1.0, 2 * day + 6 * 3600, plan, system);
    }
    rotated(m, n);
    for (name, period, jitter) in
        [("jitter_47m", 47 * 60, 0.15), ("jitter_2h", 7_200, 0.10), ("jitter_25m", 1_500, 0.25)]
    {
        let system = m.own_system();
        for _ in 0..n / 3 + 1 {
            let (phase_s, jitter_s) = (m.rng.below(period) as u32, (period as f64 * jitter) as u32);
            let at = 2 * day + m.rng.below(u64::from(day)) as u32;
            let plan = Plan::Timer { period_s: period as u32, phase_s, jitter_s };
            m.newcomer(name, at, plan, Text::App { system });
        }
    }
    let system = m.own_system();
    for _ in 0..n {
        let plan = m.people(2.0, 1.1, 2, 0.15);
        let at = 2 * day + m.rng.exp(f64::from(day)).min(3.0 * f64::from(day)) as u32;
        m.newcomer("viral_new", at, plan, Text::App { system });
    }
    let system = m.own_system();
    for _ in 0..n {
        let plan = m.people(10.0, 0.8, 1, 0.0);
        m.key("narrow", 0.5, plan, Text::App { system });
    }
}

/// Customers of one service who all change their credential within four hours. Their requests tell no age.
fn rotated(m: &mut Maker<'_>, n: usize) {
    let system = m.own_system();
    for _ in 0..n {
        let plan = m.people(10.0, 1.1, 1, 0.0);
        let at = 3 * DAY_S + m.rng.below(4 * 3600) as u32;
        let before = m.key("rotated", 0.0, plan, Text::App { system });
        before.until_s = at;
        before.created_s = 0;
        let before = before.clone();
        let after = m.born("rotated", START_S, at, plan, Text::App { system });
        (after.prefix, after.client, after.created_s) = (before.prefix, before.client, 0);
    }
}
