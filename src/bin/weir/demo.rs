//! `weir demo`: honest traffic and a campaign through a real Envoy, on an accelerated clock, with a live view.

mod envoy;
mod http;
mod traffic;
mod upstream;

use crate::{IO, OK, USAGE, fail};
use std::io::{BufReader, IsTerminal, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use traffic::{Key, Request, Traffic};
use weir::engine::edge::identity::Head;
use weir::engine::units::{Nanos, scaled};
use weir::engine::{Engine, config};

const SENDERS: usize = 24;
const SCALE: u32 = 4_000;

/// Show the filter at work: honest traffic and a campaign through a real Envoy, two days in under a minute
#[derive(clap::Args)]
pub struct Args {
    /// Envoy binary
    #[arg(long, env = "ENVOY_BIN", default_value = "target/venv/envoy")]
    envoy: PathBuf,
    /// Envoy configuration with placeholders
    #[arg(long, default_value = "envoy/envoy.yaml")]
    template: PathBuf,
    /// The module
    #[arg(long, env = "WEIR_WASM", default_value = "target/weir.wasm")]
    wasm: PathBuf,
    /// Seed of the traffic
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The same traffic through the engine alone, without Envoy
    #[arg(long)]
    dry_run: bool,
    /// Write the traffic as a trace for `weir replay` and stop
    #[arg(long, value_name = "FILE")]
    write_trace: Option<PathBuf>,
}

/// What happened to a key.
#[derive(Clone, Copy, Default)]
struct Fate {
    sent: u32,
    blocked: u32,
    /// Rejections in a row so far.
    streak: u32,
}

#[derive(Default)]
struct Score {
    fates: Vec<Fate>,
    first_block: Option<f64>,
    failed: u64,
    late_ms: u64,
    model_s: f64,
    waits_us: Vec<u32>,
}

impl Score {
    fn note(&mut self, key: usize, t: f64, campaign: bool, rejected: bool) {
        let f = &mut self.fates[key];
        f.sent += 1;
        f.blocked += u32::from(rejected);
        f.streak = if rejected { f.streak + 1 } else { 0 };
        self.model_s = self.model_s.max(t);
        if rejected && campaign {
            self.first_block.get_or_insert(t);
        }
    }
}

/// The figures of the last line.
struct Totals {
    accounts: usize,
    convicted: usize,
    requests: u64,
    served: u64,
    honest: usize,
    honest_blocked: usize,
}

fn totals(traffic: &Traffic, score: &Score) -> Totals {
    let mut t = Totals { accounts: 0, convicted: 0, requests: 0, served: 0, honest: 0, honest_blocked: 0 };
    for (key, f) in score.fates.iter().enumerate() {
        if traffic.is_campaign(key) {
            t.accounts += 1;
            t.convicted += usize::from(f.streak >= 3);
            t.requests += u64::from(f.sent);
            t.served += u64::from(f.sent - f.blocked);
        } else {
            t.honest += 1;
            t.honest_blocked += usize::from(f.blocked > 0);
        }
    }
    t
}

/// Hops to trust in the live demo: for a peer on loopback Envoy adds an address of its own to
/// `x-forwarded-for`.
const LIVE_HOPS: u8 = 2;

fn configuration(hops: u8) -> String {
    // Ages come with each request, as an operator's auth layer would add them; nothing is learned first.
    serde_json::json!({
        "version": 1, "policy": "demo", "mode": "enforce",
        "seed": "57656972206465d0a1b2c3d4e5f60718293a4b5c6d7e8f901122334455667788",
        "identity": {"sources": [{"bearer": true}], "age": {"header": "x-account-created"}, "learn": "0s", "trusted_hops": hops},
        "limits": [{"name": "burst", "requests": 600, "per": "1m"}],
        // This Envoy allows it (see envoy.yaml), so the upstream never hears of a rejected request.
        "inspect": {"hold_headers": true},
        "log": {"decisions": "none"}, "demo": {"time_scale": SCALE},
    })
    .to_string()
}

fn headers<'a>(key: &'a Key, start: Nanos, values: &'a mut Vec<String>) -> Vec<(&'static str, &'a str)> {
    let created = start.secs().saturating_add_signed(-key.age_s as i64);
    *values = vec![format!("Bearer {}", key.token), created.to_string()];
    vec![
        ("content-type", "application/json"),
        ("user-agent", key.agent),
        ("authorization", &values[0]),
        ("x-account-created", &values[1]),
        ("x-forwarded-for", &key.address),
    ]
}

