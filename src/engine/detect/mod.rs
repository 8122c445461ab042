//! Evidence about one group: one hypothesis a file, additive points, each term saturates.
//!
//! No axis confirms a group alone: see `assess` for the gates. Points are 1/16 steps of the prototype's scale; all
//! arithmetic is exact IEEE addition, multiplication and division, so every target computes the same score.

pub mod automation;
mod burst;
mod cohort;
mod company;
mod day;
mod exclusivity;
pub mod load;
mod novelty;
mod single_turn;
mod spread;
mod timers;
mod youth;

use crate::engine::config::Campaign;
use crate::engine::config::campaign::off;
use crate::engine::ledger::cases;
use crate::engine::ledger::groups::{Axis, Group, Sample};
use crate::engine::ledger::panels::KEYS;
use crate::engine::sketch::bottom_k::BottomK;

/// Share of tireless keys in a panel that stands in for the load test: queues pass 97 times in 100, people at most half.
const TIRELESS: f64 = 0.85;
/// Share of young keys that a network needs.
const NET_YOUNG: f64 = 0.95;
/// Log-likelihood ratio of a panel that leaves no doubt.
const UNIFORM_NATS: f64 = 12.0;

/// Old members that are listened to: so many, ...
const SENIORS: f64 = 8.0;
/// ... and this share of the keys.
const SENIOR_SHARE: f64 = 0.02;
pub use burst::{Burst, burst};
pub use company::Company;

/// A group as the detectors see it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The group.
    pub group: &'a Group,
    /// Its axis.
    pub axis: Axis,
    /// Estimated distinct keys.
    pub distinct: f64,
    /// Uniform sample of its keys.
    pub keys: &'a [Sample],
    /// Now, in ticks.
    pub tick: u16,
}

impl View<'_> {
    /// Share of keys that were young at first touch.
    pub fn young_share(&self) -> f64 {
        let young = self.keys.iter().filter(|s| s.young()).count();
        if self.keys.is_empty() { 0.0 } else { young as f64 / self.keys.len() as f64 }
    }
}

/// One detector's answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signal {
    /// Points; `None` while there is not enough to say anything.
    pub points: Option<f64>,
}

impl Signal {
    /// Not enough to say anything.
    pub const UNKNOWN: Signal = Signal { points: None };
    /// So many points.
    pub fn points(p: f64) -> Signal {
        Signal { points: Some(p) }
    }
    fn or_zero(self) -> f64 {
        self.points.unwrap_or(0.0)
    }
}

/// A detector: a hypothesis and what it costs to be wrong.
#[derive(Debug)]
pub struct Detector {
    /// Letter used in reports (DETECTION 4.1).
    pub name: &'static str,
    /// Its points.
    pub score: fn(&View<'_>, &Campaign) -> Signal,
}

/// All detectors whose points add up. Automation is a gate and stands in for the load test; it is not in the sum.
pub static DETECTORS: &[Detector] = &[
    Detector { name: "spread", score: spread::score },
    Detector { name: "youth", score: youth::score },
    Detector { name: "load", score: load::score },
    Detector { name: "novelty", score: novelty::score },
    Detector { name: "single_turn", score: single_turn::score },
    Detector { name: "exclusivity", score: exclusivity::score },
    Detector { name: "flat_day", score: day::score },
    Detector { name: "timers", score: timers::score },
];
const LOAD: usize = 2;
const EXCLUSIVITY: usize = 5;
const TIMERS: usize = 7;

/// Everything an evaluation found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Assessment {
    /// Points of each detector, in the order of `DETECTORS`.
    pub terms: [f64; 8],
    /// Their sum.
    pub score: f64,
    /// Estimated distinct keys.
    pub distinct: f64,
    /// Share of young keys.
    pub young: f64,
    /// Share of novel openings.
    pub novel: f64,
    /// Share of openings.
    pub single: f64,
    /// Share of automatic keys, once known.
    pub automatic: f64,
    /// Common load of a key, requests a tick.
    pub lam: f64,
    /// The timer evidence says something.
    pub timers_known: bool,
    /// Established users do not behave like the campaign.
    pub exempt: bool,
    /// ... and they are plainly people.
    pub people: bool,
    /// Bought accounts: confirmed without youth, or automatic keys of any age included.
    pub aged: bool,
    /// The conditions of the aged path hold.
    pub aged_path: bool,
    /// All conditions of a confirmation hold, except dominance and consecutive evaluations.
    pub confirm: bool,
    /// The sample is a panel.
    pub panel: bool,
    /// One load on all keys beyond doubt.
    pub uniform: bool,
    /// Nobody old among the keys.
    pub pure: bool,
    /// Who uses the template besides the campaign.
    pub company: Company,
    /// Age of the earliest birth that still belongs to the cohort, ticks.
    pub cohort_ticks: u32,
    /// Oldest age at the first request here that still belongs to it, ticks.
    pub ripe_ticks: u32,
}

