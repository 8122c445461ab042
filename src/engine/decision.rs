//! The decision on one request: its verdict, and what the mode of its profile makes of it.

use super::config::ProfileId;
use super::value::KeyId;
use super::verdict::{Action, Mode, Verdict};

/// The decision on one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The verdict, without regard to the mode.
    pub verdict: Verdict,
    /// The action that is carried out in this mode.
    pub action: Action,
    /// The mode that was applied.
    pub mode: Mode,
    /// The profile that was applied.
    pub profile: ProfileId,
    /// The key that the request is counted for.
    pub key: KeyId,
    /// True if the verdict's action differs from the key's last one, so that `log.decisions: changes` writes
    /// a line.
    pub changed: bool,
}
