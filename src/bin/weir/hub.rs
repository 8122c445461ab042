//! `weir hub`: one ledger for many proxies, durable in a directory or in Valkey or Redis. Ledger, batches and
//! shards are those of the proxies.

mod acts;
mod admin;
mod audit;
#[cfg(test)]
mod contract_tests;
pub mod core;
mod events;
mod exchange;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
#[path = "../../../tests/hub/fake.rs"]
mod fake;
#[cfg(test)]
mod fleet_tests;
mod follow;
mod group;
mod growth;
mod histogram;
pub mod identity;
mod journal;
mod judged;
mod lease;
mod log;
mod metrics;
mod nodes;
mod page;
mod publication;
pub mod saved;
mod server;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]
#[path = "../../../tests/hub/servers.rs"]
mod servers;
mod standby;
mod store;
mod store_error;
mod tell;
mod tls;
mod token;
mod valkey;
#[cfg(test)]
#[path = "../../../tests/hub/wait.rs"]
mod wait;
mod witnesses;
mod work;

use self::core::{Hub, MOST_KEYS, Moment, QUORUM, sizes};
use crate::{IO, OK, USAGE, check, fail};
use admin::Tokens;
use audit::Audit;
use events::Events;
use exchange::Clock;
use follow::Follower;
use identity::Known;
use journal::Journal;
use serde_json::json;
use server::{Door, Server, Signals};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use store::{Blocked, Store};
use tls::{Files, Tls};
use token::Token;
use valkey::place::{Pem, Place};
use weir::engine::config::Config;
use weir::engine::units::{Nanos, scaled};
use work::{End, Job, Options};

/// Serve one ledger to many proxies: it learns from what all of them observe, and outlives them
///
/// The token that proxies send is read from --token-file or from the environment (WEIR_HUB_TOKEN). SIGTERM and SIGINT finish what is
/// under way, write a checkpoint and end.
#[derive(clap::Args)]
pub struct Args {
    /// Configuration: the same file that the proxies use
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Directory of the journal and the checkpoints; one hub at a time uses it
    #[arg(long, value_name = "DIR", required_unless_present = "store", conflicts_with = "store")]
    state: Option<PathBuf>,
    /// Valkey or Redis instead of a directory; several hubs may use one, and one of them is active. redis://[USER@]HOST:PORT[/DB],
    /// rediss://… (TLS), redis-cluster://HOST:PORT,HOST:PORT,…, rediss-cluster://…
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// File that holds the store's password; else WEIR_STORE_PASSWORD does, or the URL
    #[arg(long, value_name = "FILE", requires = "store")]
    store_password_file: Option<PathBuf>,
    /// Replicas of the store that must have a group before it is acknowledged
    #[arg(long, value_name = "N", requires = "store", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=16))]
    store_replicas: u8,
    /// Who signs the store's certificate (PEM); else those that the system trusts
    #[arg(long, value_name = "FILE", requires = "store")]
    store_ca_file: Option<PathBuf>,
    /// Certificate that is shown to the store (PEM)
    #[arg(long, value_name = "FILE", requires = "store_key_file")]
    store_cert_file: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", requires = "store_cert_file")]
    store_key_file: Option<PathBuf>,
    /// Address to listen on; elsewhere than on loopback only with a token
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// File that holds the token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// File with a name and a token a line, one for each proxy: `NAME TOKEN`. SIGHUP reads it again
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Certificates or tokens of nodes that must have seen a campaign before its verdicts hold at all nodes, and not only where it was
    /// seen; 1: one is enough
    #[arg(long, value_name = "N", default_value_t = QUORUM, value_parser = clap::value_parser!(u8).range(1..=16))]
    quorum: u8,
    /// Address of the listener for people (for example 127.0.0.1:7071): cases, keys, release, allow, deny. Elsewhere than on loopback only
    /// with both of its tokens
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// File that holds the token to read there, else WEIR_HUB_READ_TOKEN does. Without one everybody who reaches the listener reads
    #[arg(long, value_name = "FILE")]
    read_token_file: Option<PathBuf>,
    /// File that holds the token to act there, else WEIR_HUB_ACT_TOKEN does. Without one nobody acts
    #[arg(long, value_name = "FILE")]
    act_token_file: Option<PathBuf>,
    /// Certificate of both listeners, PEM, with those between it and its root: they then speak TLS only. SIGHUP reads the files again
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Certificates of who signs those of the proxies, PEM: a proxy must then show one
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// The audit log [default: audit.jsonl in the directory of --state]
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
    /// Keys to remember, rounded up to a power of two; what else grows with traffic grows with it. A checkpoint keeps the size that it
    /// was written with
    #[arg(long, value_name = "N", default_value_t = 1_048_576,
        value_parser = clap::value_parser!(u32).range(1_024..=i64::from(MOST_KEYS)))]
    keys: u32,
    /// Observations a second that a node may send; two seconds of them at once
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..))]
    node_quota: u32,
    /// Milliseconds between a node's exchanges
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u32).range(50..=60_000))]
    every_ms: u32,
    /// Seconds between checkpoints, if anything was learned
    #[arg(long, value_name = "S", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    checkpoint_s: u32,
    /// Megabytes of the journal after which a checkpoint is written at once
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    checkpoint_mib: u32,
    /// Log of an edge that cannot call the hub, in the forms that `weir replay` reads: what is appended is learned. May be given
    /// several times
    #[arg(long, value_name = "LOG")]
    follow: Vec<PathBuf>,
    /// With --follow: what the hub has not read yet from its beginning, not from its end
    #[arg(long, requires = "follow")]
    follow_from_start: bool,
}

