//! A host within the test: what the module imports, as functions that note each call and answer as they were told.
//!
//! Memory that it hands over is made as a host makes it, by the SDK's `proxy_on_memory_allocate`. Each thread has a host of its own.

use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType, StreamType};
use std::cell::RefCell;

unsafe extern "C" {
    /// The SDK's allocator, which hosts call.
    safe fn proxy_on_memory_allocate(size: usize) -> *mut u8;
}

/// What the host hands over where it is asked for bytes.
#[derive(Clone)]
pub enum Bytes {
    /// It allocates as many, writes them, and tells where.
    Some(Vec<u8>),
    /// It writes no pointer and no length.
    Untold,
    /// This pointer and this length, of no memory at all.
    Wild(usize, usize),
}

/// One call, as the host saw it: its name, all texts and bytes in order, all numbers in order.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    pub name: &'static str,
    pub bytes: Vec<Vec<u8>>,
    pub numbers: Vec<i64>,
}

/// How this thread's host answers, and what it was asked.
pub struct Host {
    /// Status of each call.
    pub status: u32,
    /// Status of the wall clock alone.
    pub wall_status: u32,
    pub bytes: Bytes,
    /// A number where it is asked for one: an id, a token, a version.
    pub number: u32,
    pub wall: u64,
    pub monotonic: u64,
    pub random: u8,
    pub calls: Vec<Call>,
}

thread_local! {
    static HOST: RefCell<Host> = const {
        RefCell::new(Host {
            status: 0,
            wall_status: 0,
            bytes: Bytes::Untold,
            number: 0,
            wall: 0,
            monotonic: 0,
            random: 0,
            calls: Vec::new(),
        })
    };
}

/// Changes how the host answers.
pub fn host(change: impl FnOnce(&mut Host)) {
    HOST.with(|host| change(&mut host.borrow_mut()));
}

/// All calls since the last look.
pub fn calls() -> Vec<Call> {
    HOST.with(|host| std::mem::take(&mut host.borrow_mut().calls))
}

/// Notes a call, and tells its status.
fn noted(name: &'static str, bytes: &[&[u8]], numbers: &[i64]) -> u32 {
    HOST.with(|host| {
        let mut host = host.borrow_mut();
        let bytes = bytes.iter().map(|b| b.to_vec()).collect();
        host.calls.push(Call { name, bytes, numbers: numbers.to_vec() });
        host.status
    })
}

/// What the caller points at.
fn read<'a>(at: *const u8, len: usize) -> &'a [u8] {
    // SAFETY: the promise of the caller, which is what Miri holds it to: `len` bytes live at `at` as long as the call lasts.
    unsafe { std::slice::from_raw_parts(at, len) }
}

