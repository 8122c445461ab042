//! Prints what `--tune` found.

use serde_json::Value;
use std::io::Write;

/// Prints an object made by `Tune::report`.
pub fn print(t: &Value, out: &mut impl Write) -> std::io::Result<()> {
    let (labelled, honest) = (t["labelled"] == true, &t["honest_keys"]);
    writeln!(out, "\ntune: {} keys, {honest} honest, {} of campaigns", t["keys"], t["campaign_keys"])?;
    let by = if labelled { "labels" } else { "looks: old or conversing keys; and others that are suspected" };
    writeln!(out, "  who is what is told by {by}")?;
    if t["requests_not_counted"].as_u64().unwrap_or(0) > 0 {
        writeln!(
            out,
            "  {} requests have no key, or one beyond the number that is told apart",
            t["requests_not_counted"]
        )?;
    }
    odds(&t["block_odds"], out)?;
    templates(&t["templates"], out)?;
    ages(&t["ages"], out)?;
    if t["patch"].as_object().is_some_and(|p| !p.is_empty()) {
        writeln!(
            out,
            "\nAll of it as a merge patch of the configuration (RFC 7396); look at each entry first:"
        )?;
        writeln!(out, "{:#}", t["patch"])?;
    } else {
        writeln!(out, "\nNothing to change.")?;
    }
    Ok(())
}

fn odds(o: &Value, out: &mut impl Write) -> std::io::Result<()> {
    let heads =
        ["campaign.block_odds", "honest keys touched", "campaign keys blocked", "campaign's requests served"];
    let mut rows = crate::table::new(1, &heads);
    for row in o["curve"].as_array().into_iter().flatten() {
        let now = if row["block_odds"] == o["now"] { " (now)" } else { "" };
        let served = match row["campaign_served_percent"].as_f64() {
            Some(percent) => format!("{percent:.1} % of {}", row["campaign_requests"]),
            None => "-".into(),
        };
        rows.add_row([
            format!("{}{now}", row["block_odds"]),
            format!("{} of {}", row["honest_keys_touched"], row["honest_keys"]),
            format!("{} of {}", row["campaign_keys_blocked"], row["campaign_keys"]),
            served,
        ]);
    }
    writeln!(out, "\n{}\n  {}", rows.trim_fmt(), o["why"].as_str().unwrap_or_default())
}

fn templates(t: &Value, out: &mut impl Write) -> std::io::Result<()> {
    let found: Vec<&Value> = t["found"].as_array().into_iter().flatten().collect();
    if found.is_empty() {
        return writeln!(out, "\nNo template is on 24 keys or more.");
    }
    let heads = ["template", "state", "keys", "requests", "follow up", "honest", "honest touched", "allow"];
    let mut rows = crate::table::new(2, &heads);
    for f in found {
        let word = |yes: &Value, is: &'static str, no: &'static str| if yes == true { is } else { no };
        rows.add_row([
            f["template"].as_str().unwrap_or_default().to_string(),
            word(&f["confirmed"], "confirmed", "-").to_string(),
            f["keys"].to_string(),
            f["requests"].to_string(),
            format!("{} %", f["follow_up_percent"]),
            format!("{} % of {}", f["honest_percent"], f["sampled"]),
            f["honest_keys_touched"].to_string(),
            word(&f["proposed"], "proposed", "no").to_string(),
        ]);
    }
    writeln!(out, "\n{}", rows.trim_fmt())?;
    writeln!(
        out,
        "  An entry lets everybody use the template, a campaign, too: allow what is your own applications' prompt.\n  `follow up` is of requests; `honest` and `honest touched` are of the keys in the template's sample."
    )
}

fn ages(a: &Value, out: &mut impl Write) -> std::io::Result<()> {
    let configured =
        if a["source_configured"] == true { "identity.age is set" } else { "identity.age is not set" };
    writeln!(out, "\nAges: {} keys of unknown age; {configured}.", a["keys_of_unknown_age"])?;
    let fields: Vec<&Value> = a["fields"].as_array().into_iter().flatten().collect();
    if fields.is_empty() {
        return writeln!(out, "  No field of these records looks like the time at which a key was made.");
    }
    for f in fields.iter().take(5) {
        let field = f["field"].as_str().unwrap_or_default();
        let how = match f["header"].as_str() {
            Some(name) => format!("identity.age: {{\"header\": \"{name}\"}}"),
            None => format!("--age {field} here; live, a header that says the same"),
        };
        writeln!(out, "  {field} looks like it, on {} keys: {how}", f["keys"])?;
    }
    Ok(())
}
