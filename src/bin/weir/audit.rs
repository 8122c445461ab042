//! `weir audit`: checks that the log of decisions and changes of verdicts has not been altered.

pub mod chain;

use crate::{BROKEN, OK, fail};
use chain::{LINE_BYTES, Verifier};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

/// Findings that are listed, at most.
const NAMED: usize = 20;

/// Verify the audit log of a hub: every act of people and every change of a verdict, chained by hashes
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Find what was changed, is missing or stands elsewhere, and print the head
    ///
    /// Exit status: 0 as it was written; 1 usage; 2 a file cannot be read; 4 it is not as it was written. A chain alone does not see that
    /// its end is cut off, nor that everything from a line on was written anew: give a head that was kept elsewhere.
    Verify(Verify),
}

#[derive(clap::Args)]
struct Verify {
    /// A head that was kept elsewhere (the hub logs it): a line must have this hash
    #[arg(long, value_name = "HASH", value_parser = hash)]
    head: Option<String>,
    /// The head that the first of these files was begun behind; without it they must begin with line 1
    #[arg(long, value_name = "HASH", value_parser = hash)]
    after: Option<String>,
    /// Files in their order, the oldest first
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Parses a head given as an option.
///
/// # Errors
/// A description of what it must be.
pub fn hash(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    let plain = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if plain { Ok(text) } else { Err("must be 64 hexadecimal digits".into()) }
}

pub fn run(args: &Args) -> u8 {
    let Command::Verify(v) = &args.command;
    let files: Vec<String> = v.files.iter().map(|f| f.display().to_string()).collect();
    let (mut verifier, mut rows) = (Verifier::default(), 0u64);
    for (i, path) in v.files.iter().enumerate() {
        match read(path, |row, line| verifier.line(i, row, line)) {
            Ok(n) => rows += n,
            Err(e) => return fail(path, e),
        }
    }
    let (findings, head) = verifier.end(v.after.as_deref(), v.head.as_deref());
    for f in findings.iter().take(NAMED) {
        println!("{}", f.text(&files));
    }
    if findings.len() > NAMED {
        println!("and {} more", findings.len() - NAMED);
    }
    match head {
        Some(h) => println!("{rows} lines, the last is {}, head {}", h.n, h.hash),
        None => println!("{rows} lines"),
    }
    if findings.is_empty() { OK } else { BROKEN }
}

/// Hands each line of a file to `each` with its row. Returns their number.
pub fn read(path: &std::path::Path, mut each: impl FnMut(u64, &[u8])) -> std::io::Result<u64> {
    let mut from = BufReader::new(std::fs::File::open(path)?);
    let (mut line, mut row) = (Vec::new(), 0);
    loop {
        line.clear();
        let n = std::io::Read::take(&mut from, LINE_BYTES).read_until(b'\n', &mut line)?;
        if n == 0 {
            return Ok(row);
        }
        row += 1;
        each(row, line.strip_suffix(b"\n").unwrap_or(&line));
    }
}
