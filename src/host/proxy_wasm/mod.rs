//! The proxy-wasm shell, on the `proxy-wasm` SDK: its contexts call the engine, and verdicts become effects.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | `Filter` (`RootContext`: one plugin configuration), `Request` (`HttpContext`: one request) |
//! | `plugin.rs` | what all contexts of a VM share: configurations, engines, metrics |
//! | `hub.rs` | calls to the hub, and their answers |
//! | `registry.rs` | requests that a tick must reach: the SDK's dispatcher owns the contexts, and hands none of them to a tick |
//! | `stream.rs`, `socket.rs` | a request, and a WebSocket, between callbacks |
//! | `calls.rs` | the host calls that the SDK cannot make without ending the VM, each with its reason |
//! | `wipe.rs` | the allocator, which wipes what is given back |
//!
//! The SDK's dispatcher ends the VM if a host calls for a context that it has not created, or creates one twice. No host that runs
//! filters on the SDK does.
//!
//! The SDK exports every callback of the ABI, and its traits know every host call. A host enters the VM for each callback that
//! exists, and refuses a module whose imports it does not offer: `weir-prune` (`make wasm`) takes out of the linked module what
//! is in neither of its two lists (responses, log, done, gRPC, TCP, queues).

mod calls;
#[cfg(feature = "chaos")]
mod chaos;
mod hub;
mod metrics;
mod plugin;
mod registry;
mod reply;
mod shared;
mod socket;
mod stream;
mod wipe;

use plugin::Plugin;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use std::cell::RefCell;
use std::rc::Rc;
use stream::Stream;

/// Longest time a stream is held at headers, nanoseconds.
const HOLD_LIMIT_NS: u64 = 1_000_000_000;
/// Longest time a reply waits for the end of a body whose last byte has come, nanoseconds.
const END_LIMIT_NS: u64 = 50_000_000;

thread_local! {
    // A VM is single-threaded: these are plain statics. The SDK makes root contexts by a function pointer, which holds nothing.
    static VM: RefCell<Plugin> = const { RefCell::new(Plugin::new()) };
}

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|id| Box::new(Filter { id }));
}}

/// The end of a call to the hub. `weir-prune` puts it in place of the SDK's own callback, which knows only
/// calls that the SDK has made.
#[unsafe(no_mangle)]
pub extern "C" fn weir_on_http_call_response(
    root: u32,
    _token: u32,
    _headers: usize,
    size: usize,
    _trailers: usize,
) {
    with((), |plugin| plugin.hub_answer(root, size));
}

/// Runs `f` on the VM's state; returns `otherwise` if a callback is re-entered (never seen; must not trap).
fn with<T>(otherwise: T, f: impl FnOnce(&mut Plugin) -> T) -> T {
    VM.with(|vm| match vm.try_borrow_mut() {
        Ok(mut plugin) => f(&mut plugin),
        Err(_) => otherwise,
    })
}

/// The host as a logger, which filters by its own level. The SDK's logger ends the VM if the host refuses a line.
struct HostLog;

impl log::Log for HostLog {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        let level = match record.level() {
            log::Level::Error => LogLevel::Error,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Info => LogLevel::Info,
            log::Level::Debug => LogLevel::Debug,
            log::Level::Trace => LogLevel::Trace,
        };
        calls::log(level, &record.args().to_string());
    }
    fn flush(&self) {}
}

/// Installs the logger, and says where a panic was and why, if the reason is a fixed text: one made for the occasion may quote a prompt.
fn install_logger() {
    if log::set_logger(&HostLog).is_ok() {
        log::set_max_level(log::LevelFilter::Trace);
        std::panic::set_hook(Box::new(|panic| {
            let at = panic.location().map_or_else(String::new, ToString::to_string);
            let why = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or_default();
            calls::log(LogLevel::Critical, &["weir: panicked at ", &at, ": ", why].concat());
        }));
        calls::log(LogLevel::Debug, concat!("weir: version ", env!("CARGO_PKG_VERSION")));
    }
}

/// One plugin configuration in this VM.
struct Filter {
    id: u32,
}

impl Context for Filter {}

impl RootContext for Filter {
    fn on_vm_start(&mut self, _size: usize) -> bool {
        install_logger();
        true
    }

    fn on_configure(&mut self, size: usize) -> bool {
        install_logger();
        with(false, |plugin| plugin.configure(self.id, size))
    }

    fn on_tick(&mut self) {
        let hung = with(Vec::new(), |plugin| {
            plugin.tick(self.id);
            plugin.hung_streams(self.id)
        });
        // Outside of the borrow: the host may call back while it resumes.
        hung.into_iter().for_each(calls::resume);
        with((), |plugin| plugin.answer_overdue(self.id));
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        let stream = Rc::new(RefCell::new(Stream::new(self.id)));
        Some(Box::new(Request { id, stream, registered: false }))
    }
}

// There is no `on_done`: it would be entered for every stream, and for a root its end comes right after.
impl Drop for Filter {
    fn drop(&mut self) {
        with((), |plugin| plugin.drop_root(self.id));
    }
}

/// One request.
struct Request {
    id: u32,
    stream: Rc<RefCell<Stream>>,
    /// True if it is registered, so that a tick can reach it.
    registered: bool,
}

impl Request {
    /// Runs a callback, then registers the stream if it waits for something that may never come. Once the
    /// request is decided, nothing of it may stay on the stack.
    fn on(&mut self, f: impl FnOnce(&mut Stream, &mut Plugin) -> Action) -> Action {
        let (answer, decided) = with((Action::Continue, false), |plugin| {
            let Ok(mut stream) = self.stream.try_borrow_mut() else { return (Action::Continue, false) };
            let answer = f(&mut stream, plugin);
            let waits = stream.waits();
            if waits != self.registered {
                self.registered = waits;
                plugin.waiting.set(self.id, waits.then(|| Rc::clone(&self.stream)));
            }
            (answer, stream.session.is_none())
        });
        if decided {
            wipe::stack();
        }
        answer
    }
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _count: usize, end: bool) -> Action {
        self.on(|stream, plugin| stream.headers(plugin, end))
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        self.on(|stream, plugin| stream.body(plugin, size, end))
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        self.on(|stream, plugin| stream.trailers(plugin))
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let undecided = with(false, |plugin| {
            if self.registered {
                plugin.waiting.set(self.id, None);
            }
            let Ok(mut stream) = self.stream.try_borrow_mut() else { return false };
            stream.done(plugin)
        });
        if undecided {
            wipe::stack();
        }
    }
}
