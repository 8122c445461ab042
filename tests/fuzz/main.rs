//! Fuzz targets: each takes any bytes, and panics where Weir does or where two readings that must be equal differ.
//!
//! With the feature `libfuzzer` the program is libFuzzer's, and `WEIR_FUZZ` names the target. Without, `weir-fuzz seeds DIR` writes the
//! corpora anew, and `weir-fuzz TARGET FILE…` repeats findings.
#![cfg_attr(feature = "libfuzzer", no_main)]
#![allow(
    dead_code,
    missing_docs,
    clippy::disallowed_types,
    reason = "it includes modules whole, and uses a part of each"
)]

extern crate self as weir;

#[path = "../../src/engine/mod.rs"]
pub mod engine;
#[path = "../../src/node/mod.rs"]
pub mod node;

/// What of the command line reads files of other people.
#[path = "../../src/bin/weir"]
mod commands {
    #[path = "audit/chain.rs"]
    pub mod chain;
    pub mod import;
    pub mod skip;
    pub mod trace;
}
use commands::{chain, import, skip, trace};

mod bodies;
mod files;
mod heads;
mod json;
mod seeds;
mod wires;

/// A target.
struct Target {
    name: &'static str,
    run: fn(&[u8]),
}

const TARGETS: &[Target] = &[
    Target { name: "json", run: json::run },
    Target { name: "dialects", run: bodies::dialects },
    Target { name: "unicode", run: bodies::unicode },
    Target { name: "multipart", run: bodies::multipart },
    Target { name: "frames", run: bodies::frames },
    Target { name: "path", run: heads::path },
    Target { name: "identity", run: heads::identity },
    Target { name: "requests", run: heads::requests },
    Target { name: "config", run: files::config },
    Target { name: "observations", run: wires::observations },
    Target { name: "shards", run: wires::shards },
    Target { name: "pages", run: wires::pages },
    Target { name: "exchange", run: wires::exchange },
    Target { name: "cells", run: wires::cells },
    Target { name: "trace", run: files::trace },
    Target { name: "import", run: files::import },
    Target { name: "audit", run: files::audit },
];

fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|t| t.name == name)
}

#[cfg(feature = "libfuzzer")]
mod entry {
    use std::sync::OnceLock;

    static RUN: OnceLock<fn(&[u8])> = OnceLock::new();

    libfuzzer_sys::fuzz_target!(
        init: {
            let name = std::env::var("WEIR_FUZZ").unwrap_or_default();
            let target = super::target(&name).unwrap_or_else(|| panic!("WEIR_FUZZ={name} is no target"));
            let _ = RUN.set(target.run);
        },
        |bytes: &[u8]| {
            if let Some(run) = RUN.get() {
                run(bytes);
            }
        }
    );
}

#[cfg(not(feature = "libfuzzer"))]
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["seeds", dir] => seeds::write(std::path::Path::new(dir)),
        [name, files @ ..] if target(name).is_some() => {
            for file in files {
                println!("{name} {file}");
                (target(name).expect("a target").run)(&std::fs::read(file).expect("a file"));
            }
        }
        _ => {
            eprintln!("usage: weir-fuzz seeds DIR, or weir-fuzz TARGET FILE...");
            TARGETS.iter().for_each(|t| eprintln!("  {}", t.name));
            std::process::exit(1);
        }
    }
}
