//! What is remembered, table by table: bounded, allocated once, counts and hashes only. A table knows its
//! layout and its rules of eviction, and draws no conclusions.

pub mod cases;
pub mod doorkeeper;
pub mod ghosts;
pub mod groups;
pub mod homes;
pub mod keys;
pub mod large_samples;
pub mod numbers;
pub mod origins;
pub mod overdrawn;
pub mod quota;
pub mod texts;
