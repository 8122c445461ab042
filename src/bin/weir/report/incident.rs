//! The dossier of one campaign, for security, customers or a regulator: figures, then the same in words.

use super::doc::{Block, Document, Section};
use super::facts::{self, Evidence, Point};
use super::logs::{Logs, NONE};
use super::told;
use crate::audit::chain::Verifier;
use crate::figures::{count, grouped, utc};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Lines of the history that are listed, at most.
const EVENTS: usize = 200;
/// Findings of the audit chain that are listed, at most.
const FINDINGS: usize = 20;
/// Keys that are listed, at most.
const KEYS: usize = 1_000;
const KEYS_A_LINE: usize = 4;

#[derive(Debug, Serialize)]
pub struct Dossier {
    pub weir: &'static str,
    pub version: &'static str,
    pub asked_for: String,
    pub campaign: String,
    pub policy: String,
    pub modes: Vec<String>,
    pub basis: &'static str,
    pub scope: Scope,
    pub evidence: Option<Evidence>,
    pub strength: Vec<String>,
    pub served: Served,
    pub events: Vec<Event>,
    pub events_more: usize,
    pub undo: Vec<String>,
    pub audit: Option<Audit>,
    pub mappings: Vec<Mapping>,
    /// Keys that were blocked, and keys that were only tagged: hashes.
    pub keys_blocked: Vec<String>,
    pub keys_tagged: Vec<String>,
    pub keys_more: usize,
}

#[derive(Debug, Serialize)]
pub struct Scope {
    pub first_s: u64,
    pub last_s: u64,
    pub evidence_since_s: Option<u64>,
    pub accounts_blocked: usize,
    pub accounts_tagged_only: usize,
    /// Keys that share the template, as counted by the ledger.
    pub accounts_counted: Option<u64>,
    /// Requests that carry the template, as counted by the ledger; and all requests of the blocked keys in
    /// the logs.
    pub requests_counted: Option<u64>,
    pub requests_of_blocked: u64,
    pub growth: Vec<Point>,
}

/// Requests of the blocked keys that reached the model.
#[derive(Debug, Serialize)]
pub struct Served {
    pub first_block_s: Option<u64>,
    pub first_reason: Option<String>,
    /// Requests served before the campaign's first block, and after it; `None` if the logs do not cover every
    /// request.
    pub before: Option<u64>,
    pub after: Option<u64>,
    pub rejected: Option<u64>,
    /// Sum over the blocked keys of the requests that the ledger knew of before each key's first block. From
    /// records.
    pub before_own_block: u64,
    pub in_words: String,
}

#[derive(Debug, Serialize)]
pub struct Event {
    pub t_s: u64,
    /// `log`: from decision logs; `audit`: from a line of the audit log.
    pub from: &'static str,
    pub what: String,
}

#[derive(Debug, Serialize)]
pub struct Audit {
    pub files: Vec<String>,
    pub lines: u64,
    pub whole: bool,
    pub head: Option<String>,
    pub findings: Vec<String>,
    pub lines_of_this_case: usize,
}

#[derive(Debug, Serialize)]
pub struct Mapping {
    pub framework: &'static str,
    pub id: &'static str,
    pub name: &'static str,
    pub url: &'static str,
    pub how: String,
}

/// The campaign with a number, or with a case id.
///
/// # Errors
/// A message: there is none.
pub fn campaign_of(logs: &Logs, case: &str) -> Result<String, String> {
    if logs.campaigns.contains_key(case) && case != NONE {
        return Ok(case.into());
    }
    if let Some((name, _)) = logs.campaigns.iter().find(|(_, c)| c.cases.contains(case)) {
        return Ok(name.clone());
    }
    let known = logs.keys.iter().find(|k| k.case.as_deref() == Some(case));
    Err(match known {
        Some(k) => {
            format!("case {case} is of no campaign (reason {}): `weir explain {case}` tells it", k.reason)
        }
        None => format!(
            "nothing about campaign or case {case} among {}",
            count(logs.records, "record", "records")
        ),
    })
}

