//! The parts of the engine, each timed alone: `make bench-micro`, natively and as wasm under a wasm runtime.
//!
//! Every case is checked before it is timed. A row is the least of several rounds: time a call, a byte, and the ratio to a
//! yardstick of the same run. `--quick` takes a tenth of the time; `--only NAME` one case; `--calls N` runs it so often
//! and prints nothing (for instruction counts: the difference of two runs); `--body FILE` one request body (openai_chat) of your
//! own instead of the made ones. Texts are this project's own pages and source.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::disallowed_types,
    missing_docs,
    reason = "a bench"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir::engine::Engine;
use weir::engine::config::{Config, parse};
use weir::engine::dialect::Unreadable;
use weir::engine::edge::Edge;
use weir::engine::edge::extract::{Extracted, Extractor};
use weir::engine::edge::identity::{Head, Keys};
use weir::engine::edge::session::{Next, Session};
use weir::engine::fingerprint::{Fingerprint, Fingerprinter};
use weir::engine::hash::mix;
use weir::engine::json::scan::{Scanner, Sink};
use weir::engine::json::string_bits::{any, plain, special, string_bits};
use weir::engine::ledger::Ledger;
use weir::engine::units::Nanos;

const PROSE: &str = concat!(
    include_str!("../../README.md"),
    include_str!("../../src/ARCHITECTURE.md"),
    include_str!("../../src/bin/weir/README.md"),
    include_str!("../../envoy/CONFIGURATION.md")
);
const CODE: &str = include_str!("../../src/engine/json/scan.rs");
const START: u64 = 1_780_000_000_000_000_000;

struct Bench {
    only: Option<String>,
    calls: Option<u64>,
    /// Bodies of one's own, taken in turn: a body that is always the same, the processor learns by heart.
    own: Vec<String>,
    rounds: u32,
    span: Duration,
    /// Nanoseconds a call of the cases so far, by name.
    done: Vec<(String, f64)>,
}

impl Bench {
    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|o| name.starts_with(o.as_str()))
    }

    /// Times `f`, which handles `bytes` bytes; `against` names an earlier case.
    fn case(&mut self, name: &str, bytes: usize, against: &str, mut f: impl FnMut()) -> f64 {
        if let Some(n) = self.calls {
            if self.only.as_deref() == Some(name) {
                (0..n).for_each(|_| f());
            }
            return 0.0;
        }
        if !self.wants(name) {
            return 0.0;
        }
        let mut least = f64::MAX;
        for _ in 0..self.rounds {
            let (began, mut n) = (Instant::now(), 0u64);
            while began.elapsed() < self.span {
                // The clock is asked rarely: it is a host call under wasm.
                (0..8).for_each(|_| f());
                n += 8;
            }
            least = least.min(began.elapsed().as_nanos() as f64 / n as f64);
        }
        let per_byte = if bytes == 0 { String::new() } else { format!("{:.3}", least / bytes as f64) };
        let ratio = self.done.iter().find(|(n, _)| n == against);
        let ratio = ratio.map(|(n, ns)| format!("{:.2} x {n}", least / ns)).unwrap_or_default();
        println!("{name:<34}{bytes:>9}{least:>14.1}{per_byte:>9}  {ratio}");
        self.done.push((name.to_string(), least));
        least
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let mut b = Bench {
        only: None,
        calls: None,
        own: Vec::new(),
        rounds: 7,
        span: Duration::from_millis(120),
        done: Vec::new(),
    };
    while let Some(a) = args.next() {
        match a.as_str() {
            "--quick" => (b.rounds, b.span) = (3, Duration::from_millis(20)),
            "--only" => b.only = args.next(),
            "--calls" => b.calls = args.next().and_then(|n| n.parse().ok()),
            "--body" => b.own.extend(args.next().map(|p| std::fs::read_to_string(p).unwrap())),
            _ => {}
        }
    }
    if b.calls.is_none() {
        println!("{:<34}{:>9}{:>14}{:>9}  ratio", "case", "bytes", "ns a call", "ns/byte");
    }
    text(&mut b);
    scan(&mut b);
    requests(&mut b);
    ledger(&mut b);
}

