//! Failures on purpose, for the lifecycle tests. **Only with the feature `chaos`** (`make wasm-chaos` writes
//! `target/weir-chaos.wasm`); the shipped module holds none of this.
//!
//! A request header `x-weir-chaos` gives the order:
//!
//! | value | effect |
//! |---|---|
//! | `trap` | this VM traps in this very stream |
//! | `leader-trap`, `worker-trap` | the next VM that leads (does not lead) traps in its tick |
//! | `leader-stall N` | the leader's tick takes N seconds, once |
//!
//! An order for ticks waits in the cell `weir-chaos` and is carried out once. The rank of a build is `WEIR_RANK` at build time.

use super::abi;

const CELL: &str = "weir-chaos";

fn trap() -> ! {
    abi::log(abi::Level::Warn, "weir: chaos: trap");
    core::arch::wasm32::unreachable()
}

/// A request's headers: carries out or passes on an order.
pub fn request(headers: &[(&[u8], &[u8])]) {
    let Some((_, order)) = headers.iter().find(|(name, _)| *name == b"x-weir-chaos") else { return };
    if *order == b"trap" {
        trap();
    }
    abi::set_shared(CELL, std::str::from_utf8(order).unwrap_or_default().as_bytes(), 0);
}

/// A tick of a VM that leads or not.
pub fn tick(leads: bool) {
    let Some((order, cas)) = abi::shared(CELL) else { return };
    let order = std::str::from_utf8(&order).unwrap_or_default();
    let stall = order.strip_prefix("leader-stall ").and_then(|n| n.parse::<u64>().ok());
    let mine = if order == "worker-trap" { !leads } else { leads && !order.is_empty() };
    if !mine || abi::set_shared(CELL, b"", cas) != 0 {
        return;
    }
    match stall {
        Some(seconds) => {
            abi::log(abi::Level::Warn, "weir: chaos: stall");
            let until = abi::monotonic().saturating_add(seconds.saturating_mul(1_000_000_000));
            while abi::monotonic() < until {}
        }
        None if order.ends_with("-trap") => trap(),
        None => {}
    }
}
