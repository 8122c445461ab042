//! Rules that other products use, on the same traffic, for comparison.
//!
//! Contract: `see` is called once per request in time order; a flagged key stays flagged. Nothing here reads
//! a label.
//! - `gcra`: a key is flagged once 60/min (burst 60) or 5,000/day (burst 5,000) would throttle it.
//! - `exact`: one prompt (instructions and user text, byte for byte) from 5 keys flags those and all later
//!   senders.
//! - `head50`: the same first 50 words, ASCII letters lower-cased, from 50 keys flags those and all later
//!   senders.
//! - `prada`: Juuti, Szyller, Marchal, Asokan: PRADA, EuroS&P 2019, adapted to text. See `Prada`.
//!
//! Memory: 124 bytes a key, at most 2 x 1.8 million remembered prompts for each of the two sharing rules
//! (when the younger half is full, the older is dropped), and for `prada` 4 KB more for a key with 64
//! prompts.

use std::collections::HashMap;
use weir::engine::hash::{combine, mix, sip13};

const MINUTE_INTERVAL_MS: u64 = 1_000;
const MINUTE_BURST: u64 = 60;
const DAY_INTERVAL_MS: u64 = 17_280;
const DAY_BURST: u64 = 5_000;
const EXACT_KEYS: usize = 5;
const HEAD_KEYS: usize = 50;
const HEAD_WORDS: usize = 50;
/// Words looked at, of the instructions and of the user text each: bounds the cost of `prada`.
const MAX_WORDS: usize = 512;
/// Prompts remembered per half: what a table of 2^21 slots holds.
const REMEMBERED: usize = (1 << 21) / 8 * 7;

/// All rules.
pub struct Baselines {
    gcra: Gcra,
    exact: Sharing,
    head: Sharing,
    prada: Prada,
    /// Kept so that its list is not cleared for every request.
    words: Box<Words>,
}

impl Baselines {
    /// The rules for keys `0..actors`; later keys are added as they come.
    pub fn new(actors: usize) -> Baselines {
        Baselines {
            gcra: Gcra { minute: vec![0; actors], day: vec![0; actors], flagged: vec![false; actors] },
            exact: Sharing::new(EXACT_KEYS, REMEMBERED, actors),
            words: Box::new(Words::new()),
            head: Sharing::new(HEAD_KEYS, REMEMBERED, actors),
            prada: Prada {
                keys: (0..actors).map(|_| Queries::default()).collect(),
                flagged: vec![false; actors],
            },
        }
    }

    /// Takes one request. `actor`: index of the key.
    pub fn see(&mut self, actor: u32, now_ms: u64, instructions: &[u8], user: &[u8]) {
        self.gcra.see(actor, now_ms);
        self.exact.see(actor, combine(sip13((1, 0), instructions), sip13((2, 0), user)));
        let words = &mut *self.words;
        words.clear();
        words.read(instructions);
        words.read(user);
        self.head.see(actor, words.head);
        self.prada.see(actor, &words.list[..words.kept]);
    }

    /// For each rule its name, and for each actor whether the key was ever flagged.
    pub fn results(&self) -> Vec<(&'static str, Vec<bool>)> {
        vec![
            ("gcra", self.gcra.flagged.clone()),
            ("exact", self.exact.flagged.clone()),
            ("head50", self.head.flagged.clone()),
            ("prada", self.prada.flagged.clone()),
        ]
    }
}

fn flag(flags: &mut Vec<bool>, actor: u32) {
    let at = actor as usize;
    if at >= flags.len() {
        flags.resize(at + 1, false);
    }
    flags[at] = true;
}

/// Two limits per key, one theoretical arrival time each.
struct Gcra {
    minute: Vec<u64>,
    day: Vec<u64>,
    flagged: Vec<bool>,
}

