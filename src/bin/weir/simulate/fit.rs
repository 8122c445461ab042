//! `--fit`: measures the numbers of `config::fitted` on keys whose class the simulator knows.
//!
//! Each family has the same weight, however many keys it has: a deployment has a few of these templates, not
//! their mean. A number is fitted to at least `ENOUGH` keys; otherwise its committed value stays, and that is
//! reported.

use super::beta::{self, Count};
use super::census::{self, Class, Key};
use super::corpus::Corpus;
use super::run::Setup;
use super::scenarios::{self, Scenario};
use super::world::Ages;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use weir::engine::beta_binomial::Share;
use weir::engine::config::Config;
use weir::engine::config::fitted::Fitted;
use weir::engine::detect::coming::{Pace, Visit};
use weir::engine::math::ln_sum;

/// Least number of keys of a fit.
const ENOUGH: usize = 200;
/// Campaigns that are counted by default: plain, with cover, that stop, in sessions, unequal, that rest or
/// repeat or invent.
const CAMPAIGNS: [&str; 8] = ["S3", "S9", "S16", "S21", "A-tiers", "A-rest", "A-twice", "A-invent"];
/// Size of an honest family that is counted by default, or the nearest.
const SIZE: usize = 150;

/// Counts of one family's keys.
#[derive(Clone, Debug, Default)]
pub struct Family {
    pub keys: Vec<Key>,
    pub requests: u64,
    pub signs: u64,
    paces: Option<Paces>,
}

/// Counts of all families, honest ones and campaigns.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub honest: BTreeMap<&'static str, Family>,
    pub campaigns: BTreeMap<&'static str, Family>,
}

/// The result of a fit.
#[derive(Clone, Debug)]
pub struct Fit {
    pub numbers: Fitted,
    /// For each number its name, the keys behind it, and why it was not fitted (if so).
    pub of: Vec<(&'static str, usize, Option<String>)>,
    /// The law of `coming` of the campaigns' keys.
    pub campaign: Option<Pace>,
}

impl Fit {
    pub fn is_whole(&self) -> bool {
        self.of.iter().all(|o| o.2.is_none())
    }
}

/// The default scenarios of a fit.
pub fn usual() -> Vec<&'static Scenario> {
    let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
    for s in honest() {
        let nearest = rows.entry(row(s)).or_insert(s.keys);
        if s.keys.abs_diff(SIZE) < nearest.abs_diff(SIZE) {
            *nearest = s.keys;
        }
    }
    let told = |s: &&Scenario| s.ages != Ages::Half && rows.get(row(s)) == Some(&s.keys);
    let mut out: Vec<&Scenario> = honest().filter(told).collect();
    out.extend(["N150"].iter().chain(&CAMPAIGNS).filter_map(|name| scenarios::find(name)));
    out
}

/// The scenarios of honest families. Those between pages of text are left out: the same families would count
/// twice.
pub fn honest() -> impl Iterator<Item = &'static Scenario> {
    scenarios::all().filter(|s| s.keys > 0 && !s.tricks.pages)
}

/// Name of the scenario without its size.
pub fn row(s: &Scenario) -> &'static str {
    s.name.rsplit_once('-').map_or(s.name, |(row, _)| row)
}

/// Size of the population beside a family, which is not counted.
const BESIDE: f64 = 0.002;