/// The audit log verified, with the lines of this case.
///
/// # Errors
/// The path of a file that cannot be read, and why.
pub fn audit(
    files: &[PathBuf],
    head: Option<&str>,
    campaign: &str,
    logs: &Logs,
) -> Result<(Audit, Vec<Event>), (PathBuf, std::io::Error)> {
    let names: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    let (mut verifier, mut lines, mut events) = (Verifier::default(), 0, Vec::new());
    for (i, path) in files.iter().enumerate() {
        let read = crate::audit::read(path, |row, line| {
            verifier.line(i, row, line);
            events.extend(event(line, campaign, logs));
        });
        lines += read.map_err(|e| (path.clone(), e))?;
    }
    let (findings, head) = verifier.end(None, head);
    let audit = Audit {
        files: names.clone(),
        lines,
        whole: findings.is_empty() && lines > 0,
        head: head.map(|h| h.hash),
        findings: findings.iter().take(FINDINGS).map(|f| f.text(&names)).collect(),
        lines_of_this_case: events.len(),
    };
    Ok((audit, events))
}

/// A line of the audit log, if it is about the campaign or one of its keys.
fn event(line: &[u8], campaign: &str, logs: &Logs) -> Option<Event> {
    let v: Value = serde_json::from_slice(line).ok()?;
    let word = |name: &str| v.get(name).and_then(Value::as_str).unwrap_or_default();
    let clean =
        |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(256).collect::<String>();
    let of_key = logs.campaigns.get(campaign).is_some_and(|c| c.seen.contains_key(word("key")));
    let of_value = !word("template").is_empty()
        && logs
            .campaigns
            .get(campaign)
            .and_then(|c| c.best.as_ref())
            .is_some_and(|(_, g)| g.id == word("template"));
    if word("case") != campaign && !of_key && !of_value {
        return None;
    }
    let keys = v.get("keys").and_then(Value::as_array).map_or(0, Vec::len) as u64;
    let what = match word("event") {
        "case_opened" => "the case was opened".into(),
        "case_ended" => "the case ended".into(),
        "convicted" => format!("{} convicted", count(keys, "key was", "keys were")),
        "acquitted" => format!("{} acquitted", count(keys, "key was", "keys were")),
        "act" => {
            let of = [("case", "the case"), ("key", "key"), ("template", "template")]
                .into_iter()
                .find(|k| !word(k.0).is_empty());
            let of = of.map_or_else(String::new, |(k, name)| {
                if k == "case" { name.into() } else { format!("{name} {}", clean(word(k))) }
            });
            let until = v
                .get("until_s")
                .and_then(Value::as_u64)
                .map_or_else(String::new, |t| format!(", until {}", utc(t)));
            format!("people decided: {} {of}{until} (reason: {})", clean(word("verb")), clean(word("reason")))
        }
        "exception_ended" => format!("a decision of people ended: {}", clean(word("verb"))),
        other => clean(other),
    };
    Some(Event { t_s: v.get("t_ms").and_then(Value::as_u64).unwrap_or(0) / 1000, from: "audit", what })
}

pub fn dossier(
    logs: &Logs,
    asked_for: &str,
    campaign: &str,
    audit: Option<(Audit, Vec<Event>)>,
) -> Option<Dossier> {
    let c = logs.campaigns.get(campaign)?;
    let evidence = c.best.as_ref().map(|(t, g)| facts::evidence(*t, g));
    let (audit, told) = audit.map_or((None, Vec::new()), |(a, e)| (Some(a), e));
    let by_lines = !logs.lines.is_empty();
    let mut events = events(c);
    events.extend(told);
    events.sort_by_key(|e| e.t_s);
    let events_more = events.len().saturating_sub(EVENTS);
    events.truncate(EVENTS);
    let keys = |blocked: bool| {
        c.seen
            .keys()
            .filter(move |k| c.blocked.contains_key(*k) == blocked)
            .take(KEYS)
            .cloned()
            .collect::<Vec<_>>()
    };
    let (keys_blocked, keys_tagged) = (keys(true), keys(false));
    // Anybody may write to a log: sums of mad figures stay figures.
    let requests_of_blocked =
        c.blocked.keys().filter_map(|k| logs.find(k)).fold(0u64, |n, k| n.saturating_add(k.count()));
    Some(Dossier {
        weir: "incident",
        version: env!("CARGO_PKG_VERSION"),
        asked_for: asked_for.into(),
        campaign: campaign.into(),
        policy: c.policy.clone(),
        modes: c.modes.iter().cloned().collect(),
        basis: if by_lines { "requests" } else { "records" },
        scope: Scope {
            first_s: c.first_ms / 1000,
            last_s: c.last_ms / 1000,
            evidence_since_s: (c.since_s > 0).then_some(c.since_s),
            accounts_blocked: c.blocked.len(),
            accounts_tagged_only: c.seen.len() - c.blocked.len(),
            accounts_counted: c.growth.values().map(|g| g.0).max(),
            requests_counted: c.growth.values().map(|g| g.1).max(),
            requests_of_blocked,
            growth: facts::growth(c),
        },
        strength: strength(evidence.as_ref()),
        served: served(logs, c),
        events,
        events_more,
        undo: undo(campaign, evidence.as_ref()),
        audit,
        mappings: mappings(),
        keys_more: c.seen.len() - keys_blocked.len() - keys_tagged.len(),
        keys_blocked,
        keys_tagged,
        evidence,
    })
}

