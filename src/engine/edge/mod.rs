//! The per-worker half: parse, fingerprint, look up, limit, decide. Allocates a few hundred KiB per worker.

pub mod identity;
pub mod session;
