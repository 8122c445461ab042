//! Problems of a configuration: all of them at once, each with its JSON path and the fix.

use std::fmt::Display;

/// One problem (an error or a warning) of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// JSON path; empty for the whole file.
    pub path: String,
    /// What is wrong, and the fix.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = if self.path.is_empty() { "(file)" } else { &self.path };
        write!(f, "{path}: {}", self.message)
    }
}

/// All problems of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, p) in self.0.iter().enumerate() {
            write!(f, "{}{p}", if i > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Collects problems under a JSON path.
#[derive(Debug, Default)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Notes a problem.
    pub fn add(&mut self, path: &str, message: impl Display) {
        self.push(path.to_string(), &message);
    }
    // One piece of code for every kind of message.
    #[inline(never)]
    pub(super) fn push(&mut self, path: String, message: &dyn Display) {
        self.0.push(Problem { path, message: message.to_string() });
    }
}
