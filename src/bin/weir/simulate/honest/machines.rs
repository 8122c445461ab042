//! Lookalikes: programs that work for honest people. Families that no rule was tuned for; see `people`.

use super::Maker;
use crate::simulate::texts::Text;
use crate::simulate::world::{DAY_S, Entry, Plan, START_S};

const DAY_2: u32 = 2 * DAY_S;
/// Requests of a whole family of workers: enough to be by far the loudest of a run, few enough to be simulated.
const MOST: f64 = 400_000.0;

/// New worker keys of one owner process a collection with one template: one request after another, alike, all
/// texts new.
pub fn ingestion(m: &mut Maker<'_>, n: usize) {
    workers(m, n, "ingestion", false, 0.0);
}

/// The same where some workers run elsewhere: another region, somebody's own machine.
pub fn ingestion_spread(m: &mut Maker<'_>, n: usize) {
    let elsewhere = m.range(0.05, 0.15);
    workers(m, n, "ingestion_spread", false, elsewhere);
}

/// The same where requests name the tenant.
pub fn ingestion_tenant(m: &mut Maker<'_>, n: usize) {
    workers(m, n, "ingestion_tenant", true, 0.0);
}

fn workers(m: &mut Maker<'_>, n: usize, class: &'static str, told: bool, elsewhere: f64) {
    let (task, client) = (m.own_task(), m.new_client());
    let text = Text::Task { task, slot_texts: m.rng.between(3, 8) as u8 };
    let count = m.rng.between(1, 3);
    let prefixes = m.prefixes(count);
    let tenant = if told { m.rng.u64() | 1 } else { 0 };
    let n = m.about(n);
    let days = m.range(1.5, 4.0);
    let gap_s = m.range(10.0, 60.0).max(n as f64 * days * 86_400.0 / MOST);
    let end = DAY_2 + DAY_S + (days * f64::from(DAY_S)) as u32;
    // People of the company, there before; the developers have tried the template.
    for _ in 0..m.rng.between(4, 12) {
        let plan = m.people(6.0, 0.8, 6, 0.5);
        let prefix = *m.rng.pick(&prefixes);
        let a = m.key("ingestion_office", 0.0, plan, Text::Chat);
        (a.prefix, a.tenant) = (prefix, tenant);
        if m.rng.chance(0.4) {
            let tries = (0..m.rng.between(2, 20)).map(|_| DAY_S + m.rng.below(2 * 86_400) as u32).collect();
            let diary = m.diary(tries);
            m.beside(DAY_S, Plan::Diary { diary, turns: 1, follow: 0.0, gap_s: 1 }, text);
        }
    }
    let (made, pool) = (DAY_2 + m.rng.below(86_400) as u32 / 2, m.rng.below(86_400) / 2 + 60);
    for _ in 0..n {
        let at = made + m.rng.below(pool) as u32;
        let plan = Plan::Chain { gap_s: (gap_s * m.rng.log_normal(1.0, 0.05)) as f32, sigma: 0.4 };
        let away = elsewhere > 0.0 && m.rng.chance(elsewhere);
        let prefix = if away { m.rng.u64() | 1 } else { *m.rng.pick(&prefixes) };
        let a = m.newcomer(class, at, plan, text);
        (a.prefix, a.client, a.tenant, a.until_s) = (prefix, client, tenant, end.min(a.until_s));
    }
}