pub fn run(args: &Args) -> u8 {
    let traffic = Arc::new(traffic::make(args.seed));
    if let Some(path) = &args.write_trace {
        return write_trace(path, &traffic);
    }
    let result = if args.dry_run { Ok(dry_run(&traffic)) } else { live(args, &traffic) };
    let score = match result {
        Ok(s) => s,
        Err(e) => {
            eprintln!("weir: demo: {e}");
            return IO;
        }
    };
    table(&traffic, &score);
    let t = totals(&traffic, &score);
    let first = score
        .first_block
        .map_or_else(|| "never".to_string(), |s| format!("{:.2}h", (s - traffic::WARM_UP_S) / 3600.0));
    println!(
        "weir-demo: campaign_accounts={} convicted={} campaign_requests={} served={} honest_keys={} honest_blocked={} first_block_after={first}",
        t.accounts, t.convicted, t.requests, t.served, t.honest, t.honest_blocked
    );
    if t.convicted * 100 >= t.accounts * 95 && t.honest_blocked == 0 && score.failed == 0 {
        OK
    } else {
        USAGE
    }
}

fn table(traffic: &Traffic, score: &Score) {
    let mut rows = crate::table::new(1, &["class", "keys", "requests", "rejected", "keys rejected"]);
    let mut classes: Vec<&str> = traffic.keys.iter().map(|k| k.class).collect();
    classes.dedup();
    for class in classes {
        let of = || {
            score.fates.iter().enumerate().filter(|(k, _)| traffic.keys[*k].class == class).map(|(_, f)| f)
        };
        rows.add_row([
            class.to_string(),
            of().count().to_string(),
            of().map(|f| u64::from(f.sent)).sum::<u64>().to_string(),
            of().map(|f| u64::from(f.blocked)).sum::<u64>().to_string(),
            of().filter(|f| f.blocked > 0).count().to_string(),
        ]);
    }
    println!("\n{}\n", rows.trim_fmt());
}

fn write_trace(path: &PathBuf, traffic: &Traffic) -> u8 {
    let start = Nanos::from_secs(1_780_000_000);
    let written = (|| -> std::io::Result<()> {
        let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
        for e in &traffic.requests {
            let key = &traffic.keys[e.key];
            let mut values = Vec::new();
            let headers = headers(key, start, &mut values);
            let side = if traffic.is_campaign(e.key) { "attack" } else { "benign" };
            let body: serde_json::Value = serde_json::from_slice(&e.body).unwrap_or_default();
            let line = serde_json::json!({
                "t": start.secs() as f64 + e.t, "path": e.path, "headers": headers, "body": body,
                "label": format!("{side}:{}", key.class),
            });
            writeln!(out, "{line}")?;
        }
        out.flush()
    })();
    match written {
        Ok(()) => OK,
        Err(e) => fail(path, e),
    }
}

/// Decides the same traffic without a proxy, on exact times.
fn dry_run(traffic: &Traffic) -> Score {
    let mut score = Score { fates: vec![Fate::default(); traffic.keys.len()], ..Score::default() };
    let Ok(config) = config::parse(&configuration(1)) else { return score };
    let mut engine = Engine::new(Arc::new(config));
    let start = Nanos::from_secs(1_780_000_000);
    for e in &traffic.requests {
        let now = start.plus(Nanos((e.t * 1e9) as u64));
        engine.tick(now);
        let key = &traffic.keys[e.key];
        let mut values = Vec::new();
        let pairs = headers(key, start, &mut values);
        let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())).collect();
        let head = Head {
            path: e.path.as_bytes(),
            authority: b"demo",
            headers: &pairs,
            source: b"127.0.0.1:1",
            ..Head::default()
        };
        let mut session = engine.open(now, &head);
        session.push(&e.body, true);
        let d = engine.decide(now, &mut session);
        score.note(e.key, e.t, traffic.is_campaign(e.key), d.action.rejects());
    }
    score
}

fn wall() -> Nanos {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(Nanos(0), |d| Nanos(d.as_nanos() as u64))
}

