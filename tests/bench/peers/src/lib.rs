//! Three filters as one would write them with the SDK: `empty` does nothing, `copy` reads the body, `value` parses it with serde_json and
//! looks at the messages. None decides anything, remembers anything or takes a fingerprint.

use proxy_wasm::traits::{Context, HttpContext};
#[cfg(any(feature = "copy", feature = "value"))]
use proxy_wasm::types::Action;

struct Peer;

impl Context for Peer {}

impl HttpContext for Peer {
    #[cfg(any(feature = "copy", feature = "value"))]
    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        if !end {
            return Action::Pause;
        }
        let body = self.get_http_request_body(0, size).unwrap_or_default();
        #[cfg(feature = "value")]
        if let Ok(v) = serde_json::from_slice::<serde_json::Value>(&body) {
            let text = |m: &serde_json::Value| m["content"].as_str().map_or(0, str::len);
            std::hint::black_box(v["messages"].as_array().map_or(0, |all| all.iter().map(text).sum::<usize>()));
        }
        std::hint::black_box(&body);
        Action::Continue
    }
}

proxy_wasm::main! {{
    proxy_wasm::set_http_context(|_, _| Box::new(Peer));
}}
