//! Decision records in log lines: found wherever they stand in a line, and checked before anything of them is
//! shown.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Longest word of a record that is shown, bytes.
const MAX_WORD: usize = 128;
/// Largest number of hashes in a sample.
const MAX_SAMPLE: usize = 256;

/// A record that the filter wrote. Unknown fields are ignored and missing ones tolerated, because logs
/// outlive versions.
#[derive(Deserialize)]
pub struct Record {
    pub t_ms: u64,
    pub case: Option<String>,
    pub campaign: String,
    pub key: String,
    pub policy: String,
    pub profile: String,
    pub mode: String,
    pub action: String,
    pub would: String,
    pub reason: String,
    pub evidence: Evidence,
    #[serde(default)]
    pub sample: Option<String>,
    /// `ledger` if the record is the ledger's: the evidence behind the workers' decisions, not one request's
    /// record.
    #[serde(default)]
    pub at: Option<String>,
    #[serde(default)]
    pub own: Option<Own>,
    #[serde(default)]
    pub group: Option<Group>,
}

#[derive(Deserialize)]
pub struct Evidence {
    pub matched: u32,
    pub values: u32,
    pub strikes: u32,
    pub requests: u64,
}

/// The key's own facts.
#[derive(Deserialize)]
pub struct Own {
    pub young: bool,
    pub age: String,
    pub age_hours: u64,
    pub automatic: bool,
    pub convicted: bool,
    pub requests: u64,
    pub openings_percent: u32,
    pub repeats_percent: u32,
    pub matches_percent: u32,
    pub hits: u32,
    pub strikes: u32,
    pub shared: u32,
    /// Follow-ups that carried the template of its case.
    #[serde(default)]
    pub talk: u32,
    /// Odds, to one, at which a key is blocked.
    #[serde(default)]
    pub block_odds: Option<u64>,
    /// The odds that the key belongs to the campaign, nats.
    #[serde(default)]
    pub odds_nats: Option<f64>,
    /// Factors of these odds by name, nats.
    #[serde(default)]
    pub factors: BTreeMap<String, f64>,
}

/// The group that the verdict rests on.
#[derive(Clone, Deserialize)]
pub struct Group {
    pub id: String,
    pub axis: String,
    pub state: String,
    /// Number of its case's campaign, as in `Record::campaign`.
    #[serde(default)]
    pub campaign: String,
    pub since_s: u64,
    pub keys: u64,
    pub min_keys: u64,
    pub requests: u64,
    /// Nats of the campaign over the best honest explanation. Older versions wrote points, see `score`.
    #[serde(default)]
    pub nats: Option<i64>,
    #[serde(default)]
    pub score: Option<i64>,
    pub threshold: i64,
    /// Nats by which each explanation is worse than the likeliest.
    #[serde(default)]
    pub explanations: BTreeMap<String, i64>,
    #[serde(default)]
    pub campaign_percent: Option<u32>,
    pub young_percent: u32,
    pub novel_percent: u32,
    pub single_percent: u32,
    #[serde(default)]
    pub old_percent: Option<u32>,
    pub sampled_keys: Vec<String>,
}

/// True if `text` is `digits` lower-case hexadecimal digits.
pub fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// True if `text` is `prefix` and 16 such digits.
pub fn is_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|h| is_hex(h, 16))
}

impl Record {
    /// Checks all fields. Anybody may write to a log, so only plain words and numbers may reach a terminal.
    fn check(&self) -> Result<(), String> {
        let hash = |name: &str, text: &Option<String>| match text {
            Some(t) if !is_hex(t, 8) => Err(format!("{name} is not 8 hexadecimal digits")),
            _ => Ok(()),
        };
        hash("case", &self.case)?;
        hash("sample", &self.sample)?;
        if !is_id(&self.key, "kid:") {
            return Err("key is not kid: and 16 hexadecimal digits".into());
        }
        let mut words = vec![
            ("campaign", &self.campaign),
            ("policy", &self.policy),
            ("profile", &self.profile),
            ("mode", &self.mode),
            ("action", &self.action),
            ("would", &self.would),
            ("reason", &self.reason),
        ];
        words.extend(self.own.iter().map(|o| ("own.age", &o.age)));
        words.extend(self.own.iter().flat_map(|o| o.factors.keys()).map(|k| ("own.factors", k)));
        if let Some(g) = &self.group {
            if !is_id(&g.id, "tid:") && !is_id(&g.id, "nid:") {
                return Err("group.id is not tid: or nid: and 16 hexadecimal digits".into());
            }
            if g.sampled_keys.len() > MAX_SAMPLE || !g.sampled_keys.iter().all(|h| is_hex(h, 8)) {
                return Err("group.sampled_keys is not a list of 8 hexadecimal digits each".into());
            }
            words.extend([
                ("group.axis", &g.axis),
                ("group.state", &g.state),
                ("group.campaign", &g.campaign),
            ]);
            words.extend(g.explanations.keys().map(|k| ("group.explanations", k)));
        }
        match words.iter().find(|(_, w)| w.len() > MAX_WORD || w.chars().any(char::is_control)) {
            Some((name, _)) => Err(format!("{name} is not a word")),
            None => Ok(()),
        }
    }
}