/// Counts the keys of all setups, several at a time. Campaigns that copy an honest prompt are left out, and
/// so is most of the other traffic.
pub fn count(setups: &[Setup], config: &Config, corpus: &Arc<Corpus>, jobs: usize) -> Counts {
    let (next, all) = (Mutex::new(0usize), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let Ok(mut at) = next.lock() else { return };
                    let i = *at;
                    *at += 1;
                    drop(at);
                    let Some(mut setup) = setups.get(i).cloned() else { return };
                    setup.honest = BESIDE;
                    if setup.scenario.keys > 0 || setup.scenario.newcomers > 0 {
                        setup.scenario.accounts = 0;
                    }
                    let classes = census::take(&setup, config, corpus);
                    if let Ok(mut all) = all.lock() {
                        all.push((i, setup.scenario, classes));
                    }
                }
            });
        }
    });
    let mut all = all.into_inner().unwrap_or_default();
    all.sort_by_key(|(i, _, _)| *i);
    let families = families(&all);
    let mut counts = Counts::default();
    for (_, s, classes) in all {
        for c in classes {
            let f = if c.attack {
                counts.campaigns.entry(s.name).or_default()
            } else {
                counts.honest.entry(families.get(c.name).copied().unwrap_or(c.name)).or_default()
            };
            f.keys.extend(c.keys);
            (f.requests, f.signs) = (f.requests + c.requests, f.signs + c.signs);
        }
    }
    let families = counts.honest.values_mut().chain(counts.campaigns.values_mut());
    families.for_each(|f| f.paces = Some(Paces::of(&f.keys)));
    counts
}

/// Classes by family: newcomers (N…) are counted with the family that is made of them, and left out with it.
fn families(all: &[(usize, Scenario, Vec<Class>)]) -> BTreeMap<&'static str, &'static str> {
    let mut out = BTreeMap::from(NEWCOMERS);
    for (_, s, classes) in all.iter().filter(|(_, s, _)| s.keys > 0) {
        classes.iter().filter(|c| !c.attack).for_each(|c| {
            out.insert(c.name, s.family);
        });
    }
    out
}

/// Classes of N150 and the families that they are of, where those are not counted themselves.
const NEWCOMERS: [(&str, &str); 9] = [
    ("launch", "launch"),
    ("staff", "staff"),
    ("hackathon_new", "hackathon"),
    ("rotated", "rotated"),
    ("jitter_47m", "jitter"),
    ("jitter_2h", "jitter"),
    ("jitter_25m", "jitter"),
    ("viral_new", "viral"),
    ("narrow", "narrow"),
];

/// Fits all numbers, leaving out one honest family.
pub fn fit(counts: &Counts, without: Option<&str>) -> Fit {
    let honest: Vec<&Family> =
        counts.honest.iter().filter(|(name, _)| Some(**name) != without).map(|(_, f)| f).collect();
    // Sessions are a campaign's own way of talking, no accident.
    let sessions = |name: &str| scenarios::find(name).is_some_and(|s| s.turns > 1);
    let silent: Vec<&Family> =
        counts.campaigns.iter().filter(|(name, _)| !sessions(name)).map(|(_, f)| f).collect();
    let campaigns: Vec<&Family> = counts.campaigns.values().collect();
    let mut fit = Fit { numbers: Fitted::default(), of: Vec::new(), campaign: None };
    let n = &mut fit.numbers;
    let mut take = |name: &'static str, keys: usize, found: Result<(), String>| {
        let few = keys < ENOUGH;
        let why = if few { Some(format!("{keys} keys, {ENOUGH} needed")) } else { found.err() };
        fit.of.push((name, keys, why));
    };
    let set = |to: &mut Share, keys: usize, found: Result<Share, String>| match found {
        Ok(share) if keys >= ENOUGH => {
            *to = share;
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(e) => Err(e),
    };

    let (keys, ages) = between(&honest, &|k| k.young.map(f64::from));
    let mut law = Share::new(n.young, n.young_weight);
    let found = set(&mut law, keys, ages);
    (n.young, n.young_weight) = (law.mean, law.precision);
    take("young", keys, found);
    let (keys, found) = shares(&honest, &|k| (k.talk, k.hits + k.talk));
    let found = set(&mut n.talk, keys, found);
    take("talk", keys, found);
    let (keys, found) = shares(&honest, &|k| (k.repeats, k.hits));
    let found = set(&mut n.repeats, keys, found);
    take("repeats", keys, found);
    // The first opening with the template is no evidence.
    let (keys, found) = shares(&honest, &|k| (k.hits.saturating_sub(1), k.after.saturating_sub(1)));
    let found = set(&mut n.devoted, keys, found);
    take("devoted", keys, found);
    let (keys, found) = sleepers(&honest);
    let mut law = Share::new(n.sleep, n.sleep_weight);
    let found = set(&mut law, keys, found);
    (n.sleep, n.sleep_weight) = (law.mean, law.precision);
    take("sleep", keys, found);
    let (keys, found) = pace(&honest);
    let found = found.map(|(stop, shape, most)| {
        if keys >= ENOUGH {
            (n.stop, n.shape, n.shape_most) = (stop, shape, most);
        }
    });
    take("stop and shape", keys, found);
    let keys = honest.iter().map(|f| f.keys.len()).sum();
    let found = sign(&honest).map(|s| {
        if keys >= ENOUGH {
            n.sign = s;
        }
    });
    take("sign", keys, found);
    let (keys, found) = shares(&silent, &|k| (k.talk, k.hits + k.talk));
    let found = set(&mut n.silent, keys, found);
    take("silent", keys, found);
    let (keys, found) = shares(&campaigns, &|k| (k.repeats, k.hits));
    let found = set(&mut n.novel, keys, found);
    take("novel", keys, found);
    fit.campaign = pace(&campaigns).1.ok().map(|(stop, shape, _)| Pace { stop, shape, gap: 0.0 });
    fit
}

