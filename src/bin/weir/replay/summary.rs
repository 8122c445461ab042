//! The report at the end of a replay: one JSON object, or the same as tables.

use super::Replay;
use super::tune;
use crate::requests::batch::Count;
use serde_json::json;
use std::io::Write;
use weir::engine::verdict::Action;

impl Replay {
    pub(super) fn summary(&self) -> serde_json::Value {
        let by_action = |n: &[u64; 4]| -> serde_json::Value {
            Action::ALL
                .iter()
                .zip(n)
                .map(|(a, n)| (a.name().to_string(), json!(n)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let labels: serde_json::Map<_, _> = self
            .labels
            .iter()
            .map(|(name, l)| {
                let first_block = l.first_block.zip(l.first).map(|(b, f)| b.since(f).millis() as f64 / 1e3);
                let v = json!({
                    "requests": l.requests, "blocked": l.blocked, "throttled": l.throttled, "keys": l.keys.len(),
                    "keys_blocked": l.keys.values().filter(|b| **b).count(), "first_block_s": first_block,
                });
                (name.clone(), v)
            })
            .collect();
        let groups: Vec<serde_json::Value> = self
            .deployment
            .groups()
            .iter()
            .map(|g| {
                let explanations: serde_json::Map<_, _> = g.explanations.iter().map(|(n, p)| (n.to_string(), json!(p))).collect();
                json!({
                    "campaign": format!("{:08x}", g.campaign), "axis": g.axis, "state": g.state, "id": g.id, "keys": g.keys,
                    "requests": g.requests, "nats": g.nats, "explanations": explanations,
                })
            })
            .collect();
        let status = self.deployment.status();
        let mut out = json!({
            "requests": self.requests, "edges": self.deployment.edges(), "keys": status.keys, "skipped": self.skipped, "actions": by_action(&self.actions),
            "would": by_action(&self.would), "by_label": labels, "groups": groups, "unreadable": self.unreadable,
            "ns_per_request": (self.elapsed.as_nanos() as u64).checked_div(self.requests).unwrap_or(0),
            "state_bytes": status.state_bytes, "clock_steps_back": self.steps_back, "bytes": self.bytes,
            "convicted": status.convicted,
        });
        if let Some(c) = self.confusion() {
            out["confusion"] = c;
        }
        let formats = self.formats.iter().map(|(name, c)| {
            let v = json!({"records": c.records, "requests": c.requests, "without_text": c.without_text, "keys_by_hash": c.by_hash});
            (name.to_string(), v)
        });
        if let Some(tune) = &self.tune {
            out["tune"] = tune.report(&self.deployment);
        }
        out["formats"] = serde_json::Value::Object(formats.collect());
        out
    }

    /// Keys by label and verdict, if there are labels.
    fn confusion(&self) -> Option<serde_json::Value> {
        let side = |prefix: &str| {
            let of = self.labels.iter().filter(|(n, _)| n.starts_with(prefix)).map(|(_, l)| l);
            of.fold((0usize, 0usize), |(n, b), l| {
                (n + l.keys.len(), b + l.keys.values().filter(|b| **b).count())
            })
        };
        let ((benign, wrong), (attack, right)) = (side("benign:"), side("attack:"));
        (benign + attack > 0).then(|| {
            json!({"benign_keys": benign, "benign_keys_blocked": wrong, "attack_keys": attack, "attack_keys_blocked": right})
        })
    }

    pub(super) fn print(&self, s: &serde_json::Value, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(
            out,
            "requests {}  keys {}  skipped {}  edges {}  state {} bytes  {} ns/request",
            s["requests"], s["keys"], s["skipped"], s["edges"], s["state_bytes"], s["ns_per_request"]
        )?;
        writeln!(
            out,
            "decided  allow {}  tag {}  throttle {}  block {}",
            self.would[0], self.would[1], self.would[2], self.would[3]
        )?;
        writeln!(
            out,
            "done     allow {}  tag {}  throttle {}  block {}",
            self.actions[0], self.actions[1], self.actions[2], self.actions[3]
        )?;
        if !self.unreadable.is_empty() {
            let all: Vec<String> = self.unreadable.iter().map(|(k, n)| format!("{k} {n}")).collect();
            writeln!(out, "unreadable  {}", all.join("  "))?;
        }
        self.print_formats(out)?;
        if !self.labels.is_empty() {
            let heads =
                ["label", "requests", "blocked", "throttled", "keys", "keys blocked", "first block s"];
            let mut rows = crate::table::new(1, &heads);
            for (name, l) in &self.labels {
                let v = &s["by_label"][name];
                rows.add_row([
                    name.clone(),
                    l.requests.to_string(),
                    l.blocked.to_string(),
                    l.throttled.to_string(),
                    l.keys.len().to_string(),
                    v["keys_blocked"].to_string(),
                    v["first_block_s"].to_string(),
                ]);
            }
            writeln!(out, "\n{}", rows.trim_fmt())?;
        }
        let groups = self.deployment.groups();
        if !groups.is_empty() {
            let heads = ["group", "axis", "state", "keys", "requests", "nats"];
            let mut rows = crate::table::new(3, &heads);
            rows.set_header(heads.iter().chain(&["explanations (nats behind the likeliest)"]));
            for g in groups.iter().take(40) {
                let explanations: Vec<String> =
                    g.explanations.iter().map(|(n, p)| format!("{n} {p}")).collect();
                rows.add_row([
                    g.id.to_string(),
                    g.axis.to_string(),
                    g.state.to_string(),
                    g.keys.to_string(),
                    g.requests.to_string(),
                    g.nats.to_string(),
                    explanations.join(", "),
                ]);
            }
            writeln!(out, "\n{}", rows.trim_fmt())?;
        }
        if let Some(found) = s.get("tune") {
            tune::print::print(found, out)?;
        }
        Ok(())
    }

    /// Prints what was read of other formats, and what they cannot teach.
    fn print_formats(&self, out: &mut impl Write) -> std::io::Result<()> {
        let mut all = Count::default();
        for (name, c) in &self.formats {
            writeln!(
                out,
                "read     {name}: {} records, {} requests, {} without text",
                c.records, c.requests, c.without_text
            )?;
            all.add(*c);
        }
        if all.without_text > 0 {
            writeln!(
                out,
                "         requests without text teach the ages and loads of their keys, and no template"
            )?;
        }
        if all.by_hash > 0 && !self.deployment.config().profiles.iter().any(|p| p.identity.hash_secrets) {
            writeln!(
                out,
                "         {} requests name their key by its SHA-256: what is learned of them holds for live traffic only with identity.sha256: true",
                all.by_hash
            )?;
        }
        if self.steps_back > 0 && !self.formats.is_empty() {
            writeln!(
                out,
                "         {} requests came after later ones by more than the window: sort the files, or raise --window",
                self.steps_back
            )?;
        }
        Ok(())
    }
}