pub fn run(args: &Args) -> u8 {
    serve(args).err().unwrap_or(OK)
}

/// Says why the hub does not start.
fn stops(why: impl std::fmt::Display) -> u8 {
    eprintln!("weir: {why}");
    IO
}

fn serve(args: &Args) -> Result<(), u8> {
    let usage = |message: &str| {
        eprintln!("weir: {message}");
        USAGE
    };
    let config = Arc::new(check::load(Some(&args.config))?);
    if config.seed_is_derived {
        return Err(usage("the hub needs the proxies' seed: set `seed` in the configuration, or WEIR_SEED"));
    }
    if args.follow.len() > follow::LOGS {
        return Err(usage(&format!(
            "--follow is given {} times, at most {}",
            args.follow.len(),
            follow::LOGS
        )));
    }
    let known = known(args)?;
    let tokens = Tokens {
        read: token(args.read_token_file.as_deref(), "WEIR_HUB_READ_TOKEN")?,
        act: token(args.act_token_file.as_deref(), "WEIR_HUB_ACT_TOKEN")?,
    };
    if let Some(admin) = args.admin.filter(|a| !a.ip().is_loopback() && !tokens.are_two()) {
        return Err(usage(&format!(
            "{admin} is not on loopback: --admin needs two tokens there, one to read (--read-token-file, or WEIR_HUB_READ_TOKEN) and \
             another one to act (--act-token-file, or WEIR_HUB_ACT_TOKEN)"
        )));
    }
    if !known.is_asked() && !args.listen.ip().is_loopback() {
        return Err(usage(&format!(
            "{} is not on loopback: without a token (--token-file, --tokens, or WEIR_HUB_TOKEN) anybody could send observations",
            args.listen
        )));
    }
    let tls = |client_ca: Option<PathBuf>| -> Result<Option<Arc<Tls>>, u8> {
        let (Some(cert), Some(key)) = (args.tls_cert.clone(), args.tls_key.clone()) else { return Ok(None) };
        let tls = Tls::new(Files { cert, key, client_ca }).map_err(|e| stops(e.0))?;
        Ok(Some(Arc::new(tls)))
    };
    // People have tokens, and no certificates.
    let (of_proxies, of_people) = (tls(args.tls_client_ca.clone())?, tls(None)?);
    let clock = clock(config.time_scale);
    let blocked = |e: Blocked| stops(e.0);
    let place = place(args)?;
    let start = match (&args.state, place) {
        (Some(dir), _) => {
            let (hub, journal) = start(args, dir, &config, clock()).map_err(blocked)?;
            Start::Alone(Box::new(hub), Box::new(journal))
        }
        (None, Some(place)) => {
            let setup = standby::Setup {
                place: Arc::new(place),
                config: Arc::clone(&config),
                keys: args.keys,
                quota: args.node_quota,
                quorum: args.quorum,
                clock: Arc::clone(&clock),
                holder: holder(),
            };
            standby::first_contact(&setup).map_err(blocked)?;
            Start::Beside(setup)
        }
        (None, None) => return Err(usage("one of --state and --store is needed")),
    };
    let path = match (&args.audit, &args.state) {
        (Some(path), _) => Some(path.clone()),
        (None, Some(dir)) => Some(dir.join("audit.jsonl")),
        (None, None) if args.admin.is_some() => {
            return Err(usage("--admin with --store needs a place for the audit log: --audit FILE"));
        }
        (None, None) => None,
    };
    let events = Events::default();
    let open = |path: PathBuf| Audit::open(&path, events.clone()).map_err(|e| fail(&path, e));
    let audit = path.map(open).transpose()?;
    let (jobs, inbox) = channel();
    let options = Options {
        period_ms: args.every_ms,
        checkpoint_every: Duration::from_secs(args.checkpoint_s.into()),
        checkpoint_bytes: u64::from(args.checkpoint_mib) << 20,
        clock: Arc::clone(&clock),
        takeovers: 1,
        audit,
    };
    let of_logs = (jobs.clone(), Arc::clone(&clock));
    let server = Arc::new(Server::new(Arc::clone(&config), known, jobs.clone(), Arc::clone(&clock), events));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(stops)?;
    let bind = |address: SocketAddr| {
        let bound = runtime.block_on(tokio::net::TcpListener::bind(address));
        bound.map_err(|e| stops(format_args!("{address}: {e}")))
    };
    let listener = bind(args.listen)?;
    let address = listener.local_addr().map_or(args.listen, |a| a);
    let for_people = args.admin.map(bind).transpose()?;
    let admin = for_people.as_ref().and_then(|l| l.local_addr().ok());
    let mut doors = vec![Door { listener, router: server::router(Arc::clone(&server)), tls: of_proxies }];
    // What listens for people also looks by itself, how cases grow.
    let _within = runtime.enter();
    doors.extend(for_people.map(|listener| Door {
        listener,
        router: admin::router(Arc::clone(&server), tokens),
        tls: of_people,
    }));
    let signals = runtime.block_on(async { Signals::new() }).map_err(stops)?;
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    let worker = std::thread::Builder::new().name("weir-ledger".into()).spawn(move || {
        // Told also when the thread panics.
        let _ended = ended;
        match start {
            Start::Alone(hub, journal) => work::run(*hub, journal, &inbox, options).0 == End::Stopped(true),
            Start::Beside(setup) => standby::run(&setup, &inbox, options).unwrap_or_else(|e| {
                blocked(e);
                false
            }),
        }
    });
    let worker = worker.map_err(stops)?;
    let follower = if args.follow.is_empty() {
        None
    } else {
        let begun = Follower::start(&args.follow, args.follow_from_start, &config, of_logs.0, of_logs.1);
        Some(begun.map_err(stops)?)
    };
    log::info(
        "listening",
        json!({
            "address": address.to_string(), "policy": config.policy, "admin": admin.map(|a| a.to_string()),
        }),
    );
    let reload = || match known_again(args) {
        Ok(None) => {}
        Ok(Some(known)) => {
            server.know(known);
            log::info("tokens_reloaded", json!({}));
        }
        Err(why) => log::warn(
            "tokens_not_reloaded",
            json!({"message": why, "consequence": "what held before goes on holding"}),
        ),
    };
    let asked = runtime.block_on(server::serve(doors, &server, signals, end, reload));
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Some(follower) = follower {
        follower.stop();
    }
    let _ = jobs.send(Job::Stop);
    match worker.join() {
        Ok(true) if asked => Ok(()),
        Ok(_) => Err(IO),
        Err(_) => {
            log::warn(
                "ledger_thread_panicked",
                json!({"consequence": "what was acknowledged is in the journal"}),
            );
            Err(IO)
        }
    }
}