/// A template of an automation marketplace: each flow runs when its owner's mail arrives, at night at a fifth
/// of the rate; half of the keys are new. In one seed of two the platform sends from its own addresses.
pub fn marketplace(m: &mut Maker<'_>, n: usize) {
    let (task, client) = (m.own_task(), m.new_client());
    let count = m.rng.between(4, 12);
    let addresses = m.prefixes(count);
    m.world.networks.push(addresses);
    let network = m.world.networks.len() as u64;
    let (platform, new) = (m.rng.chance(0.5), m.range(0.4, 0.6));
    let (sigma, median) = (m.range(1.0, 1.3), m.range(8.0, 20.0));
    let (weekend, end) = (m.range(0.3, 1.0), m.end_s());
    for _ in 0..m.about(n) {
        let (tz, rate) = (m.tz(), m.rng.log_normal(median, sigma).min(800.0));
        let is_new = m.rng.chance(new);
        let at = if is_new { DAY_2 + m.rng.below(5 * 86_400) as u32 } else { 0 };
        let times = m.times(at, end, tz, rate, &|t| {
            let day = if t / DAY_S >= 5 { weekend } else { 1.0 };
            // 16 hours of day and 8 of night have a mean of 1.
            day * if (7..23).contains(&(t / 3600 % 24)) { 1.364 } else { 0.273 }
        });
        let diary = m.diary(times);
        let plan = Plan::Diary { diary, turns: 1, follow: 0.0, gap_s: 1 };
        let text = Text::Task { task, slot_texts: 2 };
        let a = if is_new {
            m.newcomer("marketplace", at, plan, text)
        } else {
            m.key("marketplace", 0.0, plan, text)
        };
        a.client = client;
        if platform {
            a.prefix = network;
        }
    }
}

/// Devices on timers with jitter that retry with the same text, ever later, when something fails.
pub fn backoff(m: &mut Maker<'_>, n: usize) {
    let (system, client) = (m.own_system(), m.new_client());
    let (period_s, jitter) = (m.range(20.0, 100.0) * 60.0, m.range(0.15, 0.6));
    let (fails, sold) = (m.range(0.04, 0.2), m.range(1.0, 4.0));
    let end = f64::from(m.end_s());
    for _ in 0..m.about(n) {
        let at = DAY_2 + (m.rng.f() * sold * 86_400.0) as u32;
        let (mut t, mut conv, mut wait_s) = (f64::from(at) + m.rng.f() * period_s, 0, 0.0);
        let mut entries = Vec::new();
        while t < end {
            entries.push(Entry { t_s: t as u32, conv });
            // Waits double from half a minute up to four hours; then the next reading is due.
            wait_s = match wait_s {
                0.0 if m.rng.chance(fails) => 30.0,
                w if w > 0.0 && w < 14_400.0 && m.rng.chance(0.5) => w * 2.0,
                _ => 0.0,
            };
            if wait_s > 0.0 {
                t += wait_s * m.range(0.5, 1.5);
            } else {
                conv += 1;
                t += period_s * (1.0 + jitter * (2.0 * m.rng.f() - 1.0));
            }
        }
        let diary = m.entries(entries);
        let plan = Plan::Diary { diary, turns: 1, follow: 0.0, gap_s: 1 };
        let made = m.rng.below(20 * 86_400);
        let a = m.born("backoff", START_S + u64::from(at) - made / 2, at, plan, Text::App { system });
        a.client = client;
    }
}

/// Nightly digests of a new newsletter tool: each subscriber's key works once or twice a day at an hour that
/// its owner chose, through the tool's servers.
pub fn digests(m: &mut Maker<'_>, n: usize) {
    let (system, client) = (m.own_system(), m.new_client());
    let count = m.rng.between(2, 4);
    let prefixes = m.prefixes(count);
    let (items, sigma) = (m.range(4.0, 15.0), m.range(0.4, 0.8));
    for _ in 0..m.about(n) {
        let at = DAY_2 + m.rng.exp(1.5 * 86_400.0).min(5.0 * 86_400.0) as u32;
        let hour = (4 + m.rng.zipf(6)) as i64 - i64::from(m.tz());
        let at_s = (hour.rem_euclid(24) * 3600) as u32 + [0, 0, 900, 1800][m.rng.below(4) as usize];
        let n = m.rng.log_normal(items, sigma) as f32;
        let prefix = *m.rng.pick(&prefixes);
        let a = m.newcomer("digests", at, Plan::Daily { at_s, n, over_s: 120 }, Text::App { system });
        (a.prefix, a.client) = (prefix, client);
    }
}
