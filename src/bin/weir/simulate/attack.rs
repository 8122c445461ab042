//! Adds a scenario's campaign to a run: its templates and its accounts.

use super::corpus::Template;
use super::honest::Maker;
use super::scenarios::{Kit, Network, Rhythm, Scenario};
use super::templates;
use super::texts::{Carrier, Text};
use super::world::{Actor, DAY_S, Plan, START_S};

/// First hour of every campaign.
pub const BEGIN_H: u32 = 48;

/// Adds the campaign. `scale`: factor on its accounts.
pub fn add(m: &mut Maker<'_>, s: &Scenario, scale: f64) {
    if s.accounts == 0 {
        return;
    }
    let accounts = (f64::from(s.accounts) * scale).round().max(1.0) as u32;
    let mut probe = s.probe;
    (probe.from, probe.n) = templates_of(m, s);
    probe.app = app_of(m, s.tricks.app);
    probe.per_hour = accounts as f32 * s.per_day / 24.0;
    m.world.pool.campaigns.push(probe);
    let campaign = (m.world.pool.campaigns.len() - 1) as u16;
    donors(m, s);
    accounts_of(m, s, campaign, accounts, BEGIN_H);
    if s.tricks.twin {
        let twin = Scenario {
            rhythm: Rhythm::Day,
            network: Network::Client,
            sigma: 0.8,
            per_day: s.per_day / 2.0,
            ..*s
        };
        accounts_of(m, &twin, campaign, accounts.div_ceil(2), BEGIN_H + 24);
    }
}

/// Adds old accounts behind each egress.
fn donors(m: &mut Maker<'_>, s: &Scenario) {
    let class = m.world.class("donor", true);
    for i in 0..usize::from(s.tricks.egress) {
        for _ in 0..s.tricks.donors {
            let from_s = m.rng.below(12 * 3600) as u32;
            let plan = Plan::People { rate: 12.0, tz: 0, turns: 3, follow: 0.4, gap_s: 60 };
            m.born("donor", START_S - u64::from(DAY_S), from_s, plan, Text::Chat);
            let (prefix, client) = (m.world.relays[i % m.world.relays.len()], m.own_client());
            if let Some(a) = m.world.actors.last_mut() {
                (a.class, a.prefix, a.client) = (class, prefix, client);
            }
        }
    }
}

fn accounts_of(m: &mut Maker<'_>, s: &Scenario, campaign: u16, accounts: u32, begin_h: u32) {
    let class = m.world.class("campaign", true);
    let end_s = (BEGIN_H + s.hours) * 3600;
    for i in 0..accounts {
        let mut at_s = begin_h * 3600;
        at_s += if s.tricks.doubling_h > 0 {
            let doublings = f64::from(s.hours) / f64::from(s.tricks.doubling_h);
            let u = m.rng.f() * (doublings.exp2() - 1.0);
            ((1.0 + u).log2() * f64::from(s.tricks.doubling_h) * 3600.0) as u32
        } else {
            m.rng.below(u64::from(s.ramp_h) * 3600) as u32
        };
        let mut rate = if s.sigma > 0.0 {
            // The mean of the rates stays what it is.
            m.rng.log_normal(f64::from(s.per_day) * (-s.sigma * s.sigma / 2.0).exp(), s.sigma)
        } else {
            f64::from(s.per_day)
        };
        if s.tricks.tiers {
            rate *= [1.0, 3.0, 10.0][i as usize % 3] * 3.0 / 14.0;
        }
        while at_s < end_s {
            let life_s = if s.churn > 0 { (f64::from(s.churn) / rate * 86_400.0) as u32 } else { end_s };
            let until_s = at_s.saturating_add(life_s).min(end_s);
            let account = account(m, s, class, campaign, rate as f32, at_s, until_s);
            m.world.actors.push(account);
            chat(m, s, rate, at_s);
            at_s = until_s;
        }
    }
}

/// Adds the chat of the account added last.
fn chat(m: &mut Maker<'_>, s: &Scenario, rate: f64, at_s: u32) {
    // Conversations of up to three turns, each with probability one half: 1.75 requests.
    let (turns, follow, gap_s) = (3, 0.5, 90);
    if s.tricks.warm_up > 0 {
        let from_s = at_s - DAY_S;
        let times = (0..s.tricks.warm_up).map(|_| from_s + m.rng.below(80_000) as u32).collect();
        let diary = m.diary(times);
        if let Some(a) = m.world.actors.last_mut()
            && a.created_s != 0
        {
            a.created_s = a.created_s.min((START_S + u64::from(from_s)) as u32);
        }
        m.beside(from_s, Plan::Diary { diary, turns, follow, gap_s }, Text::Chat);
    }
    if s.tricks.cover > 0.0 {
        let rate = (rate * s.tricks.cover / (1.0 - s.tricks.cover) / 1.75) as f32;
        let plan = Plan::People { rate, tz: m.tz(), turns, follow, gap_s };
        m.beside(at_s, plan, Text::Chat);
    }
}

