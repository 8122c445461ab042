//! Where a hub keeps what it has acknowledged. One writer at a time; groups in order, and a checkpoint that stands for all before it.

/// Why nothing was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// No room.
    Full(String),
    /// Any other error.
    Failed(String),
}

impl StoreError {
    pub fn name(&self) -> &'static str {
        match self {
            StoreError::Full(_) => "store_full",
            StoreError::Failed(_) => "store_failed",
        }
    }
    pub fn message(&self) -> &str {
        match self {
            StoreError::Full(m) | StoreError::Failed(m) => m,
        }
    }
}

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
}

/// A backend.
pub trait Store: Send {
    /// Writes a group. It is durable after `sync`, and only if both succeed; after an error it is as if it had never been written.
    fn append(&mut self, group: &[u8]) -> Result<(), StoreError>;
    /// Waits until what was written is durable.
    fn sync(&mut self) -> Result<(), StoreError>;
    /// Begins a checkpoint that stands for all groups so far. More groups may be written before it is.
    fn begin(&mut self) -> Result<Checkpoint, StoreError>;
    /// The checkpoint was written: what it stands for may go.
    fn cut(&mut self, done: &Done) -> Result<(), StoreError>;
    fn status(&self) -> StoreStatus;
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
