//! The proxy-wasm shell: exports to calls on `Plugin` and `Stream`. Only the callbacks that are needed are exported: the host
//! enters the VM for every callback that exists, so there is none for responses.

mod abi;
#[cfg(feature = "chaos")]
mod chaos;
mod metrics;
mod plugin;
mod reply;
mod shared;
mod socket;
mod stream;

use plugin::Plugin;
use std::cell::RefCell;
use stream::Stream;

/// A stream may be held at its headers for so long before the watchdog lets it go.
const HOLD_LIMIT_NS: u64 = 1_000_000_000;
/// So long a reply waits for the end of a body whose last byte has come.
const END_LIMIT_NS: u64 = 50_000_000;

#[derive(Default)]
struct Vm {
    plugin: Plugin,
    /// Sorted by context id; hosts count up, so a new one goes to the end.
    streams: Vec<(u32, Box<Stream>)>,
}

impl Vm {
    fn place(&self, id: u32) -> Result<usize, usize> {
        self.streams.binary_search_by_key(&id, |(id, _)| *id)
    }
    fn stream(&mut self, id: u32) -> Option<(&mut Stream, &mut Plugin)> {
        let at = self.place(id).ok()?;
        self.streams.get_mut(at).map(|(_, s)| (&mut **s, &mut self.plugin))
    }
}

thread_local! {
    // A VM is single-threaded: this is one plain static.
    static VM: RefCell<Vm> = RefCell::default();
}

/// Runs `f` on the VM's state; `otherwise` if a callback is re-entered (never seen; must not trap).
fn with<T>(otherwise: T, f: impl FnOnce(&mut Vm) -> T) -> T {
    VM.with(|vm| match vm.try_borrow_mut() {
        Ok(mut vm) => f(&mut vm),
        Err(_) => otherwise,
    })
}

fn on_stream(id: u32, f: impl FnOnce(&mut Stream, &mut Plugin) -> u32) -> u32 {
    with(abi::CONTINUE, |vm| vm.stream(id).map_or(abi::CONTINUE, |(stream, plugin)| f(stream, plugin)))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    abi::allocate(size)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(id: u32, root: u32) {
    if root != 0 {
        with((), |vm| {
            let stream = (id, Box::new(Stream::new(root)));
            // A host that names a context twice starts it afresh.
            if let Ok(at) = vm.place(id) {
                vm.streams.remove(at);
            }
            let at = vm.place(id).unwrap_or_else(|at| at);
            vm.streams.insert(at, stream);
        });
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root: u32, _size: usize) -> u32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, size: usize) -> u32 {
    with(0, |vm| u32::from(vm.plugin.configure(root, size)))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    let hung: Vec<u32> = with(Vec::new(), |vm| {
        vm.plugin.tick(root);
        let held = |s: &Stream| s.root == root && s.held_since > 1;
        // A slow client must not switch holding off for everybody.
        if vm.plugin.hold_proven() || !vm.streams.iter().any(|(_, s)| held(s)) {
            return Vec::new();
        }
        let limit = abi::now().saturating_sub(HOLD_LIMIT_NS);
        let mut hung = Vec::new();
        for (id, s) in vm.streams.iter_mut().filter(|(_, s)| held(s) && s.held_since < limit && !s.has_body())
        {
            s.held_since = 0;
            vm.plugin.hold_failed(root);
            hung.push(*id);
        }
        hung
    });
    // Outside of the borrow: the host may call back while it resumes.
    hung.into_iter().for_each(abi::resume);
    with((), |vm| {
        // An end that is not told, by this client or (if by none before) by this host: then no reply waits for it again.
        let limit = abi::now().saturating_sub(END_LIMIT_NS);
        for (id, s) in vm.streams.iter_mut().filter(|(_, s)| s.root == root && s.waits_since(limit)) {
            vm.plugin.tells_end(false);
            abi::act_for(*id);
            s.refuse(&mut vm.plugin);
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(id: u32, _count: usize, end: u32) -> u32 {
    on_stream(id, |s, p| s.headers(p, end != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(id: u32, size: usize, end: u32) -> u32 {
    on_stream(id, |s, p| s.body(p, size, end != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(id: u32, _count: usize) -> u32 {
    on_stream(id, |s, p| s.trailers(p))
}

// There is no `proxy_on_done`: it would be entered for every stream, and for a root its end comes right after.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(id: u32) {
    with((), |vm| match vm.place(id) {
        Ok(at) => vm.streams.remove(at).1.done(&mut vm.plugin),
        Err(_) => vm.plugin.drop_root(id),
    });
}
