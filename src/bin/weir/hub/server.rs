//! The listener: exchanges, health, metrics, status. It reads and checks; the ledger is another thread's.

use super::Clock;
use super::core::{Exchange, Refused};
use super::log;
use super::metrics::{self, Served};
use super::work::{Answer, Failure, Job, Status, hex};
use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use weir::engine::config::Config;
use weir::node::exchange::{ERROR, PATH, REQUEST_BYTES};

/// Connections at once. Those beyond wait to be accepted.
pub const CONNECTIONS: usize = 8_192;
/// Exchanges that are read or wait for the disk at once: 64 MiB at most.
pub const EXCHANGES: usize = 64;
/// An exchange waits so long for its turn.
const TURN: Duration = Duration::from_secs(5);
/// A body must be here within this time.
const BODY: Duration = Duration::from_secs(10);
/// A connection without a request for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 << 10;
/// What is under way may take so long at the end.
const GRACE: Duration = Duration::from_secs(10);
const READY: Duration = Duration::from_secs(2);

/// A secret that is compared in constant time and never shown.
pub struct Token(Vec<u8>);

impl Token {
    /// `None`: there is nothing but space.
    pub fn new(text: &str) -> Option<Token> {
        let text = text.trim();
        (!text.is_empty()).then(|| Token(text.as_bytes().to_vec()))
    }
    fn is(&self, other: &[u8]) -> bool {
        self.0.ct_eq(other).into()
    }
}

pub struct Server {
    config: Arc<Config>,
    token: Option<Token>,
    jobs: Sender<Job>,
    clock: Clock,
    turns: Semaphore,
    served: Served,
}

impl Server {
    pub fn new(config: Arc<Config>, token: Option<Token>, jobs: Sender<Job>, clock: Clock) -> Server {
        Server { config, token, jobs, clock, turns: Semaphore::new(EXCHANGES), served: Served::default() }
    }

    /// May the caller?
    fn is_known(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let told = headers.get(header::AUTHORIZATION).map(|v| v.as_bytes());
        told.and_then(|t| t.split_at_checked(7))
            .is_some_and(|(scheme, t)| scheme.eq_ignore_ascii_case(b"bearer ") && token.is(t))
    }

    async fn status(&self) -> Option<Box<Status>> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Status(reply)).ok()?;
        timeout(READY, answer).await.ok()?.ok()
    }

    fn error(&self, kind: &'static str, message: &str) -> Response {
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
        let mut response = self.error(why.name(), &why.message());
        if let Refused::Quota(wait) = why {
            let seconds = wait.secs().saturating_add(1);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

type Shared = State<Arc<Server>>;

async fn exchange(State(s): Shared, request: Request) -> Response {
    if !s.is_known(request.headers()) {
        return s.error("token", "no token, or another one: `authorization: Bearer …`");
    }
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
        Ok(x) => x,
        Err(why) => return s.refuse(&why),
    };
    match s.ask(x).await {
        Some(Ok(bytes)) => {
            s.served.exchange(began.elapsed());
            ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
        }
        Some(Err(Failure::Refused(why))) => s.refuse(&why),
        Some(Err(Failure::Store(e))) => s.error(e.name(), e.message()),
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
    match s.status().await {
        Some(status) => {
            let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
            (kind, metrics::text(&status, &s.served)).into_response()
        }
        None => s.error("busy", "the ledger does not answer"),
    }
}

async fn status(State(s): Shared, headers: HeaderMap) -> Response {
    if !s.is_known(&headers) {
        return s.error("token", "no token, or another one: `authorization: Bearer …`");
    }
    match s.status().await {
        Some(status) => {
            ([(header::CONTENT_TYPE, "application/json")], describe(&s.config, &status).to_string())
                .into_response()
        }
        None => s.error("busy", "the ledger does not answer"),
    }
}

fn describe(config: &Config, s: &Status) -> Value {
    let node = |n: &super::work::NodeStatus| {
        json!({
            "node": hex(&n.id), "observations": n.counts.applied, "lost": n.counts.lost, "before": n.counts.before,
            "duplicate_batches": n.counts.duplicate, "refused_batches": n.counts.refused,
            "over_quota": n.counts.over_quota, "quota_used_percent": n.quota_percent, "offset_ms": n.offset_ms,
            "silent_ms": n.silent_ms, "exchanges": n.exchanges, "rings": n.rings,
        })
    };
    json!({
        "policy": config.policy,
        "version": env!("CARGO_PKG_VERSION"),
        "hub_epoch": s.epoch,
        "observations": s.totals.applied,
        "lost": s.totals.lost,
        "duplicate_batches": s.totals.duplicate,
        "refused_batches": s.totals.refused,
        "keys": s.ledger.keys,
        "keys_capacity": s.capacity,
        "keys_evicted": s.ledger.keys_evicted,
        "cases": s.ledger.campaigns,
        "convicted": s.ledger.convicted,
        "groups": s.ledger.groups,
        "memory_bytes": s.ledger.state_bytes,
        "store": {
            "ok": s.store_error.is_none(), "error": s.store_error, "position": s.store.position,
            "checkpoint": s.store.checkpoint, "journal_bytes": s.store.bytes, "segments": s.store.parts,
            "checkpoint_bytes": s.checkpoint_bytes, "checkpoint_ms": s.checkpoint_ms,
            "failures_full": s.store_errors[0], "failures_other": s.store_errors[1],
        },
        "nodes_clock_far": s.far,
        "nodes": s.nodes.iter().map(node).collect::<Vec<_>>(),
    })
}

fn router(server: Arc<Server>) -> Router {
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

/// Serves until a signal comes (`true`) or the ledger's thread ends (`false`); then finishes what is under way.
pub async fn serve(
    listener: TcpListener,
    server: Server,
    mut signals: Signals,
    mut ended: oneshot::Receiver<()>,
) -> bool {
    let router = router(Arc::new(server));
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let asked = loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            next = next => next,
            name = signals.next() => {
                log::info("stopping", json!({"signal": name}));
                break true;
            }
            _ = &mut ended => break false,
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
        let service = TowerToHyperService::new(router.clone());
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _place = place;
            // Whoever breaks off is of no interest.
            let _ = connection.await;
        });
    };
    let _ = timeout(GRACE, graceful.shutdown()).await;
    asked
}

/// SIGTERM and SIGINT. From `new` on they end nothing by themselves.
pub struct Signals(Signal, Signal);

impl Signals {
    /// Within the runtime.
    pub fn new() -> std::io::Result<Signals> {
        Ok(Signals(signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
    }
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.0.recv() => "SIGTERM",
            _ = self.1.recv() => "SIGINT",
        }
    }
}
