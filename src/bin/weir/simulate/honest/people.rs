//! Lookalikes: people at home. Honest families that no rule was tuned for. Each function adds one family of
//! about `n` keys, and draws its parameters from ranges, so that seeds differ.

use super::{Maker, by_day};
use crate::simulate::texts::Text;
use crate::simulate::world::{DAY_S, Plan, START_S};

/// End of the run-in, seconds.
const DAY_2: u32 = 2 * DAY_S;

/// A prompt that people share: half of the keys are new; each tries it a few times over days, with hardly a
/// follow-up, and chats, too.
pub fn passed_on(m: &mut Maker<'_>, n: usize) {
    let text = m.own_prompt();
    let (follow, spread, old_too) = (m.range(0.03, 0.2), m.range(0.8, 2.0), m.range(0.4, 0.6));
    for _ in 0..m.about(n) {
        let (stop, gap_s) = (m.range(0.15, 0.6), m.range(0.1, 1.5) * f64::from(DAY_S));
        let days = (3.0 + spread * m.rng.normal()).clamp(0.0, 7.0);
        let at = DAY_2 + (days * f64::from(DAY_S)) as u32;
        let chat = m.people(1.2, 1.0, 6, 0.55);
        // New ones join for the prompt, most of them on that day.
        if m.rng.chance(old_too) {
            m.key("passed", 0.0, chat, Text::Chat);
        } else if m.rng.chance(0.7) {
            m.newcomer("passed", at, chat, Text::Chat);
        } else {
            let before = m.rng.below(10 * 86_400);
            let from = u64::from(at).saturating_sub(before);
            m.born("passed", START_S + u64::from(at) - before, from as u32, chat, Text::Chat);
        }
        let tz = m.tz();
        let mut t = f64::from(at) + m.rng.exp(1_200.0);
        let mut times = Vec::new();
        for _ in 0..m.geometric(stop) {
            times.push(m.awake(t as u32, tz));
            t += m.rng.exp(gap_s) + 30.0;
        }
        let diary = m.diary(times);
        m.beside(at, Plan::Diary { diary, turns: 3, follow: follow as f32, gap_s: 90 }, text);
    }
}

/// Clients that compress their bodies, which nothing in front decompresses: people at home, three quarters of
/// them new.
pub fn packed(m: &mut Maker<'_>, n: usize) {
    let (follow, sigma, median) = (m.range(0.35, 0.6), m.range(0.8, 1.2), m.range(2.0, 8.0));
    for _ in 0..m.about(n) {
        let plan = m.people(median, sigma, 6, follow as f32);
        m.key("packed", 0.75, plan, Text::Chat).packed = true;
    }
}

/// A popular app with young users, half of whom ask single questions: the app that a campaign copies.
pub fn poisoned(m: &mut Maker<'_>, n: usize) {
    let system = m.own_system();
    // Among all requests, the single-shot half's too, 15 to 40 % are follow-ups.
    let (follow, sigma, median) = (m.range(0.27, 0.58), m.range(0.8, 1.2), m.range(2.0, 6.0));
    for _ in 0..n {
        let single = m.rng.chance(0.5);
        let plan = m.people(median, sigma, if single { 1 } else { 6 }, follow as f32);
        let joined = m.range(-12.0, 4.0) * f64::from(DAY_S);
        let created = (START_S as f64 + joined) as u64;
        m.born("poisoned", created, joined.max(0.0) as u32, plan, Text::App { system });
    }
}

/// An app that makes a new key at each installation and summarises in the background while the device is
/// awake.
pub fn installs(m: &mut Maker<'_>, n: usize) {
    let (system, client) = (m.own_system(), m.new_client());
    let (sigma, median, doubling) = (m.range(0.7, 1.0), m.range(3.0, 8.0), m.range(1.2, 3.0));
    let end = m.end_s();
    let days = f64::from((end - DAY_2) / DAY_S);
    for _ in 0..m.about(n) {
        // Installations double every so many days.
        let u = m.rng.f() * ((days / doubling).exp2() - 1.0);
        let at = DAY_2 + ((1.0 + u).log2() * doubling * f64::from(DAY_S)) as u32;
        let (tz, rate) = (m.tz(), m.rng.log_normal(median, sigma).min(200.0));
        let (up, hours) = (m.rng.between(5, 10) as u32, m.rng.between(11, 18) as u32);
        let times = m.times(at, end, tz, rate, &move |t| {
            let hour = t / 3600 % 24;
            if (up..up + hours).contains(&hour) { 24.0 / f64::from(hours) } else { 0.0 }
        });
        let diary = m.diary(times);
        let plan = Plan::Diary { diary, turns: 1, follow: 0.0, gap_s: 1 };
        m.newcomer("installs", at, plan, Text::App { system }).client = client;
    }
}