/// Hands bytes over.
fn hand_over(out: *mut *mut u8, len: *mut usize) {
    let bytes = HOST.with(|host| host.borrow().bytes.clone());
    let (at, size) = match bytes {
        Bytes::Some(bytes) => {
            let at = proxy_on_memory_allocate(bytes.len());
            // SAFETY: `at` was made for as many bytes.
            unsafe { at.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
            (at, bytes.len())
        }
        Bytes::Untold => return,
        Bytes::Wild(at, size) => (std::ptr::without_provenance_mut(at), size),
    };
    // SAFETY: out-pointers are the caller's promise.
    unsafe {
        out.write(at);
        len.write(size);
    }
}

/// Tells the host's number.
fn tell(out: *mut u32) {
    let number = HOST.with(|host| host.borrow().number);
    // SAFETY: an out-pointer is the caller's promise.
    unsafe { out.write(number) };
}

#[unsafe(no_mangle)]
extern "C" fn proxy_log(level: LogLevel, text: *const u8, len: usize) -> u32 {
    noted("log", &[read(text, len)], &[level as i64])
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_current_time_nanoseconds(out: *mut u64) -> u32 {
    noted("wall", &[], &[]);
    let (status, wall) = HOST.with(|host| (host.borrow().wall_status, host.borrow().wall));
    // SAFETY: an out-pointer is the caller's promise.
    unsafe { out.write(wall) };
    status
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_tick_period_milliseconds(ms: u32) -> u32 {
    noted("tick", &[], &[ms.into()])
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_buffer_bytes(
    kind: BufferType,
    start: usize,
    max: usize,
    out: *mut *mut u8,
    len: *mut usize,
) -> u32 {
    hand_over(out, len);
    noted("buffer", &[], &[kind as i64, start as i64, max as i64])
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_header_map_pairs(kind: MapType, out: *mut *mut u8, len: *mut usize) -> u32 {
    hand_over(out, len);
    noted("map", &[], &[kind as i64])
}

#[unsafe(no_mangle)]
extern "C" fn proxy_add_header_map_value(
    kind: MapType,
    k: *const u8,
    key_len: usize,
    v: *const u8,
    value_len: usize,
) -> u32 {
    noted("add", &[read(k, key_len), read(v, value_len)], &[kind as i64])
}

#[unsafe(no_mangle)]
extern "C" fn proxy_remove_header_map_value(kind: MapType, k: *const u8, key_len: usize) -> u32 {
    noted("remove", &[read(k, key_len)], &[kind as i64])
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_property(path: *const u8, n: usize, out: *mut *mut u8, len: *mut usize) -> u32 {
    hand_over(out, len);
    noted("property", &[read(path, n)], &[])
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_property(path: *const u8, n: usize, value: *const u8, value_len: usize) -> u32 {
    noted("set_property", &[read(path, n), read(value, value_len)], &[])
}

#[unsafe(no_mangle)]
extern "C" fn proxy_send_local_response(
    status: u32,
    details: *const u8,
    details_len: usize,
    body: *const u8,
    body_len: usize,
    headers: *const u8,
    headers_len: usize,
    grpc_status: i32,
) -> u32 {
    let bytes = [read(details, details_len), read(body, body_len), read(headers, headers_len)];
    noted("reply", &bytes, &[status.into(), grpc_status.into()])
}

#[unsafe(no_mangle)]
extern "C" fn proxy_http_call(
    cluster: *const u8,
    cluster_len: usize,
    headers: *const u8,
    headers_len: usize,
    body: *const u8,
    body_len: usize,
    trailers: *const u8,
    trailers_len: usize,
    timeout_ms: u32,
    token: *mut u32,
) -> u32 {
    tell(token);
    let bytes = [
        read(cluster, cluster_len),
        read(headers, headers_len),
        read(body, body_len),
        read(trailers, trailers_len),
    ];
    noted("http_call", &bytes, &[timeout_ms.into()])
}

#[unsafe(no_mangle)]
extern "C" fn proxy_define_metric(kind: MetricType, name: *const u8, n: usize, id: *mut u32) -> u32 {
    tell(id);
    noted("define", &[read(name, n)], &[kind as i64])
}

#[unsafe(no_mangle)]
extern "C" fn proxy_increment_metric(id: u32, by: i64) -> u32 {
    noted("increment", &[], &[id.into(), by])
}

#[unsafe(no_mangle)]
extern "C" fn proxy_record_metric(id: u32, value: u64) -> u32 {
    noted("record", &[], &[id.into(), value.cast_signed()])
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_effective_context(id: u32) -> u32 {
    noted("act_for", &[], &[id.into()])
}

#[unsafe(no_mangle)]
extern "C" fn proxy_continue_stream(kind: StreamType) -> u32 {
    noted("continue", &[], &[kind as i64])
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_shared_data(
    name: *const u8,
    n: usize,
    out: *mut *mut u8,
    len: *mut usize,
    cas: *mut u32,
) -> u32 {
    hand_over(out, len);
    tell(cas);
    noted("shared", &[read(name, n)], &[])
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_shared_data(
    name: *const u8,
    n: usize,
    value: *const u8,
    len: usize,
    cas: u32,
) -> u32 {
    noted("set_shared", &[read(name, n), read(value, len)], &[cas.into()])
}

#[unsafe(no_mangle)]
extern "C" fn clock_time_get(id: u32, precision: u64, out: *mut u64) -> u32 {
    let monotonic = HOST.with(|host| host.borrow().monotonic);
    // SAFETY: an out-pointer is the caller's promise.
    unsafe { out.write(monotonic) };
    noted("clock", &[], &[id.into(), precision.cast_signed()])
}

#[unsafe(no_mangle)]
extern "C" fn random_get(out: *mut u8, n: usize) -> u32 {
    let random = HOST.with(|host| host.borrow().random);
    // SAFETY: an out-pointer is the caller's promise.
    unsafe { out.write_bytes(random, n) };
    noted("random", &[], &[n as i64])
}
