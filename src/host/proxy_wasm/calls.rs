//! Host calls made directly, not through the SDK: each status is checked, and none ends the VM. All else is
//! the SDK's: `main!`, contexts, types, dispatcher, allocator.
//!
//! In proxy-wasm 0.2.5 every call panics on a status that it does not list, which ends the VM and all streams
//! in it. It also declares that a host answers with its `Status`, which lacks 5, 6, 9 and 12 (unimplemented),
//! so such an answer is undefined behaviour. Here a status is a number, and any but 0 means "absent". This is
//! the reason for most of these calls; other reasons stand at each.
//!
//! Memory that the host allocates (through the SDK's allocator) is taken over as a `Vec` exactly once.

use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType, StreamType};

mod raw {
    use super::{BufferType, LogLevel, MapType, MetricType, StreamType};

    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub fn proxy_log(level: LogLevel, text: *const u8, len: usize) -> u32;
        pub fn proxy_get_current_time_nanoseconds(out: *mut u64) -> u32;
        pub fn proxy_set_tick_period_milliseconds(ms: u32) -> u32;
        pub fn proxy_get_buffer_bytes(
            kind: BufferType,
            start: usize,
            max: usize,
            out: *mut *mut u8,
            len: *mut usize,
        ) -> u32;
        pub fn proxy_get_header_map_pairs(kind: MapType, out: *mut *mut u8, len: *mut usize) -> u32;
        pub fn proxy_add_header_map_value(
            kind: MapType,
            k: *const u8,
            key_len: usize,
            v: *const u8,
            value_len: usize,
        ) -> u32;
        pub fn proxy_remove_header_map_value(kind: MapType, k: *const u8, key_len: usize) -> u32;
        pub fn proxy_get_property(path: *const u8, n: usize, out: *mut *mut u8, len: *mut usize) -> u32;
        pub fn proxy_set_property(path: *const u8, n: usize, value: *const u8, value_len: usize) -> u32;
        pub fn proxy_send_local_response(
            status: u32,
            details: *const u8,
            details_len: usize,
            body: *const u8,
            body_len: usize,
            headers: *const u8,
            headers_len: usize,
            grpc_status: i32,
        ) -> u32;
        pub fn proxy_http_call(
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
        ) -> u32;
        pub fn proxy_define_metric(kind: MetricType, name: *const u8, n: usize, id: *mut u32) -> u32;
        pub fn proxy_increment_metric(id: u32, by: i64) -> u32;
        pub fn proxy_record_metric(id: u32, value: u64) -> u32;
        pub fn proxy_set_effective_context(id: u32) -> u32;
        pub fn proxy_continue_stream(kind: StreamType) -> u32;
        pub fn proxy_get_shared_data(
            name: *const u8,
            n: usize,
            out: *mut *mut u8,
            len: *mut usize,
            cas: *mut u32,
        ) -> u32;
        pub fn proxy_set_shared_data(
            name: *const u8,
            n: usize,
            value: *const u8,
            len: usize,
            cas: u32,
        ) -> u32;
    }
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub fn clock_time_get(id: u32, precision: u64, out: *mut u64) -> u32;
        pub fn random_get(out: *mut u8, n: usize) -> u32;
    }
}

/// Takes over what the host wrote into memory of the SDK's `proxy_on_memory_allocate`.
fn owned(status: u32, ptr: *mut u8, len: usize) -> Option<Vec<u8>> {
    if status != 0 {
        return None;
    }
    if ptr.is_null() || len == 0 {
        return Some(Vec::new());
    }
    // SAFETY: the host got `ptr` from `proxy_on_memory_allocate(len)`, which leaked a boxed slice of exactly `len` bytes, wrote
    // them, and hands it over once.
    Some(unsafe { Vec::from_raw_parts(ptr, len, len) })
}

/// Writes a line to the host's log. False if the host refuses it. (The SDK's logger ends the VM then. Decision records come
/// here directly, without a `log::Record`.)
pub fn log(level: LogLevel, text: &str) -> bool {
    // SAFETY: pointer and length of a live str.
    unsafe { raw::proxy_log(level, text.as_ptr(), text.len()) == 0 }
}

