//! Reasons, explanations, factors and remedies in words.

use super::record::{Group, Own, Record};
use crate::except;
use crate::figures::{count, grouped};
use weir::engine::hash::Seed;
use weir::engine::verdict::Reason;

/// For each explanation of a value its name, and what it says of the keys.
const EXPLANATIONS: [(&str, &str); 7] = [
    ("campaign", "a work queue over accounts, alone or among others: they keep coming, all alike"),
    ("visitors", "each tries it a few times and stops, as after a tutorial or a launch"),
    ("people", "they stay, at rates that differ widely, sleep and follow up"),
    ("staff", "they stay, alike, but follow up, as in a roll-out or a class"),
    ("fleet", "they are on timers, as cron jobs and devices are"),
    ("repeaters", "they send the same texts again, as evaluations and retries do"),
    ("one owner", "they share an egress, as the workers of one company do"),
];

/// For each factor of a key's odds its name, and what it means when it speaks for the campaign and when
/// against it.
const FACTORS: [(&str, &str, &str); 12] = [
    (
        "template",
        "the template and all that is known of those who send it",
        "a template that others send, too",
    ),
    ("age", "an age like that of the campaign's accounts", "an age unlike that of the campaign's accounts"),
    ("birth", "a birth among the campaign's", "a birth outside the campaign's"),
    (
        "arrival",
        "a first request long enough ago",
        "a first request of late, when others seem to have begun to use the template",
    ),
    (
        "skeleton",
        "the phrases of the template that it showed",
        "few of the template's phrases, as met by chance",
    ),
    ("other traffic", "doing little beside the template", "what it does beside the template"),
    ("load", "a load like the campaign's", "a load unlike the campaign's"),
    ("follow-ups", "no follow-ups", "not following up, where the campaign does"),
    ("repeats", "asking what nobody asked before", "asking what was asked before"),
    ("sleep", "waking hours like the campaign's", "waking hours unlike the campaign's"),
    ("timer", "a timer, as the campaign's accounts have", "a timer"),
    ("blocked before", "blocks in another case", "blocks in another case"),
];

/// The reason of a verdict, in a sentence or two.
pub fn reason(r: &Record) -> String {
    match r.reason.as_str() {
        "none" => "Nothing spoke against the key's request any more.".into(),
        "convicted" => {
            "The key is convicted: a request of it was blocked on the evidence below, and all of its requests are blocked since. \
             That ends `actions.block.for` after its last request, when its case is released, or when later facts speak for it."
                .into()
        }
        "template" if r.would == "block" => {
            "The key sent a prompt template that is confirmed as a campaign's, and what is known of the key makes it one of the \
             campaign's by the odds below."
                .into()
        }
        "template" => {
            "The request carries a template that is confirmed or under watch. The odds that the key is the campaign's do not \
             suffice to block it."
                .into()
        }
        "network" => {
            "The key came from a network (or with a client shape) that is confirmed as a campaign's, and what is known of the key \
             makes it one of the campaign's by the odds below."
                .into()
        }
        "rollout" => {
            "The key sends prompts that other keys send within the same hour, over a broad range, as many other young keys do: \
             one set of prompts rolled out over many keys."
                .into()
        }
        "profile" if r.would == "block" => {
            "The key never sleeps, was made in the same few days as most keys of its load, and carries that load. Two signals \
             stand behind it: sleepless keys dominate this load, and they were made in one burst."
                .into()
        }
        "profile" => {
            "The key is young and automatic, and unusually many such keys carry the same load. That is one signal only, and \
             blocks nothing."
                .into()
        }
        "rate" => "A limit of the configuration (`limits`) was exceeded. No evidence across keys was used.".into(),
        "budget" => {
            "All keys that are not proven together used up the budget of a template (`actions.budget`): it is suspicious, but whether it is \
             a campaign's is not decided. Keys that are old, talk, or send something else pay nothing."
                .into()
        }
        "not_inference" => {
            "No API that is known claims the path, and the profile refuses such paths (`inspect.other_paths`).".into()
        }
        "deny_list" => "An entry of the `deny` list names the key, or what it sent.".into(),
        "allow_list" => "An entry of the `allow` list names the key, or what it sent.".into(),
        "ambiguous" => "The request carried two different credentials.".into(),
        "unreadable" => {
            "The body could not be read, and `inspect.on_unreadable` is `reject` for this route.".into()
        }
        other => format!("Reason {other}; this version of `weir explain` does not know it."),
    }
}

/// What a group is called.
pub fn kind(g: &Group) -> &'static str {
    match g.axis.as_str() {
        "text" => "template",
        "network" => "network",
        _ => "load",
    }
}