fn account(
    m: &mut Maker<'_>,
    s: &Scenario,
    class: u16,
    campaign: u16,
    rate: f32,
    at_s: u32,
    until_s: u32,
) -> Actor {
    let bought = m.rng.chance(s.aged);
    let created = if bought {
        START_S - ((20.0 + m.rng.exp(120.0)) * f64::from(DAY_S)) as u64
    } else {
        START_S + u64::from(at_s)
    };
    let talks = s.talkers > 0.0 && m.rng.chance(s.talkers);
    let turns = if talks { 2 } else { s.turns };
    let plan = match s.rhythm {
        Rhythm::Queue if s.tricks.rests => {
            let (phase, rate) = (m.rng.below(3) as u32, f64::from(rate) * 1.5);
            let times = m.times(at_s, until_s, 0, rate, &|_| 1.0);
            let diary =
                m.diary(times.into_iter().filter(|t| !(t / DAY_S + phase).is_multiple_of(3)).collect());
            Plan::Diary { diary, turns, follow: 1.0, gap_s: 60 }
        }
        Rhythm::Queue => Plan::Flat { rate, turns, gap_s: 60 },
        Rhythm::Day => Plan::People { rate, tz: m.tz(), turns: 1, follow: 0.0, gap_s: 1 },
        Rhythm::Hourly => Plan::Timer { period_s: 3600, phase_s: m.rng.below(3600) as u32, jitter_s: 20 },
        Rhythm::DailyBurst => {
            Plan::Daily { at_s: m.rng.below(u64::from(DAY_S)) as u32, n: rate, over_s: 3600 }
        }
    };
    let egress = u64::from(s.tricks.egress);
    let prefix = if egress > 0 {
        let i = m.rng.below(egress) as usize;
        m.world.relays[i % m.world.relays.len()]
    } else if s.network == Network::Relays {
        0
    } else {
        m.home()
    };
    let own = s.network == Network::Client || egress > 0;
    let client = if own { m.own_client() } else { m.client() };
    let created_s = m.told(created);
    let key = m.rng.u64() | 1;
    let text = Text::Probe(campaign);
    Actor {
        class,
        key,
        renewal: s.tricks.renewal,
        beside: None,
        prefix,
        client,
        tenant: 0,
        created_s,
        from_s: at_s,
        until_s,
        plan,
        text,
        packed: s.tricks.packed,
        pages: s.tricks.pages,
    }
}

/// Number of the system prompt of the honest app whose users are of this class.
fn app_of(m: &Maker<'_>, class: &str) -> Option<u16> {
    let class = m.world.classes.iter().position(|c| c.name == class)?;
    m.world.actors.iter().find_map(|a| match a.text {
        Text::App { system } if usize::from(a.class) == class => Some(system),
        _ => None,
    })
}

/// Adds the templates. Returns the number of the first, and how many they are.
fn templates_of(m: &mut Maker<'_>, s: &Scenario) -> (u16, u16) {
    let seed = m.world.seed as usize;
    let mut own = Vec::new();
    match s.kit {
        Kit::System => own.push(Template::plain(templates::SYSTEM[seed % templates::SYSTEM.len()])),
        Kit::Evolve => own.extend(templates::EVOLVE.iter().map(|t| Template::parse(t, &["item"]))),
        Kit::Code => own.push(Template::parse(templates::CODE[seed % templates::CODE.len()], &["code"])),
        Kit::Context => {
            own.push(Template::parse(templates::CONTEXT[seed % templates::CONTEXT.len()], &["context"]));
        }
        Kit::Suffix => own.push(Template::plain(templates::SUFFIX[seed % templates::SUFFIX.len()])),
        Kit::Scaffold => own.push(Template::plain(templates::SCAFFOLD[seed % templates::SCAFFOLD.len()])),
        Kit::Translated => {
            // A language is a vocabulary: the template's words, each exchanged for one of that language.
            for language in 0..8u64 {
                let text = templates::SYSTEM[seed % templates::SYSTEM.len()];
                let words = text.split(' ').enumerate().map(|(i, w)| {
                    let h = super::rng::Rng::at(language, w.len() as u64, i as u64).u64();
                    let letters = (0..4 + h % 6).map(|k| (b'a' + ((h >> (k * 5)) % 26) as u8) as char);
                    letters.collect::<String>()
                });
                own.push(Template::plain(&words.collect::<Vec<_>>().join(" ")));
            }
        }
        Kit::AppOf(class) => {
            let text =
                app_of(m, class).map_or_else(Vec::new, |i| m.world.pool.systems[usize::from(i)].0.clone());
            own.push(Template::plain(&String::from_utf8_lossy(&text)));
        }
        Kit::None => own.push(Template::plain("")),
        Kit::Distill(n) => {
            let all = &m.world.pool.corpus.distill;
            let n = usize::from(n).min(all.len());
            own.extend((0..n).map(|i| all[(seed * 7 + i) % all.len()].clone()));
        }
        Kit::Library => {
            let all = &m.world.pool.corpus.patterns;
            own.extend((0..24).map(|i| all[(seed * 31 + i * 11) % all.len()].clone()));
        }
        Kit::Own => {
            let system = m.own_system();
            let text = &m.world.pool.systems[usize::from(system)].0;
            own.push(Template::plain(&String::from_utf8_lossy(text)));
        }
        Kit::Pattern => own.push(m.world.pool.corpus.patterns[0].clone()),
        Kit::PopularTask => own.push(m.world.pool.tasks[0].clone()),
    }
    let (from, n) = (m.world.pool.probes.len() as u16, own.len() as u16);
    m.world.pool.probes.append(&mut own);
    let one_at_a_time = s.probe.swap_h > 0 || s.probe.carrier == Carrier::Raw;
    (from, if one_at_a_time { 1 } else { n })
}