/// Who may send.
fn known(args: &Args) -> Result<Known, u8> {
    let shared = token(args.token_file.as_deref(), "WEIR_HUB_TOKEN")?;
    let lines = args.tokens.as_deref().map(|f| std::fs::read_to_string(f).map_err(|e| fail(f, e)));
    Known::new(shared, lines.transpose()?.as_deref()).map_err(|why| {
        eprintln!("weir: {}: {why}", args.tokens.as_deref().unwrap_or(Path::new("")).display());
        USAGE
    })
}

/// The same as the files are now; `None`: there are none but the environment.
fn known_again(args: &Args) -> Result<Option<Known>, String> {
    let read = |file: &Path| std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()));
    let (Some(_), lines) = (args.tokens.as_deref().or(args.token_file.as_deref()), args.tokens.as_deref())
    else {
        return Ok(None);
    };
    let shared = match &args.token_file {
        Some(file) => {
            Token::new(&read(file)?).ok_or(format!("{}: holds no token", file.display())).map(Some)?
        }
        None => Token::new(&std::env::var("WEIR_HUB_TOKEN").unwrap_or_default()),
    };
    let text = lines.map(read).transpose()?;
    let at = |why: String| format!("{}: {why}", lines.unwrap_or(Path::new("")).display());
    Known::new(shared, text.as_deref()).map(Some).map_err(at)
}