impl Assessment {
    /// What a case should know of its panel.
    pub fn flags(&self) -> u16 {
        let flag = |is: bool, f: u16| if is { f } else { 0 };
        flag(self.pure, cases::PURE)
            | flag(self.uniform, cases::UNIFORM)
            | flag(self.company.mixed, cases::MIXED)
            | flag(self.company.talks, cases::TALK)
    }
    /// Points of the load term.
    pub fn load(&self) -> f64 {
        self.terms.get(LOAD).copied().unwrap_or(0.0)
    }
    /// Points of the timer term.
    pub fn timers(&self) -> f64 {
        self.terms.get(TIMERS).copied().unwrap_or(0.0)
    }
}

/// A uniform sample of keys and how many keys it stands for.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// The sample.
    pub items: &'a [Sample],
    /// Estimated distinct keys.
    pub distinct: f64,
}

impl<'a, const K: usize> From<&'a BottomK<Sample, K>> for Keys<'a> {
    fn from(s: &'a BottomK<Sample, K>) -> Keys<'a> {
        Keys { items: s.items(), distinct: s.estimate() }
    }
}

/// Evaluates a group; `panel` is its large sample, if it has one.
pub fn assess(group: &Group, panel: Option<Keys<'_>>, tick: u16, c: &Campaign) -> Assessment {
    let sample = panel.unwrap_or_else(|| (&group.keys).into());
    let view = View { group, axis: Axis::of(group.tag), distinct: sample.distinct, keys: sample.items, tick };
    let mut a = Assessment {
        distinct: view.distinct,
        young: view.young_share(),
        novel: share(group.novel, group.single),
        single: share(group.single, group.total),
        lam: load::key_rate(load::select(view.keys, &mut [Sample::default(); KEYS], Sample::young), tick),
        automatic: automation::share(&view).unwrap_or(0.0),
        panel: panel.is_some(),
        cohort_ticks: cohort::outer(&view, |s| s.birth_ago(tick)),
        ripe_ticks: cohort::outer(&view, |s| u32::from(s.age)),
        ..Assessment::default()
    };
    for (i, (term, detector)) in a.terms.iter_mut().zip(DETECTORS).enumerate() {
        if c.is_off(1u32 << (i as u32 & 31)) {
            a.timers_known |= detector.name == "timers";
            continue;
        }
        let signal = (detector.score)(&view, c);
        *term = quantise(signal.or_zero());
        if detector.name == "timers" {
            a.timers_known = signal.points.is_some();
        }
    }
    // Heavy-tailed rates fail the load test; automation says the same in another way.
    // A new fleet of servers never sleeps either: up to `fleet_cap` keys only the stricter form counts.
    let tireless = view.distinct >= f64::from(c.fleet_cap)
        && automation::tireless_share(&view).is_some_and(|s| s >= TIRELESS);
    let sleepless = a.automatic >= ppm(c.a_min_ppm) || tireless;
    let auto = view.axis == Axis::Text && !c.is_off(off::AUTOMATION) && sleepless;
    if auto && let Some(v) = a.terms.get_mut(LOAD) {
        *v = v.max(20.0);
    }
    // Nats of a panel; a lucky draw of few keys cannot reach this.
    a.uniform = a.panel
        && view.keys.len() >= 64
        && view.axis == Axis::Text
        && (load::key_ratio(view.keys, tick) >= UNIFORM_NATS
            || load::rate_ratio(view.keys, tick) >= UNIFORM_NATS);
    // On the network axis old neighbours are nobody's template, and only young keys are ever blocked.
    if view.axis == Axis::Text && !c.is_off(off::ESTABLISHED) {
        established(&mut a, group, &view, c);
    }
    let old = view.keys.iter().filter(|s| !s.young() && !s.struck()).count();
    a.pure = a.uniform && old == 0 && group.old.items().is_empty() && a.distinct >= 48.0;
    a.company = company::company(&view);
    gates(&mut a, &view, auto, c);
    a
}