/// Wall time, nanoseconds since the epoch; 0 if the host does not tell it. (The SDK returns a `SystemTime`,
/// which the lints forbid.)
pub fn now() -> u64 {
    let mut t = 0;
    // SAFETY: out-pointer to a live u64.
    let told = unsafe { raw::proxy_get_current_time_nanoseconds(&mut t) } == 0;
    #[cfg(feature = "chaos")]
    let t = super::chaos::wall(t);
    if told { t } else { 0 }
}

/// Nanoseconds of a clock that never steps back; the wall clock if the host has none. From WASI: the SDK has
/// no such call, and `std::time::Instant` panics without the clock.
pub fn monotonic() -> u64 {
    let mut t = 0;
    // SAFETY: out-pointer to a live u64; 1 is the monotonic clock.
    match unsafe { raw::clock_time_get(1, 1, &mut t) } {
        0 if t != 0 => t,
        _ => now(),
    }
}

/// Random bytes; `None` if the host has none. From WASI: the SDK has no such call.
pub fn random() -> Option<[u8; 32]> {
    let mut out = [0; 32];
    // SAFETY: pointer and length of a live array.
    let status = unsafe { raw::random_get(out.as_mut_ptr(), out.len()) };
    (status == 0 && out != [0; 32]).then_some(out)
}

/// Value and version of a cell of shared data.
pub fn shared(name: &str) -> Option<(Vec<u8>, u32)> {
    let (mut ptr, mut len, mut cas) = (std::ptr::null_mut(), 0, 0);
    // SAFETY: pointer and length of a live str, out-pointers to live locals.
    let status =
        unsafe { raw::proxy_get_shared_data(name.as_ptr(), name.len(), &mut ptr, &mut len, &mut cas) };
    Some((owned(status, ptr, len)?, cas))
}

/// Writes a cell of shared data. Returns the host's status, which tells a lost race (8) from a host without
/// cells.
pub fn set_shared(name: &str, value: &[u8], cas: u32) -> u32 {
    // SAFETY: pointers and lengths of a live str and a live slice.
    unsafe { raw::proxy_set_shared_data(name.as_ptr(), name.len(), value.as_ptr(), value.len(), cas) }
}

/// Asks for ticks every `ms` milliseconds. False if the host has none.
pub fn set_tick_period(ms: u32) -> bool {
    // SAFETY: plain value.
    unsafe { raw::proxy_set_tick_period_milliseconds(ms) == 0 }
}

/// Bytes of a buffer from `start` on, at most `max`; `None` if the host has no such buffer.
pub fn buffer(kind: BufferType, start: usize, max: usize) -> Option<Vec<u8>> {
    let (mut ptr, mut len) = (std::ptr::null_mut(), 0);
    // SAFETY: out-pointers to live locals.
    let status = unsafe { raw::proxy_get_buffer_bytes(kind, start, max, &mut ptr, &mut len) };
    owned(status, ptr, len)
}

/// All pairs of a map, encoded (see `pairs`). (The SDK's `get_map` panics on a name or value that is not
/// UTF-8, `get_map_bytes` on such a name: a client can send both.)
pub fn map(kind: MapType) -> Option<Vec<u8>> {
    let (mut ptr, mut len) = (std::ptr::null_mut(), 0);
    // SAFETY: out-pointers to live locals.
    let status = unsafe { raw::proxy_get_header_map_pairs(kind, &mut ptr, &mut len) };
    owned(status, ptr, len)
}

/// Decodes a map: u32 count, then the sizes of all names and values, then NUL-terminated names and values.
/// The list ends where the data is damaged.
pub fn pairs(bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    let word = |at: usize| -> Option<usize> {
        let b: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(u32::from_le_bytes(b) as usize)
    };
    let count = word(0).unwrap_or(0).min(bytes.len() / 8);
    let mut out = Vec::with_capacity(count);
    let mut data = count.saturating_mul(8).saturating_add(4);
    for i in 0..count {
        let at = i.saturating_mul(8).saturating_add(4);
        let (Some(k), Some(v)) = (word(at), word(at.saturating_add(4))) else { break };
        let key = bytes.get(data..data.saturating_add(k));
        let value_at = data.saturating_add(k).saturating_add(1);
        let value = bytes.get(value_at..value_at.saturating_add(v));
        let (Some(key), Some(value)) = (key, value) else { break };
        out.push((key, value));
        data = value_at.saturating_add(v).saturating_add(1);
    }
    out
}

