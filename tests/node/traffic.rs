//! Traffic of the native node tests: a campaign of 120 accounts at one an hour among 60 people who share nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use std::sync::Arc;
use weir::engine::config::{Config, parse};
use weir::engine::edge::identity::{Head, Keys};
use weir::engine::edge::session::Session;
use weir::engine::hash;
use weir::engine::units::Nanos;

pub const START: u64 = 1_780_000_000;
pub const ACCOUNTS: u64 = 120;

pub struct Request {
    pub t: Nanos,
    pub key: u64,
    pub body: String,
}

/// A campaign of 120 accounts at one an hour among 60 people who share nothing.
pub fn traffic() -> Vec<Request> {
    let mut out = Vec::new();
    let unit = |x: u64| ((hash::mix(x) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    let words = |seed: u64, n: u64| {
        (0..n)
            .map(|i| {
                format!(
                    "w{}x",
                    char::from(b'a' + (hash::mix(seed * 77 + i) % 26) as u8).to_string()
                        + &"abcdefghij"[..(hash::mix(seed * 31 + i) % 9) as usize]
                )
            })
            .collect::<Vec<_>>()
            .join(" ")
    };
    for key in 0..ACCOUNTS + 60 {
        let campaign = key < ACCOUNTS;
        let (mut t, mut i) = (0.0, 0u64);
        loop {
            let mean = if campaign { 3600.0 } else { 3600.0 * (0.3 + 12.0 * unit(key)) };
            t += -unit(key << 20 | i).ln() * mean;
            i += 1;
            if t > 20.0 * 3600.0 {
                break;
            }
            let slot = words(key << 20 | i, 14);
            let text = if campaign {
                format!(
                    "Write a worked solution for the task below and check it with a second method before you finish the last line. Then name the rule that you used and say why no other rule applies here. {slot}"
                )
            } else {
                slot
            };
            let body = format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}]}}"#);
            out.push(Request { t: Nanos::from_secs(START).plus(Nanos((t * 1e9) as u64)), key, body });
        }
    }
    out.sort_by_key(|r| r.t);
    out
}

pub fn config() -> Arc<Config> {
    let text = r#"{"mode":"enforce","seed":"2d698960af4bc1950f6356fe0184ed515cbebbe084aebbeaad36f0bce10810f4","identity":{"learn":"0s","age":{"header":"x-created"}},"limits":[]}"#;
    Arc::new(parse(text).unwrap())
}

/// A request of these headers, before its body.
pub fn open(config: &Config, keys: &Keys, headers: &[(&[u8], &[u8])], end_of_stream: bool) -> Session {
    open_at("/v1/chat/completions", config, keys, headers, end_of_stream)
}

pub fn open_at(
    path: &str,
    config: &Config,
    keys: &Keys,
    headers: &[(&[u8], &[u8])],
    end_of_stream: bool,
) -> Session {
    let head = Head { path: path.as_bytes(), authority: b"a", headers, end_of_stream, ..Head::default() };
    Session::open(config, keys, &head)
}

pub fn session(r: &Request, config: &Config, keys: &Keys) -> Session {
    session_at("/v1/chat/completions", r, config, keys)
}

pub fn session_at(path: &str, r: &Request, config: &Config, keys: &Keys) -> Session {
    let auth = format!("Bearer key-{}", r.key);
    let age = if r.key < ACCOUNTS { 3 } else { 200 };
    let created = (START - age * 86_400).to_string();
    let headers: [(&[u8], &[u8]); 2] =
        [(b"authorization", auth.as_bytes()), (b"x-created", created.as_bytes())];
    let mut s = open_at(path, config, keys, &headers, false);
    s.push(r.body.as_bytes(), true);
    s
}
