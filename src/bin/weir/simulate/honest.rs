//! The honest population: classes that resemble a campaign in one respect or another.

pub mod machines;
pub mod newcomers;
pub mod people;
pub mod work;

use super::corpus::Template;
use super::rng::Rng;
use super::texts::Text;
use super::world::{Actor, Ages, DAY, DAY_S, Entry, Plan, Renewal, START_S, World};

/// Properties of the population.
#[derive(Clone, Copy, Debug)]
pub struct Population {
    /// Which accounts' requests tell their creation.
    pub ages: Ages,
    /// Share of honest keys that use the campaign's relays or its client.
    pub neighbours: f64,
}

/// Adds keys, with the properties that most classes share.
pub struct Maker<'w> {
    pub world: &'w mut World,
    pub rng: Rng,
    pub ages: Ages,
    pub neighbours: f64,
}

/// Address prefixes of homes, shared by honest keys and by campaigns that use residential addresses.
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
    /// A random client program and model; popular ones are more likely.
    pub fn client(&mut self) -> u64 {
        let which = self.rng.zipf(CLIENTS) * 8 + self.rng.zipf(4);
        Rng::at(0x63_6c69_656e_7473, which, 0).u64() | 1
    }
    /// The client of those campaigns that have their own.
    pub fn own_client(&self) -> u64 {
        Rng::at(self.world.seed ^ 0x6f77_6e63, 0, 0).u64() | 1
    }
    pub fn end_s(&self) -> u32 {
        self.world.hours * 3600
    }
    /// Age of an account at the start, seconds: exponential with a mean of 150 days, above two weeks.
    fn old_age_s(&mut self) -> f64 {
        (14.5 + self.rng.exp(150.0)) * f64::from(DAY_S)
    }
    /// Adds a key of class `name`, young with probability `young`. Half of the young ones are created during
    /// the run.
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
    /// Adds a key that is created at a time of the run and first sends within the hour.
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
        let created_s = self.told(created);
        let actors = &mut self.world.actors;
        actors.push(Actor {
            class,
            key,
            renewal: Renewal::Never,
            beside: None,
            prefix,
            client,
            tenant: 0,
            created_s,
            from_s,
            until_s,
            plan,
            text,
            packed: false,
            pages: false,
        });
        let last = actors.len() - 1;
        &mut actors[last]
    }
    /// The creation time that an account's requests tell; 0 if they do not.
    pub fn told(&mut self, created: u64) -> u32 {
        let tells = match self.ages {
            Ages::Told => true,
            Ages::Unknown => false,
            Ages::Half => self.rng.chance(0.5),
        };
        if tells { created as u32 } else { 0 }
    }
    /// Adds a second activity of the key added last, from a time on.
    pub fn beside(&mut self, from_s: u32, plan: Plan, text: Text) {
        let last = self.world.actors.len() - 1;
        let mut other = self.world.actors[last].clone();
        other.beside = Some(other.beside.unwrap_or(last as u32));
        (other.from_s, other.plan, other.text) = (from_s, plan, text);
        self.world.actors.push(other);
    }
    /// A random time zone, hours: the Americas, Europe or East Asia.
    pub fn tz(&mut self) -> i8 {
        *self.rng.pick(&[-8i8, -6, -5, -5, 0, 1, 1, 2, 8, 8, 9])
    }
    pub fn people(&mut self, median: f64, sigma: f64, turns: u8, follow: f32) -> Plan {
        let rate = self.rng.log_normal(median, sigma).min(2_000.0) as f32;
        Plan::People { rate, tz: self.tz(), turns, follow, gap_s: 150 }
    }
    /// A system prompt of one key: its texts occur in this order nowhere else.
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
    /// A template with one slot, as people share it and programs contain it.
    pub fn own_task(&mut self) -> u16 {
        let system = self.own_system();
        let mut text = self.world.pool.systems[usize::from(system)].0.clone();
        text.extend_from_slice(b"\n\n{text}\n");
        self.world.pool.tasks.push(Template::parse(&String::from_utf8_lossy(&text), &["text"]));
        (self.world.pool.tasks.len() - 1) as u16
    }
    /// Either instructions, or (in one seed of two) the same text pasted before the question.
    pub fn own_prompt(&mut self) -> Text {
        if self.rng.chance(0.5) {
            Text::App { system: self.own_system() }
        } else {
            Text::Pasted { task: self.own_task() }
        }
    }
    /// Uniform between `lo` and `hi`.
    pub fn range(&mut self, lo: f64, hi: f64) -> f64 {
        lo + (hi - lo) * self.rng.f()
    }
    /// `n` plus or minus up to 15 %, so that no run has exactly its nominal size.
    pub fn about(&mut self, n: usize) -> usize {
        (n as f64 * self.range(0.85, 1.15)).round().max(1.0) as usize
    }
    /// Number of times that something is done if it is given up each time with probability `stop`; at least
    /// one.
    pub fn geometric(&mut self, stop: f64) -> usize {
        1 + (self.rng.f().ln() / (1.0 - stop).ln()) as usize
    }
    /// `n` new address prefixes.
    pub fn prefixes(&mut self, n: u64) -> Vec<u64> {
        (0..n).map(|_| self.rng.u64() | 1).collect()
    }
    /// A new client program.
    pub fn new_client(&mut self) -> u64 {
        self.rng.u64() | 1
    }
    /// Adds a diary of sessions at these times, each with a conversation of its own. Returns its number.
    pub fn diary(&mut self, mut times: Vec<u32>) -> u32 {
        times.sort_unstable();
        self.entries((0u32..).zip(times).map(|(conv, t_s)| Entry { t_s, conv }).collect())
    }
    pub fn entries(&mut self, entries: Vec<Entry>) -> u32 {
        self.world.diaries.push(entries);
        (self.world.diaries.len() - 1) as u32
    }
    /// Random times at a daily rate, in proportion to `weight` of the local time (seconds since a local
    /// Monday's midnight), whose mean over a week should be 1.
    pub fn times(
        &mut self,
        from_s: u32,
        until_s: u32,
        tz: i8,
        per_day: f64,
        weight: &dyn Fn(u32) -> f64,
    ) -> Vec<u32> {
        let mut out = Vec::new();
        for hour in from_s / 3600..until_s.div_ceil(3600) {
            let n = self.rng.poisson(per_day / 24.0 * weight(local(hour * 3600, tz)));
            for _ in 0..n {
                let t = hour * 3600 + self.rng.below(3600) as u32;
                if (from_s..until_s).contains(&t) {
                    out.push(t);
                }
            }
        }
        out
    }
    /// The time itself or, if that is in the local night, the next morning.
    pub fn awake(&mut self, t_s: u32, tz: i8) -> u32 {
        let hour = local(t_s, tz) / 3600 % 24;
        if hour >= 7 { t_s } else { t_s + (7 - hour) * 3600 + self.rng.below(7_200) as u32 }
    }
    fn count(&self, n: f64, scale: f64) -> usize {
        (n * scale).round().max(1.0) as usize
    }
}

/// Seconds since a local Monday's midnight (all runs begin on a Monday).
pub fn local(t_s: u32, tz: i8) -> u32 {
    (i64::from(t_s) + i64::from(tz) * 3600).rem_euclid(7 * i64::from(DAY_S)) as u32
}

/// Weight of a local time for people at home: the same every day.
pub fn by_day(local_s: u32) -> f64 {
    DAY[(local_s / 3600 % 24) as usize]
}

/// Weight of a local time for people at work: eight to six, Monday to Friday.
pub fn by_office(local_s: u32) -> f64 {
    let (day, hour) = (local_s / DAY_S, local_s / 3600 % 24);
    if day < 5 && (8..18).contains(&hour) { 24.0 / 10.0 * 7.0 / 5.0 } else { 0.0 }
}

/// Adds all classes.
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
