//! Keys, when they send, and all their requests in order of time.
//!
//! Traffic is made hour by hour: every key draws its requests of the hour from a generator seeded by key and
//! hour. Memory: the requests of one hour, and the follow-ups that reach into later hours.

use super::rng::Rng;
use super::texts::{Pool, Said, Text};
use std::ops::Range;
use weir::engine::dialect::Unreadable;
use weir::engine::edge::identity::Identity;
use weir::engine::units::Nanos;
use weir::engine::value::KeyId;

/// Monday 2026-03-02, 00:00 UTC.
pub const START_S: u64 = 1_772_409_600;
pub const DAY_S: u32 = 86_400;

/// When a key sends. Times are seconds from the start of the run.
#[derive(Clone, Copy, Debug)]
pub enum Plan {
    /// People: sessions at a daily rate by the local hour, each of up to `turns` requests.
    People { rate: f32, tz: i8, turns: u8, follow: f32, gap_s: u16 },
    /// The same between 8 and 18 local time only.
    Office { rate: f32, tz: i8, turns: u8, follow: f32, gap_s: u16 },
    /// A queue: a Poisson process that never sleeps.
    Flat { rate: f32, turns: u8, gap_s: u16 },
    /// A timer.
    Timer { period_s: u32, phase_s: u32, jitter_s: u32 },
    /// One burst.
    Burst { at_s: u32, n: u32, over_s: u32 },
    /// A burst each day at its own time of day.
    Daily { at_s: u32, n: f32, over_s: u32 },
    /// One request after another, `gap_s` seconds each in the median, log-normal.
    Chain { gap_s: f32, sigma: f32 },
    /// Sessions at the times of a diary.
    Diary { diary: u32, turns: u8, follow: f32, gap_s: u16 },
}

/// A session of a diary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub t_s: u32,
    /// Conversation; two sessions with one number have the same content (a retry).
    pub conv: u32,
}

/// How long a credential lives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Renewal {
    #[default]
    Never,
    /// An hour: a new one at a minute of its own.
    Hourly,
    /// One request.
    EachRequest,
}

/// Whose requests tell the age of their account, in scenarios that start with ages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ages {
    Told,
    Unknown,
    /// Those of every other account, honest or not.
    Half,
}

/// One key.
#[derive(Clone, Debug)]
pub struct Actor {
    pub class: u16,
    pub key: u64,
    pub renewal: Renewal,
    /// The actor whose key this one also uses: one key may do two things.
    pub beside: Option<u32>,
    /// Address prefix. 0 = a random relay for each request; up to `NETWORKS`: a random address of that
    /// network for each request.
    pub prefix: u64,
    pub client: u64,
    pub tenant: u64,
    /// Creation of the account, seconds since the epoch; 0 = the requests do not tell.
    pub created_s: u32,
    pub from_s: u32,
    pub until_s: u32,
    pub plan: Plan,
    pub text: Text,
    /// True if its client compresses bodies, which nothing in front decompresses.
    pub packed: bool,
    /// True if the beginnings of its texts stand between pages of other text.
    pub pages: bool,
}

/// A request to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    pub t_ms: u64,
    pub actor: u32,
    /// Conversation of this key.
    pub conv: u32,
    /// Number of the request in its conversation.
    pub turn: u16,
    /// Running number within the key's plan (items of an evaluation).
    pub n: u32,
}

/// Prefixes below this are numbers of networks. (A prefix is 64 random bits.)
pub const NETWORKS: u64 = 1 << 16;

/// A class of keys.
#[derive(Clone, Debug)]
pub struct Class {
    pub name: &'static str,
    pub attack: bool,
}

/// All keys of a run.
pub struct World {
    pub seed: u64,
    pub hours: u32,
    pub pool: Pool,
    pub classes: Vec<Class>,
    pub actors: Vec<Actor>,
    /// Actors of the honest family (or of the newcomers) that the scenario is about.
    pub own: Range<usize>,
    /// Address prefixes of the campaign's relays.
    pub relays: Vec<u64>,
    /// Networks whose users have a different address of theirs with each request; the first is number 1.
    pub networks: Vec<Vec<u64>>,
    /// Diaries of sessions, each in order of time.
    pub diaries: Vec<Vec<Entry>>,
}

/// Share of a person's day by local hour; the mean is 1.
pub const DAY: [f64; 24] = [
    0.35, 0.2, 0.1, 0.06, 0.05, 0.08, 0.25, 0.6, 1.0, 1.45, 1.65, 1.6, 1.35, 1.45, 1.6, 1.6, 1.5, 1.35, 1.3,
    1.45, 1.55, 1.5, 1.15, 0.7,
];