fn live(args: &Args, traffic: &Arc<Traffic>) -> Result<Score, String> {
    let (upstream, hits) = upstream::start().map_err(|e| e.to_string())?;
    let envoy =
        envoy::Envoy::start(&args.envoy, &args.template, &args.wasm, &configuration(LIVE_HOPS), upstream)?;
    println!(
        "Envoy listens on 127.0.0.1:{}; counters: http://127.0.0.1:{}/stats?filter=weir",
        envoy.port, envoy.admin
    );
    println!(
        "{} requests of {} keys, {} hours in {:.0} s",
        traffic.requests.len(),
        traffic.keys.len(),
        42,
        traffic::LENGTH_S / f64::from(SCALE)
    );
    let score =
        Arc::new(Mutex::new(Score { fates: vec![Fate::default(); traffic.keys.len()], ..Score::default() }));
    let begun = Instant::now();
    let start = scaled(wall(), SCALE);
    let mut senders: Vec<Sender<usize>> = Vec::new();
    let mut threads = Vec::new();
    for _ in 0..SENDERS {
        let (tx, rx) = channel();
        senders.push(tx);
        let (traffic, score, port) = (Arc::clone(traffic), Arc::clone(&score), envoy.port);
        threads.push(std::thread::spawn(move || sender(&rx, &traffic, &score, port, begun, start)));
    }
    for (i, e) in traffic.requests.iter().enumerate() {
        // One key, one connection: its requests stay in order.
        let _ = senders[e.key % SENDERS].send(i);
    }
    drop(senders);
    let done = Arc::new(AtomicBool::new(false));
    let view = {
        let (done, score, traffic) = (Arc::clone(&done), Arc::clone(&score), Arc::clone(traffic));
        std::thread::spawn(move || live_view(&done, &score, &traffic))
    };
    for t in threads {
        t.join().map_err(|_| "a sender failed".to_string())?;
    }
    done.store(true, Ordering::Relaxed);
    let _ = view.join();
    let mut score = std::mem::take(&mut *score.lock().map_err(|_| "a sender failed".to_string())?);
    score.waits_us.sort_unstable();
    let median = score.waits_us.get(score.waits_us.len() / 2).copied().unwrap_or(0);
    println!(
        "\n{:.1} s; {} reached the upstream; median time of a request {median} us; latest sending {} ms late; {} failed",
        begun.elapsed().as_secs_f64(),
        hits.load(Ordering::Relaxed),
        score.late_ms,
        score.failed
    );
    let served: u64 = score.fates.iter().map(|f| u64::from(f.sent - f.blocked)).sum();
    if served != hits.load(Ordering::Relaxed) {
        return Err(format!(
            "{served} requests were answered as served, but {} reached the upstream",
            hits.load(Ordering::Relaxed)
        ));
    }
    Ok(score)
}

fn sender(
    queue: &Receiver<usize>,
    traffic: &Traffic,
    score: &Mutex<Score>,
    port: u16,
    begun: Instant,
    start: Nanos,
) {
    let mut connection: Option<BufReader<TcpStream>> = None;
    for i in queue {
        let e = &traffic.requests[i];
        let due = Duration::from_secs_f64(e.t / f64::from(SCALE));
        let now = begun.elapsed();
        if now < due {
            std::thread::sleep(due - now);
        }
        let late = begun.elapsed().saturating_sub(due);
        let sent = Instant::now();
        // A connection that the proxy has closed meanwhile is opened once more.
        let status = exchange(&mut connection, e, &traffic.keys[e.key], port, start).or_else(|_| {
            connection = None;
            exchange(&mut connection, e, &traffic.keys[e.key], port, start)
        });
        let Ok(mut s) = score.lock() else { return };
        s.late_ms = s.late_ms.max(late.as_millis() as u64);
        match status {
            Ok(code) => {
                s.waits_us.push(sent.elapsed().as_micros().min(u128::from(u32::MAX)) as u32);
                s.note(e.key, e.t, traffic.is_campaign(e.key), code == 429);
                s.failed += u64::from(code != 429 && code != 200);
            }
            Err(_) => {
                connection = None;
                s.failed += 1;
            }
        }
    }
}

fn exchange(
    c: &mut Option<BufReader<TcpStream>>,
    e: &Request,
    key: &Key,
    port: u16,
    start: Nanos,
) -> std::io::Result<u16> {
    if c.is_none() {
        let s = TcpStream::connect(("127.0.0.1", port))?;
        s.set_nodelay(true)?;
        s.set_read_timeout(Some(Duration::from_secs(10)))?;
        *c = Some(BufReader::new(s));
    }
    let Some(reader) = c else { return Ok(0) };
    let mut values = Vec::new();
    let mut request = format!("POST {} HTTP/1.1\r\nhost: demo\r\n", e.path);
    for (k, v) in headers(key, start, &mut values) {
        request += &format!("{k}: {v}\r\n");
    }
    request += &format!("content-length: {}\r\n\r\n", e.body.len());
    let mut bytes = request.into_bytes();
    bytes.extend_from_slice(&e.body);
    reader.get_mut().write_all(&bytes)?;
    let head = http::head(reader)?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.first.split_whitespace().nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    std::io::copy(&mut reader.take(head.length), &mut std::io::sink())?;
    if head.close {
        *c = None;
    }
    Ok(status)
}

fn live_view(done: &AtomicBool, score: &Mutex<Score>, traffic: &Traffic) {
    let terminal = std::io::stdout().is_terminal();
    let every = if terminal { 250 } else { 5_000 };
    let mut waited = 0;
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
        waited += 50;
        if waited < every {
            continue;
        }
        waited = 0;
        let Ok(s) = score.lock() else { return };
        let t = totals(traffic, &s);
        let share = if t.requests == 0 { 0.0 } else { 100.0 * t.served as f64 / t.requests as f64 };
        let line = format!(
            "hour {:>4.1}  campaign: {:>5} requests, {share:>5.1} % served, {:>3} of {} accounts blocked  honest: {} of {} keys blocked",
            s.model_s / 3600.0,
            t.requests,
            t.convicted,
            t.accounts,
            t.honest_blocked,
            t.honest
        );
        drop(s);
        if terminal {
            print!("\r{line}");
            let _ = std::io::stdout().flush();
        } else {
            println!("{line}");
        }
    }
}