fn gates(a: &mut Assessment, view: &View<'_>, auto: bool, c: &Campaign) {
    let [_, youth, load, ..] = a.terms;
    let exclusivity = a.terms.get(EXCLUSIVITY).copied().unwrap_or(0.0);
    let sum: f64 = a.terms.iter().sum();
    let text = view.axis == Axis::Text;
    a.aged_path = text
        && a.distinct >= f64::from(c.aged_d_min)
        && load >= 30.0
        && (auto || a.uniform)
        && a.novel >= 0.9
        && a.single >= 0.95
        && exclusivity >= 6.0;
    // Old users of a network vouch for nothing (only young keys are blocked), but a popular client has many.
    let young_enough = a.young >= if text { ppm(c.y_gate_ppm) } else { NET_YOUNG };
    a.score = if a.aged_path && !young_enough { sum - youth + 20.0 } else { sum };
    // The old members must be a real part of the group, or a young majority could set the flag against them.
    let old = view.group.old.estimate();
    a.aged = a.aged_path && !a.exempt && old >= 0.2 * a.distinct;
    let d_min = f64::from(if text { c.d_min } else { c.net_d_min });
    let load_gate = if text { load >= f64::from(c.v_gate) || auto } else { load >= f64::from(c.net_v_gate) };
    let timers = a.timers();
    let timer_gate = if a.distinct <= f64::from(c.fleet_cap) { timers > -4.0 } else { timers > -40.0 };
    a.confirm = a.score >= f64::from(c.t_confirm)
        && a.distinct >= d_min
        && load_gate
        && a.novel >= ppm(c.n_gate_ppm)
        && a.timers_known
        && timer_gate
        && (a.single >= ppm(c.single_gate_ppm) || (a.uniform && a.young >= 0.9 && a.novel >= 0.95))
        && (young_enough || a.aged_path)
        && !a.exempt;
}

/// Established users: if the group has old members, they must look like the campaign, or they vouch for the template.
fn established(a: &mut Assessment, group: &Group, view: &View<'_>, c: &Campaign) {
    let (old, tick) = (group.old.estimate(), view.tick);
    if old < SENIORS || old < SENIOR_SHARE * a.distinct {
        return;
    }
    // A panel's old members say more than the 16 of the group.
    let mut room = [Sample::default(); KEYS];
    let seniors = load::select(view.keys, &mut room, |s| !s.young());
    let items = if a.panel && seniors.len() > 16 { seniors } else { group.old.items() };
    let l = load::rate_ratio(items, tick).min(load::key_ratio(items, tick));
    let uniform = 3.0 * l >= 24.0;
    let automatic = automation::share_of(items, 8).is_some_and(|s| s >= ppm(c.a_min_ppm));
    a.exempt = !uniform && !automatic;
    a.people = a.exempt && 3.0 * l <= -10.0;
}

/// Parts per million as a share.
pub fn ppm(v: u32) -> f64 {
    f64::from(v) / 1_000_000.0
}

/// `part / whole`, 0 when there is nothing.
pub fn share(part: u32, whole: u32) -> f64 {
    if whole == 0 { 0.0 } else { f64::from(part) / f64::from(whole) }
}

fn quantise(points: f64) -> f64 {
    ((points * 16.0) as i32) as f64 / 16.0
}