impl World {
    /// A world without keys.
    pub fn new(seed: u64, hours: u32, pool: Pool) -> World {
        let (classes, actors, relays) = (Vec::new(), Vec::new(), Vec::new());
        let (networks, diaries) = (Vec::new(), Vec::new());
        World { seed, hours, pool, classes, actors, own: 0..0, relays, networks, diaries }
    }

    /// The actor that an actor's requests are counted for.
    pub fn owner(&self, actor: u32) -> u32 {
        self.actors[actor as usize].beside.unwrap_or(actor)
    }

    /// Finds a class, or adds it.
    pub fn class(&mut self, name: &'static str, attack: bool) -> u16 {
        if let Some(i) = self.classes.iter().position(|c| c.name == name) {
            return i as u16;
        }
        self.classes.push(Class { name, attack });
        (self.classes.len() - 1) as u16
    }

    /// Hands every request of the run to `each`, in order of time.
    pub fn requests(&self, mut each: impl FnMut(&Request)) {
        let mut later: Vec<Vec<Request>> = (0..=self.hours + 24).map(|_| Vec::new()).collect();
        for hour in 0..self.hours {
            let mut due = std::mem::take(&mut later[hour as usize]);
            for (i, a) in self.actors.iter().enumerate() {
                if a.until_s <= hour * 3600 || a.from_s >= (hour + 1) * 3600 {
                    continue;
                }
                let mut rng = Rng::at(self.seed ^ 0x706c_616e, i as u64, u64::from(hour));
                a.hour(i as u32, hour, &self.diaries, &mut rng, &mut |e| {
                    let s = (e.t_ms / 1000) as u32;
                    if s < a.from_s || s >= a.until_s {
                        return;
                    }
                    match later.get_mut((s / 3600) as usize) {
                        Some(_) if s / 3600 == hour => due.push(e),
                        Some(bucket) => bucket.push(e),
                        None => {}
                    }
                });
            }
            due.sort_unstable();
            due.iter().for_each(&mut each);
        }
    }

    /// Who the request is counted for.
    pub fn identity(&self, a: &Actor, e: &Request) -> Identity {
        let any_of = |all: &[u64]| *Rng::at(self.seed ^ 0x7265_6c61, e.t_ms, u64::from(e.actor)).pick(all);
        let prefix = match a.prefix {
            0 => any_of(&self.relays),
            n if n < NETWORKS => any_of(&self.networks[n as usize - 1]),
            p => p,
        };
        let key = match a.renewal {
            Renewal::Never => a.key,
            Renewal::Hourly => {
                Rng::at(a.key, e.t_ms.wrapping_add(a.key % 3_600_000) / 3_600_000, 1).u64() | 1
            }
            Renewal::EachRequest => {
                Rng::at(a.key, e.t_ms, u64::from(e.conv) << 16 | u64::from(e.turn)).u64() | 1
            }
        };
        Identity {
            key: KeyId(key),
            anonymous: false,
            tenant: a.tenant,
            created: (a.created_s != 0).then(|| Nanos::from_secs(u64::from(a.created_s))),
            prefix,
            client: a.client,
            ..Identity::default()
        }
    }

    /// Composes the content of a request into `said`. True if it is a probe, not one of the account's
    /// ordinary requests.
    pub fn compose(&self, e: &Request, said: &mut Said) -> bool {
        let a = &self.actors[e.actor as usize];
        said.begin(u32::from(e.turn) * 2 + 1);
        let probe = self.pool.compose(self.seed, a, e, said);
        if a.packed {
            said.forget();
            // With the history in it no body is sent twice.
            said.facts.body = weir::engine::hash::combine(e.t_ms, e.actor.into());
            said.facts.unreadable = Some(Unreadable::Compressed);
        }
        said.end();
        probe
    }
}