/// A beta law of all keys' counts, each family with the same weight; and the number of keys.
fn shares(families: &[&Family], of: &dyn Fn(&Key) -> (u32, u32)) -> (usize, Result<Share, String>) {
    let mut counts: Vec<Count> = Vec::new();
    for f in families {
        let own: Vec<(u32, u32)> = f.keys.iter().map(of).filter(|c| c.1 > 0).collect();
        counts.extend(own.iter().map(|(k, n)| (*k, *n, 1.0 / own.len() as f64)));
    }
    (counts.len(), beta::fit(&counts))
}

/// The plain mean of all keys' shares, where a law of them may have no maximum because they are alike.
fn mean(family: &Family, of: &dyn Fn(&Key) -> (u32, u32)) -> f64 {
    let own: Vec<(u32, u32)> = family.keys.iter().map(of).filter(|c| c.1 > 0).collect();
    own.iter().map(|(k, n)| f64::from(*k) / f64::from(*n)).sum::<f64>() / own.len().max(1) as f64
}

/// A beta law of the families' shares of keys: its precision is how many keys of a template the mean is worth.
fn between(families: &[&Family], of: &dyn Fn(&Key) -> Option<f64>) -> (usize, Result<Share, String>) {
    let mut counts: Vec<Count> = Vec::new();
    let mut keys = 0;
    for f in families {
        let own: Vec<f64> = f.keys.iter().filter_map(of).collect();
        keys += own.len();
        counts.push((own.iter().sum::<f64>().round() as u32, own.len() as u32, 1.0));
    }
    (keys, beta::fit(&counts))
}

/// The share of keys that sleep: each key sleeps with a probability, by its map of hours and its family's
/// share (expectation maximisation).
fn sleepers(families: &[&Family]) -> (usize, Result<Share, String>) {
    let mut counts: Vec<Count> = Vec::new();
    let mut keys = 0;
    for f in families {
        let nats: Vec<f64> = f.keys.iter().map(Key::sleeper).filter(|s| *s != 0.0).collect();
        let mut share = 0.5;
        for _ in 0..200 {
            let sleeps = |s: &f64| share * s.min(300.0).exp() / (share * s.min(300.0).exp() + 1.0 - share);
            share = nats.iter().map(sleeps).sum::<f64>() / nats.len().max(1) as f64;
        }
        keys += nats.len();
        counts.push(((share * nats.len() as f64).round() as u32, nats.len() as u32, 1.0));
    }
    (keys, beta::fit(&counts))
}

/// Share of requests that are signs of honest users: the harmonic mean over families, because it is a
/// divisor. A smaller share than `RAREST` counts as that.
fn sign(families: &[&Family]) -> Result<f64, String> {
    const RAREST: f64 = 0.02;
    let all: Vec<f64> = families
        .iter()
        .filter(|f| f.requests > 0)
        .map(|f| (f.signs as f64 / f.requests as f64).clamp(RAREST, 1.0))
        .collect();
    if all.is_empty() {
        return Err("no requests".into());
    }
    Ok(all.len() as f64 / all.iter().map(|s| 1.0 / s).sum::<f64>())
}

