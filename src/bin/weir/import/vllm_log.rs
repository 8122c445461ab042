//! vLLM's own log: a line for each request with its prompt (after the chat template, cut at `--max-log-len`),
//! and one of the server for each answer. Nothing joins the two, so requests have no key.

use super::Format;
use super::record::Record;
use super::request::{Body, Found, Sink};
use crate::skip::Skip;
use serde_json::json;
use std::borrow::Cow;

/// `INFO 05-01 10:00:00 [logger.py:43] Received request ID: prompt: '…', params: …`.
pub struct Received;

impl Format for Received {
    fn name(&self) -> &'static str {
        "vllm-log"
    }

    fn is(&self, r: &Record<'_>) -> bool {
        let level = ["INFO", "WARNING", "ERROR", "DEBUG", "(APIServer", "(EngineCore"];
        level.iter().any(|l| r.text.starts_with(l))
    }

    fn read(&self, r: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip> {
        let Some((front, rest)) = r.text.split_once("Received request ") else { return Ok(()) };
        let Some(prompt) = rest.split_once(": prompt: ").and_then(|(_, p)| literal(p)) else {
            let found =
                Found { time: time(front), path: Cow::Borrowed("/v1/completions"), ..Found::default() };
            out.add(r, None, found);
            return Ok(());
        };
        let found = Found {
            time: time(front),
            path: Cow::Borrowed("/v1/completions"),
            body: Body::Json(Cow::Owned(json!({"prompt": prompt}).to_string())),
            ..Found::default()
        };
        out.add(r, None, found);
        Ok(())
    }
}

/// The time of a line. Its prefix has no year: the latest one is taken with which the time is not in the
/// future.
fn time<'a>(front: &str) -> Option<Cow<'a, str>> {
    let mut words = front.split_whitespace().skip_while(|w| !(w.len() == 5 && w.as_bytes()[2] == b'-'));
    let (day, clock) = (words.next()?, words.next()?);
    let now = jiff::Timestamp::now();
    let year: i16 = now.to_string().get(..4)?.parse().ok()?;
    let at = |year: i16| format!("{year:04}-{day}T{clock}Z").parse::<jiff::Timestamp>().ok();
    let at = at(year).filter(|t| *t <= now).or_else(|| at(year - 1))?;
    Some(Cow::Owned(at.to_string()))
}

/// A string as Python writes it. What follows it is ignored.
fn literal(text: &str) -> Option<String> {
    let mut rest = text.chars();
    let quote = rest.next().filter(|q| matches!(q, '\'' | '"'))?;
    let mut out = String::new();
    while let Some(c) = rest.next() {
        if c == quote {
            return Some(out);
        }
        if c != '\\' {
            out.push(c);
            continue;
        }
        let next = match rest.next()? {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'x' => hex(&mut rest, 2),
            'u' => hex(&mut rest, 4),
            'U' => hex(&mut rest, 8),
            other => other,
        };
        out.push(next);
    }
    // Cut off: what there is.
    Some(out)
}

fn hex(rest: &mut std::str::Chars<'_>, digits: usize) -> char {
    let digits: String = rest.by_ref().take(digits).collect();
    u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).unwrap_or('\u{fffd}')
}
