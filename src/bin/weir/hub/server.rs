//! The listener: exchanges, health, metrics, status. It reads and checks; another thread owns the ledger.

use super::core::{Exchange, Refused};
use super::events::Events;
use super::exchange::Clock;
use super::identity::{Identity, Known};
use super::log;
use super::metrics::{self, Served};
use super::tls::Tls;
use super::work::{Answer, Failure, Job, NodeStatus, Status};
use crate::audit::chain::hex;
use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use weir::engine::config::{Config, Profile};
use weir::engine::verdict::Mode;
use weir::node::exchange::{ERROR, PATH, REQUEST_BYTES};

/// Largest number of connections. Others wait to be accepted.
pub const CONNECTIONS: usize = 8_192;
/// Largest number of exchanges that are read or wait for the disk: 64 MiB.
pub const EXCHANGES: usize = 64;
/// Longest time that an exchange waits for its turn.
const TURN: Duration = Duration::from_secs(5);
/// Longest time for a body.
const BODY: Duration = Duration::from_secs(10);
/// Time without a request after which a connection is closed.
const IDLE: Duration = Duration::from_secs(60);
/// Largest head of a request, bytes.
const HEAD_BYTES: usize = 16 << 10;
/// Longest time for requests under way when the hub stops.
const GRACE: Duration = Duration::from_secs(10);
/// Longest time of a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
const READY: Duration = Duration::from_secs(2);

pub struct Server {
    config: Arc<Config>,
    known: RwLock<Arc<Known>>,
    jobs: Sender<Job>,
    clock: Clock,
    turns: Semaphore,
    served: Served,
    /// The stream of changes.
    pub events: Events,
}

impl Server {
    pub fn new(config: Arc<Config>, known: Known, jobs: Sender<Job>, clock: Clock, events: Events) -> Server {
        let (known, turns) = (RwLock::new(Arc::new(known)), Semaphore::new(EXCHANGES));
        Server { config, known, jobs, clock, turns, served: Served::default(), events }
    }

    /// Identity of the caller; `None` if it may not send.
    fn caller(&self, headers: &HeaderMap) -> Option<Arc<Identity>> {
        let known = Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner));
        known.of(headers)
    }

    /// Sets the identities that may send.
    pub fn know(&self, known: Known) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The hub's time, seconds since the epoch.
    pub fn now_s(&self) -> u64 {
        (self.clock)().now.secs()
    }

    pub fn scale(&self) -> u32 {
        self.config.time_scale
    }

    /// Sends a job to the ledger's thread; `None` if that has ended.
    pub fn send(&self, job: Job) -> Option<()> {
        self.jobs.send(job).ok()
    }

    pub async fn metrics(&self) -> Response {
        match self.status().await {
            Some(status) => {
                let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
                (kind, metrics::text(&self.config, &status, &self.served, self.events.counts()))
                    .into_response()
            }
            None => self.error("busy", "the ledger does not answer"),
        }
    }

    pub async fn status(&self) -> Option<Box<Status>> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Status(reply)).ok()?;
        timeout(READY, answer).await.ok()?.ok()
    }

    pub fn error(&self, kind: &'static str, message: &str) -> Response {
        self.served.error(kind);
        let status = metrics::KINDS.iter().find(|k| k.0 == kind).map_or(500, |k| k.1);
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (
            status,
            [(header::CONTENT_TYPE, "application/json"), (header::HeaderName::from_static(ERROR), kind)],
            json!({"error": kind, "message": message}).to_string(),
        )
            .into_response()
    }

    fn refuse(&self, why: &Refused) -> Response {
        let mut response = self.error(why.name(), &why.to_string());
        if let Refused::Quota(wait) = why {
            let seconds = wait.secs().saturating_add(1);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

type Shared = State<Arc<Server>>;

async fn exchange(State(s): Shared, request: Request) -> Response {
    let Some(caller) = s.caller(request.headers()) else {
        return s.error("token", "no token, or another one: `authorization: Bearer …`");
    };
    // A certificate says more than a token.
    let caller = request.extensions().get::<Arc<Identity>>().map_or(caller, Arc::clone);
    let length =
        request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|n| n > REQUEST_BYTES as u64) {
        return s.refuse(&Refused::TooLong);
    }
    let Ok(Ok(_turn)) = timeout(TURN, s.turns.acquire()).await else {
        return s.error("busy", "too many exchanges at once");
    };
    let body = match timeout(BODY, to_bytes(request.into_body(), REQUEST_BYTES)).await {
        Err(_) => return s.error("slow", "the body did not come within ten seconds"),
        Ok(Err(e)) if is_too_long(&e) => return s.refuse(&Refused::TooLong),
        Ok(Err(_)) => return s.refuse(&Refused::Malformed),
        Ok(Ok(body)) => body,
    };
    let began = Instant::now();
    let x = match Exchange::read(body, &s.config, (s.clock)()) {
        Ok(x) => x.by(caller),
        Err(why) => return s.refuse(&why),
    };
    match s.ask(x).await {
        Some(Ok(bytes)) => {
            s.served.exchange(began.elapsed());
            ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
        }
        Some(Err(Failure::Refused(why))) => s.refuse(&why),
        Some(Err(Failure::Store(e))) => s.error(e.name(), &e.to_string()),
        None => s.error("busy", "the hub is stopping"),
    }
}

impl Server {
    async fn ask(&self, x: Exchange<Bytes>) -> Option<Answer> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Exchange(Box::new(x), reply)).ok()?;
        answer.await.ok()
    }
}

