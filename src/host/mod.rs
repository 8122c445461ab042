//! Hosts: their ABI to engine calls, verdicts to effects.
pub mod proxy_wasm;