/// How the evidence compares to the threshold.
pub fn standing(g: &Group) -> String {
    let (need, keys) = (g.threshold, g.min_keys);
    if g.axis == "profile" {
        return format!(
            "Nothing is weighed here: the alarm is on from {keys} young automatic keys of one load."
        );
    }
    let Some(nats) = g.nats else {
        let score = g.score.map_or_else(String::new, |s| format!("{s} "));
        return format!(
            "An older version of Weir wrote this record: {score}points of a score, {need} confirmed it."
        );
    };
    if g.explanations.is_empty() {
        return format!(
            "It was not weighed itself: its keys are those of another value, which is {}.",
            g.state
        );
    }
    let honest =
        g.explanations.iter().filter(|e| e.0 != "campaign").max_by_key(|e| e.1).map_or("none", |e| e.0);
    let better = match nats {
        0.. => {
            format!("A campaign explains them {nats} nats better than the best honest explanation ({honest})")
        }
        _ => format!(
            "An honest explanation ({honest}) is better than a campaign by {} nats",
            nats.unsigned_abs()
        ),
    };
    match g.state.as_str() {
        "confirmed" if nats >= need => {
            format!("{better}; {need} and {keys} keys confirm it, and it is confirmed.")
        }
        "confirmed" => format!(
            "{better}; it was confirmed at {need} or with its siblings, and stays so down to {}.",
            need / 2
        ),
        "watch" => format!("{better}; {} put it under watch, {need} and {keys} keys confirm it.", need / 2),
        "honest" => format!("{better}: it is taken for honest."),
        _ => format!("{better}; {need} and {keys} keys would confirm it."),
    }
}

/// Appends the explanations beside each other, the likeliest first.
pub fn explanations(g: &Group, out: &mut String) {
    let mut all: Vec<(&str, i64)> = g.explanations.iter().map(|(n, nats)| (n.as_str(), *nats)).collect();
    all.sort_by_key(|(_, nats)| std::cmp::Reverse(*nats));
    for (name, nats) in all {
        let what = explanation(name);
        let behind = if nats >= 0 { "likeliest".to_string() } else { format!("{nats} nats") };
        out.push_str(&format!("    {name:<10} {behind:>10}  {what}\n"));
    }
}

/// What an explanation says of the keys.
pub fn explanation(name: &str) -> &'static str {
    EXPLANATIONS.iter().find(|e| e.0 == name).map_or(UNKNOWN, |e| e.1)
}

const UNKNOWN: &str = "not known to this version of `weir explain`";

/// The odds of a key: each factor as a multiple, and all together; `None` if the record has none.
pub fn odds(o: &Own) -> Option<String> {
    let (block, nats) = (o.block_odds?, o.odds_nats.filter(|n| n.is_finite())?);
    let known = FACTORS.iter().filter_map(|f| Some((f.0, *o.factors.get(f.0)?)));
    let rest = o.factors.iter().filter(|(n, _)| FACTORS.iter().all(|f| f.0 != n.as_str()));
    let all = known.chain(rest.map(|(n, nats)| (n.as_str(), *nats)));
    // What says nothing is left out.
    let told = all.filter(|(name, nats)| nats.abs() >= 0.05 || *name == "template");
    let told: Vec<String> =
        told.map(|(name, nats)| format!("×{} for {}", multiple(nats), factor(name, nats, o))).collect();
    let together =
        if nats >= 0.0 { format!("{} to 1", multiple(nats)) } else { format!("1 to {}", multiple(-nats)) };
    Some(format!(
        "Odds that it is the campaign's: {}. Together {together}; {} to 1 block, {} to 1 are watched.",
        told.join(", "),
        grouped(block),
        grouped(block / 10)
    ))
}

fn factor(name: &str, nats: f64, o: &Own) -> String {
    let talk = count(o.talk.into(), "follow-up", "follow-ups");
    match (name, nats >= 0.0, o.talk) {
        ("follow-ups", true, 1..) => format!("{talk}, as the campaign's accounts have"),
        ("follow-ups", false, 1..) => talk,
        _ => match FACTORS.iter().find(|f| f.0 == name) {
            Some((_, with, _)) if nats >= 0.0 => (*with).into(),
            Some((_, _, against)) => (*against).into(),
            None => format!("{name} ({UNKNOWN})"),
        },
    }
}

/// e to the power of `nats`, as short as possible.
fn multiple(nats: f64) -> String {
    let x = nats.clamp(-40.0, 40.0).exp();
    match x {
        1.0e9.. => format!("10^{:.0}", x.log10().floor()),
        9.95.. => {
            // Two digits are told; the rest would be noise.
            let unit = 10f64.powi(x.log10() as i32 - 1);
            grouped(((x / unit).round() * unit).round() as u64)
        }
        0.95.. => format!("{x:.1}"),
        0.095.. => format!("{x:.2}"),
        0.000_95.. => {
            let text = format!("{x:.3}");
            text.trim_end_matches('0').into()
        }
        _ => format!("10^{:.0}", x.log10().floor()),
    }
}

/// True if the reason is evidence across keys.
pub fn is_campaign(reason: &str) -> bool {
    Reason::ALL.iter().any(|r| r.name() == reason && r.is_campaign())
}

