//! A report's figures as sentences, tables and charts.

use super::doc::{Block, Chart, Document, Kind, Section, Tone};
use super::facts::{Campaign, Evidence, Facts, Point};
use super::state::State;
use crate::explain::words;
use crate::figures::{count, grouped, utc};

const SERIES: [(&str, Tone); 4] =
    [("block", Tone::Block), ("throttle", Tone::Throttle), ("tag", Tone::Tag), ("allow", Tone::Allow)];
const KEYS: [(&str, Tone); 2] = [("blocked", Tone::Block), ("others", Tone::Allow)];

pub fn document(f: &Facts) -> Document {
    let logs = f.input.records + f.input.requests > 0;
    let mut sections = Vec::new();
    if logs {
        sections.push(overview(f));
        sections.push(timeline(f));
        sections.push(growth(f));
        sections.extend(f.campaigns.iter().filter_map(|c| Some(evidence(c, c.evidence.as_ref()?))));
        sections.push(histograms(f));
        sections.extend(f.labels.as_ref().map(|_| confusion(f)));
        sections.push(enforcement(f));
        sections.push(hurt(f));
    }
    sections.extend(f.state.as_ref().map(state));
    let mut lead = Vec::new();
    if logs {
        lead.push(format!(
            "{} to {}. {} read: {} of decisions and {} of requests; {} could not be read.",
            utc(f.from_s),
            utc(f.to_s),
            count(f.input.files, "log", "logs"),
            count(f.input.records, "record", "records"),
            count(f.input.requests, "line", "lines"),
            grouped(f.input.malformed)
        ));
        lead.push(basis(f.basis).into());
    }
    Document { title: "Weir: what was decided".into(), lead, sections }
}

pub fn basis(basis: &str) -> &'static str {
    match basis {
        "requests" => {
            "Counts are of requests: the lines of `weir replay --decisions` hold every one of them."
        }
        _ => {
            "Counts are of decision records, not of requests: with `log.decisions: changes` a record stands for a change of what is done to \
             a key, and a key of which nothing was decided has none. `weir replay --decisions` writes every request."
        }
    }
}

fn unit(f: &Facts) -> &'static str {
    if f.basis == "requests" { "requests" } else { "records" }
}

fn overview(f: &Facts) -> Section {
    let mut s = Section::new("In short");
    let of = |m: &std::collections::BTreeMap<&str, u64>, a: &str| grouped(m.get(a).copied().unwrap_or(0));
    s.text(format!(
        "{} in these logs, {} of them blocked or to be blocked; {} found.",
        count(f.totals.keys, "key is", "keys are"),
        grouped(f.totals.keys_blocked),
        count((f.campaigns.len() + f.campaigns_more) as u64, "campaign", "campaigns")
    ));
    let row = |name: &str, m: &std::collections::BTreeMap<&str, u64>| {
        let mut row = vec![name.to_string()];
        row.extend(["allow", "tag", "throttle", "block"].map(|a| of(m, a)));
        row
    };
    let heads = [("", false), ("allow", true), ("tag", true), ("throttle", true), ("block", true)];
    let rows = vec![row("decided (as in enforce mode)", &f.totals.would), row("done", &f.totals.done)];
    s.table(&format!("What was decided and what was done ({})", unit(f)), &heads, rows);
    if !f.reasons.is_empty() {
        let rows = f
            .reasons
            .iter()
            .map(|r| vec![r.reason.clone(), r.would.clone(), grouped(r.records), grouped(r.keys as u64)]);
        let heads = [("reason", false), ("decided", false), ("records", true), ("keys", true)];
        s.table("Reasons, of workers' records", &heads, rows.collect());
    }
    s
}

