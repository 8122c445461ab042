//! Honest newcomers of all kinds that were once blocked on fresh traffic. The present rules were made with
//! these in sight, and without the families of `people`, `work` and `machines`.

use super::{Maker, hackathon};
use crate::simulate::texts::Text;
use crate::simulate::world::{DAY_S, Plan, START_S};

/// Adds all of them, `n` keys each.
pub fn all(m: &mut Maker<'_>, n: usize) {
    for family in [launch, staff, hackathon_new, rotated, jitter, viral, narrow] {
        family(m, n);
    }
}

/// Users of an app on its launch.
pub fn launch(m: &mut Maker<'_>, n: usize) {
    let system = m.own_system();
    for _ in 0..n {
        let plan = m.people(3.0, 1.1, 4, 0.3);
        let at = 2 * DAY_S + m.rng.below(u64::from(2 * DAY_S)) as u32;
        m.newcomer("launch", at, plan, Text::App { system });
    }
}

/// Staff of a business who all start on one morning.
pub fn staff(m: &mut Maker<'_>, n: usize) {
    let system = m.own_system();
    for _ in 0..n {
        let rate = m.rng.log_normal(8.0, 0.8) as f32;
        let at = 2 * DAY_S + 8 * 3600 + m.rng.below(7200) as u32;
        m.newcomer(
            "staff",
            at,
            Plan::Office { rate, tz: 0, turns: 3, follow: 0.3, gap_s: 120 },
            Text::App { system },
        );
    }
}

/// Participants of a hackathon: two days of work on one starter prompt.
pub fn hackathon_new(m: &mut Maker<'_>, n: usize) {
    let system = m.own_system();
    for _ in 0..n {
        let plan = m.people(30.0, 0.9, 2, 0.3);
        hackathon(m, "hackathon_new", 1.0, 2 * DAY_S + 6 * 3600, plan, system);
    }
}

/// Customers of one service who all change their credential within four hours. Their requests tell no age.
pub fn rotated(m: &mut Maker<'_>, n: usize) {
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

/// Devices on timers with jitter.
pub fn jitter(m: &mut Maker<'_>, n: usize) {
    for (name, period, jitter) in
        [("jitter_47m", 47 * 60, 0.15), ("jitter_2h", 7_200, 0.10), ("jitter_25m", 1_500, 0.25)]
    {
        let system = m.own_system();
        for _ in 0..n / 3 + 1 {
            let (phase_s, jitter_s) = (m.rng.below(period) as u32, (period as f64 * jitter) as u32);
            let at = 2 * DAY_S + m.rng.below(u64::from(DAY_S)) as u32;
            let plan = Plan::Timer { period_s: period as u32, phase_s, jitter_s };
            m.newcomer(name, at, plan, Text::App { system });
        }
    }
}

/// An app that spreads by word of mouth.
pub fn viral(m: &mut Maker<'_>, n: usize) {
    let system = m.own_system();
    for _ in 0..n {
        let plan = m.people(2.0, 1.1, 2, 0.15);
        let at = 2 * DAY_S + m.rng.exp(f64::from(DAY_S)).min(3.0 * f64::from(DAY_S)) as u32;
        m.newcomer("viral_new", at, plan, Text::App { system });
    }
}

/// One narrow service, single questions, half of the keys old.
pub fn narrow(m: &mut Maker<'_>, n: usize) {
    let system = m.own_system();
    for _ in 0..n {
        let plan = m.people(10.0, 0.8, 1, 0.0);
        m.key("narrow", 0.5, plan, Text::App { system });
    }
}
