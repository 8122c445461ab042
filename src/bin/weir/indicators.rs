//! `weir indicators`: exchange of templates of campaigns between two organisations, as signed hashes under a
//! seed that they share for this purpose alone.

mod counts;
mod export;
mod form;
mod import;
mod traffic;

use crate::explain::record::is_hex;
use crate::figures::{count, grouped, utc};
use crate::{BROKEN, NOTHING, OK, SKIPPED, USAGE, check, fail};
use form::Indicators;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use weir::engine::hash::Seed;

/// Exchange templates of campaigns with another organisation: signed, with an end, hashes only
///
/// Both share an exchange seed, for phrases of templates alone; each keeps the seed of its own policy. No hash of a key, of a network or of
/// a whole prompt is exchanged. An import blocks nothing.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Export(Export),
    Import(Import),
    Verify(Verify),
}

/// Write what own logs show of campaigns
///
/// The logs are replayed under the policy's seed to find campaigns, then read again under the exchange seed. Exit status: 0 done; 1 usage; 2
/// input or output failed; 3 no campaign was found, or lines were skipped.
#[derive(clap::Args)]
struct Export {
    /// The own configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Holds the seed that is shared with the partner: 64 hexadecimal digits (`openssl rand -hex 32`)
    #[arg(long, value_name = "FILE")]
    exchange_seed_file: PathBuf,
    /// Holds the key that signs (`openssl genpkey -algorithm ed25519`)
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// Who says so
    #[arg(long, value_name = "NAME")]
    issuer: String,
    /// Days that it holds
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=form::MOST_DAYS))]
    days: u64,
    /// One campaign, by its number; without it all of them
    #[arg(long, value_name = "CAMPAIGN", value_parser = campaign)]
    case: Option<u32>,
    /// Where it is written
    #[arg(long, value_name = "FILE", default_value = "indicators.json")]
    out: PathBuf,
    /// Own logs, as `weir replay` reads them
    #[arg(value_name = "TRACE", required = true)]
    traces: Vec<PathBuf>,
}

/// Look for a partner's indicators in own logs
///
/// Tells who sends them here and since when, and what one's own hashes of them are. Nothing is blocked: --entries writes a configuration in
/// shadow mode, and nothing at all of what honest-looking keys send here. Exit status: 0 found; 1 usage; 2 input or output failed; 3
/// nobody sends any of it, or lines were skipped; 4 a file is refused.
#[derive(clap::Args)]
struct Import {
    /// The own configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Holds the seed that is shared with the partner
    #[arg(long, value_name = "FILE")]
    exchange_seed_file: PathBuf,
    /// The partner's public key (PEM)
    #[arg(long, value_name = "FILE")]
    partner_key: PathBuf,
    /// What the partner has sent
    #[arg(long, value_name = "FILE", required = true)]
    indicators: Vec<PathBuf>,
    /// Write what is proposed: `deny` entries of own template hashes, in shadow mode
    #[arg(long, value_name = "FILE")]
    entries: Option<PathBuf>,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
    /// Own logs, as `weir replay` reads them
    #[arg(value_name = "TRACE", required = true)]
    traces: Vec<PathBuf>,
}