impl Gcra {
    fn see(&mut self, actor: u32, now_ms: u64) {
        let at = actor as usize;
        if at >= self.minute.len() {
            self.minute.resize(at + 1, 0);
            self.day.resize(at + 1, 0);
            self.flagged.resize(at + 1, false);
        }
        let minute = next_tat(self.minute[at], now_ms, MINUTE_INTERVAL_MS, MINUTE_BURST);
        let day = next_tat(self.day[at], now_ms, DAY_INTERVAL_MS, DAY_BURST);
        // A throttled request takes no cell of either limit.
        match (minute, day) {
            (Some(m), Some(d)) => (self.minute[at], self.day[at]) = (m, d),
            _ => self.flagged[at] = true,
        }
    }
}

/// The theoretical arrival time after one cell; `None` when it does not conform.
fn next_tat(tat: u64, now: u64, interval: u64, burst: u64) -> Option<u64> {
    let next = tat.max(now) + interval;
    (next <= now + interval * burst).then_some(next)
}

/// The senders of one prompt. Most prompts have one sender, which costs no allocation.
#[derive(Default)]
struct Senders {
    keys: Vec<u32>,
    first: u32,
    /// True if the limit was reached: every later sender is flagged.
    shared: bool,
}

/// Keys that send the same text. Two halves bound it: a prompt that was not sent while the younger half
/// filled is forgotten.
struct Sharing {
    limit: usize,
    half: usize,
    young: HashMap<u64, Senders>,
    old: HashMap<u64, Senders>,
    flagged: Vec<bool>,
}

impl Sharing {
    fn new(limit: usize, half: usize, actors: usize) -> Sharing {
        Sharing { limit, half, young: HashMap::new(), old: HashMap::new(), flagged: vec![false; actors] }
    }

    fn see(&mut self, actor: u32, text: u64) {
        if self.young.len() >= self.half && !self.young.contains_key(&text) {
            self.old = std::mem::take(&mut self.young);
        }
        let old = &mut self.old;
        let senders = self
            .young
            .entry(text)
            .or_insert_with(|| old.remove(&text).unwrap_or(Senders { first: actor, ..Senders::default() }));
        if senders.shared {
            flag(&mut self.flagged, actor);
        } else if senders.first != actor && !senders.keys.contains(&actor) {
            senders.keys.push(actor);
            if senders.keys.len() + 1 >= self.limit {
                senders.shared = true;
                flag(&mut self.flagged, senders.first);
                for key in std::mem::take(&mut senders.keys) {
                    flag(&mut self.flagged, key);
                }
            }
        }
    }
}

/// Hashes of a prompt's words, ASCII letters lower-cased.
struct Words {
    /// Hash of the first words together.
    head: u64,
    count: usize,
    list: [u32; 2 * MAX_WORDS],
    kept: usize,
}

impl Words {
    fn new() -> Words {
        Words { head: 0, count: 0, list: [0; 2 * MAX_WORDS], kept: 0 }
    }

    fn clear(&mut self) {
        (self.head, self.count, self.kept) = (0, 0, 0);
    }

