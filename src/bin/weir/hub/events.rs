//! A stream of changes of verdicts and decisions of people (`GET /v1/events`, server-sent events).
//!
//! Bounds: 64 listeners. A slow listener misses what is older than the newest 256 entries, and is told how
//! many. An entry names at most 20 keys, so that all of them take less than 256 KiB. A listener that takes
//! nothing for 30 s is disconnected.

use axum::body::{Body, Bytes};
use http_body_util::channel::{Channel, Sender};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

/// Largest number of listeners.
pub const LISTENERS: usize = 64;
/// Entries that wait for a listener, at most.
pub const WAITING: usize = 256;
/// Keys that an entry names; its `of` is the number of all.
pub const KEYS: usize = 20;
/// Time after which a listener that takes nothing is disconnected.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time after which a silent stream sends a sign of life, so that no proxy closes it.
const ALIVE: Duration = Duration::from_secs(15);

struct Shared {
    /// Number and text of each entry.
    told: broadcast::Sender<(u64, Arc<str>)>,
    places: Arc<Semaphore>,
    ended: watch::Sender<bool>,
    count: AtomicU64,
    missed: AtomicU64,
}

/// A handle of the stream; clones share the listeners.
#[derive(Clone)]
pub struct Events(Arc<Shared>);

impl Default for Events {
    fn default() -> Events {
        Events(Arc::new(Shared {
            told: broadcast::channel(WAITING).0,
            places: Arc::new(Semaphore::new(LISTENERS)),
            ended: watch::channel(false).0,
            count: AtomicU64::new(0),
            missed: AtomicU64::new(0),
        }))
    }
}

impl Events {
    /// Sends an entry to all listeners. Never waits.
    pub fn say(&self, event: &str, fields: &Value) {
        let n = self.0.count.fetch_add(1, Relaxed) + 1;
        if self.0.told.receiver_count() > 0 {
            let mut fields = fields.clone();
            shorten(&mut fields);
            // Nobody listens any more: nobody misses it.
            let _ = self.0.told.send((n, line(n, event, &fields)));
        }
    }

    /// A stream of everything sent from now on; `None` if there are too many listeners.
    pub fn listen(&self) -> Option<Body> {
        let place = Arc::clone(&self.0.places).try_acquire_owned().ok()?;
        let (to, body) = Channel::<Bytes, Infallible>::new(1);
        let (told, ended) = (self.0.told.subscribe(), self.0.ended.subscribe());
        tokio::spawn(serve(self.clone(), to, told, ended, place));
        Some(Body::new(body))
    }

    /// Ends all streams, so that the hub can stop.
    pub fn end(&self) {
        self.0.ended.send_replace(true);
    }

    /// Number of listeners, and of entries that listeners have missed for being slow.
    pub fn counts(&self) -> (u64, u64) {
        let free = self.0.places.available_permits();
        (LISTENERS.saturating_sub(free) as u64, self.0.missed.load(Relaxed))
    }
}

/// An entry as it is sent.
fn line(n: u64, event: &str, fields: &Value) -> Arc<str> {
    let mut out = String::new();
    // `Value` writes no line breaks: the text is one `data:`.
    let _ = write!(out, "id: {n}\nevent: {event}\ndata: {fields}\n\n");
    out.into()
}

/// Cuts lists of keys to the first ones.
fn shorten(fields: &mut Value) {
    let Some(all) = fields.as_object_mut() else { return };
    if let Some(Value::Array(keys)) = all.get_mut("keys") {
        let n = keys.len();
        keys.truncate(KEYS);
        all.insert("of".into(), n.into());
    }
}

async fn serve(
    events: Events,
    mut to: Sender<Bytes, Infallible>,
    mut told: broadcast::Receiver<(u64, Arc<str>)>,
    mut ended: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    let n = events.0.count.load(Relaxed);
    let mut next: Bytes = line(n, "listening", &json!({"n": n})).to_string().into();
    loop {
        let sent = tokio::select! {
            sent = timeout(PATIENCE, to.send_data(next)) => matches!(sent, Ok(Ok(()))),
            _ = ended.wait_for(|e| *e) => false,
        };
        if !sent {
            return;
        }
        next = tokio::select! {
            of = told.recv() => match of {
                Ok((_, text)) => text.to_string().into(),
                Err(RecvError::Lagged(missed)) => {
                    events.0.missed.fetch_add(missed, Relaxed);
                    line(events.0.count.load(Relaxed), "missed", &json!({"events": missed})).to_string().into()
                }
                Err(RecvError::Closed) => return,
            },
            () = tokio::time::sleep(ALIVE) => Bytes::from_static(b": still here\n\n"),
            _ = ended.wait_for(|e| *e) => return,
        };
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
