//! A store of what a hub has acknowledged: one writer at a time, groups in order, and a checkpoint that
//! replaces all groups before it.

use super::lease::Lease;
use std::sync::Arc;

pub use super::store_error::StoreError;

/// Why a hub cannot start, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Blocked(pub String);

/// State of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// Groups kept so far: the position of the next one.
    pub position: u64,
    /// Position of the newest checkpoint, which replaces all groups before it.
    pub checkpoint: u64,
    /// Bytes of the groups after the checkpoint.
    pub bytes: u64,
    /// Files or pages that hold them.
    pub parts: u64,
    /// True if groups that were kept are missing: the next checkpoint, which is made at once, replaces them.
    pub lost: bool,
}

/// A backend.
pub trait Store: Send {
    /// Writes a group. It is durable after `sync`, if both succeed. After an error it is as if it had never
    /// been written: the next group takes its place. Over a network there is one exception: the hub dies
    /// before the next group, and the group is there at the next start. Then it is as if only the reply had
    /// been lost, since the group follows all that was acknowledged and nodes' batches are known by their
    /// numbers.
    fn append(&mut self, group: &[u8]) -> Result<(), StoreError>;
    /// Waits until everything written is durable.
    fn sync(&mut self) -> Result<(), StoreError>;
    /// Begins a checkpoint that replaces all groups so far. More groups may be written before it is.
    fn begin(&mut self) -> Result<Checkpoint, StoreError>;
    /// Ends a checkpoint: what it replaces may be deleted.
    fn cut(&mut self, done: &Done) -> Result<(), StoreError>;
    fn status(&self) -> StoreStatus;
    /// The right to be the one writer, if several hubs use the store.
    fn lease(&self) -> Option<Arc<Lease>> {
        None
    }
    /// Ends the lease after the last checkpoint, so that another hub can become active at once.
    fn release(&mut self) {}
}

/// Writes the checkpoint's parts; may be called on any thread.
pub type Checkpoint = Box<dyn FnOnce(&[Vec<u8>]) -> Result<Done, StoreError> + Send>;

/// A durable checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// It replaces all groups before this position.
    pub position: u64,
    /// Number of the first file or page that is still needed.
    pub part: u64,
}
