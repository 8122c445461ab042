//! Why a store of the hub did not keep something.

/// Why a store did not keep something. Told as its message, without its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub enum StoreError {
    /// It has no room.
    Full(String),
    /// It is a replica, which takes no writes.
    ReadOnly(String),
    /// The password is wrong, or the user lacks a right.
    Auth(String),
    /// One of the hub's keys holds something else.
    Type(String),
    /// It did not answer in time.
    Slow(String),
    /// It cannot be reached, or is not ready.
    Down(String),
    /// Its certificate is not accepted, or it does not accept the hub's.
    Tls(String),
    /// It has lost groups that it had kept.
    Lost(String),
    /// Another hub is active.
    Standby(String),
    /// Any other error.
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
