//! Requests out of logs: lines of traces and of other systems' logs, read in blocks by any thread, to what the module's own
//! code extracts of each.

pub mod batch;
pub mod reader;
pub mod source;
mod times;