fn token(file: Option<&Path>, env: &str) -> Result<Option<Token>, u8> {
    let Some(file) = file else {
        return Ok(Token::new(&std::env::var(env).unwrap_or_default()));
    };
    let text = std::fs::read_to_string(file).map_err(|e| fail(file, e))?;
    let token = Token::new(&text);
    if token.is_none() {
        eprintln!("weir: {}: holds no token", file.display());
        return Err(USAGE);
    }
    Ok(token)
}

/// The wall clock as the proxies read it, and one that does not step.
fn clock(scale: u32) -> Clock {
    let wall = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    };
    let (began, first) = (Instant::now(), wall());
    Arc::new(move || {
        let elapsed = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Moment { now: scaled(wall(), scale), mono: first.plus(Nanos(elapsed)) }
    })
}

/// How a hub begins.
enum Start {
    /// One hub, which has a directory to itself.
    Alone(Box<Hub>, Box<Journal>),
    /// A hub that may share its store with others.
    Beside(standby::Setup),
}

/// Where the store is, if there is one.
fn place(args: &Args) -> Result<Option<Place>, u8> {
    let Some(url) = &args.store else { return Ok(None) };
    let read = |file: &Option<PathBuf>| -> Result<Option<Vec<u8>>, u8> {
        let Some(file) = file else { return Ok(None) };
        std::fs::read(file).map(Some).map_err(|e| fail(file, e))
    };
    let of_file = read(&args.store_password_file)?.map(|b| String::from_utf8_lossy(&b).trim().to_string());
    let password = of_file.or_else(|| std::env::var("WEIR_STORE_PASSWORD").ok()).filter(|p| !p.is_empty());
    let own = read(&args.store_cert_file)?.zip(read(&args.store_key_file)?);
    let pem = Pem { ca: read(&args.store_ca_file)?, own };
    let mut place = Place::new(url, password.as_deref(), Some(pem)).map_err(|why| {
        eprintln!("weir: {why}");
        USAGE
    })?;
    place.replicas = args.store_replicas;
    Ok(Some(place))
}

/// A name that no other hub has.
fn holder() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{host}:{}:{}", std::process::id(), since.as_nanos())
}

/// The hub of a checkpoint, or an empty one. `numbers`: keys, quota and quorum.
fn restored(
    config: &Arc<Config>,
    checkpoint: Option<&[u8]>,
    numbers: (u32, u32, u8),
    epoch: u64,
    whose: &str,
) -> Result<Hub, Blocked> {
    let (keys, quota, quorum) = numbers;
    let asked = sizes(config, keys);
    let hub = match checkpoint {
        None => Hub::new(Arc::clone(config), asked, quota, epoch),
        Some(bytes) => Hub::restore(Arc::clone(config), bytes, quota, epoch).map_err(|why| {
            Blocked(format!(
                "{whose}: the checkpoint is refused: {why}. The way out: start with the seed, policy and version that wrote it, or \
                 move what is stored away and start empty (what was learned is lost)"
            ))
        })?,
    };
    if hub.sizes() != asked {
        log::warn(
            "tables_keep_their_size",
            json!({"keys": hub.sizes().keys, "asked": asked.keys, "why": "the checkpoint was written with them"}),
        );
    }
    Ok(hub.with_quorum(quorum))
}

/// Takes the directory, and learns what it holds.
fn start(args: &Args, dir: &Path, config: &Arc<Config>, at: Moment) -> Result<(Hub, Journal), Blocked> {
    let began = Instant::now();
    let (mut journal, found) = Journal::open(dir, config.seed.check())?;
    found.notes.iter().for_each(|n| log::warn("checkpoint_refused", json!({"message": n})));
    let numbers = (args.keys, args.node_quota, args.quorum);
    let checkpoint = found.checkpoint.as_deref();
    let mut hub = restored(config, checkpoint, numbers, at.mono.0, &dir.display().to_string())?;
    let (mut groups, mut observations) = (0u64, 0u64);
    let notes = journal.replay(|group| {
        groups += 1;
        hub.replay(group).map(|n| observations += n).is_some()
    })?;
    notes.iter().for_each(|n| log::warn("journal_cut", json!({"message": n})));
    hub.publish();
    let s = journal.status();
    log::info(
        "started",
        json!({
            "ms": began.elapsed().as_millis() as u64, "position": s.position, "checkpoint": s.checkpoint,
            "groups_replayed": groups, "observations_replayed": observations, "nodes": hub.nodes().len(),
            "keys": hub.status().keys, "capacity": hub.sizes().keys, "process": std::process::id(),
        }),
    );
    Ok((hub, journal))
}
