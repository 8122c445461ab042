//! `weir explain`: looks up a case id or a key in decision logs and tells its verdicts in plain language.

pub mod record;
mod story;
pub mod words;

use crate::lines::{Item, Lines};
use crate::{IO, NOTHING, OK, except, fail, figures};
use record::{Own, Record};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::PathBuf;
use story::Story;
use weir::engine::hash::Seed;

/// Malformed records that are listed, at most.
const NAMED: u64 = 20;

/// Explain a verdict from decision logs: what was done to a key, on what evidence, and how to undo it
///
/// Finds the filter's decision records wherever they stand in a line: Envoy's log, a log shipper's JSON, files of `weir
/// replay --records`; plain, .gz or .zst. Exit status: 0 found; 1 usage; 2 input or output failed; 3 nothing found.
#[derive(clap::Args)]
pub struct Args {
    /// Case id as in the reply (8 hexadecimal digits), or a key (kid: and 16)
    #[arg(value_name = "CASE|kid:KEY", value_parser = wanted)]
    wanted: Wanted,
    /// Logs, in any order; - (or none) reads standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the records found as one JSON array, as they were written
    #[arg(long)]
    json: bool,
    /// Configuration with the policy's seed (or WEIR_SEED): the lines that undo a verdict are printed signed, ready to paste
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone)]
enum Wanted {
    Case(String),
    Key(String),
}

fn wanted(text: &str) -> Result<Wanted, String> {
    let text = text.to_ascii_lowercase();
    if record::is_hex(&text, 8) {
        Ok(Wanted::Case(text))
    } else if record::is_id(&text, "kid:") {
        Ok(Wanted::Key(text))
    } else {
        Err("must be 8 hexadecimal digits (a case id), or kid: and 16 (a key)".into())
    }
}

/// Content of the logs on any key, to find the members of a sample.
struct Seen {
    key: String,
    campaign: String,
    blocked: bool,
}

#[derive(Default)]
struct Logs {
    /// By policy and key.
    stories: BTreeMap<(String, String), Story>,
    /// Records of convictions by the ledger, by policy and key: with several workers the workers' records
    /// carry no evidence.
    ledger: BTreeMap<(String, String), Record>,
    /// Raw text of what was found.
    found: Vec<String>,
    /// By policy and sampling hash, then by key: a tenant's keys share one hash.
    seen: HashMap<(String, String), Vec<Seen>>,
    /// The policy's seed, to sign exceptions with.
    seed: Option<Seed>,
    /// Number of records, of any key.
    records: u64,
    malformed: u64,
}

pub fn run(args: &Args) -> u8 {
    let mut logs = Logs::default();
    match args.config.as_ref().map(except::seed) {
        Some(Err(status)) => return status,
        Some(Ok(seed)) => logs.seed = Some(seed),
        None => {}
    }
    let stdin = [PathBuf::from("-")];
    for path in if args.files.is_empty() { &stdin[..] } else { &args.files } {
        if let Err(e) = logs.read(path, args) {
            return fail(path, e);
        }
    }
    if logs.malformed > 0 {
        eprintln!("weir: {}", figures::count(logs.malformed, "malformed record", "malformed records"));
    }
    let mut out = String::new();
    if args.json {
        out = format!("[{}]\n", logs.found.join(",\n"));
    }
    for (i, ((policy, key), story)) in logs.stories.iter().enumerate().filter(|_| !args.json) {
        if i > 0 {
            out.push('\n');
        }
        logs.tell(policy, key, story, &mut out);
    }
    // A reader that leaves early is no reason to panic.
    if let Err(e) = std::io::stdout().lock().write_all(out.as_bytes()) {
        eprintln!("weir: standard output: {e}");
        return IO;
    }
    if logs.stories.is_empty() {
        let what = match &args.wanted {
            Wanted::Case(c) => format!("case {c}"),
            Wanted::Key(k) => k.clone(),
        };
        eprintln!("weir: nothing about {what} among {}", figures::count(logs.records, "record", "records"));
        return NOTHING;
    }
    OK
}