fn events(c: &super::logs::Campaign) -> Vec<Event> {
    let mut out = Vec::new();
    let mut add = |t_s: u64, what: String| out.push(Event { t_s, from: "log", what });
    if c.since_s > 0 {
        add(c.since_s, "the evidence sufficed: the template was confirmed as a campaign's".into());
    }
    if let Some((t, reason)) = &c.first_block {
        add(t / 1000, format!("the first of its requests was decided to be blocked (reason {reason})"));
    }
    let mut blocked: Vec<u64> = c.blocked.values().copied().collect();
    blocked.sort_unstable();
    for percent in [50, 90, 100] {
        if let Some(t) = (blocked.len() * percent).div_ceil(100).checked_sub(1).and_then(|at| blocked.get(at))
        {
            add(t / 1000, format!("{percent} % of the {} blocked keys had been blocked", blocked.len()));
        }
    }
    add(c.last_ms / 1000, "the last record that names it".into());
    out
}

fn served(logs: &Logs, c: &super::logs::Campaign) -> Served {
    let first = c.first_block.as_ref().map(|f| f.0);
    let known = |n: u64, k: &super::logs::Key| n.saturating_add(k.at_block.saturating_sub(1));
    let before_own_block = c.blocked.keys().filter_map(|k| logs.find(k)).fold(0, known);
    let (mut before, mut after, mut rejected) = (0u64, 0u64, 0u64);
    let ours: Vec<bool> = logs.keys.iter().map(|k| c.blocked.contains_key(&k.name)).collect();
    for l in logs.lines.iter().filter(|l| ours.get(l.key as usize) == Some(&true)) {
        match first {
            _ if !facts::is_served(l.done) => rejected += 1,
            Some(t) if l.t_ms > t => after += 1,
            _ => before += 1,
        }
    }
    let exact = !logs.lines.is_empty();
    let only = |n: u64| exact.then_some(n);
    let in_words = match first {
        None => "Nothing of it was blocked.".to_string(),
        Some(t) if exact => format!(
            "Of the accounts that were blocked, {} had been served up to the first block ({}), and {} after it; {} rejected.",
            count(before, "request", "requests"),
            utc(t / 1000),
            grouped(after),
            count(rejected, "request was", "requests were")
        ),
        Some(t) => format!(
            "The first block was at {}. When each account was first blocked, the ledger knew of {} of it before that one, together: what was \
             served of it up to then, at most. What was served after the first block is not in decision records alone: `weir replay \
             --decisions` of the same traffic tells it.",
            utc(t / 1000),
            count(before_own_block, "request", "requests")
        ),
    };
    Served {
        first_block_s: first.map(|t| t / 1000),
        first_reason: c.first_block.as_ref().map(|f| f.1.clone()),
        before: only(before),
        after: only(after),
        rejected: only(rejected),
        before_own_block,
        in_words,
    }
}

