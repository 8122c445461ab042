//! Verdicts to local replies: in the caller's dialect, with waits that clients obey, and details for the
//! operator's log only.

use super::calls;
use crate::engine::Decision;
use crate::engine::config::{Limit, Profile};
use crate::engine::dialect::Reply;
use crate::engine::edge::session::Session;
use crate::engine::units::Wait;
use crate::engine::verdict::{Action, Reason};

/// gRPC status of a reply. Envoy's own mapping of 429 is UNAVAILABLE, which clients retry.
const fn grpc_status(status: u16) -> i32 {
    match status {
        400 => 3,  // INVALID_ARGUMENT
        404 => 12, // UNIMPLEMENTED
        403 => 7,  // PERMISSION_DENIED
        _ => 8,    // RESOURCE_EXHAUSTED
    }
}

/// Sends the reply to a rejected request. False if the host refused it.
pub fn send(d: &Decision, session: &Session, profile: &Profile, request_id: &str) -> bool {
    let case = d.verdict.case_id.map_or_else(|| "00000000".to_string(), |c| c.to_string());
    let throttled = d.verdict.action == Action::Throttle;
    let status = match d.verdict.reason {
        Reason::Unreadable => 400,
        Reason::NotInference => 404,
        _ if throttled => 429,
        _ => profile.actions.block_status,
    };
    // Rounded up: a client that waits this long must conform.
    let wait_s = d.verdict.retry_after.millis().div_ceil(1000).clamp(1, 60);
    let reply = Reply { status, case: &case, retry_after_s: throttled.then_some(wait_s) };
    let mut body = Vec::with_capacity(256);
    let mut own = Vec::new();
    match session.dialect {
        Some(dialect) if !session.problem_json => {
            dialect.body(&reply, &mut body);
            dialect.headers(&reply, &mut own);
        }
        _ => reply.problem(&mut body),
    }
    let wait = wait_s.to_string();
    // Budgets are not reported: a client cannot keep to a template's budget.
    let (policy, state) =
        if d.verdict.reason == Reason::Rate { quota(profile, d.verdict.wait) } else { Default::default() };
    let kind = if session.problem_json || session.dialect.is_none() {
        "application/problem+json"
    } else {
        "application/json"
    };
    let mut headers: Vec<(&str, &str)> = Vec::with_capacity(8);
    // The host writes gRPC's own.
    if !session.grpc {
        headers.push(("content-type", kind));
    }
    if throttled {
        headers.push(("retry-after", &wait));
        if !policy.is_empty() {
            headers.push(("ratelimit-policy", &policy));
            headers.push(("ratelimit", &state));
        }
    } else if !matches!(status, 400 | 404) {
        // Client libraries retry a 429 unless they are told not to.
        headers.push(("x-should-retry", "false"));
    }
    if status != 404 {
        headers.push(("x-envoy-ratelimited", "true"));
    }
    if !request_id.is_empty() {
        headers.push(("x-request-id", request_id));
    }
    headers.extend(own.iter().map(|(k, v)| (*k, v.as_str())));
    let details = format!("weir:{}", d.verdict.reason.name());
    let grpc = session.grpc.then(|| grpc_status(status));
    calls::reply(status, &details, &headers, &body, grpc)
}

/// Headers with the limit that refused and the true wait. `retry-after` may be shorter, so that client libraries keep
/// asking.
fn quota(profile: &Profile, wait: Wait) -> (String, String) {
    let name = |l: &Limit| -> String {
        l.name.chars().map(|c| if c.is_ascii_graphic() && c != '"' && c != '\\' { c } else { '_' }).collect()
    };
    match profile.limits.get(usize::from(wait.limit)) {
        Some(l) => (
            format!("\"{}\";q={};w={}", name(l), l.requests, l.per.secs()),
            format!("\"{}\";r=0;t={}", name(l), wait.wait.millis().div_ceil(1000).max(1)),
        ),
        None => Default::default(),
    }
}