impl Logs {
    fn read(&mut self, path: &std::path::Path, args: &Args) -> std::io::Result<()> {
        let mut lines = Lines::open(path)?;
        let mut number = 0u64;
        while let Some(item) = lines.next()? {
            number += 1;
            let result = match item {
                Item::TooLong => Some(Err(format!("line is longer than {} bytes", crate::lines::MAX_LINE))),
                Item::Line(text) => record::find(text),
            };
            match result {
                None => {}
                Some(Ok((r, raw))) => self.take(r, raw, args),
                Some(Err(e)) => {
                    self.malformed += 1;
                    if self.malformed <= NAMED {
                        eprintln!("{}:{number}: malformed record: {e}", path.display());
                    }
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, r: Record, raw: String, args: &Args) {
        self.records += 1;
        if let Some(sample) = r.sample.clone().filter(|s| s != "00000000") {
            let seen = self.seen.entry((r.policy.clone(), sample)).or_default();
            let at = seen.iter().position(|s| s.key == r.key).unwrap_or_else(|| {
                seen.push(Seen { key: r.key.clone(), campaign: String::new(), blocked: false });
                seen.len() - 1
            });
            seen[at].blocked |= r.would == "block";
            if r.campaign != "00000000" {
                seen[at].campaign.clone_from(&r.campaign);
            }
        }
        let hit = match &args.wanted {
            Wanted::Case(c) => r.case.as_ref() == Some(c),
            Wanted::Key(k) => r.key == *k,
        };
        let name = (r.policy.clone(), r.key.clone());
        let of_ledger = r.at.as_deref() == Some("ledger");
        if hit && args.json {
            self.found.push(raw);
        }
        if of_ledger {
            self.ledger.insert(name, r);
            return;
        }
        if !hit {
            return;
        }
        match self.stories.get_mut(&name) {
            Some(story) => story.add(r),
            None => {
                self.stories.insert(name, Story::new(r));
            }
        }
    }

    fn tell(&self, policy: &str, key: &str, s: &Story, out: &mut String) {
        let r = &s.best;
        let cases: Vec<&str> = s.cases.iter().map(String::as_str).collect();
        let cases = if cases.is_empty() { "no case".into() } else { format!("case {}", cases.join(", ")) };
        out.push_str(&format!("{key}  {cases}  policy {policy}  profile {}\n\n", r.profile));
        s.history(out);
        out.push_str(&format!("\nWhy ({} of {})\n", r.would, figures::utc(r.t_ms / 1000)));
        wrapped(&words::reason(r), out);
        if r.evidence.matched > 0 {
            let e = &r.evidence;
            wrapped(
                &format!(
                    "Of {} sampled from this request, {} confirmed as the campaign's.",
                    figures::count(e.values.into(), "phrase", "phrases"),
                    figures::count(e.matched.into(), "is", "are")
                ),
                out,
            );
        }
        let told = self.ledger.get(&(policy.to_string(), key.to_string()));
        self.evidence(policy, if r.group.is_none() { told.unwrap_or(r) } else { r }, out);
        out.push_str("\nThe key itself\n");
        let few = || {
            let e = &r.evidence;
            if (e.requests, e.strikes) == (0, 0) {
                return "The worker that decided had no record of it, and needed none.".into();
            }
            let requests = figures::count(e.requests, "request", "requests");
            format!("{requests}, {} counted against it.", figures::count(e.strikes.into(), "block", "blocks"))
        };
        let own = r.own.as_ref().or_else(|| told.and_then(|t| t.own.as_ref()));
        wrapped(&own.map_or_else(few, behaviour), out);
        if let Some(odds) = own.and_then(words::odds) {
            wrapped(&odds, out);
        }
        out.push_str("\nIf this is an error\n");
        out.push_str(&words::remedy(r));
        words::exceptions(r, self.seed.as_ref(), out);
    }

    fn evidence(&self, policy: &str, r: &Record, out: &mut String) {
        let Some(g) = &r.group else {
            let campaign = ["convicted", "template", "network", "profile"].contains(&r.reason.as_str());
            if campaign {
                out.push_str("\nEvidence\n");
                wrapped(
                    "The record carries no group: it was given up, or an older version wrote the record.",
                    out,
                );
            }
            return;
        };
        out.push_str(&format!("\nEvidence: {} {}, {}", words::kind(g), g.id, g.state));
        if g.since_s > 0 {
            out.push_str(&format!(", its case since {}", figures::utc(g.since_s)));
        }
        out.push('\n');
        wrapped(
            &format!(
                "About {} share it, {} at the time. {}",
                figures::count(g.keys, "key", "keys"),
                figures::count(g.requests, "request", "requests"),
                words::standing(g)
            ),
            out,
        );
        words::explanations(g, out);
        let mut text = format!(
            "Young: {} % of its keys. Openings: {} % of its requests, and {} % of those were never sent before.",
            g.young_percent, g.single_percent, g.novel_percent
        );
        if let Some(old) = g.old_percent {
            text.push_str(&format!(" Old keys sent {old} % of the openings."));
        }
        if let Some(share) = g.campaign_percent.filter(|_| g.nats.is_some_and(|n| n > 0)) {
            text.push_str(&format!(" Of its keys about {share} % are the campaign's."));
        }
        wrapped(&text, out);
        self.sample(policy, r, g, out);
    }

    /// The keys that the evidence was sampled from, as far as these logs show.
    fn sample(&self, policy: &str, r: &Record, g: &record::Group, out: &mut String) {
        let of = |hash: &String| self.seen.get(&(policy.to_string(), hash.clone()));
        let known: Vec<&Seen> = g.sampled_keys.iter().filter_map(of).flatten().collect();
        let hashes = g.sampled_keys.iter().filter(|h| of(h).is_some()).count();
        let blocked = known.iter().filter(|s| s.blocked).count();
        let own = r.sample.as_ref().is_some_and(|s| g.sampled_keys.contains(s));
        let campaign = self.seen.iter().filter(|((p, _), _)| p == policy).flat_map(|(_, seen)| seen);
        let members = campaign.filter(|s| r.campaign != "00000000" && s.campaign == r.campaign).count();
        let mut text = format!(
            "The figures come from a sample of {} by hash; {hashes} of them are in these logs ({} blocked), and this key is {}.",
            figures::count(g.sampled_keys.len() as u64, "key", "keys"),
            figures::count(blocked as u64, "key", "keys"),
            if own { "one of the sample" } else { "not in the sample" }
        );
        if members > 0 {
            text.push_str(&format!(
                " {} of campaign {} in these logs.",
                figures::count(members as u64, "key is", "keys are"),
                r.campaign
            ));
        }
        wrapped(&text, out);
        for s in known.iter().take(4) {
            out.push_str(&format!("    {}{}\n", s.key, if s.blocked { "  blocked" } else { "" }));
        }
        if known.len() > 4 {
            out.push_str(&format!("    and {} more\n", known.len() - 4));
        }
    }
}

fn behaviour(o: &Own) -> String {
    let age = if o.age_hours < 96 {
        figures::count(o.age_hours, "hour", "hours")
    } else {
        format!("{} days", o.age_hours / 24)
    };
    let age = match o.age.as_str() {
        "created" => format!("made {age} before"),
        "unknown" => format!("first seen {age} before, while learning, so its age is not known"),
        _ => format!("first seen {age} before"),
    };
    let mut out = format!(
        "{}, {age}; {}. {}: {} % of the recent ones open a conversation, {} % repeat a text that was sent before, {} % of its openings match \
         the campaign. {} matched as a template; {} counted against it.",
        if o.young { "Young" } else { "Not young" },
        if o.automatic {
            "automatic: never asleep, spread over the hour"
        } else {
            "not known to be automatic"
        },
        figures::count(o.requests, "request", "requests"),
        o.openings_percent,
        o.repeats_percent,
        o.matches_percent,
        figures::count(o.hits.into(), "request", "requests"),
        figures::count(o.strikes.into(), "block", "blocks"),
    );
    if o.shared > 0 {
        out.push_str(&format!(
            " In {} of 64 classes of prompts another key had sent the same within the hour.",
            o.shared
        ));
    }
    if o.convicted {
        out.push_str(" It is convicted.");
    }
    out
}

/// Appends prose in lines of about 100 columns, indented by two.
fn wrapped(text: &str, out: &mut String) {
    let mut width = 0;
    for word in text.split_whitespace() {
        let n = word.chars().count();
        if width == 0 || width + 1 + n > 98 {
            out.push_str(if width == 0 { "  " } else { "\n  " });
            width = n;
        } else {
            out.push(' ');
            width += n + 1;
        }
        out.push_str(word);
    }
    out.push('\n');
}
