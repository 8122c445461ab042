//! The listener for people: what the hub knows, and decisions on it. Two tokens: one allows reading, the
//! other decisions (and reading).
//!
//! A decision is answered when it is durable. It is in force in every worker of a node one exchange and one
//! tick later.

use super::acts::{Act, Name, REASON_BYTES, Verb};
use super::core::Hub;
use super::growth::Growth;
use super::page;
use super::server::{Server, describe, describe_node};
use super::tell;
use super::token::Token;
use super::work::Job;
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Longest body of an act.
const ACT_BYTES: usize = 4 << 10;
/// Longest time of an exception, seconds: a year.
pub const LONGEST_S: u64 = 366 * 86_400;
/// Longest time for a body, and for an answer of the ledger's thread.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two looks at the cases' sizes.
const LOOK: Duration = Duration::from_secs(1);

/// Tokens of the listener.
pub struct Tokens {
    /// Token to read; `None`: everybody who reaches the listener may.
    pub read: Option<Token>,
    /// Token to decide; `None`: nobody may.
    pub act: Option<Token>,
}

impl Tokens {
    /// True if both are set and differ.
    pub fn are_two(&self) -> bool {
        matches!((&self.read, &self.act), (Some(r), Some(a)) if !r.is_same(a))
    }
}

pub struct Admin {
    server: Arc<Server>,
    tokens: Tokens,
    growth: Arc<Mutex<Growth>>,
}

type Shared = State<Arc<Admin>>;

/// The listener's routes. Call it within the runtime: it starts to follow the growth of cases.
pub fn router(server: Arc<Server>, tokens: Tokens) -> Router {
    let act = |verb: Verb| {
        post(move |State(a): Shared, request: Request| async move { a.act(verb, request).await })
    };
    let mut router = Router::new()
        .route("/", get(|State(a): Shared| async move { page::page(a.tokens.read.is_none()) }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(|State(a): Shared| async move { a.server.metrics().await }))
        .route("/v1/status", get(status))
        .route("/v1/nodes", get(nodes))
        .route("/v1/cases", get(cases))
        .route("/v1/cases/{id}", get(case))
        .route("/v1/keys/{id}", get(key))
        .route("/v1/exceptions", get(exceptions))
        .route("/v1/events", get(events))
        .route("/v1/lists.json", get(lists));
    for verb in [Verb::Release, Verb::Allow, Verb::Deny, Verb::Undo] {
        router = router.route(&format!("/v1/{}", verb.name()), act(verb));
    }
    let admin = Arc::new(Admin { server, tokens, growth: Arc::default() });
    tokio::spawn(look_at_growth(Arc::clone(&admin)));
    router
        .fallback(|State(a): Shared| async move { a.server.error("not_found", "no such path") })
        .method_not_allowed_fallback(
            |State(a): Shared| async move { a.server.error("method", "another method") },
        )
        .with_state(admin)
}

/// Follows the cases' sizes for ever. Each look is a pass over the tables in the ledger's thread, and takes
/// at most a hundredth of its time.
async fn look_at_growth(admin: Arc<Admin>) {
    loop {
        let growth = Arc::clone(&admin.growth);
        let look = move |hub: &Hub| {
            let began = Instant::now();
            let now_s = u32::try_from(hub.ticked().secs()).unwrap_or(u32::MAX);
            locked(&growth).look(now_s, &hub.ledger().cases_report());
            began.elapsed()
        };
        let took = admin.look(look).await.unwrap_or_default();
        tokio::time::sleep(LOOK.max(took * 100)).await;
    }
}

fn locked(growth: &Mutex<Growth>) -> std::sync::MutexGuard<'_, Growth> {
    growth.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(v: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], v.to_string())
        .into_response()
}

impl Admin {
    /// The refusal to a caller that may not read; `None` if it may.
    fn reads(&self, headers: &HeaderMap) -> Option<Response> {
        let known = |t: &Option<Token>| t.as_ref().is_some_and(|t| t.is_in(headers));
        let may = known(&self.tokens.read) | known(&self.tokens.act);
        if self.tokens.read.is_none() && !may {
            let told = "without a token to read this hub answers to its address only, not to a name: another page's script may have made it up";
            return (!is_own(headers)).then(|| self.server.error("forbidden", told));
        }
        (!may).then(|| self.server.error("token", "no token, or another one: `authorization: Bearer …`"))
    }