fn is_too_long(e: &axum::Error) -> bool {
    std::error::Error::source(e).is_some_and(|e| e.is::<http_body_util::LengthLimitError>())
}

async fn ready(State(s): Shared) -> Response {
    match s.status().await {
        Some(status) if status.store_error.is_none() => "ready\n".into_response(),
        Some(status) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", status.store_error.unwrap_or_default()))
                .into_response()
        }
        None => (StatusCode::SERVICE_UNAVAILABLE, "the ledger does not answer\n").into_response(),
    }
}

async fn text(State(s): Shared) -> Response {
    s.metrics().await
}

async fn status(State(s): Shared, headers: HeaderMap) -> Response {
    if s.caller(&headers).is_none() {
        return s.error("token", "no token, or another one: `authorization: Bearer …`");
    }
    match s.status().await {
        Some(status) => (
            [(header::CONTENT_TYPE, "application/json")],
            describe(&s.config, &status, s.now_s()).to_string(),
        )
            .into_response(),
        None => s.error("busy", "the ledger does not answer"),
    }
}

pub fn describe_node(n: &NodeStatus) -> Value {
    json!({
        "node": hex(&n.id), "observations": n.counts.applied, "lost": n.counts.lost, "before": n.counts.before,
        "duplicate_batches": n.counts.duplicate, "refused_batches": n.counts.refused,
        "over_quota": n.counts.over_quota, "quota_used_percent": n.quota_percent, "offset_ms": n.offset_ms,
        "silent_ms": n.silent_ms, "exchanges": n.exchanges, "rings": n.rings, "identity": n.identity,
    })
}

/// The profiles of this hub's configuration, with what it would have blocked. Proxies may have another
/// configuration.
fn describe_profiles(config: &Config, s: &Status) -> Vec<Value> {
    let mode = |m| match m {
        Mode::Off => "off",
        Mode::Shadow => "shadow",
        Mode::Enforce => "enforce",
    };
    let of = |(i, p): (usize, &Profile)| {
        let (would_block, blocked) = s.judged.of(i).by(p.mode);
        json!({
            "profile": p.name, "mode": mode(p.mode), "enforce_percent": p.enforce_percent,
            "would_block": would_block, "blocked": blocked,
        })
    };
    config.profiles.iter().enumerate().map(of).collect()
}

/// Memory of the process, bytes; `None` if the system does not tell.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1_024)
}

pub fn describe(config: &Config, s: &Status, now_s: u64) -> Value {
    json!({
        "policy": config.policy,
        "now_s": now_s,
        "time_scale": config.time_scale,
        "profiles": describe_profiles(config, s),
        "version": env!("CARGO_PKG_VERSION"),
        "hub_epoch": s.epoch,
        "role": if s.is_active { "active" } else { "standby" },
        "fence": s.fence,
        "takeovers": s.takeovers,
        "observations": s.totals.applied,
        "lost": s.totals.lost,
        "duplicate_batches": s.totals.duplicate,
        "refused_batches": s.totals.refused,
        "keys": s.ledger.keys,
        "keys_capacity": s.capacity,
        "keys_evicted": s.ledger.keys_evicted,
        "cases": s.ledger.campaigns,
        "cases_withheld": s.withheld,
        "quorum": s.quorum,
        "identities": s.identities,
        "convicted": s.ledger.convicted,
        "groups": s.ledger.groups,
        "memory_bytes": s.ledger.state_bytes,
        "resident_bytes": resident(),
        "store": {
            "ok": s.store_error.is_none(), "error": s.store_error, "position": s.store.position,
            "checkpoint": s.store.checkpoint, "journal_bytes": s.store.bytes, "segments": s.store.parts,
            "checkpoint_bytes": s.checkpoint_bytes, "checkpoint_ms": s.checkpoint_ms,
            "failures_full": s.store_errors[0], "failures_other": s.store_errors[1],
        },
        "audit": s.audit.as_ref().map(|(h, failures)| json!({"n": h.n, "head": h.hash, "failures": failures})),
        "nodes_clock_far": s.far,
        "nodes": s.nodes.iter().map(describe_node).collect::<Vec<_>>(),
    })
}