/// Number of stop probabilities and of shapes that are tried, in steps of a quarter, beyond all that has been
/// met.
const STEPS: usize = 24;
/// Stop probability of keys that stay.
const STAYS: f64 = 0.0005;
fn stop_at(i: usize) -> f64 {
    0.0025 * 1.25f64.powi(i as i32)
}
fn shape_at(j: usize) -> f64 {
    0.1 * 1.25f64.powi(j as i32)
}

/// ln of a family's likelihood a key for each pair, with the best mean gap.
#[derive(Clone, Debug)]
struct Paces(Vec<[f64; STEPS]>);

impl Paces {
    fn of(keys: &[Key]) -> Paces {
        let visits: Vec<Visit> = keys.iter().map(Key::visit).collect();
        let mut groups: BTreeMap<(u32, u32, u32), (Visit, f64)> = BTreeMap::new();
        // Times within a quarter of an octave are one, and numbers within a tenth.
        let fine = |ticks: f64| ((ticks + 1.0).log2() * 4.0) as u32;
        let step = |n: u32| if n <= 10 { n } else { 10 + (f64::from(n) / 10.0).ln().div_euclid(0.1) as u32 };
        for v in visits {
            groups.entry((step(v.n), fine(v.l), fine(v.r))).or_insert((v, 0.0)).1 += 1.0;
        }
        let (mut n, mut l) = (0.0, 0.0);
        for (v, w) in groups.values() {
            (n, l) = (n + w * f64::from(v.n), l + w * v.l);
        }
        let (mean, all) = ((l / f64::max(n, 1e-9)).clamp(0.02, 20_000.0), keys.len().max(1) as f64);
        let row = |i: usize| {
            std::array::from_fn(|j| {
                let of = |x: f64| {
                    // As `rules::odds` has it: half try and stop, half stay.
                    let p = Pace { stop: stop_at(i), shape: shape_at(j), gap: mean * x.exp() };
                    let stays = Pace { stop: STAYS, ..p };
                    let both = |v| ln_sum(p.ln_likelihood(v), stays.ln_likelihood(v));
                    groups.values().map(|(v, w)| w * both(v)).sum::<f64>() / all
                };
                hump(&of, -3.0, 4.0)
            })
        };
        Paces((0..STEPS).map(row).collect())
    }
}

/// The maximum of a function with one peak, approximately; each step leaves six tenths of the range.
fn hump(of: &dyn Fn(f64) -> f64, mut lo: f64, mut hi: f64) -> f64 {
    for _ in 0..8 {
        let (a, b) = (lo + (hi - lo) * 0.42, hi - (hi - lo) * 0.42);
        if of(a) > of(b) { hi = b } else { lo = a }
    }
    of((lo + hi) / 2.0)
}

/// Stop probability and shape of all families (each at its own mean gap), and the median of their own shapes.
fn pace(families: &[&Family]) -> (usize, Result<(f64, f64, f64), String>) {
    let all: Vec<&Paces> =
        families.iter().filter(|f| f.keys.len() >= 12).filter_map(|f| f.paces.as_ref()).collect();
    let keys = families.iter().map(|f| f.keys.len()).sum();
    let best = |of: &[&Paces]| {
        let cells = (0..STEPS).flat_map(|i| (0..STEPS).map(move |j| (i, j)));
        let total = |(i, j): (usize, usize)| of.iter().map(|p| p.0[i][j]).sum::<f64>();
        cells.max_by(|a, b| total(*a).total_cmp(&total(*b)))
    };
    let mut own: Vec<usize> = all.iter().filter_map(|p| best(&[p])).map(|(_, j)| j).collect();
    own.sort_unstable();
    let found = match (best(&all), own.get(own.len() / 2)) {
        (Some((i, j)), Some(median)) if i > 0 && j > 0 && i + 1 < STEPS && j + 1 < STEPS => {
            Ok((stop_at(i), shape_at(j), shape_at(*median)))
        }
        (Some((i, j)), _) if !all.is_empty() => {
            Err(format!("no maximum (stop {:.2e}, shape {:.2e})", stop_at(i), shape_at(j)))
        }
        _ => Err("no family of 12 keys".into()),
    };
    (keys, found)
}

