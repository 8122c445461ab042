//! Where a hub keeps what it has acknowledged. One writer at a time; groups in order, and a checkpoint that stands for all before it.

use super::lease::Lease;
use std::sync::Arc;

/// Why nothing was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// No room.
    Full(String),
    /// It takes no writes: a replica.
    ReadOnly(String),
    /// Wrong password, or a user that may not.
    Auth(String),
    /// A key of ours holds something else.
    Type(String),
    /// No answer in time.
    Slow(String),
    /// Not to be reached, or not ready.
    Down(String),
    /// Its certificate is not accepted, or ours is not.
    Tls(String),
    /// It has lost groups that it had kept.
    Lost(String),
    /// Another hub is active.
    Standby(String),
    /// Any other error.
    Failed(String),
}

impl StoreError {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            StoreError::Full(m) => ("store_full", m),
            StoreError::ReadOnly(m) => ("store_readonly", m),
            StoreError::Auth(m) => ("store_auth", m),
            StoreError::Type(m) => ("store_type", m),
            StoreError::Slow(m) => ("store_slow", m),
            StoreError::Down(m) => ("store_down", m),
            StoreError::Tls(m) => ("store_tls", m),
            StoreError::Lost(m) => ("store_lost", m),
            StoreError::Standby(m) => ("standby", m),
            StoreError::Failed(m) => ("store_failed", m),
        }
    }
    pub fn name(&self) -> &'static str {
        self.parts().0
    }
    pub fn message(&self) -> &str {
        self.parts().1
    }
    /// Time alone does not end it: somebody has to change a setting.
    pub fn is_a_setting(&self) -> bool {
        matches!(self, StoreError::Auth(_) | StoreError::Type(_) | StoreError::Tls(_))
    }
}

/// What stands in the way of a start, with the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked(pub String);

/// How a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// Groups kept so far: the position of the next.
    pub position: u64,
    /// The newest checkpoint stands for all groups before this.
    pub checkpoint: u64,
    /// Bytes of groups behind the checkpoint.
    pub bytes: u64,
    /// Parts that hold them.
    pub parts: u64,
    /// Groups that were kept are not there any more: a checkpoint makes up for them, at once.
    pub lost: bool,
}

/// A backend.
pub trait Store: Send {
    /// Writes a group. It is durable after `sync`, and only if both succeed. After an error it is as if it had never been written: the
    /// next group takes its place. Over a network one thing more may be: the hub dies before the next group, and the group comes back.
    /// Then it is as if only the reply had been lost, since it follows all that was acknowledged and nodes are known by their numbers.
    fn append(&mut self, group: &[u8]) -> Result<(), StoreError>;
    /// Waits until what was written is durable.
    fn sync(&mut self) -> Result<(), StoreError>;
    /// Begins a checkpoint that stands for all groups so far. More groups may be written before it is.
    fn begin(&mut self) -> Result<Checkpoint, StoreError>;
    /// The checkpoint was written: what it stands for may go.
    fn cut(&mut self, done: &Done) -> Result<(), StoreError>;
    fn status(&self) -> StoreStatus;
    /// The right to be the one writer, where several hubs use one store.
    fn lease(&self) -> Option<Arc<Lease>> {
        None
    }
    /// The hub ends and has written its last checkpoint: another may be active at once.
    fn release(&mut self) {}
}

/// Writes the checkpoint, part by part; on any thread.
pub type Checkpoint = Box<dyn FnOnce(&[Vec<u8>]) -> Result<Done, StoreError> + Send>;

/// A checkpoint that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// It stands for all groups before this one.
    pub position: u64,
    /// The first part that is still needed.
    pub part: u64,
}