/// The strength of the evidence in words, for readers who do not know nats.
fn strength(e: Option<&Evidence>) -> Vec<String> {
    let Some(e) = e else {
        return vec!["The records carry no evidence across keys: those of the ledger (`\"at\":\"ledger\"`) are not in these logs, or an older version wrote them.".into()];
    };
    let mut out = Vec::new();
    if let Some(nats) = e.nats.filter(|n| *n > 0) {
        // e to the nats, in powers of ten.
        out.push(format!(
            "In plain words: what these accounts did is about 10^{:.0} times more likely if a campaign sent it than under the best honest \
             explanation that Weir knows. That compares explanations; it is no probability of guilt, and it says nothing of who is behind it.",
            (nats as f64 / std::f64::consts::LN_10).floor()
        ));
    }
    out.push(
        "The evidence is about behaviour across accounts: the same prompt template on many accounts that keep coming, all alike. No text of any prompt \
         is kept, so that it shows that a template was shared, not what it asked for."
            .into(),
    );
    out
}

fn undo(campaign: &str, e: Option<&Evidence>) -> Vec<String> {
    let mut out = vec![
        "Each client was told a case id with its 429. `weir explain ID LOGS` tells what was done to that key and why.".to_string(),
        format!(
            "With a hub: POST /v1/release with {{\"case\":\"{campaign}\",\"reason\":\"…\",\"expires\":604800}} frees all of its keys; \
             with \"key\" it frees one. POST /v1/undo takes it back. Each is a line of the audit log."
        ),
        format!(
            "Without a hub: `weir except release {campaign} --reason TEXT --config FILE` makes a line of `exceptions` in the configuration that frees all \
             of its keys for a time; `weir except allow kid:… …` frees one."
        ),
    ];
    if let Some(e) = e {
        let field = if e.id.starts_with("nid:") { "network" } else { "template" };
        out.push(format!("{{\"name\":\"…\",\"{field}\":\"{}\"}} on the `allow` list spares everybody who sends it, the campaign too.", e.id));
    }
    out.push("A conviction ends by itself `actions.block.for` after the key's last request, or when later facts speak for it.".into());
    out
}

fn mappings() -> Vec<Mapping> {
    const AISVS: &str = "https://github.com/OWASP/AISVS/blob/main/1.0/en/0x10-C11-Adversarial-Robustness.md";
    let aisvs = |id: &'static str, name: &'static str, how: &str| Mapping {
        framework: "OWASP AISVS 1.0",
        id,
        name,
        url: AISVS,
        how: how.into(),
    };
    vec![
        Mapping {
            framework: "MITRE ATLAS",
            id: "AML.T0024.002",
            name: "Extract AI Model (of Exfiltration via AI Inference API)",
            url: "https://atlas.mitre.org/techniques/AML.T0024.002",
            how: "the technique that the conduct fits: systematic requests to an inference API from which a model can be copied. Intent is not shown".into(),
        },
        Mapping {
            framework: "MITRE ATLAS",
            id: "AML.M0004",
            name: "Restrict Number of AI Model Queries",
            url: "https://atlas.mitre.org/mitigations/AML.M0004",
            how: "the mitigation that blocking these keys is".into(),
        },
        aisvs("C11.5", "Model-Extraction Defense", "the section that this dossier is evidence for"),
        aisvs("11.5.1", "rate limits sized to extraction", "a case limits all of its accounts together, not each alone"),
        aisvs("11.5.2", "alerts with the offending queries' metadata", "scope, period, volume and keys above"),
        aisvs("11.5.3", "query-pattern analysis feeds a detector", "the explanations above, weighed beside each other"),
    ]
}

