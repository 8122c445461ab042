//! One connection to the store, and the meaning of its errors. All keys of a policy are on one node of a
//! cluster, so a cluster needs no more than following MOVED and ASK, within the time of a call. All calls are
//! idempotent.

use super::place::{Node, Place};
use crate::hub::store::StoreError;
use redis::{Cmd, Connection, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, cmd};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Redirections of one call, at most.
const HOPS: u32 = 5;
const AGAIN: Duration = Duration::from_millis(20);

/// A connection to the store.
pub struct Link {
    place: Arc<Place>,
    timeout: Duration,
    open: Option<Connection>,
    /// The node that has claimed the keys.
    owner: Option<Node>,
    /// True if the last answer came from another node, over a connection that is closed now.
    is_elsewhere: bool,
}

impl Link {
    /// A connection that is made with the first call. `timeout`: longest time for an answer.
    pub fn new(place: &Arc<Place>, timeout: Duration) -> Link {
        Link { place: Arc::clone(place), timeout, open: None, owner: None, is_elsewhere: false }
    }

    pub fn place(&self) -> &Arc<Place> {
        &self.place
    }

    fn connection(&mut self) -> Result<&mut Connection, RedisError> {
        if self.open.is_none() {
            let mut failed = None;
            for node in self.owner.iter().chain(&self.place.seeds) {
                match self.place.connect(node, self.timeout) {
                    Ok(c) => {
                        self.open = Some(c);
                        break;
                    }
                    Err(e) => drop(failed.get_or_insert(e)),
                }
            }
            if let (None, Some(e)) = (&self.open, failed) {
                self.owner = None;
                return Err(e);
            }
        }
        self.open.as_mut().ok_or_else(|| RedisError::from(io::Error::from(io::ErrorKind::NotConnected)))
    }

    fn ask(&self, node: &Node, command: &Cmd) -> Result<redis::Value, RedisError> {
        let mut c = self.place.connect(node, self.timeout)?;
        cmd("ASKING").exec(&mut c)?;
        command.query(&mut c)
    }

    /// Calls the store.
    ///
    /// # Errors
    /// By meaning. After `Slow` and `Down` the call may have had its effect.
    pub fn call<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, StoreError> {
        let (mut asking, mut hops) = (None, 0u32);
        loop {
            let is_new = self.open.is_none();
            self.is_elsewhere = asking.is_some();
            let answer = match asking.take() {
                Some(node) => self.ask(&node, command),
                None => self.connection().and_then(|c| command.query(c)),
            };
            let e = match answer.and_then(|v| redis::from_redis_value(v).map_err(RedisError::from)) {
                Ok(value) => return Ok(value),
                Err(e) => e,
            };
            let is_answer = !e.is_io_error() && e.code().is_some();
            let moved = matches!(
                e.kind(),
                ErrorKind::Server(
                    ServerErrorKind::Moved
                        | ServerErrorKind::ReadOnly
                        | ServerErrorKind::MasterDown
                        | ServerErrorKind::BusyLoading
                        | ServerErrorKind::ClusterDown
                )
            );
            if !is_answer || moved {
                self.open = None;
            }
            hops += 1;
            if hops > HOPS {
                return Err(meaning(&e, &self.place));
            }
            match e.kind() {
                ErrorKind::Server(ServerErrorKind::Moved) => self.owner = self.redirect(&e),
                ErrorKind::Server(ServerErrorKind::Ask) => asking = self.redirect(&e),
                ErrorKind::Server(ServerErrorKind::TryAgain) => std::thread::sleep(AGAIN),
                // The store was started again since the last call.
                _ if !is_new && !e.is_timeout() && e.is_io_error() => {}
                _ => {
                    // Another node may be the one by now.
                    self.owner = self.owner.take().filter(|_| is_answer && !moved);
                    return Err(meaning(&e, &self.place));
                }
            }
        }
    }

    /// Number of replicas that have what the last call wrote: at least `n`, or fewer after `wait`.
    ///
    /// # Errors
    /// The connection of that call is gone, so nobody knows.
    pub fn replicated(&mut self, n: u8, wait: Duration) -> Result<u64, StoreError> {
        let Some(c) = self.open.as_mut().filter(|_| !self.is_elsewhere) else {
            return Err(StoreError::Down(format!("{}: the connection has gone", self.place.shown())));
        };
        let answer = cmd("WAIT").arg(n).arg(wait.as_millis() as u64).query(c);
        answer.map_err(|e| {
            self.open = None;
            meaning(&e, &self.place)
        })
    }

    /// The node that a redirection names. An empty host is the one that was asked.
    fn redirect(&self, e: &RedisError) -> Option<Node> {
        let (node, _) = e.redirect_node()?;
        let (host, port) = node.rsplit_once(':')?;
        let asked = || self.owner.as_ref().or(self.place.seeds.first()).map(|n| n.0.clone());
        let host = if host.is_empty() { asked()? } else { host.trim_matches(['[', ']']).to_string() };
        Some((host, port.parse().ok()?))
    }
}

/// The meaning of an error. The library's messages hold no password.
fn meaning(e: &RedisError, place: &Place) -> StoreError {
    let text = format!("{}: {e}", place.shown());
    let says = |what: &[&str]| what.iter().any(|w| text.contains(w));
    match e.code() {
        Some("OOM") => return StoreError::Full(text),
        Some("READONLY") => return StoreError::ReadOnly(text),
        Some("WRONGPASS" | "NOAUTH" | "NOPERM") => return StoreError::Auth(text),
        Some("WRONGTYPE") => return StoreError::Type(text),
        Some("BUSY") => return StoreError::Slow(text),
        Some("LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "MOVED" | "ASK") => {
            return StoreError::Down(text);
        }
        _ => {}
    }
    // Inside a script the code may be a general one.
    if e.kind() == ErrorKind::AuthenticationFailed
        || says(&["can't run this command", "ACL failure", "NOPERM"])
    {
        StoreError::Auth(text)
    } else if says(&["WRONGTYPE"]) {
        StoreError::Type(text)
    } else if e.is_timeout() {
        StoreError::Slow(format!("{}: no answer in time", place.shown()))
    } else if says(&["certificate", "Certificate", "fatal alert", "TLS"]) {
        StoreError::Tls(text)
    } else if e.is_io_error() {
        StoreError::Down(text)
    } else {
        StoreError::Failed(text)
    }
}
