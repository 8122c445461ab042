//! What came of one request: the verdict, and what the mode of its profile makes of it.

use super::config::ProfileId;
use super::value::KeyId;
use super::verdict::{Action, Mode, Verdict};

/// What came of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// As decided, before the mode.
    pub verdict: Verdict,
    /// As done, in the profile's mode.
    pub action: Action,
    /// The mode that was applied.
    pub mode: Mode,
    /// The profile that was applied.
    pub profile: ProfileId,
    /// The key that the request is counted for.
    pub key: KeyId,
    /// The key's action (as decided) differs from its previous one: worth a log line under `log.decisions: changes`.
    pub changed: bool,
}