    /// The refusal to a caller that may not decide; `None` if it may.
    fn acts(&self, headers: &HeaderMap) -> Option<Response> {
        let Some(token) = &self.tokens.act else {
            return Some(
                self.server.error("forbidden", "nobody may act: start the hub with --act-token-file"),
            );
        };
        if token.is_in(headers) {
            return None;
        }
        let reader = self.tokens.read.as_ref().is_some_and(|t| t.is_in(headers));
        Some(match reader {
            true => self.server.error("forbidden", "this token reads and does not act"),
            false => self.server.error("token", "no token, or another one: `authorization: Bearer …`"),
        })
    }

    /// Asks the ledger's thread; `None` if it does not answer.
    async fn look<T: Send + 'static>(&self, f: impl FnOnce(&Hub) -> T + Send + 'static) -> Option<T> {
        let (reply, told) = oneshot::channel();
        // Who has gone away is told nothing.
        let look = Box::new(move |hub: &Hub| drop(reply.send(f(hub))));
        self.server.send(Job::Look(look))?;
        timeout(PATIENCE, told).await.ok()?.ok()
    }

    async fn told<T: Send + 'static>(
        &self,
        headers: &HeaderMap,
        f: impl FnOnce(&Hub) -> T + Send + 'static,
        say: impl FnOnce(&T) -> Option<Value>,
    ) -> Response {
        if let Some(refused) = self.reads(headers) {
            return refused;
        }
        match self.look(f).await.as_ref().map(say) {
            Some(Some(v)) => answer(&v),
            Some(None) => self.server.error("unknown", "the hub knows nothing of it"),
            None => self.server.error("busy", "the ledger does not answer"),
        }
    }

    async fn act(&self, verb: Verb, request: Request) -> Response {
        if let Some(refused) = self.acts(request.headers()) {
            return refused;
        }
        let s = &self.server;
        let body = match timeout(PATIENCE, to_bytes(request.into_body(), ACT_BYTES)).await {
            Err(_) => return s.error("slow", "the body did not come within ten seconds"),
            Ok(Err(_)) => return s.error("too_long", "an act is at most 4 KiB"),
            Ok(Ok(body)) => body,
        };
        let act = match Asked::read(&body).and_then(|a| a.act(verb, s.now_s(), s.scale())) {
            Ok(act) => act,
            Err(why) => return s.error("malformed", &why),
        };
        let (reply, told) = oneshot::channel();
        if s.send(Job::Act(Box::new(act), reply)).is_none() {
            return s.error("busy", "the hub is stopping");
        }
        match timeout(PATIENCE, told).await {
            Ok(Ok(Ok(act))) => answer(&tell::act(&act)),
            Ok(Ok(Err(e))) => s.error(e.name(), &e.to_string()),
            Ok(Err(_)) | Err(_) => {
                s.error("busy", "it is not known whether it was kept: look at /v1/exceptions")
            }
        }
    }
}

/// True if the hub was called by an IP address or as localhost. A foreign page may direct a name of its own
/// here (DNS rebinding), but no address.
fn is_own(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let host = host.to_str().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|h| h.split(']').next());
    let name = bare.unwrap_or_else(|| host.rsplit_once(':').map_or(host, |(name, _)| name));
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

/// The body of a decision.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    key: Option<String>,
    template: Option<String>,
    case: Option<String>,
    #[serde(default)]
    reason: String,
    expires: Option<u64>,
}

impl Asked {
    fn read(body: &[u8]) -> Result<Asked, String> {
        serde_json::from_slice(body).map_err(|e| e.to_string())
    }

