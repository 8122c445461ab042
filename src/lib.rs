#![doc = include_str!("ARCHITECTURE.md")]

pub mod engine;
#[cfg(target_arch = "wasm32")]
mod host;
pub mod node;