    /// Adds one part of a prompt; called for two parts at most.
    fn read(&mut self, text: &[u8]) {
        /// FNV-1a: words are short, and a byte must be lower-cased anyway.
        const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        let end = self.kept + MAX_WORDS;
        let mut h = BASIS;
        for b in text {
            if !b.is_ascii_whitespace() {
                h = (h ^ u64::from(b.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3);
            } else if h != BASIS {
                self.word(h);
                h = BASIS;
                if self.kept == end {
                    return;
                }
            }
        }
        if h != BASIS {
            self.word(h);
        }
    }

    fn word(&mut self, h: u64) {
        let h = mix(h);
        if self.count < HEAD_WORDS {
            self.head = combine(self.head, h);
            self.count += 1;
        }
        self.list[self.kept] = h as u32;
        self.kept += 1;
    }
}

/// Values of a sketch.
const SKETCH: usize = 32;
/// Earlier prompts of a key that a new one is compared with.
const WINDOW: usize = 64;
/// Distances before a key is tested; PRADA waits for 100 queries, but a distributed campaign sends fewer.
const MIN_DISTANCES: u32 = 50;
/// Prompts between two tests: the statistic changes slowly.
const TEST_EVERY: u32 = 8;
/// Distances that are counted in full; then all counts are halved, so that the test follows the present.
const MAX_DISTANCES: u32 = 512;
/// Below this the distances are far from normal. Chosen as the original does, on honest traffic alone: one in a hundred
/// chat keys of 200 prompts falls under it (tuning split and generated texts alike; `prada_table` prints the figures).
const DELTA: f64 = 0.85;

/// Are the distances between a key's prompts normal?
///
/// The original takes, for each query to an image classifier, the distance to the nearest earlier query of the same
/// class, and flags a client when the Shapiro-Wilk statistic of these distances falls under a limit: natural inputs
/// scatter, synthetic ones are made at chosen distances. Text has no class before it is answered, so the nearest of all
/// the key's last 64 prompts is taken. The distance is one minus the Jaccard similarity of the sets of words, estimated by
/// MinHash with 32 functions (standard error 0.09 at most; 16 bits of each value are kept, which adds 1.5e-5): it needs no
/// language model, is blind to order as a bag-of-words embedding is, and has 33 values, so a histogram holds them all.
///
/// The statistic is Shapiro-Francia's (the squared correlation with normal scores, 1972), which is Shapiro-Wilk's with
/// simpler weights; equal distances are spread evenly over their step, or a grid of 33 values alone would look abnormal.
/// As in the original, distances over three standard deviations away are left out first.
///
/// Cost: 32 multiplications per word (1,024 words at most), 64 comparisons of 64 bytes, every eighth prompt up to 512
/// normal quantiles: about 3 us for 500 bytes. Memory: 4 KB of sketches, 66 bytes of counts a key.
struct Prada {
    keys: Vec<Queries>,
    flagged: Vec<bool>,
}

/// What is kept of one key.
struct Queries {
    /// The last sketches, as a ring once it is full.
    sketches: Vec<[u16; SKETCH]>,
    next: usize,
    counts: [u16; SKETCH + 1],
    distances: u32,
}

impl Default for Queries {
    fn default() -> Queries {
        Queries { sketches: Vec::new(), next: 0, counts: [0; SKETCH + 1], distances: 0 }
    }
}

impl Prada {
    fn see(&mut self, actor: u32, words: &[u32]) {
        let at = actor as usize;
        if at >= self.keys.len() {
            self.keys.resize_with(at + 1, Queries::default);
            self.flagged.resize(at + 1, false);
        }
        if words.is_empty() {
            return;
        }
        let key = &mut self.keys[at];
        key.add(sketch(words));
        let due = key.distances >= MIN_DISTANCES && key.distances.is_multiple_of(TEST_EVERY);
        if due && !self.flagged[at] && normality(&key.counts) < DELTA {
            self.flagged[at] = true;
        }
    }
}

impl Queries {
    fn add(&mut self, new: [u16; SKETCH]) {
        let equal = |old: &[u16; SKETCH]| old.iter().zip(&new).map(|(a, b)| u16::from(a == b)).sum::<u16>();
        if let Some(nearest) = self.sketches.iter().map(equal).max() {
            self.counts[SKETCH - nearest as usize] += 1;
            self.distances += 1;
            if self.distances >= MAX_DISTANCES {
                self.counts.iter_mut().for_each(|c| *c /= 2);
                self.distances = self.counts.iter().map(|c| u32::from(*c)).sum();
            }
        }
        if self.sketches.len() < WINDOW {
            self.sketches.push(new);
        } else {
            self.sketches[self.next] = new;
            self.next = (self.next + 1) % WINDOW;
        }
    }
}

/// MinHash of a set of words: the least value under each of 32 functions, 16 bits of it.
fn sketch(words: &[u32]) -> [u16; SKETCH] {
    const fn constants(salt: u64) -> [u32; SKETCH] {
        let mut out = [0; SKETCH];
        let mut i = 0;
        while i < SKETCH {
            out[i] = mix(salt + i as u64 + 1) as u32 | 1;
            i += 1;
        }
        out
    }
    const XOR: [u32; SKETCH] = constants(100);
    const ODD: [u32; SKETCH] = constants(200);
    let mut least = [u32::MAX; SKETCH];
    for word in words {
        for i in 0..SKETCH {
            least[i] = least[i].min((word ^ XOR[i]).wrapping_mul(ODD[i]));
        }
    }
    // A least value is small: its low bits are the ones that differ.
    least.map(|v| v as u16)
}

/// Shapiro-Francia's statistic of a histogram, each value spread evenly over its step.
fn normality(counts: &[u16; SKETCH + 1]) -> f64 {
    let moments = |counts: &mut dyn Iterator<Item = (usize, u16)>| {
        let (n, sum, squares) = counts.fold((0.0, 0.0, 0.0), |(n, s, q), (v, c)| {
            let (v, c) = (v as f64, f64::from(c));
            (n + c, s + c * v, q + c * v * v)
        });
        let mean: f64 = sum / n;
        (n, mean, (squares / n - mean * mean).max(0.0) + 1.0 / 12.0)
    };
    let (_, mean, variance) = moments(&mut counts.iter().copied().enumerate());
    let reach = 3.0 * variance.sqrt();
    let kept = counts.iter().copied().enumerate();
    let kept = kept.filter(|(v, c)| *c > 0 && (*v as f64 - mean).abs() <= reach);
    let (n, mean, _) = moments(&mut kept.clone());
    let (mut rank, mut product, mut squares, mut scores) = (0.0, 0.0, 0.0, 0.0);
    for (v, c) in kept {
        for i in 0..c {
            let x = v as f64 - 0.5 + (f64::from(i) + 0.5) / f64::from(c) - mean;
            rank += 1.0;
            let score = normal_quantile((rank - 0.375) / (n + 0.25));
            product += score * x;
            squares += x * x;
            scores += score * score;
        }
    }
    product * product / (scores * squares)
}

/// Hastings' rational approximation (Abramowitz and Stegun 26.2.23): error under 4.5e-4, ample for a correlation.
fn normal_quantile(p: f64) -> f64 {
    let t = (-2.0 * p.min(1.0 - p).ln()).sqrt();
    let z = t
        - (2.515_517 + t * (0.802_853 + t * 0.010_328))
            / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)));
    if p < 0.5 { -z } else { z }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::{builtin, corpus};
    use super::*;

    const DAY_MS: u64 = 86_400_000;

    fn flagged(b: &Baselines, rule: &str) -> Vec<usize> {
        let results = b.results();
        let (_, flags) = results.iter().find(|(name, _)| *name == rule).unwrap();
        flags.iter().enumerate().filter(|(_, f)| **f).map(|(i, _)| i).collect()
    }

    #[test]
    fn gcra_sees_one_heavy_key_and_not_a_sweep_over_many() {
        let mut b = Baselines::new(1_001);
        // 64,000 requests a day over 1,000 keys, and as many from one.
        for i in 0..128_000u64 {
            let now = i * DAY_MS / 64_000;
            b.see((i % 1_000) as u32, now, b"", format!("novel {i}").as_bytes());
            b.see(1_000, now, b"", format!("other {i}").as_bytes());
        }
        assert_eq!(flagged(&b, "gcra"), [1_000]);
        assert!(flagged(&b, "exact").is_empty());
    }

    #[test]
    fn gcra_lets_a_burst_of_sixty_pass_and_refills() {
        let mut b = Baselines::new(1);
        for i in 0..120 {
            b.see(0, i / 60 * 60_000, b"", b"x");
        }
        assert!(flagged(&b, "gcra").is_empty());
        b.see(0, 60_000, b"", b"x");
        assert_eq!(flagged(&b, "gcra"), [0]);
    }

    #[test]
    fn exact_needs_five_keys_and_then_flags_every_sender() {
        let mut b = Baselines::new(8);
        for key in [0, 1, 2, 3, 3, 0] {
            b.see(key, 0, b"sys", b"hello");
        }
        b.see(7, 0, b"sys", b"Hello");
        b.see(7, 0, b"syshello", b"");
        assert!(flagged(&b, "exact").is_empty());
        b.see(4, 0, b"sys", b"hello");
        assert_eq!(flagged(&b, "exact"), [0, 1, 2, 3, 4]);
        b.see(5, 0, b"sys", b"hello");
        b.see(20, 0, b"sys", b"hello");
        assert_eq!(flagged(&b, "exact"), [0, 1, 2, 3, 4, 5, 20]);
    }

    #[test]
    fn head_ignores_case_and_what_follows_fifty_words() {
        let head = "You are Given a Task ".repeat(10);
        let mut b = Baselines::new(60);
        for key in 0..49u32 {
            let text = if key % 2 == 0 { head.to_lowercase() } else { head.clone() };
            b.see(key, 0, text.as_bytes(), format!("tail {key}").as_bytes());
        }
        assert!(flagged(&b, "head50").is_empty());
        b.see(55, 0, b"", format!("{head} else").as_bytes());
        assert_eq!(flagged(&b, "head50").len(), 50);
        assert!(flagged(&b, "exact").is_empty());
    }

    #[test]
    fn sharing_forgets_the_older_half() {
        let mut s = Sharing::new(2, 10, 4);
        s.see(0, 7);
        for text in 100..109 {
            s.see(0, text);
        }
        s.see(0, 200);
        assert_eq!((s.young.len(), s.old.len()), (1, 10));
        s.see(1, 7);
        assert_eq!(s.flagged[..2], [true, true]);
        for text in 300..340 {
            s.see(0, text);
        }
        s.see(2, 100);
        assert!(!s.flagged[2] && s.young.len() + s.old.len() <= 20);
    }

    #[test]
    fn normality_is_high_for_a_bell_and_low_for_two_heaps() {
        let bell = |centre: f64, sd: f64| {
            let mut counts = [0; SKETCH + 1];
            for (v, c) in counts.iter_mut().enumerate() {
                *c = (400.0 * (-0.5 * ((v as f64 - centre) / sd).powi(2)).exp()) as u16;
            }
            counts
        };
        for (centre, sd) in [(16.0, 4.0), (10.0, 1.0), (20.0, 0.7), (24.0, 2.0)] {
            let w = normality(&bell(centre, sd));
            assert!(w > 0.98, "{centre} {sd}: {w}");
        }
        let mut heaps = [0; SKETCH + 1];
        (heaps[0], heaps[32]) = (30, 30);
        assert!(normality(&heaps) < 0.7);
        let mut skew = [0; SKETCH + 1];
        (skew[32], skew[31], skew[16]) = (60, 10, 20);
        assert!(normality(&skew) < DELTA, "{}", normality(&skew));
        let mut still = [0; SKETCH + 1];
        still[32] = 100;
        assert!(normality(&still) > 0.9);
        assert!((normal_quantile(0.975) - 1.96).abs() < 1e-3 && normal_quantile(0.5).abs() < 1e-3);
    }

    /// The least statistic that each of `keys` keys shows over 200 prompts, sorted, by what the key does.
    fn kinds(c: &corpus::Corpus, keys: usize) -> Vec<(&'static str, Vec<f64>)> {
        let mut rng = 9u64;
        let mut any = move |n: usize| {
            rng = mix(rng.wrapping_add(0x9e37_79b9_7f4a_7c15));
            (rng >> 32) as usize % n
        };
        let names = ["chat", "agent", "library", "eval", "distill", "raw items"];
        let mut out: Vec<_> = names.iter().map(|n| (*n, Vec::new())).collect();
        for _ in 0..keys {
            let agent = any(c.agents.len());
            let library = any(c.patterns.len());
            let set = any(c.evals.len());
            let start = any(c.evals[set].len());
            let maker = any(c.distill.len());
            for (kind, (_, least)) in out.iter_mut().enumerate() {
                let mut p = Prada { keys: Vec::new(), flagged: Vec::new() };
                let mut w_least = 1.0f64;
                for i in 0..200 {
                    let mut text = Vec::new();
                    let human = &c.prompts[any(c.prompts.len())];
                    let item = &c.items[any(c.items.len())];
                    let template = [None, Some(&c.agents[agent]), Some(&c.patterns[library])];
                    match kind {
                        0..3 => {
                            if let Some(t) = template[kind] {
                                t.fill(&mut text, &mut |_, _| {});
                            }
                            text.push(b' ');
                            text.extend_from_slice(human.as_bytes());
                        }
                        3 => {
                            text.extend_from_slice(c.evals[set][(start + i) % c.evals[set].len()].as_bytes())
                        }
                        4 => c.distill[maker]
                            .fill(&mut text, &mut |_, out| out.extend_from_slice(item.as_bytes())),
                        _ => text.extend_from_slice(item.as_bytes()),
                    }
                    let mut words = Words::new();
                    words.read(&text);
                    p.see(0, &words.list[..words.kept]);
                    if p.keys[0].distances >= MIN_DISTANCES {
                        w_least = w_least.min(normality(&p.keys[0].counts));
                    }
                }
                least.push(w_least);
            }
        }
        out.iter_mut().for_each(|(_, l)| l.sort_unstable_by(f64::total_cmp));
        out
    }

    #[test]
    fn prada_spares_chat_and_sees_two_kinds_of_prompts_in_one_key() {
        for (kind, least) in kinds(&builtin::corpus(1), 40) {
            let flagged = least.iter().filter(|w| **w < DELTA).count();
            assert!(kind != "chat" || flagged <= 2, "{kind} {flagged}");
        }
        let mut b = Baselines::new(2);
        for i in 0..120u32 {
            // Half of one key's prompts repeat one template closely, half share nothing.
            let novel: String = (0..20).map(|w| format!(" w{}", i * 40 + w)).collect();
            let close = format!("a b c d e f g h i j k l m n o p q r s t u v w x y z {i}");
            b.see(0, 0, b"", if i % 2 == 0 { novel.as_bytes() } else { close.as_bytes() });
            // The other says the like of itself, at a natural scatter.
            let some: String = (0..20).map(|w| format!(" w{}", mix(u64::from(i * 20 + w)) % 60)).collect();
            b.see(1, 0, b"", some.as_bytes());
        }
        assert_eq!(flagged(&b, "prada"), [0]);
    }

    /// Figures behind `DELTA`: `cargo test --bin weir prada_table -- --ignored --nocapture`.
    #[test]
    #[ignore = "prints a table"]
    fn prada_table() {
        let dir = std::path::Path::new("../shared/corpora");
        let mut sets = vec![builtin::corpus(1)];
        if dir.is_dir() {
            sets.push(corpus::load(Some(dir), corpus::Split::Tune).unwrap().0);
        }
        for c in &sets {
            println!("{}", c.origin);
            for (kind, least) in kinds(c, 300) {
                let low = least.iter().filter(|w| **w < DELTA).count();
                let at = [0, 3, 15, 30, 75, 150, 299].map(|i| least[i]);
                println!("{kind:10} p0 1 5 10 25 50 100: {at:.3?}, under {DELTA}: {low}");
            }
        }
    }

    /// Cost of `see` on prompts of 500 bytes, by rule.
    #[test]
    #[ignore = "prints timings"]
    fn cost() {
        let w: Vec<Vec<u8>> = (0..100_000u64)
            .map(|i| {
                (0..70).map(|j| format!("{:x} ", mix(i * 70 + j) % 0x100_0000)).collect::<String>().into()
            })
            .collect();
        println!("{} bytes", w[0].len());
        let mut b = Baselines::new(2_000);
        let mut words = Words::new();
        let start = std::time::Instant::now();
        for (i, text) in w.iter().enumerate() {
            words.clear();
            words.read(text);
            b.gcra.see(i as u32 % 2_000, i as u64);
            b.exact.see(i as u32 % 2_000, combine(sip13((1, 0), b""), sip13((2, 0), text)));
            b.head.see(i as u32 % 2_000, words.head);
        }
        println!("without prada {:?} each", start.elapsed() / 100_000);
        let mut b = Baselines::new(2_000);
        let start = std::time::Instant::now();
        for (i, text) in w.iter().enumerate() {
            b.see(i as u32 % 2_000, i as u64, b"", text);
        }
        println!("all {:?} each", start.elapsed() / 100_000);
    }
}