    fn name(&self) -> Result<Name, String> {
        match (&self.key, &self.template, &self.case) {
            (Some(k), None, None) => {
                hashed(k, &["kid:"]).map(Name::Key).ok_or("key: must be kid: and 16 hexadecimal digits")
            }
            (None, Some(t), None) => hashed(t, &["tid:", "nid:"])
                .map(Name::Template)
                .ok_or("template: must be tid: or nid: and 16 hexadecimal digits"),
            (None, None, Some(c)) => {
                number(c).map(Name::Case).ok_or("case: must be the 8 hexadecimal digits of a campaign")
            }
            _ => Err("names one of key, template and case"),
        }
        .map_err(String::from)
    }

    fn act(self, verb: Verb, now_s: u64, scale: u32) -> Result<Act, String> {
        let name = self.name()?;
        if !verb.fits(name) {
            return Err(format!("{}: is not for a {}", verb.name(), name.kind()));
        }
        let reason = self.reason.trim();
        if reason.is_empty() || reason.len() > REASON_BYTES {
            return Err(format!("reason: must be said, in at most {REASON_BYTES} bytes"));
        }
        let expires = match (verb, self.expires) {
            (Verb::Undo, None) => 0,
            (Verb::Undo, Some(_)) => return Err("expires: what is undone does not end".into()),
            (_, Some(s @ 1..=LONGEST_S)) => s,
            _ => return Err(format!("expires: must be said, in seconds, from 1 to {LONGEST_S}")),
        };
        let secs = |s: u64| u32::try_from(s).unwrap_or(u32::MAX);
        let until = now_s.saturating_add(expires.saturating_mul(scale.max(1).into()));
        Ok(Act {
            verb,
            name,
            since_s: secs(now_s),
            until_s: secs(until),
            reason: reason.into(),
            values: Vec::new(),
        })
    }
}

/// The hash after one of the prefixes; `None` also for 0.
fn hashed(text: &str, prefixes: &[&str]) -> Option<u64> {
    let digits = prefixes.iter().find_map(|p| text.strip_prefix(p))?;
    let plain = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|v| plain && *v != 0)
}

fn number(text: &str) -> Option<u32> {
    let plain = text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
    u32::from_str_radix(text, 16).ok().filter(|n| plain && *n != 0)
}

async fn status(State(a): Shared, headers: HeaderMap) -> Response {
    if let Some(refused) = a.reads(&headers) {
        return refused;
    }
    match a.server.status().await {
        Some(status) => answer(&describe(a.server.config(), &status, a.server.now_s())),
        None => a.server.error("busy", "the ledger does not answer"),
    }
}

async fn nodes(State(a): Shared, headers: HeaderMap) -> Response {
    if let Some(refused) = a.reads(&headers) {
        return refused;
    }
    match a.server.status().await {
        Some(status) => answer(&json!({"nodes": status.nodes.iter().map(describe_node).collect::<Vec<_>>()})),
        None => a.server.error("busy", "the ledger does not answer"),
    }
}

async fn cases(State(a): Shared, headers: HeaderMap) -> Response {
    let growth = Arc::clone(&a.growth);
    a.told(&headers, move |hub| tell::cases(hub, &locked(&growth)), |v| Some(v.clone())).await
}

async fn events(State(a): Shared, headers: HeaderMap) -> Response {
    if let Some(refused) = a.reads(&headers) {
        return refused;
    }
    let kind = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    match a.server.events.listen() {
        Some(body) => (kind, body).into_response(),
        None => a.server.error("busy", "64 listen to events already: close a page, or ask the other paths"),
    }
}

async fn case(State(a): Shared, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let of = number(&id);
    a.told(&headers, move |hub| of.and_then(|n| tell::case(hub, n)), Option::clone).await
}

async fn key(State(a): Shared, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let of = hashed(&id, &["kid:"]);
    a.told(&headers, move |hub| of.and_then(|key| tell::key(hub, key)), Option::clone).await
}

async fn exceptions(State(a): Shared, headers: HeaderMap) -> Response {
    a.told(&headers, tell::exceptions, |v| Some(v.clone())).await
}

async fn lists(State(a): Shared, headers: HeaderMap) -> Response {
    a.told(&headers, tell::lists, |v| Some(v.clone())).await
}
