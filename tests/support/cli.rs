//! The command as users run it, and what it says.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "tests: none needs all of it")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs `weir` with nothing on its standard input.
pub fn weir(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir")).args(args).stdin(Stdio::null()).output().unwrap()
}

pub fn out(o: &Output) -> String {
    String::from_utf8(o.stdout.clone()).unwrap()
}

pub fn err(o: &Output) -> String {
    String::from_utf8(o.stderr.clone()).unwrap()
}

pub fn json_of(o: &Output) -> Value {
    serde_json::from_slice(&o.stdout).unwrap_or_else(|e| panic!("{e}: {}", err(o)))
}

pub fn path(p: &Path) -> &str {
    p.to_str().unwrap()
}