fn timeline(f: &Facts) -> Section {
    let mut s = Section::new("Timeline");
    let (t, unit) = (&f.timeline, unit(f));
    if t.rows.is_empty() {
        s.text("No worker's record and no request is in these logs.");
        return s;
    }
    let title = match t.step_h {
        1 => format!("Decisions by hour ({unit})"),
        n => format!("Decisions by {n} hours ({unit})"),
    };
    let busiest = t.rows.iter().max_by_key(|r| r.block).filter(|r| r.block > 0);
    let says = busiest.map_or_else(
        || "Nothing was to be blocked.".to_string(),
        |r| {
            let first = t.rows.iter().find(|r| r.block > 0).map_or(0, |r| r.t_s);
            format!(
                "Blocks begin in the hour of {}; most of them, {}, in that of {}.",
                utc(first),
                grouped(r.block),
                utc(r.t_s)
            )
        },
    );
    s.text(says.clone());
    let short = |t: u64| utc(t).get(5..16).map_or_else(String::new, |t| t.replace('T', " "));
    let bars = t.rows.iter().map(|r| (short(r.t_s), vec![r.block, r.throttle, r.tag, r.allow])).collect();
    s.blocks.push(Block::Chart(Chart {
        title,
        says,
        kind: Kind::Stacked { series: SERIES.to_vec(), bars, unit },
    }));
    let rows = t.rows.iter().map(|r| {
        let mut row = vec![utc(r.t_s)];
        row.extend([r.allow, r.tag, r.throttle, r.block].map(grouped));
        row
    });
    let heads = [("from", false), ("allow", true), ("tag", true), ("throttle", true), ("block", true)];
    s.folded("The same as a table", &heads, rows.collect());
    s
}

fn growth(f: &Facts) -> Section {
    let mut s = Section::new("Campaigns and their growth");
    if f.campaigns.is_empty() {
        s.text("No campaign is in these logs.");
        return s;
    }
    let when = |t: Option<u64>| t.map_or_else(|| "-".to_string(), utc);
    let rows = f.campaigns.iter().map(|c| {
        vec![
            c.campaign.clone(),
            c.policy.clone(),
            when(c.since_s),
            when(c.first_block_s),
            utc(c.last_s),
            grouped(c.accounts_blocked as u64),
            grouped(c.accounts_tagged_only as u64),
            c.evidence.as_ref().map_or_else(|| "-".into(), |e| grouped(e.keys)),
        ]
    });
    let heads = [
        ("campaign", false),
        ("policy", false),
        ("evidence since", false),
        ("first block", false),
        ("last record", false),
        ("keys blocked", true),
        ("only tagged", true),
        ("keys counted", true),
    ];
    s.table("Campaigns, those with most keys first", &heads, rows.collect());
    if f.campaigns_more > 0 {
        s.text(format!("And {} more.", grouped(f.campaigns_more as u64)));
    }
    for c in f.campaigns.iter().take(6).filter(|c| c.growth.len() > 1) {
        s.blocks.push(Block::Chart(growth_chart(&c.campaign, (c.first_s, c.last_s), &c.growth)));
    }
    s
}

/// A chart of growth. `span`: first and last time of the records, seconds since the epoch.
pub fn growth_chart(campaign: &str, span: (u64, u64), growth: &[Point]) -> Chart {
    let blocked: Vec<(u64, u64)> = growth.iter().map(|p| (p.t_s, p.blocked as u64)).collect();
    let counted: Vec<(u64, u64)> = growth.iter().filter_map(|p| Some((p.t_s, p.counted?))).collect();
    let last = |l: &[(u64, u64)]| l.last().map_or(0, |p| p.1);
    let says = format!(
        "From {} to {}: keys blocked grow to {}; the ledger counted up to {} that share the template.",
        utc(span.0),
        utc(span.1),
        grouped(last(&blocked)),
        grouped(counted.iter().map(|p| p.1).max().unwrap_or(0))
    );
    let series = vec![("keys blocked".to_string(), blocked), ("keys that share it".to_string(), counted)];
    let series = series.into_iter().filter(|s| !s.1.is_empty()).collect();
    Chart {
        title: format!("Growth of campaign {campaign}"),
        says,
        kind: Kind::Lines { series, unit: "keys" },
    }
}

fn evidence(c: &Campaign, e: &Evidence) -> Section {
    let mut s = Section::new(format!("Evidence of campaign {}", c.campaign));
    evidence_blocks(&mut s, e);
    s
}