/// Check signature, version and end of indicators, and tell what is in them
///
/// Exit status: 0 good; 1 usage; 2 a file cannot be read; 4 a file is refused.
#[derive(clap::Args)]
struct Verify {
    /// The partner's public key (PEM)
    #[arg(long, value_name = "FILE")]
    partner_key: PathBuf,
    /// What the partner has sent
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

fn campaign(text: &str) -> Result<u32, String> {
    let plain = is_hex(&text.to_ascii_lowercase(), 8);
    let number = u32::from_str_radix(text, 16).ok().filter(|n| plain && *n != 0);
    number.ok_or_else(|| "must be 8 hexadecimal digits: a campaign's number".into())
}

pub fn run(args: &Args) -> u8 {
    let done = match &args.command {
        Command::Export(a) => export(a),
        Command::Import(a) => import(a),
        Command::Verify(a) => verify(a),
    };
    match done {
        Ok(status) | Err(status) => status,
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

fn usage(path: &Path, why: impl std::fmt::Display) -> u8 {
    fail(path, why);
    USAGE
}

fn seed(path: &Path) -> Result<Seed, u8> {
    let text = std::fs::read_to_string(path).map_err(|e| fail(path, e))?;
    Seed::from_hex(text.trim())
        .ok_or_else(|| usage(path, "must hold 64 hexadecimal digits (`openssl rand -hex 32`)"))
}

/// Refuses standard input, because the traces are read several times.
fn no_stdin(traces: &[PathBuf]) -> Result<(), u8> {
    match traces.iter().any(|t| t.as_os_str() == "-") {
        true => Err(usage(Path::new("-"), "the logs are read more than once: write them to a file")),
        false => Ok(()),
    }
}

/// Refuses an exchange seed that is the policy's own: with it a partner could recognise keys by their hashes.
fn apart(own: &Seed, exchange: &Seed, path: &Path) -> Result<(), u8> {
    match own == exchange {
        true => Err(usage(
            path,
            "is the policy's own seed, which must stay secret: make another one (`openssl rand -hex 32`)",
        )),
        false => Ok(()),
    }
}

fn export(args: &Export) -> Result<u8, u8> {
    no_stdin(&args.traces)?;
    let key = form::signing_key(&args.key_file).map_err(|e| usage(&args.key_file, e))?;
    let exchange = seed(&args.exchange_seed_file)?;
    let config = Arc::new(check::load(Some(&args.config))?);
    apart(&config.seed, &exchange, &args.exchange_seed_file)?;
    let found =
        export::find(&config, &exchange, args.case, &args.traces).map_err(|(path, e)| fail(&path, e))?;
    found.notes.iter().for_each(|n| eprintln!("weir: {n}"));
    let created_s = now_s();
    let (indicators, of): (Vec<_>, Vec<_>) = found.indicators.into_iter().unzip();
    let all = Indicators {
        weir: "indicators".into(),
        version: form::VERSION,
        issuer: args.issuer.clone(),
        created_s,
        expires_s: created_s + args.days * 86_400,
        exchange: format!("{:08x}", exchange.check()),
        indicators,
    };
    all.check().map_err(|e| usage(&args.out, e))?;
    if all.indicators.is_empty() {
        eprintln!("weir: nothing to tell: no campaign with a template of its own is in these logs");
        return Err(NOTHING);
    }
    let text = form::write(&all, &key).map_err(|e| fail(&args.out, e))?;
    std::fs::write(&args.out, text).map_err(|e| fail(&args.out, e))?;
    tell(&all);
    for (i, campaign) in all.indicators.iter().zip(&of) {
        println!("{} is campaign {campaign} here (which is not in the file)", i.id);
    }
    Ok(if found.skipped > 0 { SKIPPED } else { OK })
}

/// Prints the content of a file for people.
fn tell(all: &Indicators) {
    println!(
        "{} of {}, made {}, until {}, exchange seed {}",
        count(all.indicators.len() as u64, "indicator", "indicators"),
        all.issuer,
        utc(all.created_s),
        utc(all.expires_s),
        all.exchange
    );
    let mut rows = crate::table::new(3, &["indicator", "from", "to", "phrases", "keys", "requests", "nats"]);
    for i in &all.indicators {
        rows.add_row([
            i.id.clone(),
            utc(i.from_s),
            utc(i.to_s),
            i.phrases.len().to_string(),
            grouped(i.keys),
            grouped(i.requests),
            i.nats.to_string(),
        ]);
    }
    println!("{}", rows.trim_fmt());
}

/// Reads a partner's files. Refused ones are reported.
fn read(files: &[PathBuf], key: &Path, exchange: Option<u32>) -> Result<Vec<Indicators>, u8> {
    let key = form::partner_key(key).map_err(|e| usage(key, e))?;
    let (mut out, mut refused) = (Vec::new(), false);
    for path in files {
        use std::io::Read;
        let mut text = Vec::new();
        let file = std::fs::File::open(path).map_err(|e| fail(path, e))?;
        file.take(form::MOST_BYTES + 1).read_to_end(&mut text).map_err(|e| fail(path, e))?;
        match form::read(&text, &key, now_s(), exchange) {
            Ok(all) => out.push(all),
            Err(why) => {
                fail(path, format!("refused: {why}"));
                refused = true;
            }
        }
    }
    if refused { Err(BROKEN) } else { Ok(out) }
}

fn verify(args: &Verify) -> Result<u8, u8> {
    read(&args.files, &args.partner_key, None)?.iter().for_each(tell);
    Ok(OK)
}

fn import(args: &Import) -> Result<u8, u8> {
    no_stdin(&args.traces)?;
    let exchange = seed(&args.exchange_seed_file)?;
    let all = read(&args.indicators, &args.partner_key, Some(exchange.check()))?;
    let config = Arc::new(check::load(Some(&args.config))?);
    apart(&config.seed, &exchange, &args.exchange_seed_file)?;
    let (matches, skipped) =
        import::find(&config, &exchange, &all, &args.traces).map_err(|(path, e)| fail(&path, e))?;
    if args.json {
        let json = serde_json::to_string_pretty(&matches).map_err(|e| fail(Path::new("the matches"), e))?;
        println!("{json}");
    } else {
        matches.iter().for_each(tell_match);
    }
    if let Some(path) = &args.entries {
        let text = format!("{:#}\n", import::proposal(&matches));
        std::fs::write(path, text).map_err(|e| fail(path, e))?;
    }
    let found = matches.iter().any(|m| m.keys > 0);
    Ok(match (found, skipped) {
        (false, _) => NOTHING,
        (true, 0) => OK,
        (true, _) => SKIPPED,
    })
}

fn tell_match(m: &import::Match) {
    println!("{} of {} ({} nats there)", m.indicator, m.issuer, m.nats_of_issuer);
    if let (Some(first), Some(last)) = (m.first_s, m.last_s) {
        println!(
            "  {} of {} carry {} or more of its phrases, {} to {}; {} look honest",
            count(m.requests, "request", "requests"),
            count(m.keys as u64, "key", "keys"),
            m.need_phrases,
            utc(first),
            utc(last),
            m.keys_honest
        );
    }
    match &m.held_back {
        Some(why) => println!("  nothing is proposed: {why}"),
        None => println!("  here it is {}", m.templates.join(", ")),
    }
    m.senders.iter().take(4).for_each(|k| println!("    {k}"));
    if m.keys > 4 {
        println!("    and {} more", m.keys - 4);
    }
}