pub fn document(d: &Dossier) -> Document {
    let s = &d.scope;
    let title = format!("Incident: campaign {}", d.campaign);
    let lead = vec![
        format!(
            "Policy {}, mode {}. Asked for by {}. {}",
            d.policy,
            d.modes.join(", "),
            d.asked_for,
            told::basis(d.basis)
        ),
        "Everything below is of hashes and counts: no prompt, no credential and no name is in it.".into(),
    ];
    let when = |t: Option<u64>| t.map_or_else(|| "not in these logs".to_string(), utc);
    let figure = |n: Option<u64>| n.map_or_else(|| "not in these logs".to_string(), grouped);
    let mut scope = Section::new("Scope");
    scope.blocks.push(Block::Pairs(
        "What it comprises".into(),
        vec![
            ("first and last record".into(), format!("{} to {}", utc(s.first_s), utc(s.last_s))),
            ("evidence sufficed".into(), when(s.evidence_since_s)),
            ("accounts blocked".into(), grouped(s.accounts_blocked as u64)),
            ("accounts tagged only".into(), grouped(s.accounts_tagged_only as u64)),
            ("accounts that share the template (counted by the ledger)".into(), figure(s.accounts_counted)),
            ("requests that carry it (counted by the ledger)".into(), figure(s.requests_counted)),
            ("requests of the blocked accounts, as far as is known".into(), grouped(s.requests_of_blocked)),
        ],
    ));
    if s.growth.len() > 1 {
        scope.blocks.push(Block::Chart(told::growth_chart(&d.campaign, (s.first_s, s.last_s), &s.growth)));
    }
    let mut evidence = Section::new("Evidence and its strength");
    evidence.texts(&d.strength);
    if let Some(e) = &d.evidence {
        told::evidence_blocks(&mut evidence, e);
    }
    let mut served = Section::new("What was served, and what was not");
    served.text(d.served.in_words.clone());
    if d.modes.iter().any(|m| m != "enforce") {
        served.note("The policy did not enforce all of this: in shadow mode what is decided is not done, and requests that are decided to be blocked are served.");
    }
    served.blocks.push(Block::Pairs(
        "Requests of the accounts that were blocked".into(),
        vec![
            ("first block".into(), when(d.served.first_block_s)),
            ("served up to it".into(), figure(d.served.before)),
            ("served after it".into(), figure(d.served.after)),
            ("rejected".into(), figure(d.served.rejected)),
            (
                "known of each account before its own first block, together".into(),
                grouped(d.served.before_own_block),
            ),
        ],
    ));
    let mut done = Section::new("What was done when");
    let rows = d.events.iter().map(|e| vec![utc(e.t_s), e.what.clone(), e.from.into()]).collect();
    done.table("In order of time", &[("when", false), ("what", false), ("from", false)], rows);
    if d.events_more > 0 {
        done.text(format!("And {} more.", grouped(d.events_more as u64)));
    }
    let mut undo = Section::new("How it is appealed and undone");
    undo.texts(&d.undo);
    let mut integrity = Section::new("Integrity of the records");
    integrity_of(&mut integrity, d.audit.as_ref());
    let mut maps = Section::new("Where it stands in OWASP AISVS and MITRE ATLAS");
    let row = |m: &Mapping| vec![format!("{} {}: {}", m.framework, m.id, m.name), m.how.clone()];
    maps.table("Mappings", &[("what", false), ("how", false)], d.mappings.iter().map(row).collect());
    let sources: BTreeSet<&str> = d.mappings.iter().map(|m| m.url).collect();
    sources.iter().for_each(|url| maps.blocks.push(Block::Text((*url).into())));
    let mut keys = Section::new("Accounts");
    for (what, list) in [
        ("Keys that were blocked, as hashes:", &d.keys_blocked),
        ("Keys that were tagged only:", &d.keys_tagged),
    ] {
        let lines: Vec<String> = list.chunks(KEYS_A_LINE).map(|some| some.join("  ")).collect();
        if !lines.is_empty() {
            keys.blocks.push(Block::Code(what.into(), lines.join("\n")));
        }
    }
    if d.keys_more > 0 {
        keys.text(format!("And {} more.", grouped(d.keys_more as u64)));
    }
    Document { title, lead, sections: vec![scope, evidence, served, done, undo, integrity, maps, keys] }
}

fn integrity_of(s: &mut Section, audit: Option<&Audit>) {
    let Some(a) = audit else {
        s.note("No audit log was given (`--audit FILE`), so that nothing here is verified: decision logs can be changed by whoever may write to them.");
        return;
    };
    if a.whole {
        s.text(format!(
            "The audit log is as it was written: {} chained by hashes, {} of this case. A chain alone does not see that its end is cut off: compare the head with one that was kept elsewhere (`--head`).",
            count(a.lines, "line", "lines"),
            a.lines_of_this_case
        ));
    } else {
        s.note("The audit log is NOT as it was written, or empty:");
        s.texts(&a.findings);
    }
    s.blocks.push(Block::Pairs(
        "The chain (`weir audit verify`)".into(),
        vec![
            ("files".into(), a.files.join(", ")),
            ("lines".into(), grouped(a.lines)),
            ("head".into(), a.head.clone().unwrap_or_else(|| "-".into())),
        ],
    ));
    s.text(
        "Decision logs themselves are not chained: only what the audit log says is protected in this way.",
    );
}