pub fn evidence_blocks(s: &mut Section, e: &Evidence) {
    s.text(format!(
        "{} {} of {}: about {} share it, {} at the time. {}",
        e.kind,
        e.id,
        utc(e.at_s),
        count(e.keys, "key", "keys"),
        count(e.requests, "request", "requests"),
        e.in_words
    ));
    s.text(
        "A nat is a factor of e in how well an explanation fits what these keys did: 20 nats behind is five hundred million times less likely.",
    );
    if !e.explanations.is_empty() {
        let says = e.explanations.iter().map(|(n, v)| {
            if *v >= 0 {
                format!("{n} is the likeliest")
            } else {
                format!("{n} is {} nats behind", v.unsigned_abs())
            }
        });
        let says = format!("{}.", says.collect::<Vec<_>>().join(", "));
        let kind = Kind::Behind { rows: e.explanations.clone(), unit: "nats behind the likeliest" };
        s.blocks.push(Block::Chart(Chart { title: "The explanations beside each other".into(), says, kind }));
        let rows =
            e.explanations.iter().map(|(n, v)| vec![n.clone(), v.to_string(), words::explanation(n).into()]);
        s.table(
            "What each explanation says of the keys",
            &[("explanation", false), ("nats", true), ("says", false)],
            rows.collect(),
        );
    }
    let share = |p: Option<u32>| p.map_or_else(|| "-".into(), |p| format!("{p} %"));
    s.blocks.push(Block::Pairs(
        "What was seen of those who send it".into(),
        vec![
            ("keys that are the campaign's".into(), share(e.campaign_percent)),
            ("keys that were young".into(), share(Some(e.young_percent))),
            ("requests that open a conversation".into(), share(Some(e.openings_percent))),
            ("openings that nobody had sent before".into(), share(Some(e.novel_percent))),
            ("openings from old keys".into(), share(e.old_percent)),
        ],
    ));
}

fn histograms(f: &Facts) -> Section {
    let mut s = Section::new("Load and age");
    s.text("Of keys in these logs: how many requests each has sent as far as is known, and how old its account was when it was last told.");
    for (title, unit, bins) in [("Keys by requests", "keys", &f.load), ("Keys by age", "keys", &f.age)] {
        let sum = |of: fn(&super::facts::Bin) -> u64| bins.iter().map(of).sum::<u64>();
        let most = bins.iter().max_by_key(|b| b.blocked).filter(|b| b.blocked > 0);
        let says = format!(
            "{} blocked and {} others{}.",
            grouped(sum(|b| b.blocked)),
            grouped(sum(|b| b.others)),
            most.map_or_else(String::new, |b| format!(
                "; most of the blocked ({}) at {}",
                grouped(b.blocked),
                b.bin
            ))
        );
        let bars = bins.iter().map(|b| (b.bin.clone(), vec![b.blocked, b.others])).collect();
        s.blocks.push(Block::Chart(Chart {
            title: title.into(),
            says,
            kind: Kind::Stacked { series: KEYS.to_vec(), bars, unit },
        }));
        let rows = bins.iter().map(|b| vec![b.bin.clone(), grouped(b.blocked), grouped(b.others)]).collect();
        s.folded(
            &format!("{title}, as a table"),
            &[("class", false), ("blocked", true), ("others", true)],
            rows,
        );
    }
    s
}

fn confusion(f: &Facts) -> Section {
    let mut s = Section::new("Against labels");
    let Some(l) = &f.labels else { return s };
    let row = |name: &str, keys: u64, blocked: u64| {
        vec![name.to_string(), grouped(blocked), grouped(keys - blocked), grouped(keys)]
    };
    s.table(
        "Keys by label and verdict",
        &[("truth", false), ("blocked", true), ("not blocked", true), ("keys", true)],
        vec![
            row("campaign (attack:…)", l.campaign_keys, l.campaign_blocked),
            row("honest (benign:…)", l.honest_keys, l.honest_blocked),
        ],
    );
    let rows = l.rows.iter().map(|r| row(&r.label, r.keys, r.blocked)).collect();
    s.table("By label", &[("label", false), ("blocked", true), ("not blocked", true), ("keys", true)], rows);
    if l.unlabelled_keys > 0 {
        s.text(format!("{} no label.", count(l.unlabelled_keys, "key has", "keys have")));
    }
    s
}