/// Name of the `allow` entry that undoes a verdict.
pub fn entry_name(case: Option<&str>) -> String {
    case.map_or_else(|| "from-the-logs".to_string(), |c| format!("case-{c}"))
}

/// What to do if the verdict is wrong.
pub fn remedy(r: &Record) -> String {
    let name = entry_name(r.case.as_deref());
    let key = format!("    {{\"name\": \"{name}\", \"key\": \"{}\"}}\n", r.key);
    match r.reason.as_str() {
        "none" | "allow_list" => "  Nothing: the key is served.\n".into(),
        "rate" => format!("  Raise `limits` for its route, or put the key on the `allow` list:\n{key}"),
        "budget" => format!(
            "  Nothing in a few seconds (`retry-after`). Raise `actions.budget`, put the template on the `allow` list (see `weir explain` of \
             a tag), or the key:\n{key}"
        ),
        "not_inference" => {
            "  Add the path to `inspect.paths`, or set `inspect.other_paths` to `keys` for its route.\n"
                .into()
        }
        "deny_list" => {
            "  Remove the entry from the `deny` list that names the key, its tenant, template or network.\n"
                .into()
        }
        "ambiguous" => {
            "  Have the client send one credential, or take one of the two out of `identity.sources`.\n"
                .into()
        }
        "unreadable" => {
            "  Send JSON without compression and duplicate keys, or set `inspect.on_unreadable`.\n".into()
        }
        _ => {
            let mut out = format!("  Put the key on the `allow` list of the configuration:\n{key}");
            let (field, what) = match r.group.as_ref().map(|g| (g.axis.as_str(), g)) {
                Some(("text", _)) => ("template", "template, if it is an application of yours"),
                Some(("network", _)) => ("network", "network, if it is one of yours"),
                _ => return out,
            };
            if let Some(g) = &r.group {
                out.push_str(&format!(
                    "  or the {what} (this spares everybody who sends it, the campaign too):\n    {{\"name\": \"{name}\", \"{field}\": \"{}\"}}\n",
                    g.id
                ));
            }
            out
        }
    }
}

/// Appends entries of `exceptions` that undo a campaign's verdict, or (without a seed) the command that makes
/// them.
pub fn exceptions(r: &Record, seed: Option<&Seed>, out: &mut String) {
    if !is_campaign(&r.reason) {
        return;
    }
    let mut lines = vec![("the key", "release", r.key.as_str())];
    if r.campaign != "00000000" {
        lines.push(("its whole case", "release", r.campaign.as_str()));
    }
    let days = except::DAYS;
    out.push_str(&format!("  or release one of these for {days} days: a line for `exceptions` of the configuration, pushed while it runs\n"));
    let until = except::in_days(days);
    for (what, verb, of) in lines {
        let case = r.case.as_deref().unwrap_or("none");
        let text = match seed {
            Some(seed) => {
                let by = std::env::var("USER").unwrap_or_else(|_| "operator".into());
                let reason = format!("case {case} is an error");
                except::Line { verb, of, until: &until, by: &by, reason: &reason }.signed(seed)
            }
            None => format!("weir except {verb} {of} --reason 'case {case} is an error' --config FILE"),
        };
        out.push_str(&format!("  {what}:\n    {text}\n"));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use weir::engine::detect::HONEST;
    use weir::engine::rules;

    #[test]
    fn multiples_are_short() {
        for (nats, text) in [
            (0.0, "1.0"),
            (0.7, "2.0"),
            (-0.7, "0.50"),
            (-3.9, "0.02"),
            (-6.0, "0.002"),
            (-9.0, "10^-4"),
            (3.4, "30"),
            (7.6, "2,000"),
            (13.8, "980,000"),
            (21.0, "10^9"),
            (f64::MAX, "10^17"),
            (f64::MIN, "10^-18"),
        ] {
            assert_eq!(multiple(nats), text, "{nats}");
        }
    }

    #[test]
    fn every_explanation_factor_and_reason_has_words() {
        let names: Vec<_> = EXPLANATIONS.iter().map(|e| e.0).collect();
        let honest = HONEST.iter().map(|h| h.name);
        assert_eq!(names, std::iter::once("campaign").chain(honest).collect::<Vec<_>>());
        assert_eq!(FACTORS.map(|f| f.0), rules::FACTORS);
        let line = r#"{"t_ms":1,"case":null,"campaign":"0","key":"kid:0000000000000001","policy":"p","profile":"d","mode":"shadow","action":"allow","would":"block","reason":"none","evidence":{"matched":0,"values":9,"strikes":0,"requests":7}}"#;
        for r in Reason::ALL {
            let mut record: Record = serde_json::from_str(line).unwrap();
            record.reason = r.name().into();
            assert!(!reason(&record).starts_with("Reason "), "{}", r.name());
            assert!(!remedy(&record).is_empty());
        }
    }
}