/// The numbers by name, as JSON.
pub fn json_of(n: &Fitted) -> Value {
    let share = |s: Share| json!({"mean": s.mean, "precision": s.precision});
    json!({
        "young": n.young, "young_weight": n.young_weight, "talk": share(n.talk), "repeats": share(n.repeats),
        "devoted": share(n.devoted), "sleep": n.sleep, "sleep_weight": n.sleep_weight, "stop": n.stop,
        "shape": n.shape, "shape_most": n.shape_most, "sign": n.sign, "silent": share(n.silent),
        "novel": share(n.novel),
    })
}

/// Reads the numbers of a fit that `json` has written.
///
/// # Errors
/// A message.
pub fn read(path: &Path) -> Result<Fitted, String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let whole: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let number = |at: &str| {
        let found = whole.pointer(&format!("/fitted/{at}")).and_then(Value::as_f64);
        found.filter(|x| *x > 0.0).ok_or_else(|| format!("fitted/{at} is missing or no positive number"))
    };
    let share = |at: &str| {
        let mean = number(&format!("{at}/mean"))?;
        Ok::<_, String>(Share::new(mean.min(1.0 - 1e-6), number(&format!("{at}/precision"))?))
    };
    Ok(Fitted {
        young: number("young")?.min(0.999),
        young_weight: number("young_weight")?,
        talk: share("talk")?,
        repeats: share("repeats")?,
        devoted: share("devoted")?,
        sleep: number("sleep")?.min(0.999),
        sleep_weight: number("sleep_weight")?,
        stop: number("stop")?.min(0.999),
        shape: number("shape")?,
        shape_most: number("shape_most")?,
        sign: number("sign")?.min(1.0),
        silent: share("silent")?,
        novel: share("novel")?,
    })
}

/// The whole result as JSON.
pub fn json(counts: &Counts, fit: &Fit) -> Value {
    let of = |all: &BTreeMap<&'static str, Family>| -> serde_json::Map<String, Value> {
        let one = |f: &Family| {
            let share = |found: (usize, Result<Share, String>)| match found {
                (keys, Ok(s)) => json!({"keys": keys, "mean": s.mean, "precision": s.precision}),
                (keys, Err(e)) => json!({"keys": keys, "problem": e}),
            };
            let own = [f];
            json!({
                "keys": f.keys.len(), "requests": f.requests, "signs": f.signs,
                "talk_mean": mean(f, &|k| (k.talk, k.hits + k.talk)),
                "repeats_mean": mean(f, &|k| (k.repeats, k.hits)),
                "talk": share(shares(&own, &|k| (k.talk, k.hits + k.talk))),
                "repeats": share(shares(&own, &|k| (k.repeats, k.hits))),
                "devoted": share(shares(&own, &|k| (k.hits.saturating_sub(1), k.after.saturating_sub(1)))),
                "pace": pace(&own).1.map_or_else(|e| json!({"problem": e}), |(stop, shape, _)| json!({"stop": stop, "shape": shape})),
            })
        };
        all.iter().map(|(name, f)| ((*name).to_string(), one(f))).collect()
    };
    let behind: serde_json::Map<String, Value> = fit
        .of
        .iter()
        .map(|(name, keys, why)| ((*name).to_string(), json!({"keys": keys, "kept": why})))
        .collect();
    json!({
        "fitted": json_of(&fit.numbers), "committed": json_of(&Fitted::default()), "behind": behind,
        "campaign": fit.campaign.map(|p| json!({"stop": p.stop, "shape": p.shape})),
        "families": of(&counts.honest), "campaigns": of(&counts.campaigns),
    })
}

