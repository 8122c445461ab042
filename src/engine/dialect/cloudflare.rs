//! Cloudflare Workers AI.
use super::tables::{Plain, holds};

/// The dialect.
pub static RUN: Plain = Plain::new("cloudflare", |path| holds(path, "/ai/run/"));
