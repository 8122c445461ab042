//! `weir except`: makes an entry of the configuration's `exceptions`, signed with the policy's seed. It
//! undoes an error on a node without a hub.

use crate::figures::utc;
use crate::{OK, USAGE, check};
use std::path::PathBuf;
use weir::engine::config::exceptions::{problems, signature};
use weir::engine::hash::Seed;

/// Make a line for `exceptions`: release, allow or deny a key, template or case for a time, signed with the policy's seed
///
/// Put the line into the list `exceptions` of the configuration and push it: what was learned stays. `weir explain` prints
/// the lines that undo a verdict. Exit status: 0 made; 1 usage, or a configuration that is refused or has no seed; 2 input
/// failed.
#[derive(clap::Args)]
pub struct Args {
    /// What is done: release (judged by limits alone), allow (passes), deny (is refused)
    #[arg(value_parser = ["release", "allow", "deny"])]
    verb: String,
    /// Of what: kid:, tid: or nid: and 16 hexadecimal digits; to release a case, the 8 of its number
    #[arg(value_name = "ID")]
    of: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who decides it
    #[arg(long, value_name = "NAME", env = "USER")]
    by: String,
    /// When it ends by itself: RFC 3339
    #[arg(long, value_name = "TIME", conflicts_with = "days")]
    until: Option<String>,
    /// Days after which it ends by itself
    #[arg(long, default_value_t = DAYS, value_parser = clap::value_parser!(u16).range(1..=3_650))]
    days: u16,
    /// Configuration with the policy's seed (or WEIR_SEED)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Days for which an exception holds by default.
pub const DAYS: u16 = 14;

/// An entry without its signature.
pub struct Line<'a> {
    pub verb: &'a str,
    pub of: &'a str,
    pub until: &'a str,
    pub by: &'a str,
    pub reason: &'a str,
}

impl Line<'_> {
    /// The signed entry as JSON.
    pub fn signed(&self, seed: &Seed) -> String {
        let Line { verb, of, until, by, reason } = self;
        let json = |t: &str| serde_json::Value::from(t).to_string();
        let signed = signature(seed, [verb, of, until, by, reason]);
        format!(
            "{{{}: {}, \"until\": {}, \"by\": {}, \"reason\": {}, \"signature\": \"{signed:016x}\"}}",
            json(verb),
            json(of),
            json(until),
            json(by),
            json(reason)
        )
    }
}

/// The time `days` days from now, RFC 3339.
pub fn in_days(days: u16) -> String {
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0);
    utc(now + u64::from(days) * 86_400)
}

/// The policy's seed, if the configuration or the environment has one.
///
/// # Errors
/// The exit status.
pub fn seed(config: &PathBuf) -> Result<Seed, u8> {
    let c = check::load(Some(config))?;
    if c.seed_is_derived {
        eprintln!("weir: {}: has no seed: set seed or WEIR_SEED, as the module has it", config.display());
        return Err(USAGE);
    }
    Ok(c.seed)
}

pub fn run(args: &Args) -> u8 {
    let seed = match seed(&args.config) {
        Ok(seed) => seed,
        Err(status) => return status,
    };
    let until = args.until.clone().unwrap_or_else(|| in_days(args.days));
    let line = Line { verb: &args.verb, of: &args.of, until: &until, by: &args.by, reason: &args.reason }
        .signed(&seed);
    // What the module would refuse is not printed.
    let list = serde_json::from_str(&line).map(|v: serde_json::Value| serde_json::json!({"exceptions": [v]}));
    let wrong = list.map(|v| problems(&v, &seed).0).unwrap_or_default();
    if !wrong.is_empty() {
        wrong
            .iter()
            .for_each(|p| eprintln!("weir: {} {}", p.path.trim_start_matches("exceptions[0]."), p.message));
        return USAGE;
    }
    println!("{line}");
    OK
}