/// A homework helper: accounts of one age (school has begun), silent during school, busy at the weekend; half
/// of the questions are exercises that all pupils have.
pub fn homework(m: &mut Maker<'_>, n: usize) {
    let system = m.own_system();
    let (common, follow, sigma) = (m.range(0.3, 0.6), m.range(0.12, 0.28), m.range(0.6, 1.0));
    let (tz, began, median) = (m.tz(), m.range(2.0, 12.0), m.range(6.0, 15.0));
    let text = Text::Items { system, common: common as f32, of: m.rng.between(8, 30) as u16 };
    let end = m.end_s();
    for _ in 0..m.about(n) {
        let created = START_S as f64 - (began + 4.0 * m.rng.f() - 4.0 * m.rng.f()) * f64::from(DAY_S);
        let rate = m.rng.log_normal(median, sigma).min(150.0);
        let times = m.times(0, end, tz, rate, &|t| {
            let (weekend, hour) = (t / DAY_S >= 5, t / 3600 % 24);
            match hour {
                9..=21 if weekend => 3.8,
                16..=20 if !weekend => 1.6,
                _ => 0.0,
            }
        });
        let diary = m.diary(times);
        let plan = Plan::Diary { diary, turns: 4, follow: follow as f32, gap_s: 100 };
        m.born("homework", created.min(START_S as f64 + 86_400.0) as u64, 0, plan, text);
    }
}

/// Players of a new game: sessions of 20 to 60 requests in an evening, without history, so that each looks
/// like an opening; they stop after days.
pub fn game(m: &mut Maker<'_>, n: usize) {
    let (system, client) = (m.own_system(), m.new_client());
    let (stop, release) = (m.range(0.15, 0.45), DAY_2 + m.rng.below(86_400) as u32);
    let end = m.end_s();
    for _ in 0..m.about(n) {
        let (tz, pace_s) = (m.tz(), m.range(20.0, 120.0));
        let first_day = release / DAY_S + m.rng.exp(1.5).min(6.0) as u32;
        let mut times = Vec::new();
        for day in first_day..first_day + m.geometric(stop) as u32 {
            if day > first_day && m.rng.chance(0.25) {
                continue;
            }
            let evening = i64::from(day * DAY_S) + i64::from(18 - i32::from(tz)) * 3600;
            let mut t = evening as f64 + m.range(0.0, 4.0) * 3600.0;
            for _ in 0..m.rng.between(20, 60) {
                if t >= f64::from(release) && t < f64::from(end) {
                    times.push(t as u32);
                }
                t += 5.0 + m.rng.exp(pace_s);
            }
        }
        let Some(at) = times.iter().min().copied() else { continue };
        let diary = m.diary(times);
        let plan = Plan::Diary { diary, turns: 1, follow: 0.0, gap_s: 1 };
        m.newcomer("game", at, plan, Text::App { system }).client = client;
    }
}

/// A browser extension with a burst of referrals: most keys come on one day, and three in ten are given up
/// after each session.
pub fn extension(m: &mut Maker<'_>, n: usize) {
    let text = m.own_prompt();
    let (sigma, follow) = (m.range(0.8, 1.2), m.range(0.05, 0.15));
    let (burst, stop) = (m.range(0.6, 0.85), m.range(0.2, 0.4));
    let end = m.end_s();
    for _ in 0..m.about(n) {
        let tz = m.tz();
        let day = if m.rng.chance(burst) { 0.0 } else { 1.0 + m.rng.exp(1.5) };
        let at = DAY_2 + ((day + m.rng.f()) * f64::from(DAY_S)) as u32;
        let at = m.awake(at, tz).min(end - 1);
        let gap_s = 86_400.0 / m.rng.log_normal(5.0, sigma).min(300.0);
        let (mut t, mut times) = (f64::from(at), Vec::new());
        for _ in 0..m.geometric(stop) {
            times.push(m.awake(t as u32, tz));
            t += 20.0 + m.rng.exp(gap_s);
        }
        let diary = m.diary(times);
        let plan = Plan::Diary { diary, turns: 3, follow: follow as f32, gap_s: 60 };
        m.newcomer("extension", at, plan, text);
    }
}

