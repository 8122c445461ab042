//! Failures and floods on purpose, for the lifecycle tests and `make bench-node`. **Only with the feature `chaos`** (`make wasm-chaos` writes
//! `target/weir-chaos.wasm`); the shipped module holds none of this.
//!
//! A request header `x-weir-chaos` gives the order:
//!
//! | value | effect |
//! |---|---|
//! | `trap` | this VM traps in this very stream |
//! | `flood N` | from now on this VM decides N made-up requests of as many keys in each tick, `flood 0` ends it |
//! | `leader-trap`, `worker-trap` | the next VM that leads (does not lead) traps in its tick |
//! | `leader-stall N` | the leader's tick takes N seconds, once |
//! | `heir-trap` | the next VM that takes the lease over traps in that very tick |
//! | `hand-over-trap` | the next leader that writes all pages for a successor traps half-way |
//! | `clock N` | the wall clock of all VMs goes wrong by N seconds, which may be below zero; `clock 0` sets it right |
//!
//! An order for ticks waits in the cell `weir-chaos` and is carried out once; each VM reads the one for its clock in each tick. The rank of a build is `WEIR_RANK` at build time.

use std::cell::Cell;

use super::calls;
use super::shared::Shared;
use crate::engine::config::Config;
use crate::engine::edge::identity::Head;
use crate::engine::units::Nanos;
use crate::node::{LeaseChange, Node};
use std::sync::Arc;

const CELL: &str = "weir-chaos";
const CLOCK: &str = "weir-chaos-clock";

/// Cells that only a leader writes in one tick who hands all its pages over: shards and a rolling checkpoint are fewer.
const HALF_WAY: u32 = 300;

thread_local! {
    /// Cells written in this tick.
    static WRITTEN: Cell<u32> = const { Cell::new(0) };
    /// Requests to make up in each tick, and how many were made.
    static FLOOD: Cell<u64> = const { Cell::new(0) };
    static MADE: Cell<u64> = const { Cell::new(0) };
    /// By how much the wall clock is wrong, nanoseconds.
    static WRONG: Cell<i64> = const { Cell::new(0) };
}

fn trap() -> ! {
    log::warn!("weir: chaos: trap");
    core::arch::wasm32::unreachable()
}

/// Carries out or passes on an order in a request's headers.
pub fn request(headers: &[(&[u8], &[u8])]) {
    let Some((_, order)) = headers.iter().find(|(name, _)| *name == b"x-weir-chaos") else { return };
    if *order == b"trap" {
        trap();
    }
    if let Some(n) = order.strip_prefix(b"flood ") {
        return FLOOD.set(std::str::from_utf8(n).ok().and_then(|n| n.parse().ok()).unwrap_or(0));
    }
    let cell = if order.starts_with(b"clock ") { CLOCK } else { CELL };
    calls::set_shared(cell, std::str::from_utf8(order).unwrap_or_default().as_bytes(), 0);
}

/// The wall clock's time, given the true one.
pub fn wall(now: u64) -> u64 {
    now.saturating_add_signed(WRONG.get())
}

/// Sets this VM's clock as it was told.
fn set_clock() {
    let Some((order, _)) = calls::shared(CLOCK) else { return };
    let seconds = String::from_utf8(order).ok().and_then(|o| o.strip_prefix("clock ")?.parse::<i64>().ok());
    WRONG.set(seconds.unwrap_or(0).saturating_mul(1_000_000_000));
}

/// Is this the order that waits? Then it is carried out here, and nowhere else.
fn taken(mine: impl Fn(&str) -> bool) -> Option<String> {
    let (order, cas) = calls::shared(CELL)?;
    let order = String::from_utf8(order).ok()?;
    (mine(&order) && calls::set_shared(CELL, b"", cas) == 0).then_some(order)
}

/// Carries out orders for the tick of a VM that leads or does not.
pub fn tick(leads: bool) {
    WRITTEN.set(0);
    set_clock();
    let mine = if leads { ["leader-trap", "leader-stall"] } else { ["worker-trap"; 2] };
    let Some(order) = taken(|o| mine.iter().any(|m| o.starts_with(m))) else { return };
    let Some(seconds) = order.strip_prefix("leader-stall ").and_then(|n| n.parse::<u64>().ok()) else {
        trap()
    };
    log::warn!("weir: chaos: stall");
    let until = calls::monotonic().saturating_add(seconds.saturating_mul(1_000_000_000));
    while calls::monotonic() < until {}
}

/// Decides this tick's made-up requests.
pub fn flood(node: &mut Node, config: &Arc<Config>, now: Nanos) {
    for _ in 0..FLOOD.get() {
        let made = MADE.replace(MADE.get().wrapping_add(1));
        let key = format!("flood-{}-{made}", calls::monotonic() & 0xFFFF);
        let body = format!(
            "{{\"messages\":[{{\"role\":\"user\",\"content\":\"rate the answer number {made} of many w{made} x{made}\"}}]}}"
        );
        let headers: [(&[u8], &[u8]); 1] = [(b"x-api-key", key.as_bytes())];
        let head = Head { path: b"/v1/chat/completions", headers: &headers, ..Head::default() };
        let mut session = node.open(config, &head);
        session.push(body.as_bytes(), true);
        session.finish();
        node.decide(&mut Shared, config, now, &mut session);
    }
}

/// Carries out orders that wait for this change of the lease.
pub fn lease_changes(change: &LeaseChange) {
    if matches!(change, LeaseChange::Leads { .. }) && taken(|o| o == "heir-trap").is_some() {
        trap();
    }
}

/// Carries out orders that wait for the write of a cell.
pub fn write() {
    WRITTEN.set(WRITTEN.get().saturating_add(1));
    if WRITTEN.get() == HALF_WAY && taken(|o| o == "hand-over-trap").is_some() {
        trap();
    }
}
