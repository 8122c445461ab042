//! Generic structures. Nothing here knows of requests, keys or models.

pub mod bloom;
pub mod bottom_k;
pub mod gcra;
