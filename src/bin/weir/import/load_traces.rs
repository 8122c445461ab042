//! Published traces of load: no text, no keys. Times relative to their start are counted from the file's
//! time. They show the effect of a load and teach no template (except Mooncake's, where equal prefixes are
//! equal numbers).

use super::Format;
use super::record::Record;
use super::request::{Body, Found, Sink, after};
use crate::skip::Skip;
use serde_json::json;
use std::borrow::Cow;

/// Azure's LLM inference traces: `TIMESTAMP,ContextTokens,GeneratedTokens`.
pub struct Azure;
/// BurstGPT: `Timestamp,Model,Request tokens,…`.
pub struct BurstGpt;
/// Mooncake: `{"timestamp": …, "hash_ids": […]}`.
pub struct Mooncake;

/// Fields of a line of figures; none of a line that is something else.
fn figures(text: &str, fields: usize, figures: std::ops::Range<usize>) -> Option<Vec<&str>> {
    let all: Vec<&str> = text.split(',').map(str::trim).collect();
    let is_figure = |f: &&str| !f.is_empty() && f.parse::<f64>().is_ok();
    (all.len() >= fields && all.get(figures)?.iter().all(is_figure)).then_some(all)
}

impl Format for Azure {
    fn name(&self) -> &'static str {
        "azure-llm-inference"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        let of = |f: Vec<&str>| f.len() == 3 && f[0].len() > 18 && f[0].contains(':');
        r.text.starts_with("TIMESTAMP,ContextTokens") || figures(r.text, 3, 1..3).is_some_and(of)
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        if let Some(fields) = figures(r.text, 3, 1..3) {
            load(r, fields[0].to_string(), out);
        }
        Ok(())
    }
}

impl Format for BurstGpt {
    fn name(&self) -> &'static str {
        "burstgpt"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        let of = |f: Vec<&str>| f.len() >= 6 && f[0].parse::<f64>().is_ok() && f[1].parse::<f64>().is_err();
        r.text.starts_with("Timestamp,Model,")
            || r.text.starts_with("Timestamp,Session ID,")
            || burst(r.text).is_some_and(of)
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        if let Some(fields) = burst(r.text) {
            load(r, since(out.file_time, fields[0].parse().unwrap_or(0.0)), out);
        }
        Ok(())
    }
}

fn burst(text: &str) -> Option<Vec<&str>> {
    figures(text, 6, 2..5).filter(|f| f[0].parse::<f64>().is_ok())
}

/// The time `secs` seconds after the file's.
fn since(start: &str, secs: f64) -> String {
    after(start, (secs.max(0.0) * 1e3) as u64).unwrap_or_else(|_| start.to_string())
}

fn load(r: &Record<'_>, time: String, out: &mut Sink<'_>) {
    let path = Cow::Borrowed("/v1/completions");
    out.add(r, None, Found { time: Some(Cow::Owned(time)), path, ..Found::default() });
}

impl Format for Mooncake {
    fn name(&self) -> &'static str {
        "mooncake"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        r.has(&["timestamp", "hash_ids"])
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        let ids: Vec<u64> =
            r.get("hash_ids").and_then(|v| serde_json::from_str(v.get()).ok()).unwrap_or_default();
        let ms: f64 = r.text("timestamp").and_then(|t| t.parse().ok()).unwrap_or(0.0);
        // A block of 512 tokens that others share becomes words that they share.
        let words = |id: &u64| (0..WORDS).map(|n| format!("b{id}w{n}")).collect::<Vec<_>>().join(" ");
        let prompt = ids.iter().map(words).collect::<Vec<_>>().join(" ");
        let found = Found {
            time: Some(Cow::Owned(since(out.file_time, ms / 1e3))),
            path: Cow::Borrowed("/v1/completions"),
            body: if ids.is_empty() {
                Body::Unknown
            } else {
                Body::Json(Cow::Owned(json!({"prompt": prompt}).to_string()))
            },
            key: r.text("session_id"),
            ..Found::default()
        };
        out.add(r, None, found);
        Ok(())
    }
}

/// Words that represent a block: as many as a few shingles need.
const WORDS: u32 = 12;
