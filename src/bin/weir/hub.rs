//! `weir hub`: one ledger for many proxies, durable in a directory. The ledger, the batches and the shards are the proxies' own.

mod core;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
#[path = "../../../tests/hub/fake.rs"]
mod fake;
mod journal;
mod log;
mod metrics;
mod nodes;
mod server;
mod store;
mod work;

use self::core::{Hub, MOST_KEYS, Moment, sizes};
use crate::{IO, OK, USAGE, check};
use journal::{Blocked, Journal};
use serde_json::json;
use server::{Server, Signals, Token};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use store::Store;
use weir::engine::config::Config;
use weir::engine::units::{Nanos, scaled};
use work::{Job, Options};

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
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Address to listen on; elsewhere than on loopback only with a token
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// File that holds the token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
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
}

pub fn run(args: &Args) -> u8 {
    serve(args).err().unwrap_or(OK)
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
    let token = token(args)?;
    if token.is_none() && !args.listen.ip().is_loopback() {
        return Err(usage(&format!(
            "{} is not on loopback: without a token (--token-file, or WEIR_HUB_TOKEN) anybody could send observations",
            args.listen
        )));
    }
    let clock = clock(config.time_scale);
    let (hub, store) = start(args, &config, clock()).map_err(|e| {
        eprintln!("weir: {}", e.0);
        IO
    })?;
    let (jobs, inbox) = channel();
    let options = Options {
        period_ms: args.every_ms,
        checkpoint_every: Duration::from_secs(args.checkpoint_s.into()),
        checkpoint_bytes: u64::from(args.checkpoint_mib) << 20,
        clock: Arc::clone(&clock),
    };
    let server = Server::new(Arc::clone(&config), token, jobs.clone(), Arc::clone(&clock));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| {
        eprintln!("weir: {e}");
        IO
    })?;
    let bound = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(args.listen).await?;
        Ok::<_, std::io::Error>((listener, Signals::new()?))
    });
    let (listener, signals) = bound.map_err(|e| {
        eprintln!("weir: {}: {e}", args.listen);
        IO
    })?;
    let address = listener.local_addr().map_or(args.listen, |a| a);
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    let worker = std::thread::Builder::new().name("weir-ledger".into()).spawn(move || {
        // Told also when the thread panics.
        let _ended = ended;
        work::run(hub, Box::new(store), &inbox, options)
    });
    let worker = worker.map_err(|e| {
        eprintln!("weir: {e}");
        IO
    })?;
    log::info("listening", json!({"address": address.to_string(), "policy": config.policy}));
    let asked = runtime.block_on(server::serve(listener, server, signals, end));
    runtime.shutdown_timeout(Duration::from_secs(1));
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

fn token(args: &Args) -> Result<Option<Token>, u8> {
    let Some(file) = &args.token_file else {
        let text = std::env::var("WEIR_HUB_TOKEN").unwrap_or_default();
        return Ok(Token::new(&text));
    };
    let text = std::fs::read_to_string(file).map_err(|e| {
        eprintln!("weir: {}: {e}", file.display());
        IO
    })?;
    let token = Token::new(&text);
    if token.is_none() {
        eprintln!("weir: {}: holds no token", file.display());
        return Err(USAGE);
    }
    Ok(token)
}

type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

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

/// Takes the directory, and learns what it holds.
fn start(args: &Args, config: &Arc<Config>, at: Moment) -> Result<(Hub, Journal), Blocked> {
    let began = Instant::now();
    let asked = sizes(config, args.keys);
    let (mut journal, found) = Journal::open(&args.state, config.seed.check())?;
    found.notes.iter().for_each(|n| log::warn("checkpoint_refused", json!({"message": n})));
    let epoch = at.mono.0;
    let mut hub = match &found.checkpoint {
        None => Hub::new(Arc::clone(config), asked, args.node_quota, epoch),
        Some(bytes) => Hub::restore(Arc::clone(config), bytes, args.node_quota, epoch).map_err(|why| {
            Blocked(format!(
                "{}: the checkpoint is refused: {}. The way out: start with the seed, policy and version that wrote it, or \
                 move the directory's files away and start empty (what was learned is lost)",
                args.state.display(),
                why.0
            ))
        })?,
    };
    if hub.sizes() != asked {
        log::warn(
            "tables_keep_their_size",
            json!({"keys": hub.sizes().keys, "asked": asked.keys, "why": "the checkpoint was written with them"}),
        );
    }
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