/// Encodes a map.
fn encode(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut out = (headers.len() as u32).to_le_bytes().to_vec();
    for (k, v) in headers {
        out.extend_from_slice(&(k.len() as u32).to_le_bytes());
        out.extend_from_slice(&(v.len() as u32).to_le_bytes());
    }
    for (k, v) in headers {
        out.extend_from_slice(k.as_bytes());
        out.push(0);
        out.extend_from_slice(v.as_bytes());
        out.push(0);
    }
    out
}

/// Adds a header. False if the headers have been sent already.
pub fn add_header(kind: MapType, name: &str, value: &str) -> bool {
    // SAFETY: pointers and lengths of live strs.
    unsafe {
        raw::proxy_add_header_map_value(kind, name.as_ptr(), name.len(), value.as_ptr(), value.len()) == 0
    }
}

/// Removes all headers of a name.
pub fn remove_header(kind: MapType, name: &str) {
    // SAFETY: pointer and length of a live str.
    unsafe { raw::proxy_remove_header_map_value(kind, name.as_ptr(), name.len()) };
}

/// The value of a property, by its NUL-separated path.
pub fn property(path: &[u8]) -> Option<Vec<u8>> {
    let (mut ptr, mut len) = (std::ptr::null_mut(), 0);
    // SAFETY: pointer and length of a live slice, out-pointers to live locals.
    let status = unsafe { raw::proxy_get_property(path.as_ptr(), path.len(), &mut ptr, &mut len) };
    owned(status, ptr, len)
}

/// Sets filter state `wasm.<name>`.
pub fn set_property(name: &str, value: &str) {
    // SAFETY: pointers and lengths of live strs.
    unsafe { raw::proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
}

/// Sends a local reply. False if the host refused it. (The SDK's call takes no `details`, the reason in the
/// host's own log, and no gRPC status beside an HTTP status.)
pub fn reply(
    status: u16,
    details: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    grpc_status: Option<i32>,
) -> bool {
    let headers = encode(headers);
    // SAFETY: pointers and lengths of live slices.
    let status = unsafe {
        raw::proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            grpc_status.unwrap_or(-1),
        )
    };
    status == 0
}

/// Starts an HTTP call to one of the host's clusters, and returns its id. The result comes to
/// `weir_on_http_call_response` (`mod.rs`). `None` if the host makes no calls, or has no such cluster. (The
/// SDK's dispatcher panics at the result of a call that it has not made.)
pub fn http_call(cluster: &str, headers: &[(&str, &str)], body: &[u8], timeout_ms: u32) -> Option<u32> {
    let (headers, trailers) = (encode(headers), encode(&[]));
    let mut token = 0;
    // SAFETY: pointers and lengths of live slices, out-pointer to a live u32.
    let status = unsafe {
        raw::proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            trailers.as_ptr(),
            trailers.len(),
            timeout_ms,
            &mut token,
        )
    };
    (status == 0).then_some(token)
}

/// Defines a metric, or finds it, and returns its id. `None` if the host has no metrics.
pub fn define_metric(kind: MetricType, name: &str) -> Option<u32> {
    let mut id = 0;
    // SAFETY: pointer and length of a live str, out-pointer to a live u32.
    let status = unsafe { raw::proxy_define_metric(kind, name.as_ptr(), name.len(), &mut id) };
    (status == 0).then_some(id)
}

/// Adds to a counter. Errors are ignored.
pub fn increment(id: u32, by: i64) {
    // SAFETY: plain values.
    unsafe { raw::proxy_increment_metric(id, by) };
}

/// Sets a gauge. Errors are ignored.
pub fn record(id: u32, value: u64) {
    // SAFETY: plain values.
    unsafe { raw::proxy_record_metric(id, value) };
}

/// Makes the next host calls act on this stream, in place of the callback's own context.
pub fn act_for(context: u32) {
    // SAFETY: plain value.
    unsafe { raw::proxy_set_effective_context(context) };
}

/// Resumes a paused request from another context's callback.
pub fn resume(context: u32) {
    act_for(context);
    // SAFETY: plain value.
    unsafe { raw::proxy_continue_stream(StreamType::HttpRequest) };
}
