//! Lookalikes: people at work, and tools that businesses give them. Honest families that no rule was tuned
//! for; see `people`.

use super::{Maker, by_day, by_office};
use crate::simulate::texts::Text;
use crate::simulate::world::{DAY_S, Plan, Renewal, START_S};

const DAY_2: u32 = 2 * DAY_S;

/// Staff of a business get an assistant on one morning. Most requests are follow-ups.
pub fn rollout(m: &mut Maker<'_>, n: usize) {
    let follow = m.range(0.60, 0.86);
    rolled_out(m, n, "rollout", follow, 3.0);
}

/// The same with single questions: few follow-ups.
pub fn rollout_few(m: &mut Maker<'_>, n: usize) {
    let follow = m.range(0.10, 0.20);
    rolled_out(m, n, "rollout_few", follow, 12.0);
}

fn rolled_out(m: &mut Maker<'_>, n: usize, class: &'static str, follow: f64, sessions: f64) {
    let (system, client, tz) = (m.own_system(), m.new_client(), m.tz());
    let prefixes = m.prefixes(3);
    // Wednesday to Friday, half past seven to ten.
    let day = 2 + m.rng.below(3) as u32;
    let hour = 7.5 + m.range(0.0, 1.5) - f64::from(tz);
    let morning = (f64::from(day * DAY_S) + hour * 3600.0) as u32;
    let sigma = m.range(0.35, 0.55);
    let end = m.end_s();
    for _ in 0..m.about(n) {
        let at = morning + m.rng.below(7_200) as u32;
        let rate = m.rng.log_normal(sessions, sigma);
        let mut times = m.times(at, end, tz, rate * 5.0 / 7.0, &by_office);
        times.push(at);
        let diary = m.diary(times);
        let plan = Plan::Diary { diary, turns: 40, follow: follow as f32, gap_s: 70 };
        let made = m.rng.below(5 * 86_400);
        let prefix = *m.rng.pick(&prefixes);
        let a = m.born(class, START_S + u64::from(at) - made, at, plan, Text::App { system });
        (a.prefix, a.client) = (prefix, client);
    }
}

/// Customers of an API product all get new keys within a week and continue, each at its own rate; the
/// product's SDK adds one system prompt.
pub fn migration(m: &mut Maker<'_>, n: usize) {
    let system = m.own_system();
    let (sigma, median, machines) = (m.range(1.0, 1.5), m.range(4.0, 15.0), m.range(0.15, 0.5));
    let (follow, client) = (m.range(0.0, 0.2) as f32, m.new_client());
    for _ in 0..m.about(n) {
        let rate = m.rng.log_normal(median, sigma).min(600.0) as f32;
        let tz = m.tz();
        let plan = if m.rng.chance(machines) {
            Plan::Flat { rate, turns: 1, gap_s: 1 }
        } else {
            Plan::Office { rate, tz, turns: 3, follow, gap_s: 60 }
        };
        let at = DAY_2 + m.rng.below(7 * 86_400) as u32;
        let before = m.key("migration", 0.0, plan, Text::App { system });
        (before.until_s, before.client) = (at, client);
        let prefix = before.prefix;
        let after = m.newcomer("migration", at, plan, Text::App { system });
        (after.prefix, after.client) = (prefix, client);
    }
}

