//! One request in flight: chunks in, `Next` out. Placeholder.

use super::identity::{Head, Identity};
use crate::engine::config::{Config, ProfileId};
use crate::engine::dialect::Facts;

/// What the host does with the body so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Keep holding, send more.
    More,
    /// Call `decide` now.
    Ready,
    /// Too much to hold: let the held bytes go, keep sending more (later answers are `Release` or `Ready`).
    Release,
}

/// State between callbacks.
#[derive(Debug)]
pub struct Session {
    /// The profile that applies.
    pub profile: ProfileId,
    /// Who.
    pub identity: Identity,
    /// Name of the dialect that claims the path (`None`: not inference).
    pub dialect: Option<&'static str>,
    /// What the body said so far.
    pub facts: Facts,
    /// `decide` ran.
    pub decided: bool,
}

impl Session {
    /// Starts a request.
    pub fn open(_config: &Config, _keys: &super::identity::Keys, _head: &Head<'_>) -> Session {
        Session {
            profile: 0,
            identity: Identity::default(),
            dialect: None,
            facts: Facts::default(),
            decided: false,
        }
    }
    /// Can the request be decided without a body?
    pub fn is_ready(&self) -> bool {
        true
    }
    /// Feeds a chunk; `end` on the last one (an empty last chunk is fine; trailers count as the end).
    pub fn push(&mut self, _chunk: &[u8], _end: bool) -> Next {
        Next::Ready
    }
    /// No more body will come although the end was not seen (reset, or the host stops): the facts are final.
    pub fn finish(&mut self) {}
}