/// Prints the literal for `fitted.rs` beside the committed numbers.
pub fn literal(counts: &Counts, fit: &Fit, date: u64) {
    let (n, was) = (&fit.numbers, Fitted::default());
    let share = |s: Share| format!("Share::new({:.4}, {:.3})", s.mean, s.precision);
    let (day, month, year) = (date % 100, date / 100 % 100, date / 10_000);
    let command: Vec<String> = std::env::args().skip(1).collect();
    let (families, keys) = (counts.honest.len(), counts.honest.values().map(|f| f.keys.len()).sum::<usize>());
    println!(
        "/// As of {year}-{month:02}-{day:02}, `weir {}`: {keys} honest keys of {families} families.",
        command.join(" ")
    );
    println!("Fitted {{");
    let line = |name: &str, of: &str, new: String, old: String| {
        let behind = fit.of.iter().find(|o| o.0 == of);
        let note = behind.map_or(String::new(), |(_, keys, why)| match why {
            None => format!("{keys} keys"),
            Some(why) => format!("not fitted: {why}"),
        });
        println!("    {:<44} // {note}; committed: {old}", format!("{name}: {new},"));
    };
    let f = |x: f64| format!("{x:.4}");
    line("young", "young", f(n.young), f(was.young));
    line("young_weight", "young", f(n.young_weight), f(was.young_weight));
    line("talk", "talk", share(n.talk), share(was.talk));
    line("repeats", "repeats", share(n.repeats), share(was.repeats));
    line("devoted", "devoted", share(n.devoted), share(was.devoted));
    line("sleep", "sleep", f(n.sleep), f(was.sleep));
    line("sleep_weight", "sleep", f(n.sleep_weight), f(was.sleep_weight));
    line("stop", "stop and shape", f(n.stop), f(was.stop));
    line("shape", "stop and shape", f(n.shape), f(was.shape));
    line("shape_most", "stop and shape", f(n.shape_most), f(was.shape_most));
    line("sign", "sign", f(n.sign), f(was.sign));
    line("silent", "silent", share(n.silent), share(was.silent));
    line("novel", "novel", share(n.novel), share(was.novel));
    println!("}}");
    if let Some(p) = fit.campaign {
        println!(
            "// Campaigns: stop {:.4} (the least that is tried is {:.4}), shape {:.3}.",
            p.stop,
            stop_at(0),
            p.shape
        );
    }
    for (name, _, why) in fit.of.iter().filter(|o| o.2.is_some()) {
        eprintln!(
            "weir simulate: {name} is not fitted, the committed value stays: {}",
            why.as_deref().unwrap_or("")
        );
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn few_keys_are_refused_by_name() {
        let key = Key { hits: 10, after: 12, talk: 3, repeats: 1, young: Some(true), ..Key::default() };
        let other = Key { talk: 0, young: Some(false), ..key };
        let mut family = Family { keys: vec![key, other], requests: 26, signs: 8, paces: None };
        family.paces = Some(Paces::of(&family.keys));
        let counts = Counts { honest: BTreeMap::from([("few", family)]), ..Counts::default() };
        let found = fit(&counts, None);
        assert_eq!(found.numbers, Fitted::default());
        assert!(!found.is_whole());
        for name in
            ["young", "talk", "repeats", "devoted", "sleep", "stop and shape", "sign", "silent", "novel"]
        {
            let of = found.of.iter().find(|o| o.0 == name).unwrap();
            assert!(of.2.as_ref().is_some_and(|why| why.contains("200 needed")), "{of:?}");
        }
    }

    #[test]
    fn the_usual_scenarios_are_every_row_once_with_ages_and_once_without() {
        let all = usual();
        for name in ["P-passed-150", "P-passed-150u", "P-poisoned-150", "P-migration-300", "N150", "S21"] {
            assert!(all.iter().any(|s| s.name == name), "{name}");
        }
        assert!(all.iter().all(|s| !s.name.ends_with('m')));
        let rows: std::collections::BTreeSet<_> = honest().map(row).collect();
        assert_eq!(all.len(), rows.len() * 2 + 1 + CAMPAIGNS.len());
    }
}