/// Agents of several firms share a vendor's template: shifts around the clock, similar loads within a shift,
/// ten networks.
pub fn desks(m: &mut Maker<'_>, n: usize) {
    let text = m.own_prompt();
    let prefixes = m.prefixes(10);
    let (follow, client) = (m.range(0.10, 0.30), m.new_client());
    let firms = m.rng.between(3, 7) as usize;
    let (load, young) = (m.range(25.0, 70.0), m.range(0.5, 0.9));
    let of_firm: Vec<(i8, u32)> =
        (0..firms).map(|_| (m.tz(), m.rng.below(3 * 86_400) as u32 + DAY_S)).collect();
    let end = m.end_s();
    for i in 0..m.about(n) {
        let (tz, joined) = of_firm[i % firms];
        let (shift, off) = (m.rng.below(3) as u32, m.rng.below(7) as u32);
        let rate = m.rng.log_normal(load, 0.35);
        let times = m.times(joined, end, tz, rate, &|t| {
            let (day, hour) = (t / DAY_S, t / 3600 % 24);
            let free = day == off || day == (off + 1) % 7;
            if !free && hour / 8 == shift { 3.0 } else { 0.0 }
        });
        let diary = m.diary(times);
        let plan = Plan::Diary { diary, turns: 3, follow: follow as f32, gap_s: 60 };
        // A firm has more than one network, and some are shared by firms in one building.
        let prefix = prefixes[(i % firms * 3 + m.rng.below(4) as usize) % 10];
        let age = m.rng.below(3 * 86_400);
        let a = if m.rng.chance(young) {
            m.born("desks", START_S + u64::from(joined) - age, joined, plan, text)
        } else {
            m.key("desks", 0.0, plan, text)
        };
        (a.prefix, a.client) = (prefix, client);
    }
}

/// Paid annotators with a common template: paid by the item, so their loads are alike; shifts of four to
/// eight hours; a few items go to two or three of them.
pub fn crowd(m: &mut Maker<'_>, n: usize) {
    let (system, client) = (m.own_system(), m.new_client());
    let (sigma, quota, follow) = (m.range(0.2, 0.4), m.range(60.0, 160.0), m.range(0.0, 0.05));
    let (common, joined) = (m.range(0.05, 0.10), m.rng.below(86_400) as u32 + DAY_2 - 12 * 3600);
    let n = m.about(n);
    let of = ((n as f64 * quota * 5.0 / 7.0 * common / 2.5) as u16).max(1);
    let text = Text::Items { system, common: common as f32, of };
    let end_day = m.end_s() / DAY_S;
    for _ in 0..n {
        let (start, hours) = (m.rng.between(5, 20) as f64, m.rng.between(4, 8) as f64);
        let (tz, off) = (m.tz(), m.rng.below(7) as u32);
        let at = joined + m.rng.below(86_400) as u32;
        let mut times = Vec::new();
        for day in (0..end_day).filter(|d| d % 7 != off && (d + 5) % 7 != off) {
            let begin = f64::from(day * DAY_S) + (start - f64::from(tz) + m.range(-0.5, 0.5)) * 3600.0;
            for _ in 0..m.rng.log_normal(quota, sigma) as u32 {
                let t = begin + m.rng.f() * hours * 3600.0;
                if t >= f64::from(at) {
                    times.push(t as u32);
                }
            }
        }
        let diary = m.diary(times);
        let plan = Plan::Diary { diary, turns: 2, follow: follow as f32, gap_s: 40 };
        let a = if m.rng.chance(0.8) {
            m.newcomer("crowd", at, plan, text)
        } else {
            m.key("crowd", 0.0, plan, text)
        };
        a.client = client;
    }
}

/// A business' gateway gives people a token for an hour, so that whoever comes back has another key. Only the
/// token can tell an age.
pub fn tokens(m: &mut Maker<'_>, n: usize) {
    let (system, client, tz) = (m.own_system(), m.new_client(), m.tz());
    let count = m.rng.between(2, 5);
    let prefixes = m.prefixes(count);
    let (follow, sigma, home) = (m.range(0.1, 0.5), m.range(0.5, 0.9), m.range(0.1, 0.5));
    let end = m.end_s();
    for _ in 0..m.about(n) {
        let from = m.rng.below(u64::from(3 * DAY_S)) as u32;
        let rate = m.rng.log_normal(9.0, sigma);
        let at_home = m.rng.chance(home);
        let weight: fn(u32) -> f64 = if at_home { by_day } else { by_office };
        let times = m.times(from, end, tz, rate, &weight);
        let diary = m.diary(times);
        let plan = Plan::Diary { diary, turns: 4, follow: follow as f32, gap_s: 90 };
        let prefix = *m.rng.pick(&prefixes);
        let a = m.key("tokens", 0.2, plan, Text::App { system });
        (a.client, a.renewal) = (client, Renewal::Hourly);
        a.from_s = a.from_s.max(from);
        if !at_home {
            a.prefix = prefix;
        }
    }
}
