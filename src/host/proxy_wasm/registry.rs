//! Requests that a tick must reach. The SDK's dispatcher owns the contexts and hands none to a tick; this
//! holds the few that wait for something that may never come: a body while headers are held, the end of a
//! body that is refused, or the ledger's wait for a key.

use super::stream::Stream;
use crate::engine::map::{Map, fixed};
use std::cell::RefCell;
use std::rc::Rc;

/// Streams by context id.
#[derive(Debug)]
pub struct Registry {
    streams: Map<u32, Rc<RefCell<Stream>>>,
}

impl Registry {
    /// An empty registry.
    pub const fn new() -> Registry {
        Registry { streams: Map::with_hasher(fixed()) }
    }

    /// Registers a stream, or (`None`) removes it.
    pub fn set(&mut self, id: u32, stream: Option<Rc<RefCell<Stream>>>) {
        match stream {
            Some(stream) => self.streams.insert(id, stream),
            None => self.streams.remove(&id),
        };
    }

    /// Number of streams that wait.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// True if no stream waits.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Context ids and streams of a root context that pass `test`.
    pub fn of(&self, root: u32, test: impl Fn(&Stream) -> bool) -> Vec<(u32, Rc<RefCell<Stream>>)> {
        let passes = |s: &RefCell<Stream>| s.try_borrow().is_ok_and(|s| s.root == root && test(&s));
        self.streams.iter().filter(|(_, s)| passes(s)).map(|(id, s)| (*id, Rc::clone(s))).collect()
    }
}
