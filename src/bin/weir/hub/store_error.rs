//! Why a store of the hub did not keep something.

/// Why a store did not keep something. Told as its message, without its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It has no room.
    #[error("{0}")]
    Full(String),
    /// It is a replica, which takes no writes.
    #[error("{0}")]
    ReadOnly(String),
    /// The password is wrong, or the user lacks a right.
    #[error("{0}")]
    Auth(String),
    /// One of the hub's keys holds something else.
    #[error("{0}")]
    Type(String),
    /// It did not answer in time.
    #[error("{0}")]
    Slow(String),
    /// It cannot be reached, or is not ready.
    #[error("{0}")]
    Down(String),
    /// Its certificate is not accepted, or it does not accept the hub's.
    #[error("{0}")]
    Tls(String),
    /// It has lost groups that it had kept.
    #[error("{0}")]
    Lost(String),
    /// Another hub is active.
    #[error("{0}")]
    Standby(String),
    /// Any other error.
    #[error("{0}")]
    Failed(String),
}

impl StoreError {
    /// Name in logs, metrics and replies.
    pub fn name(&self) -> &'static str {
        match self {
            StoreError::Full(_) => "store_full",
            StoreError::ReadOnly(_) => "store_readonly",
            StoreError::Auth(_) => "store_auth",
            StoreError::Type(_) => "store_type",
            StoreError::Slow(_) => "store_slow",
            StoreError::Down(_) => "store_down",
            StoreError::Tls(_) => "store_tls",
            StoreError::Lost(_) => "store_lost",
            StoreError::Standby(_) => "standby",
            StoreError::Failed(_) => "store_failed",
        }
    }
    /// True if the error persists until somebody changes a setting.
    pub fn is_a_setting(&self) -> bool {
        matches!(self, StoreError::Auth(_) | StoreError::Type(_) | StoreError::Tls(_))
    }
}
