//! The same with the module's allocator under it: memory of the host is wiped and given back as the module does it.

#[path = "calls.rs"]
mod same;
#[path = "../../src/host/proxy_wasm/wipe.rs"]
mod wipe;

#[test]
fn the_stack_is_wiped_without_harm() {
    let here = [7_u8; 64];
    wipe::stack();
    assert_eq!(here, [7; 64]);
}