/// Students in one hall: keys made in one afternoon, one or two addresses, one notebook, the exercises of the
/// day.
pub fn hall(m: &mut Maker<'_>, n: usize) {
    let (system, client, tz) = (m.own_system(), m.new_client(), m.tz());
    let count = m.rng.between(1, 2);
    let prefixes = m.prefixes(count);
    let (common, follow) = (m.range(0.3, 0.7), m.range(0.15, 0.45));
    let text = Text::Items { system, common: common as f32, of: m.rng.between(6, 15) as u16 };
    let afternoon = (DAY_2 as i64 + i64::from(13 - i32::from(tz)) * 3600) as u32;
    let end = m.end_s();
    for _ in 0..m.about(n) {
        let at = afternoon + (m.rng.normal().abs() * 900.0).min(5_400.0) as u32;
        // The workshop, and what is left of it in the evenings.
        let pace = m.range(120.0, 420.0);
        let (mut t, mut times) = (f64::from(at), Vec::new());
        while t < f64::from(afternoon + 3 * 3600) {
            times.push(t as u32);
            t += 15.0 + m.rng.exp(pace);
        }
        let later = m.rng.log_normal(3.0, 1.0);
        times.append(&mut m.times(afternoon + 4 * 3600, end, tz, later, &by_day));
        let diary = m.diary(times);
        let plan = Plan::Diary { diary, turns: 4, follow: follow as f32, gap_s: 90 };
        let prefix = *m.rng.pick(&prefixes);
        let a = m.newcomer("hall", at, plan, text);
        (a.prefix, a.client) = (prefix, client);
    }
}

/// An app that starts in one country, on telephones: a carrier's few shared addresses, a different one with
/// each request.
pub fn carrier(m: &mut Maker<'_>, n: usize) {
    let (system, client, tz) = (m.own_system(), m.new_client(), m.tz());
    let count = m.rng.between(6, 16);
    let addresses = m.prefixes(count);
    m.world.networks.push(addresses);
    let network = m.world.networks.len() as u64;
    let (sigma, follow, median) = (m.range(0.7, 1.1), m.range(0.05, 0.3), m.range(2.0, 6.0));
    let home = m.range(0.1, 0.5);
    for _ in 0..m.about(n) {
        let at = DAY_2 + m.rng.exp(1.2 * 86_400.0).min(4.0 * 86_400.0) as u32;
        let rate = m.rng.log_normal(median, sigma).min(200.0) as f32;
        let plan = Plan::People { rate, tz, turns: 3, follow: follow as f32, gap_s: 80 };
        let at_home = m.rng.chance(home);
        let a = m.newcomer("carrier", at, plan, Text::App { system });
        a.client = client;
        if !at_home {
            a.prefix = network;
        }
    }
}

/// A contest: teams get a key on one day, start from one notebook and run the same test items again and
/// again.
pub fn contest(m: &mut Maker<'_>, n: usize) {
    let (system, of) = (m.own_system(), m.rng.between(150, 600) as u16);
    let end = m.end_s();
    for _ in 0..m.about(n) {
        let tz = m.tz();
        let at = DAY_2 + m.rng.below(86_400) as u32;
        let rate = m.rng.log_normal(1.2, 0.7);
        let mut times = Vec::new();
        for start in m.times(at, end, tz, rate, &by_day) {
            // A run over a part of the items, as fast as the limits allow.
            let (items, pace) = (m.rng.between(10, 80), m.range(0.5, 6.0));
            let mut t = f64::from(start);
            for _ in 0..items {
                times.push((t as u32).min(end - 1));
                t += m.rng.exp(pace);
            }
        }
        let diary = m.diary(times);
        let plan = Plan::Diary { diary, turns: 1, follow: 0.0, gap_s: 1 };
        m.newcomer("contest", at, plan, Text::Items { system, common: 0.95, of });
        if m.rng.chance(0.5) {
            let chat = m.people(3.0, 1.0, 5, 0.6);
            m.beside(at, chat, Text::Chat);
        }
    }
}