/// Prose and code in turn, `n` bytes, starting at another place for each `salt`.
fn prose(n: usize, salt: usize) -> String {
    let all = format!("{PROSE}{CODE}");
    let start = (0..).map(|i| (salt * 977 + i) % (all.len() / 2)).find(|i| all.is_char_boundary(*i)).unwrap();
    let mut out: String = all[start..].chars().take(n).collect();
    while out.len() > n {
        out.pop();
    }
    out
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// One user message.
fn single(n: usize, salt: usize) -> String {
    format!(
        r#"{{"model":"gpt-x","temperature":0.2,"messages":[{{"role":"user","content":{}}}]}}"#,
        json(&prose(n, salt))
    )
}

/// An agent's conversation: instructions, 40 turns with tool results, a last short question.
fn conversation(n: usize, salt: usize) -> String {
    let mut m = vec![format!(r#"{{"role":"system","content":{}}}"#, json(&prose(3000, 1)))];
    let turn = n / 40;
    for i in 0..40 {
        let role = ["user", "assistant", "tool", "assistant"][i % 4];
        m.push(format!(r#"{{"role":"{role}","content":{}}}"#, json(&prose(turn, salt + i))));
    }
    m.push(format!(r#"{{"role":"user","content":{}}}"#, json(&prose(200, salt))));
    format!(r#"{{"model":"gpt-x","messages":[{}]}}"#, m.join(","))
}

/// A picture in base64 and a question.
fn picture(n: usize) -> String {
    let data: String = (0..n as u64).map(|i| (b'A' + (mix(i) % 26) as u8) as char).collect();
    let url = format!("data:image/png;base64,{data}");
    format!(
        r#"{{"messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"{url}"}}}},{{"type":"text","text":{}}}]}}]}}"#,
        json(&prose(300, 3))
    )
}

fn text(b: &mut Bench) {
    let t = prose(3072, 5);
    let mut to = vec![0u8; t.len()];
    b.case("copy 3 KB", t.len(), "", || black_box(&mut to).copy_from_slice(black_box(t.as_bytes())));
    let mut f = Fingerprinter::new(7);
    let mut out = Fingerprint::default();
    f.take(&[t.as_bytes()], &mut out);
    assert!(out.values.len() == 24 && out.exact.is_some());
    b.case("fingerprint 3 KB", t.len(), "copy 3 KB", || {
        f.take(&[black_box(t.as_bytes())], black_box(&mut out));
    });
    let han: String = "模型可以通过足够多的问题被复制。".chars().cycle().take(1024).collect();
    b.case("fingerprint 3 KB of Han", han.len(), "copy 3 KB", || {
        f.take(&[black_box(han.as_bytes())], black_box(&mut out));
    });
}

#[derive(Default)]
struct Count {
    strings: usize,
    bytes: usize,
    want: bool,
}

impl Sink for Count {
    fn open(&mut self, _: bool) {}
    fn close(&mut self) {}
    fn key(&mut self, _: &[u8]) {}
    fn string(&mut self) -> bool {
        self.strings += 1;
        self.want
    }
    fn piece(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
    }
    fn string_end(&mut self) {}
    fn scalar(&mut self, _: &[u8]) {}
    fn odd(&mut self, _: Unreadable) {}
}

fn scan(b: &mut Bench) {
    // With the vectors of this target as without.
    for i in 0..200_000u64 {
        let mut block = [0u8; 16];
        block[..8].copy_from_slice(&mix(i).to_le_bytes());
        block[8..].copy_from_slice(&mix(!i).to_le_bytes());
        block.iter_mut().for_each(|b| *b = *b % 97 + 0x1f);
        assert_eq!(
            (any(&block), string_bits(&block)),
            (plain::any(&block), plain::string_bits(&block)),
            "{block:?}"
        );
        assert_eq!(special(&block), any(&block).trailing_zeros() as usize, "{block:?}");
    }
    let body = conversation(64 << 10, 9);
    let n = body.len();
    let mut to = vec![0u8; n];
    b.case("copy 64 KB", n, "", || black_box(&mut to).copy_from_slice(black_box(body.as_bytes())));
    b.case("serde_json ignore 64 KB", n, "copy 64 KB", || {
        black_box(serde_json::from_str::<serde::de::IgnoredAny>(black_box(&body)).unwrap());
    });
    b.case("serde_json Value 64 KB", n, "copy 64 KB", || {
        black_box(serde_json::from_str::<serde_json::Value>(black_box(&body)).unwrap());
    });
    for (name, want) in [("scan 64 KB, no string wanted", false), ("scan 64 KB, all wanted", true)] {
        let run = |body: &str| {
            let (mut s, mut sink) = (Scanner::default(), Count { want, ..Count::default() });
            s.feed(body.as_bytes(), &mut sink).unwrap();
            s.finish(&mut sink).unwrap();
            sink
        };
        let seen = run(&body);
        assert!(seen.strings == 2 * 42 + 1 && (seen.bytes > 64_000) == want);
        b.case(name, n, "serde_json Value 64 KB", || {
            black_box(run(black_box(&body)));
        });
    }
}

fn head<'a>(headers: &'a [(&'a [u8], &'a [u8])]) -> Head<'a> {
    Head {
        path: b"/v1/chat/completions",
        authority: b"api.example.com",
        headers,
        source: b"10.1.2.3:4567",
        ..Head::default()
    }
}

fn config() -> Arc<Config> {
    Arc::new(parse(r#"{"mode":"enforce","seed":"a148cf2fef31dcede4a65aed977a07fc3deca2ad67a29f99552a568122e77756","policy":"bench"}"#).unwrap())
}

/// Reads a body in chunks of 64 KB, as Envoy gives them.
fn read(session: &mut Session, body: &str) {
    let mut next = Next::More;
    let n = body.len().div_ceil(65_536);
    for (i, chunk) in body.as_bytes().chunks(65_536).enumerate() {
        if next != Next::Ready {
            next = session.push(chunk, i + 1 == n);
        }
    }
}

fn requests(b: &mut Bench) {
    let config = config();
    let keys = Keys::new(&config.seed);
    let auth = b"Bearer sk-0123456789abcdef0123456789abcdef";
    let headers: [(&[u8], &[u8]); 5] = [
        (b"authorization", auth),
        (b"content-type", b"application/json"),
        (b"user-agent", b"python-httpx/0.27"),
        (b"accept", b"*/*"),
        (b"x-request-id", b"3b0a7a9e-1c80-4f6e-9d5c-000000000000"),
    ];
    b.case("head alone", 0, "", || {
        black_box(Session::open(&config, &keys, black_box(&head(&headers))));
    });
    let made = || {
        vec![
            ("512 B prompt", vec![single(400, 1)]),
            ("4 KB prompt", vec![single(3_900, 1)]),
            ("64 KB prompt", vec![single(64_000, 2)]),
            ("400 KB conversation", vec![conversation(400_000, 3)]),
            ("400 KB picture", vec![picture(400_000)]),
        ]
    };
    let own = std::mem::take(&mut b.own);
    let sets = if own.is_empty() { made() } else { vec![("own bodies", own)] };
    for (name, bodies) in &sets {
        let n = bodies.iter().map(String::len).sum::<usize>() / bodies.len();
        let mut at = 0;
        let mut next = || {
            at = (at + 1) % bodies.len();
            black_box(bodies[at].as_str())
        };
        let value = format!("serde_json Value, {name}");
        b.case(&value, n, "", || {
            black_box(serde_json::from_str::<serde_json::Value>(next()).unwrap());
        });
        for body in bodies {
            let mut check = Session::open(&config, &keys, &head(&headers));
            read(&mut check, body);
            assert!(check.facts.unreadable.is_none() && !check.facts.user.is_empty(), "{name}");
        }
        b.case(&format!("read, {name}"), n, &value, || {
            let mut s = Session::open(&config, &keys, &head(&headers));
            read(&mut s, next());
            black_box(&s.facts);
        });
        let (mut extractor, mut x) = (Extractor::new(&config.seed), Extracted::default());
        b.case(&format!("read + extract, {name}"), n, &value, || {
            let mut s = Session::open(&config, &keys, &head(&headers));
            read(&mut s, next());
            extractor.take(Nanos(START), &mut s, black_box(&mut x));
        });
        let mut edge = Edge::new(Arc::clone(&config));
        let (mut t, mut batch) = (START, Vec::new());
        b.case(&format!("read + decide (worker), {name}"), n, &value, || {
            let mut s = edge.open(&config, &keys, &head(&headers));
            read(&mut s, next());
            t += 3_600_000_000_000;
            black_box(edge.answer(Nanos(t), &mut s));
            edge.drain(&mut batch);
        });
        let mut engine = Engine::new(Arc::clone(&config));
        let mut t = START;
        b.case(&format!("read + decide (engine), {name}"), n, &value, || {
            let mut s = engine.open(Nanos(t), &head(&headers));
            read(&mut s, next());
            t += 3_600_000_000_000;
            black_box(engine.decide(Nanos(t), &mut s));
        });
    }
}

/// Batches of 64 observations of `keys` keys in turn, as workers make them.
fn batches(config: &Arc<Config>, keys: u64, n: u64) -> Vec<Vec<u8>> {
    batches_of(config, n, 64, 100_000_000, |i| i % keys)
}

/// The same of any keys, so many observations a batch and nanoseconds apart.
fn batches_of(config: &Arc<Config>, n: u64, each: u64, apart: u64, key: impl Fn(u64) -> u64) -> Vec<Vec<u8>> {
    let ids = Keys::new(&config.seed);
    let mut edge = Edge::new(Arc::clone(config));
    let mut out = Vec::new();
    for i in 0..n {
        let key = format!("Bearer sk-{:032x}", mix(key(i)));
        let words: String =
            (0..40u64).map(|w| format!("word{} ", (b'a' + (mix(i * 64 + w) % 26) as u8) as char)).collect();
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"Summarise the text below in one sentence for a reader in a hurry: {words} {}"}}]}}"#,
            prose(200, i as usize % 97).replace(['"', '\\', '\n'], " ")
        );
        let headers: [(&[u8], &[u8]); 1] = [(b"authorization", key.as_bytes())];
        let mut s = Session::open(config, &ids, &head(&headers));
        s.push(body.as_bytes(), true);
        edge.answer(Nanos(START + i * apart), &mut s);
        if i % each == each - 1 {
            let mut batch = Vec::new();
            edge.drain(&mut batch);
            out.push(batch);
        }
    }
    out
}

/// The longest single step of a ledger while a campaign of a thousand keys is found, and lives through a night: an observation with the
/// evaluation that it may lead to, or a tick. The same steps are taken several times; the least time of each counts, then the longest of all.
fn longest(b: &mut Bench) {
    const KEYS: u64 = 1_000;
    const HOURS: u64 = 30;
    let name = "longest observation";
    if b.calls.is_some() || !b.wants(name) {
        return;
    }
    let config = config();
    let apart = 3_600_000_000_000 / KEYS;
    let all = batches_of(&config, KEYS * HOURS, 1, apart, |i| mix(i) % KEYS);
    let mut least = vec![(u64::MAX, u64::MAX); all.len()];
    let mut found = 0;
    for _ in 0..b.rounds.max(5) {
        let mut l = Ledger::new(&config);
        for (i, (batch, least)) in all.iter().zip(&mut least).enumerate() {
            let began = Instant::now();
            l.observe(batch, |_, o| {
                black_box(o);
            })
            .unwrap();
            let observed = began.elapsed();
            l.tick(Nanos(START + i as u64 * apart));
            let both = began.elapsed();
            least.0 = least.0.min(observed.as_nanos() as u64);
            least.1 = least.1.min((both - observed).as_nanos() as u64);
        }
        found = l.status().campaigns;
    }
    for (name, mut times) in [
        (name, least.iter().map(|t| t.0).collect::<Vec<_>>()),
        ("longest tick", least.iter().map(|t| t.1).collect()),
    ] {
        times.sort_unstable();
        let of_a_thousand = times[times.len() - times.len() / 1_000];
        let longest = times[times.len() - 1];
        println!(
            "{name:<34}{:>9}{longest:>14}           one in 1,000 takes {of_a_thousand}; {found} campaigns found",
            ""
        );
    }
}

fn ledger(b: &mut Bench) {
    longest(b);
    if !["observe", "publish", "checkpoint", "restore"].iter().any(|n| b.wants(n)) {
        return;
    }
    let config = config();
    // A million keys against a thousand: the tables do not grow, so neither should the cost.
    for (name, keys, against) in
        [("observe, 1,000 keys", 1_000, ""), ("observe, 1,000,000 keys", 1_000_000, "observe, 1,000 keys")]
    {
        if !b.wants(name) {
            continue;
        }
        let mut l = Ledger::new(&config);
        let n = if b.rounds > 3 { 262_144 } else { 32_768 };
        // A million keys: those of the bench, and before them as many as it takes in the ledger.
        let all = batches(&config, keys, n);
        let mut applied = 0u64;
        for batch in &all {
            l.observe(batch, |_, _| applied += 1).unwrap();
        }
        assert!(applied == n / 64 * 64);
        let mut at = 0;
        let ns = b.case(name, 0, against, || {
            // Eight calls of the timer are eight batches.
            l.observe(&all[at % all.len()], |_, o| {
                black_box(o);
            })
            .unwrap();
            at += 1;
        });
        if ns > 0.0 {
            println!("{:<34}{:>9}{:>14.0}  observations/s", "", "", 64e9 / ns);
        }
    }
    let mut l = Ledger::new(&config);
    for batch in batches(&config, 32_768, 32_768) {
        l.observe(&batch, |_, _| {}).unwrap();
    }
    b.case("publish, all shards", 0, "", || {
        l.republish(u64::MAX);
        let mut n = 0;
        l.publish(|_, shard| n += shard.len());
        black_box(n);
    });
    let pages = l.page_count();
    let mut page = Vec::new();
    let mut all = Vec::new();
    for i in 0..pages {
        l.write_page(i, &mut page);
        all.push(page.clone());
    }
    let size: usize = all.iter().map(Vec::len).sum();
    b.case(&format!("checkpoint, {pages} pages"), size, "", || {
        for i in 0..pages {
            l.write_page(i, black_box(&mut page));
        }
    });
    b.case(&format!("restore, {pages} pages"), size, "", || {
        let mut fresh = Ledger::new(&config);
        for (i, p) in (0..).zip(&all) {
            fresh.read_page(i, p).unwrap();
        }
        fresh.finish_restore();
        black_box(fresh.size_bytes());
    });
}