fn enforcement(f: &Facts) -> Section {
    let mut s = Section::new("What enforcement would have done");
    let h = &f.shadow;
    if h.would_block + h.would_throttle == 0 {
        s.text("Nothing more than was done: no request was let through that enforce mode would reject.");
    } else {
        s.text(format!(
            "In enforce mode {} {} more would have been blocked and {} throttled, of {}.",
            grouped(h.would_block),
            unit(f),
            grouped(h.would_throttle),
            count(h.keys, "key", "keys")
        ));
    }
    if !h.modes.is_empty() {
        let rows = h.modes.iter().map(|(m, n)| vec![m.clone(), grouped(*n)]).collect();
        s.table("Modes of the records", &[("mode", false), ("records", true)], rows);
    }
    s
}

fn hurt(f: &Facts) -> Section {
    let mut s = Section::new("Who would be hurt");
    if f.hurt.is_empty() {
        s.text("Nobody is blocked on evidence across keys.");
        return s;
    }
    let doubtful: Vec<_> = f.hurt.iter().filter(|h| !h.because.is_empty()).collect();
    s.text(format!(
        "Blocked keys, those first that look most like somebody honest: who follows up, who is not young, whose odds are low. {} of the {} below have such a mark.",
        doubtful.len(),
        f.hurt.len()
    ));
    if f.hurt_more > 0 {
        s.text(format!("{} more were blocked and are not listed.", grouped(f.hurt_more as u64)));
    }
    let rows = f.hurt.iter().map(|h| {
        vec![
            h.key.clone(),
            h.case.clone().unwrap_or_else(|| "-".into()),
            grouped(h.requests),
            h.follow_ups.to_string(),
            h.age_hours.map_or_else(|| "-".into(), |a| format!("{} d", a / 24)),
            odds(h.odds_nats),
            h.because.join(", "),
        ]
    });
    let heads = [
        ("key", false),
        ("case", false),
        ("requests", true),
        ("follow-ups", true),
        ("age", true),
        ("odds", true),
        ("looks honest", false),
    ];
    s.table("Blocked keys, the most honest-looking first", &heads, rows.collect());
    let paste: Vec<String> = doubtful.iter().take(10).map(|h| h.allow.to_string()).collect();
    if !paste.is_empty() {
        s.blocks.push(Block::Code(
            "If these are errors, put them on the `allow` list of the configuration:".into(),
            paste.join(",\n"),
        ));
    }
    s
}

pub fn odds(nats: Option<f64>) -> String {
    nats.map_or_else(|| "-".into(), |n| format!("e^{n:.1} to 1"))
}

fn state(st: &State) -> Section {
    let mut s = Section::new("What the state holds");
    s.note(
        "A state is one moment of the ledger: it tells which cases stand, on what evidence, and how many keys are convicted now. It cannot \
         tell what was done to whom and when, what was served, nor anything of cases that have ended: for that decision logs are needed.",
    );
    if st.kind == "hub" {
        s.text("It is the newest whole checkpoint; what the hub has journalled since is not in it.");
    }
    s.blocks.push(Block::Pairs(
        "The ledger".into(),
        [
            ("keys", st.keys),
            ("convicted keys", st.convicted),
            ("groups", st.groups),
            ("confirmed values", st.confirmed),
        ]
        .map(|(n, v)| (n.to_string(), grouped(v.into())))
        .to_vec(),
    ));
    let rows = st.cases.iter().map(|c| {
        vec![
            c.campaign.clone(),
            utc(c.since_s.into()),
            utc(c.last_s.into()),
            grouped(c.keys.into()),
            grouped(c.requests.into()),
            grouped(c.convicted.into()),
            c.made.map(|m| grouped(m.into())).join(" / "),
        ]
    });
    let heads = [
        ("campaign", false),
        ("since", false),
        ("last match", false),
        ("keys", true),
        ("requests", true),
        ("convicted", true),
        ("made within 1 h / 1 d / 7 d", true),
    ];
    s.table("Cases that stand", &heads, rows.collect());
    let rows = st.evidence.iter().map(|v| {
        let all: Vec<String> = v.explanations.iter().map(|(n, x)| format!("{n} {x}")).collect();
        vec![
            v.id.clone(),
            v.campaign.clone(),
            v.state.into(),
            grouped(v.keys.into()),
            v.nats.to_string(),
            all.join(", "),
        ]
    });
    let heads = [
        ("value", false),
        ("campaign", false),
        ("state", false),
        ("keys", true),
        ("nats", true),
        ("explanations (nats behind the likeliest)", false),
    ];
    s.table("Values that are weighed", &heads, rows.collect());
    s
}
