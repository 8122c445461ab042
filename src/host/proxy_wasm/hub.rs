//! Calls to the hub, from the leader's tick. At most one is in flight, and no request waits for it.

use super::calls;
use crate::engine::config::Config;
use crate::node::exchange::{ERROR, PATH, REPLY_BYTES};
use crate::node::{Answer, CALL_MS};
use proxy_wasm::types::{BufferType, MapType};

/// Starts an exchange. False if the host makes no calls, or has no such cluster.
pub fn call(config: &Config, body: &[u8]) -> bool {
    let Some(hub) = &config.hub else { return false };
    let token = std::env::var(&hub.token_env).unwrap_or_default();
    let bearer = ["Bearer ", &token].concat();
    let mut headers = vec![
        (":method", "POST"),
        (":path", PATH),
        (":authority", "weir-hub"),
        ("content-type", "application/octet-stream"),
    ];
    if !token.is_empty() {
        headers.push(("authorization", &bearer));
    }
    calls::http_call(&hub.cluster, &headers, body, CALL_MS).is_some()
}

/// Status and body of the finished call, and the name of a refusal. `size`: bytes of the body.
pub fn ended(size: usize) -> (u32, Vec<u8>, String) {
    let headers = calls::map(MapType::HttpCallResponseHeaders).unwrap_or_default();
    let headers = calls::pairs(&headers);
    let header = |name: &[u8]| {
        let value = headers.iter().find(|(n, _)| *n == name)?.1;
        std::str::from_utf8(value).ok()
    };
    let status = header(b":status").and_then(|s| s.parse().ok());
    let plain = |c: &char| c.is_ascii_lowercase() || *c == '_';
    let error = header(ERROR.as_bytes()).unwrap_or_default().chars().filter(plain).take(32).collect();
    let body = calls::buffer(BufferType::HttpCallResponseBody, 0, size.min(REPLY_BYTES.saturating_add(1)));
    (status.unwrap_or(0), body.unwrap_or_default(), error)
}

/// Writes one log line where the answer differs from the last one.
pub fn say(policy: &str, answer: Answer, error: &str) {
    match answer {
        Answer::Taken => log::info!("weir: {policy}: the hub answers"),
        Answer::Strange => {
            log::warn!("weir: {policy}: the hub's answer is damaged, or of another seed or version")
        }
        Answer::Refused(0) => {
            log::warn!(
                "weir: {policy}: the hub cannot be called: this host makes no calls, or knows no such cluster"
            );
        }
        Answer::Refused(status) => {
            log::warn!("weir: {policy}: the hub does not take observations: status {status} {error}");
        }
    }
}
