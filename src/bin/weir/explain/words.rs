//! Reasons, terms and ways out in words.

use super::record::{Group, Record};

/// What each term asks, with the points it may give: the order of the report.
const TERMS: [(&str, &str, &str); 8] = [
    ("spread", "-60..30", "many distinct keys use it; 24 keys are 0 points, each doubling 6 more"),
    ("youth", "-60..50", "the keys were young when they came; a popular template has old users"),
    ("load", "-60..45", "all keys carry the same load, as from one work queue; people differ widely"),
    ("novelty", "-60..30", "nobody asks the same twice; classes, tests and retries do"),
    ("single_turn", "-10..15", "nobody follows up on an answer"),
    ("exclusivity", "-10..10", "the keys do nothing else"),
    ("flat_day", "-20..15", "the keys never sleep"),
    ("timers", "-80..0", "speaks for the keys: they run on timers, as cron jobs and devices do"),
];

/// `150` or `150 keys`: a number with its noun.
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// The reason of a verdict in a sentence or two.
pub fn reason(r: &Record) -> String {
    let young = r.own.as_ref().is_none_or(|o| o.young);
    match r.reason.as_str() {
        "none" => "Nothing spoke against the key's request any more.".into(),
        "convicted" => {
            "The key is convicted: requests of it were blocked on the evidence below, often enough that all of its requests \
             are blocked now. That ends `actions.block.for` after its last request, or when its case is released."
                .into()
        }
        "template" if r.would == "block" && young => {
            "A young key sent, more than in passing, a prompt template that is confirmed as a campaign's: many keys share it and \
             behave alike."
                .into()
        }
        "template" if r.would == "block" => {
            "The key itself behaves like a program, and it sent a template that is confirmed as a campaign's and is shared by \
             bought accounts: their age does not protect them."
                .into()
        }
        "template" => {
            "The request carries a template that is confirmed or under watch. The key's own record does not suffice to block it."
                .into()
        }
        "network" => {
            "A young key came from a network (or with a client shape) that is confirmed as a campaign's, and it carries the \
             campaign's load and nothing else."
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
        "deny_list" => "An entry of the `deny` list names the key, or what it sent.".into(),
        "allow_list" => "An entry of the `allow` list names the key, or what it sent.".into(),
        "ambiguous" => "The request carried two different credentials.".into(),
        "unreadable" => {
            "The body could not be read, and `inspect.on_unreadable` is `reject` for this route.".into()
        }
        other => format!("Reason {other}; this version of `weir explain` does not know it."),
    }
}

/// What the group is called.
pub fn kind(g: &Group) -> &'static str {
    match g.axis.as_str() {
        "text" => "template",
        "network" => "network",
        _ => "load",
    }
}

/// How the score stands to the thresholds.
pub fn standing(g: &Group) -> String {
    let score = g.score;
    match g.state.as_str() {
        _ if g.axis == "profile" => format!(
            "No points are asked here: the alarm is on from {} young automatic keys of one load.",
            g.min_keys
        ),
        "confirmed" if score >= g.threshold => {
            format!(
                "{score} points; {} and {} keys confirm it, and it is confirmed.",
                g.threshold, g.min_keys
            )
        }
        "confirmed" => format!(
            "{score} points; it was confirmed at {} or with its siblings, and stays so down to {}.",
            g.threshold, g.release
        ),
        "watch" => format!("{score} points; {} put it under watch, {} confirm it.", g.watch, g.threshold),
        "exempt" => {
            format!("{score} points, but established users vouch for it: it is not newly confirmed.")
        }
        state => format!("{score} points; its state is {state}."),
    }
}

/// Evidence term by term, known ones first.
pub fn terms(g: &Group, out: &mut String) {
    let known = TERMS.iter().filter_map(|(n, range, what)| Some((*n, *g.terms.get(*n)?, *range, *what)));
    let unknown = g.terms.iter().filter(|(n, _)| TERMS.iter().all(|t| t.0 != n.as_str()));
    let rest = unknown.map(|(n, p)| (n.as_str(), *p, "", "not known to this version of `weir explain`"));
    for (name, points, range, what) in known.chain(rest) {
        out.push_str(&format!("    {name:<12} {points:>+4}  {range:<8}  {what}\n"));
    }
}

/// What to do if the verdict is wrong.
pub fn remedy(r: &Record) -> String {
    let name = r.case.as_ref().map_or_else(|| "from-the-logs".to_string(), |c| format!("case-{c}"));
    let key = format!("    {{\"name\": \"{name}\", \"key\": \"{}\"}}\n", r.key);
    match r.reason.as_str() {
        "none" | "allow_list" => "  Nothing: the key is served.\n".into(),
        "rate" => format!("  Raise `limits` for its route, or put the key on the `allow` list:\n{key}"),
        "budget" => format!(
            "  Nothing in a few seconds (`retry-after`). Raise `actions.budget`, put the template on the `allow` list (see `weir explain` of \
             a tag), or the key:\n{key}"
        ),
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

/// Seconds since the epoch as RFC 3339, UTC.
pub fn utc(secs: u64) -> String {
    // Days to civil date, years from March (Hinnant's algorithm), unsigned from 1970 on; a mad number stays printable.
    let secs = secs.min(253_402_300_799);
    let z = secs / 86_400 + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + u64::from(month <= 2);
    let s = secs % 86_400;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", s / 3_600, s / 60 % 60, s % 60)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use weir::engine::detect::DETECTORS;
    use weir::engine::edge::identity::parse_time;
    use weir::engine::verdict::Reason;

    #[test]
    fn times_agree_with_the_parser() {
        for secs in (0..4_000_000_000).step_by(7_654_321).chain([951_782_400, 951_868_799, 1_709_164_800]) {
            assert_eq!(parse_time(utc(secs).as_bytes()).unwrap().secs(), secs);
        }
        assert_eq!(utc(u64::MAX), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn every_term_and_reason_has_words() {
        let names: Vec<_> = TERMS.iter().map(|t| t.0).collect();
        assert_eq!(names, DETECTORS.iter().map(|d| d.name).collect::<Vec<_>>());
        let line = r#"{"t_ms":1,"case":null,"campaign":"0","key":"kid:0000000000000001","policy":"p","profile":"d","mode":"shadow","action":"allow","would":"block","reason":"none","evidence":{"matched":0,"values":9,"strikes":0,"requests":7}}"#;
        for r in Reason::ALL.iter().filter(|r| **r != Reason::NotInference) {
            let mut record: Record = serde_json::from_str(line).unwrap();
            record.reason = r.name().into();
            assert!(!reason(&record).starts_with("Reason "), "{}", r.name());
            assert!(!remedy(&record).is_empty());
        }
    }
}