const PLAIN: &[u8] = br#"{"weir":"decision""#;
/// Beginning of a record inside the string of a log shipper's own JSON.
const QUOTED: &[u8] = br#"{\"weir\":\"decision\""#;

/// The first valid record in a line, with its text as written, or why the record in it is not valid; `None`
/// if there is none.
pub fn find(line: &[u8]) -> Option<Result<(Record, String), String>> {
    let mut failed = None;
    let mut at = 0;
    while let Some(step) = line.get(at..)?.iter().position(|b| *b == b'{') {
        let rest = &line[at + step..];
        at += step + 1;
        let parsed = match rest {
            r if r.starts_with(PLAIN) => parse(r),
            r if r.starts_with(QUOTED) => unquote(r).and_then(|text| parse(text.as_bytes())),
            _ => continue,
        };
        match parsed {
            Ok(found) => return Some(Ok(found)),
            Err(e) => failed = failed.or(Some(Err(e))),
        }
    }
    failed
}

/// Parses the record at the start of `text`; what follows it is ignored.
fn parse(text: &[u8]) -> Result<(Record, String), String> {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<&RawValue>();
    let raw = values.next().unwrap_or(Ok(RawValue::NULL)).map_err(|e| e.to_string())?;
    let record: Record = serde_json::from_str(raw.get()).map_err(|e| e.to_string())?;
    record.check()?;
    Ok((record, raw.get().to_string()))
}

/// Unescapes the rest of the JSON string that `text` stands in.
fn unquote(text: &[u8]) -> Result<String, String> {
    let quoted = [b"\"", text].concat();
    let mut strings = serde_json::Deserializer::from_slice(&quoted).into_iter::<String>();
    strings.next().unwrap_or_else(|| Ok(String::new())).map_err(|e| e.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    const LINE: &str = r#"{"weir":"decision","t_ms":1,"case":"000000ab","campaign":"00000000","key":"kid:00000000000000ff","policy":"p","profile":"default","mode":"shadow","action":"allow","would":"throttle","reason":"rate","evidence":{"matched":0,"values":9,"score":0,"group_keys":0,"strikes":0,"requests":7}}"#;

    fn found(line: &str) -> Option<Result<String, String>> {
        find(line.as_bytes()).map(|r| r.map(|(r, raw)| format!("{} {}", r.reason, raw.len())))
    }

    #[test]
    fn records_are_found_wherever_they_stand() {
        let want = Some(Ok(format!("rate {}", LINE.len())));
        assert_eq!(found(LINE), want);
        assert_eq!(
            found(&format!("[2026-05-01 10:00:00][9][info][wasm] [x.cc:1] wasm log weir: {LINE} tail")),
            want
        );
        let shipped = serde_json::json!({"log": format!("{{ [info] {LINE}\n"), "stream": "stderr"});
        assert_eq!(found(&shipped.to_string()), want);
        assert_eq!(found(&format!(r#"GET /{{"weir":"decision" {LINE}"#)), want, "a broken one goes before");
        assert_eq!(found("{} [info] nothing here {\"weir\":\"else\"}"), None);
        assert_eq!(found(""), None);
    }

    #[test]
    fn damaged_records_are_errors() {
        for cut in PLAIN.len()..LINE.len() {
            assert!(matches!(found(&LINE[..cut]), Some(Err(_))), "{cut}");
        }
        for (from, to, why) in [
            ("\"t_ms\":1", "\"t_ms\":-1", "invalid value"),
            ("000000ab", "ab", "case is not 8"),
            ("kid:00000000000000ff", "sk-live-1", "key is not kid:"),
            ("\"shadow\"", "\"\\u001b[2J\"", "mode is not a word"),
            ("\"policy\":\"p\",", "", "missing field `policy`"),
        ] {
            let Some(Err(e)) = found(&LINE.replace(from, to)) else { panic!("{to} was accepted") };
            assert!(e.contains(why), "{e}");
        }
        assert!(matches!(find(&[PLAIN, b",\"x\":\"\xff\"}"].concat()), Some(Err(_))));
    }
}
