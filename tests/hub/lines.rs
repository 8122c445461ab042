//! Lines of a log that is followed.

use super::process::now;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Lines as a log shipper writes them.
pub fn lines(from: u64, n: u64) -> String {
    let one = |i: u64| {
        let t = now().0 as f64 / 1e9;
        format!(
            r#"{{"t":{t},"path":"/v1/chat/completions","headers":{{"authorization":"Bearer k{i}"}},"body":{{"messages":[{{"role":"user","content":"question {i} of the day"}}]}}}}"#
        ) + "\n"
    };
    (from..from + n).map(one).collect()
}

/// Appends to a log, or begins one.
pub fn append(path: &Path, text: &str) {
    File::options().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}
