#![doc = include_str!("ARCHITECTURE.md")]

pub mod engine;
pub mod node;
#[cfg(target_arch = "wasm32")]
mod host;
