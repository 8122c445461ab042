//! Generic probabilistic structures. They depend on nothing else in the engine.

pub mod bloom;
pub mod bottom_k;
pub mod gcra;