/// The routes for proxies.
pub fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route(PATH, post(exchange))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(text))
        .route("/v1/status", get(status))
        .fallback(|State(s): Shared| async move { s.error("not_found", "no such path") })
        .method_not_allowed_fallback(|State(s): Shared| async move { s.error("method", "another method") })
        .with_state(server)
}

/// A listener with its routes.
pub struct Door {
    pub listener: TcpListener,
    pub router: Router,
    pub tls: Option<Arc<Tls>>,
}

/// Serves until a signal comes (true) or the ledger's thread ends (false), then finishes the requests under
/// way.
pub async fn serve(
    doors: Vec<Door>,
    server: &Arc<Server>,
    mut signals: Signals,
    mut ended: oneshot::Receiver<()>,
    reload: impl Fn(),
) -> bool {
    let (stop, stopped) = watch::channel(());
    let tls: Vec<Arc<Tls>> = doors.iter().filter_map(|d| d.tls.clone()).collect();
    let open = |door| tokio::spawn(serve_one(door, Arc::clone(server), stopped.clone()));
    let doors: Vec<_> = doors.into_iter().map(open).collect();
    let asked = loop {
        tokio::select! {
            name = signals.next() => match name {
                "SIGHUP" => { reload(); tls.iter().for_each(|t| match t.reload() {
                    Ok(()) => log::info("tls_reloaded", json!({})),
                    Err(e) => log::warn("tls_not_reloaded", json!({"message": e.0, "consequence": "what held before goes on holding"})),
                }) },
                _ => {
                    log::info("stopping", json!({"signal": name}));
                    break true;
                }
            },
            _ = &mut ended => break false,
        }
    };
    drop(stop);
    server.events.end();
    for door in doors {
        let _ = door.await;
    }
    asked
}

async fn serve_one(door: Door, server: Arc<Server>, mut stopped: watch::Receiver<()>) {
    let Door { listener, router, tls } = door;
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            next = next => next,
            // It never changes: it is gone.
            _ = stopped.changed() => break,
        };
        let stream = match stream {
            Ok((stream, _)) => stream,
            Err(_) => {
                // Out of descriptors, most likely: the connections that are open go on.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (router, watcher) = (router.clone(), graceful.watcher());
        let (tls, server) = (tls.as_ref().map(|t| TlsAcceptor::from(t.config())), Arc::clone(&server));
        tokio::spawn(async move {
            let _place = place;
            let Some(tls) = tls else { return talk(stream, router, watcher).await };
            match timeout(HANDSHAKE, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                    let router = match shown.map(|der| Identity::of_certificate(der)) {
                        Some(identity) => router.layer(axum::Extension(identity)),
                        None => router,
                    };
                    talk(stream, router, watcher).await;
                }
                Ok(Err(e)) => server.served.tls_failed(&e.to_string()),
                Err(_) => server.served.tls_failed("the handshake took longer than ten seconds"),
            }
        });
    }
    let _ = timeout(GRACE, graceful.shutdown()).await;
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    watcher: Watcher,
) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // Whoever breaks off is of no interest.
    let _ = watcher.watch(connection).await;
}

/// The signals SIGTERM, SIGINT and SIGHUP. From `new` on they do not end the process.
pub struct Signals(Signal, Signal, Signal);

impl Signals {
    /// Call it within the runtime.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn new() -> std::io::Result<Signals> {
        let [term, int, hup] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        Ok(Signals(term?, int?, hup?))
    }
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.0.recv() => "SIGTERM",
            _ = self.1.recv() => "SIGINT",
            _ = self.2.recv() => "SIGHUP",
        }
    }
}