impl Actor {
    fn hour(&self, i: u32, hour: u32, diaries: &[Vec<Entry>], rng: &mut Rng, out: &mut dyn FnMut(Request)) {
        let local = |tz: i8| ((i64::from(hour) + i64::from(tz)).rem_euclid(24)) as usize;
        match self.plan {
            Plan::People { rate, tz, turns, follow, gap_s } => {
                let n = rng.poisson(f64::from(rate) / 24.0 * DAY[local(tz)]);
                self.sessions(i, hour, n, (turns, follow, gap_s), rng, out);
            }
            Plan::Office { rate, tz, turns, follow, gap_s } => {
                if (8..18).contains(&local(tz)) {
                    let n = rng.poisson(f64::from(rate) / 10.0);
                    self.sessions(i, hour, n, (turns, follow, gap_s), rng, out);
                }
            }
            Plan::Flat { rate, turns, gap_s } => {
                let n = rng.poisson(f64::from(rate) / 24.0 / f64::from(turns.max(1)));
                self.sessions(i, hour, n, (turns, 1.0, gap_s), rng, out);
            }
            Plan::Timer { period_s, phase_s, jitter_s } => {
                let first = (u64::from(hour) * 3600 + u64::from(period_s) - u64::from(phase_s))
                    .div_ceil(u64::from(period_s))
                    * u64::from(period_s)
                    + u64::from(phase_s)
                    - u64::from(period_s);
                let mut at = first;
                while at < u64::from(hour + 1) * 3600 {
                    let jitter = if jitter_s == 0 { 0 } else { rng.below(u64::from(jitter_s) * 1000) };
                    let t_ms = at * 1000 + jitter + rng.below(900);
                    out(Request { t_ms, actor: i, conv: (at / 60) as u32, turn: 0, n: 0 });
                    at += u64::from(period_s);
                }
            }
            Plan::Burst { at_s, n, over_s } => {
                if at_s / 3600 == hour {
                    burst(i, u64::from(at_s), n, over_s, hour, rng, out);
                }
            }
            Plan::Daily { at_s, n, over_s } => {
                if at_s / 3600 == hour % 24 {
                    let n = rng.poisson(f64::from(n));
                    burst(i, u64::from(hour) * 3600 + u64::from(at_s % 3600), n, over_s, hour, rng, out);
                }
            }
            Plan::Chain { gap_s, sigma } => {
                let gap = |rng: &mut Rng| rng.log_normal(f64::from(gap_s), f64::from(sigma));
                // The hour begins within a request.
                let (mut at_s, mut k) = (gap(rng) * rng.f(), 0);
                while at_s < 3600.0 {
                    let t_ms = u64::from(hour) * 3_600_000 + (at_s * 1000.0) as u64;
                    out(Request { t_ms, actor: i, conv: (hour << 12).wrapping_add(k), turn: 0, n: k });
                    (at_s, k) = (at_s + gap(rng).max(0.5), k + 1);
                }
            }
            Plan::Diary { diary, turns, follow, gap_s } => {
                let entries = &diaries[diary as usize];
                let at = |h: u32| entries.partition_point(|e| e.t_s < h * 3600);
                for e in &entries[at(hour)..at(hour + 1)] {
                    let t_ms = u64::from(e.t_s) * 1000 + rng.below(1000);
                    session(i, t_ms, e.conv, e.conv, (turns, follow, gap_s), rng, out);
                }
            }
        }
    }

    /// `n` sessions that start in this hour. One that would start before the key exists does not take place at all.
    fn sessions(
        &self,
        actor: u32,
        hour: u32,
        n: u32,
        (turns, follow, gap_s): (u8, f32, u16),
        rng: &mut Rng,
        out: &mut dyn FnMut(Request),
    ) {
        for k in 0..n {
            let t_ms = u64::from(hour) * 3_600_000 + rng.below(3_600_000);
            if t_ms < u64::from(self.from_s) * 1000 {
                continue;
            }
            session(actor, t_ms, hour * 256 + k.min(255), k, (turns, follow, gap_s), rng, out);
        }
    }
}

fn session(
    actor: u32,
    mut t_ms: u64,
    conv: u32,
    n: u32,
    (turns, follow, gap_s): (u8, f32, u16),
    rng: &mut Rng,
    out: &mut dyn FnMut(Request),
) {
    for turn in 0..u16::from(turns.max(1)) {
        if turn > 0 {
            if !rng.chance(f64::from(follow)) {
                break;
            }
            t_ms += (2.0 + rng.exp(f64::from(gap_s))) as u64 * 1000;
        }
        out(Request { t_ms, actor, conv, turn, n });
    }
}

fn burst(actor: u32, at_s: u64, n: u32, over_s: u32, hour: u32, rng: &mut Rng, out: &mut dyn FnMut(Request)) {
    for k in 0..n {
        let t_ms =
            at_s * 1000 + u64::from(over_s) * 1000 * u64::from(k) / u64::from(n.max(1)) + rng.below(400);
        out(Request { t_ms, actor, conv: (hour << 12).wrapping_add(k), turn: 0, n: k });
    }
}
