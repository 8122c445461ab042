//! Reads the JSON strictly: unknown keys, wrong units, empty selectors and contradictions are problems that
//! name the JSON path, the value, what is allowed and the fix. All problems of a file are reported at once.

use super::read::{Object, leaf, of_text, quote, show};
use super::routes::{Match, Pattern, Routes, Rule};
use super::*;
use crate::engine::dialect::{DIALECTS, path};
use serde::de::{Deserialize, Deserializer};
use serde_json::{Map, Value};

const MAX_PROFILES: usize = 64;
const MAX_ROUTES: usize = 1_024;
const MAX_LIST: usize = 65_536;
const MAX_LIMITS: usize = 8;
const MAX_PATHS: usize = 32;
/// Keys that belong to the whole policy: one ledger serves all profiles.
const TOP_ONLY: [&str; 12] = [
    "version",
    "policy",
    "seed",
    "campaign",
    "profiles",
    "routes",
    "_rules_",
    "demo",
    "keys",
    "hub",
    "scope",
    "exceptions",
];

/// Parses and validates a configuration. Without a seed in the file, one is derived from the policy's name.
///
/// # Errors
/// All problems of the file.
pub fn parse(json: &str) -> Result<Config, ConfigError> {
    parse_with_env(json, None)
}

/// The same with `env_seed` (`WEIR_SEED`) where the file has no seed.
///
/// # Errors
/// All problems of the file.
pub fn parse_with_env(json: &str, env_seed: Option<&str>) -> Result<Config, ConfigError> {
    let mut p = Problems::default();
    // Some editors put a byte order mark in front.
    let json = json.strip_prefix('\u{feff}').unwrap_or(json);
    let json = if json.chars().all(char::is_whitespace) { "{}" } else { json };
    let value = match super::tree::read(json, &mut p) {
        Ok(v) => v,
        Err(e) => {
            p.add("", format_args!("is not JSON: {e}"));
            return Err(ConfigError(p.0));
        }
    };
    let config = whole(&value, env_seed, &mut p);
    if p.0.is_empty() { Ok(config) } else { Err(ConfigError(p.0)) }
}

fn whole(value: &Value, env_seed: Option<&str>, p: &mut Problems) -> Config {
    let mut top = Object::new(value, String::new(), p);
    let mut warnings = Problems::default();
    top.number("version", 1, 1, 1, p);
    let policy = policy(&mut top, p);
    let (seed, seed_is_derived) = seed(&mut top, env_seed, &policy, &mut warnings, p);
    let campaign = super::campaign::read(top.object("campaign", p), p);
    let keys = top.number("keys", 32_768, 1_024, 131_072, p);
    let scope = top.word("scope", &[("node", Scope::Node), ("vm", Scope::Vm)], Scope::Node, p);
    let mut demo = top.object("demo", p);
    let time_scale = demo.number("time_scale", 1, 1, 86_400, p);
    demo.finish(p);
    if time_scale > 1 {
        warnings.add("demo.time_scale", "the clock runs fast: for demonstrations only");
    }
    let hub = hub(&mut top, scope, &mut warnings, p);
    let exceptions = super::exceptions::read(&mut top, (!seed_is_derived).then_some(&seed), p);
    let (default, learn) = profile(&mut top, "default", p, &mut warnings);
    let mut profiles = vec![default];
    named_profiles(value, &mut top, &mut profiles, p);
    let routes = routes_of(value, &mut top, &mut profiles, p);
    top.finish(p);
    let told = p.0.iter().any(|p| matches!(p.path.as_str(), "seed" | "WEIR_SEED"));
    if seed_is_derived && !told && profiles.iter().any(|p| p.mode == Mode::Enforce) {
        p.add(
            "seed",
            "is missing: mode enforce needs a secret of your own, or anybody could compute whom it acts on; set seed (or WEIR_SEED) to 64 hexadecimal digits, for example from: openssl rand -hex 32",
        );
    }
    Config {
        policy,
        seed,
        seed_is_derived,
        learn,
        campaign,
        profiles,
        routes,
        scope,
        time_scale: time_scale as u32,
        exceptions,
        hub,
        keys: (keys as u32).next_power_of_two(),
        warnings: warnings.0,
    }
}

fn policy(top: &mut Object<'_>, p: &mut Problems) -> String {
    let name = top.string("policy", p).unwrap_or("default");
    let good = (1..=32).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !good {
        p.add("policy", format_args!("is {}, must be 1 to 32 of a-z, 0-9 and -", quote(name)));
    }
    name.to_string()
}

fn seed(
    top: &mut Object<'_>,
    env: Option<&str>,
    policy: &str,
    w: &mut Problems,
    p: &mut Problems,
) -> (Seed, bool) {
    let text = match (top.string("seed", p), env) {
        (Some(s), _) => Some((s, "seed")),
        (None, Some(s)) => Some((s, "WEIR_SEED")),
        _ => None,
    };
    match text {
        Some((s, path)) => match Seed::from_hex(s) {
            Some(seed) => return (seed, false),
            // The value is a secret: it is not shown.
            None => p.add(path, "must be 64 hexadecimal digits, for example from: openssl rand -hex 32"),
        },
        None => w.add(
            "seed",
            "absent: the module takes a random one for as long as its process lives, so that after a restart every kid:, tid: and nid: is another (lists by them match nothing, records of before belong to nobody), and so they are on each node; commands derive it from the policy's name; set seed or WEIR_SEED",
        ),
    }
    (Seed::from_text(policy), true)
}

/// Reads `hub`; `None` if it is absent.
fn hub(top: &mut Object<'_>, scope: Scope, w: &mut Problems, p: &mut Problems) -> Option<Hub> {
    let present = top.get("hub").is_some();
    let mut hub = top.object("hub", p);
    let cluster = hub.string("cluster", p).map(str::to_string);
    let token_env = hub.string("token_env", p).unwrap_or("WEIR_HUB_TOKEN").to_string();
    let every =
        hub.duration("every", Nanos::from_millis(500), Nanos::from_millis(100), Nanos::from_secs(60), p);
    hub.finish(p);
    if !present {
        return None;
    }
    if cluster.as_deref().is_none_or(str::is_empty) {
        p.add("hub.cluster", "is missing: the name of the Envoy cluster that the hub is reached by");
    }
    if scope == Scope::Vm {
        w.add("hub", "has no effect with scope vm: only a node's leader talks to the hub");
    }
    Some(Hub { cluster: cluster?, every, token_env })
}

/// Everything a profile may hold, read from the top level or from a merged profile.
fn profile(o: &mut Object<'_>, name: &str, p: &mut Problems, w: &mut Problems) -> (Profile, Nanos) {
    let mode = mode(o, p);
    let enforce_percent = o.number("enforce_percent", 100, 0, 100, p) as u8;
    let (identity, learn) = identity(o.object("identity", p), p, w);
    let profile = Profile {
        name: name.to_string(),
        mode,
        enforce_percent,
        identity,
        inspect: inspect(o.object("inspect", p), p, w),
        limits: limits(o, p),
        actions: actions(o.object("actions", p), p, w),
        allow: entries(o, "allow", p),
        deny: entries(o, "deny", p),
        failure_mode: o.word(
            "failure_mode",
            &[("open", FailureMode::Open), ("closed", FailureMode::Closed)],
            FailureMode::Open,
            p,
        ),
        log: log(o.object("log", p), p),
    };
    if profile.identity.tenant.is_none() && profile.limits.iter().any(|l| l.by == By::Tenant) {
        w.add(
            &o.at("limits"),
            "has a limit by tenant, which has no effect: identity.tenant names the source of a tenant",
        );
    }
    for entry in profile.allow.entries().iter().filter(|a| profile.deny.get(a.selector).is_some()) {
        o.problem("allow", format_args!("{} is in deny too: remove one of the two", quote(&entry.name)), p);
    }
    (profile, learn)
}

fn mode(o: &mut Object<'_>, p: &mut Problems) -> Mode {
    let words = "one of \"off\", \"shadow\", \"enforce\"";
    match o.get("mode") {
        None => Mode::Shadow,
        // YAML 1.1 reads a bare off as false.
        Some(Value::Bool(false)) => Mode::Off,
        Some(Value::Bool(true)) => {
            let what = "is true (YAML reads a bare on or yes so), must be";
            o.problem("mode", format_args!("{what} {words}"), p);
            Mode::Shadow
        }
        Some(Value::String(s)) if s == "off" => Mode::Off,
        Some(Value::String(s)) if s == "shadow" => Mode::Shadow,
        Some(Value::String(s)) if s == "enforce" => Mode::Enforce,
        Some(other) => {
            o.must_be("mode", other, words, p);
            Mode::Shadow
        }
    }
}

fn identity(mut o: Object<'_>, p: &mut Problems, w: &mut Problems) -> (IdentityConfig, Nanos) {
    let learn = o.duration("learn", Nanos::from_hours(24), Nanos(0), Nanos::from_hours(24 * 30), p);
    let path = o.at("sources");
    let sources = match o.list("sources", p) {
        None => default_sources(),
        Some(list) if list.is_empty() => {
            p.add(&path, "is empty: nobody could be told apart; name at least one source");
            default_sources()
        }
        Some(list) if list.len() > 16 => {
            p.add(&path, format_args!("has {} entries, at most 16 are allowed", list.len()));
            default_sources()
        }
        Some(list) => {
            list.iter().enumerate().filter_map(|(i, v)| source(v, &format!("{path}[{i}]"), p)).collect()
        }
    };
    if !sources.is_empty() && sources.iter().all(|s| matches!(s, Source::Address { .. })) {
        w.add(&path, "only addresses: all users behind one address are one key");
    }
    let mut one = |key: &'static str| {
        let path = o.at(key);
        o.get(key).and_then(|v| source(v, &path, p))
    };
    let (tenant, age, ja4) = (one("tenant"), one("age"), one("ja4"));
    let claims = sources.iter().chain(&tenant).chain(&age).any(|s| matches!(s, Source::Jwt(_)));
    if claims {
        w.add(
            &path,
            "claims of a token are believed as they stand: a filter in front must verify the token and refuse requests without one (in Envoy envoy.filters.http.jwt_authn, see envoy/identity/jwt.yaml)",
        );
    }
    let trusted_hops = o.number("trusted_hops", 0, 0, 16, p) as u8;
    let words = [("x-forwarded-for", HopsHeader::XForwardedFor), ("forwarded", HopsHeader::Forwarded)];
    let path = o.at("hops_header");
    let hops_header = o.word("hops_header", &words, HopsHeader::XForwardedFor, p);
    if hops_header == HopsHeader::Forwarded && trusted_hops == 0 {
        w.add(&path, "has no effect: identity.trusted_hops is 0, nobody is believed");
    }
    let hash_secrets = o.boolean("sha256", false, p);
    o.finish(p);
    (IdentityConfig { sources, hash_secrets, tenant, age, ja4, trusted_hops, hops_header }, learn)
}

/// Credentials only. A name that a filter in front writes (`x-client-id`) is no default: where no filter
/// does, a client could make one up for each request.
fn default_sources() -> Vec<Source> {
    vec![
        Source::Bearer,
        Source::Secret("x-api-key".into()),
        Source::Secret("api-key".into()),
        Source::Secret("x-goog-api-key".into()),
        Source::Query("key".into()),
        Source::SigV4,
        Source::Basic,
        Source::Address { ipv4: 32, ipv6: 64 },
    ]
}

fn source(v: &Value, path: &str, p: &mut Problems) -> Option<Source> {
    let mut o = Object::new(v, path.to_string(), p);
    if o.number_of_keys() != 1 {
        p.add(
            path,
            "must name exactly one of header, bearer, basic, sigv4, jwt, query, cookie, property, address",
        );
        return None;
    }
    let mut name = |key: &'static str, p: &mut Problems| -> Option<String> {
        o.get(key)?;
        let s = o.string(key, p)?;
        if s.trim().is_empty() {
            o.problem(key, "is empty", p);
            return None;
        }
        Some(s.to_string())
    };
    let header = name("header", p).map(|s| Source::header(&s));
    let query = name("query", p).map(Source::Query);
    let property = name("property", p).map(Source::Property);
    let jwt = name("jwt", p).map(Source::Jwt);
    let cookie = name("cookie", p).map(Source::Cookie);
    let mut fixed = None;
    for (key, source) in [("bearer", Source::Bearer), ("basic", Source::Basic), ("sigv4", Source::SigV4)] {
        match o.get(key) {
            None => {}
            Some(Value::Bool(true)) => fixed = Some(source),
            Some(other) => o.must_be(key, other, "true", p),
        }
    }
    let address = if o.get("address").is_some() {
        let mut a = o.object("address", p);
        let (ipv4, ipv6) = (a.number("ipv4", 32, 8, 32, p) as u8, a.number("ipv6", 64, 16, 128, p) as u8);
        a.finish(p);
        Some(Source::Address { ipv4, ipv6 })
    } else {
        None
    };
    o.finish(p);
    header.or(query).or(property).or(jwt).or(cookie).or(fixed).or(address)
}

fn inspect(mut o: Object<'_>, p: &mut Problems, w: &mut Problems) -> Inspect {
    let hold = o.size("max_hold_bytes", 16 << 10, 0, 8 << 20, p);
    // Nothing at all: the headers decide, for hosts that forget a request between its headers and its body.
    let headers_alone = o.get("max_inspect_bytes").is_some_and(|v| v.as_str() == Some("0B"));
    let (hold, inspect) = if headers_alone {
        (0, 0)
    } else {
        (hold, o.size("max_inspect_bytes", 1 << 20, 1 << 10, 64 << 20, p))
    };
    let buffer = o.size("host_buffer_bytes", 32 << 10, 0, 1 << 30, p);
    if hold > buffer {
        w.add(
            &o.at("max_hold_bytes"),
            "is above host_buffer_bytes (default 32KiB): no more is held; raise the buffer, and say so",
        );
    }
    if hold > inspect {
        let what = "is larger than max_inspect_bytes: what is held would not be looked at";
        o.problem("max_hold_bytes", what, p);
    }
    let words =
        [("allow", OnUnreadable::Allow), ("limit", OnUnreadable::Limit), ("reject", OnUnreadable::Reject)];
    let others = [("keys", OtherPaths::Keys), ("none", OtherPaths::None), ("reject", OtherPaths::Reject)];
    let out = Inspect {
        max_hold_bytes: hold as u32,
        max_inspect_bytes: inspect as u32,
        host_buffer_bytes: buffer as u32,
        hold_headers: o.boolean("hold_headers", false, p),
        on_unreadable: o.word("on_unreadable", &words, OnUnreadable::Limit, p),
        other_paths: o.word("other_paths", &others, OtherPaths::Keys, p),
        paths: own_paths(&mut o, p),
    };
    o.finish(p);
    out
}

/// `inspect.paths`.
fn own_paths(o: &mut Object<'_>, p: &mut Problems) -> Vec<OwnPath> {
    let path = o.at("paths");
    let list = o.list("paths", p).map(Vec::as_slice).unwrap_or_default();
    if list.len() > MAX_PATHS {
        p.add(&path, format_args!("has {} entries, at most {MAX_PATHS} are allowed", list.len()));
        return Vec::new();
    }
    let mut out: Vec<OwnPath> = Vec::new();
    for (i, v) in list.iter().enumerate() {
        let mut e = Object::new(v, format!("{path}[{i}]"), p);
        let suffix = e.string("suffix", p).unwrap_or_default().to_ascii_lowercase();
        let plain = path::Normal::of(suffix.as_bytes());
        let mut sound = false;
        if !suffix.starts_with('/') || suffix.len() < 2 {
            e.problem(
                "suffix",
                format_args!("is {}, must begin with / and name a segment", quote(&suffix)),
                p,
            );
        } else if suffix.len() >= path::MAX {
            e.problem("suffix", format_args!("is longer than {} bytes", path::MAX.saturating_sub(1)), p);
        } else if suffix.as_bytes() != plain.start() {
            let plain = String::from_utf8_lossy(plain.start());
            e.problem("suffix", format_args!("would never match: paths are compared as \"{plain}\""), p);
        } else if out.iter().any(|own| suffix.ends_with(&own.suffix)) {
            e.problem("suffix", "is never reached: an entry before it matches the same paths", p);
        } else {
            sound = true;
        }
        let name = e.string("as", p).unwrap_or_default();
        match DIALECTS.iter().find(|d| d.name() == name) {
            Some(dialect) if sound => out.push(OwnPath { suffix, dialect: *dialect }),
            Some(_) => {}
            None => {
                let names: Vec<&str> = DIALECTS.iter().map(|d| d.name()).collect();
                e.problem("as", format_args!("is {}, must be one of {}", quote(name), names.join(", ")), p);
            }
        }
        e.finish(p);
    }
    out
}

fn limits(o: &mut Object<'_>, p: &mut Problems) -> Vec<Limit> {
    let path = o.at("limits");
    let Some(list) = o.list("limits", p) else {
        return vec![
            Limit::new("burst", 60, Nanos::from_secs(60)),
            Limit::new("daily", 5_000, Nanos::from_hours(24)),
        ];
    };
    if list.len() > MAX_LIMITS {
        p.add(&path, format_args!("has {} entries, at most {MAX_LIMITS} are allowed", list.len()));
        return Vec::new();
    }
    let mut out: Vec<Limit> = Vec::new();
    for (i, v) in list.iter().enumerate() {
        let mut l = Object::new(v, format!("{path}[{i}]"), p);
        let name = l.string("name", p).unwrap_or_default().to_string();
        for key in ["requests", "per"] {
            if !l.has(key) {
                l.problem(key, "is missing", p);
            }
        }
        let requests = l.number("requests", 1, 1, 1_000_000_000, p) as u32;
        let per = l.duration("per", Nanos::from_secs(60), Nanos::from_secs(1), Nanos::from_hours(24 * 31), p);
        if name.is_empty() {
            l.problem("name", "is missing or empty", p);
        } else if out.iter().any(|o| o.name == name) {
            l.problem("name", format_args!("is {}, which another limit has already", quote(&name)), p);
        }
        let by = l.word("by", &[("key", By::Key), ("tenant", By::Tenant)], By::Key, p);
        let costs = [("answers", Cost::Answers), ("requests", Cost::Requests)];
        let cost = l.word("cost", &costs, Cost::Answers, p);
        l.finish(p);
        out.push(Limit { name, requests, per, by, cost });
    }
    let (mut of_keys, of_tenants) = out.into_iter().partition::<Vec<Limit>, _>(|l| l.by == By::Key);
    of_keys.extend(of_tenants);
    of_keys
}

fn actions(mut o: Object<'_>, p: &mut Problems, w: &mut Problems) -> Actions {
    // What has a budget is marked, too.
    let words = [("tag", (true, false)), ("budget", (true, true)), ("none", (false, false))];
    let (watch_tags, has_budget) = o.word("watch", &words, (true, false), p);
    if o.get("budget").is_some() && !has_budget {
        w.add(&o.at("budget"), "has no effect: actions.watch is not \"budget\"");
    }
    let (mut b, usual) = (o.object("budget", p), Budget::default());
    let requests = b.number("requests", u64::from(usual.requests), 1, 1_000_000_000, p) as u32;
    let per = b.duration("per", usual.per, Nanos::from_secs(1), Nanos::from_hours(24 * 31), p);
    b.finish(p);
    let budget = has_budget.then_some(Budget { requests, per });
    let mut t = o.object("throttle", p);
    // Clients obey waits up to a minute and give up on longer ones.
    let retry = t.duration("retry_after", Nanos::from_secs(30), Nanos::from_secs(1), Nanos::from_secs(60), p);
    t.finish(p);
    let mut b = o.object("block", p);
    let block_for =
        b.duration("for", Nanos::from_hours(72), Nanos::from_secs(60), Nanos::from_hours(24 * 90), p);
    let status = b.number("status", 429, 400, 599, p) as u16;
    b.finish(p);
    o.finish(p);
    Actions { watch_tags, budget, throttle_retry_after: retry, block_for, block_status: status }
}

fn log(mut o: Object<'_>, p: &mut Problems) -> LogDecisions {
    let words =
        [("none", LogDecisions::None), ("changes", LogDecisions::Changes), ("all", LogDecisions::All)];
    let out = o.word("decisions", &words, LogDecisions::Changes, p);
    o.finish(p);
    out
}

/// A key of an entry, the prefix of its text, and the selector that it makes.
type Kind = (&'static str, &'static str, fn(u64) -> Selector);
const SELECTORS: [Kind; 4] = [
    ("key", "kid:", |h| Selector::Key(KeyId(h))),
    ("tenant", "ten:", Selector::Tenant),
    ("template", "tid:", Selector::Template),
    ("network", "nid:", Selector::Network),
];

/// `kid:`, `ten:`, `tid:` or `nid:` and 16 hexadecimal digits.
impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Selector, D::Error> {
        of_text(d, "kid:, ten:, tid: or nid: and 16 hexadecimal digits", |text| {
            let (prefix, hash) = text.split_at_checked(4).filter(|(_, hash)| hash.len() == 16)?;
            let (_, _, make) = SELECTORS.iter().find(|s| s.1 == prefix)?;
            u64::from_str_radix(hash, 16).ok().map(make)
        })
    }
}

fn entries(o: &mut Object<'_>, key: &'static str, p: &mut Problems) -> List {
    let path = o.at(key);
    let list = o.list(key, p).map(Vec::as_slice).unwrap_or_default();
    if list.len() > MAX_LIST {
        p.add(&path, format_args!("has {} entries, at most {MAX_LIST} are allowed", list.len()));
        return List::default();
    }
    let mut out: Vec<ListEntry> = Vec::with_capacity(list.len());
    let mut places = Vec::with_capacity(list.len());
    for (i, v) in list.iter().enumerate() {
        let mut e = Object::new(v, format!("{path}[{i}]"), p);
        let name = e.string("name", p).unwrap_or_default().to_string();
        let mut found = None;
        for (kind, prefix, _) in SELECTORS {
            let Some(v) = e.get(kind).filter(|v| v.is_string()) else {
                e.string(kind, p);
                continue;
            };
            // A tenant under `key` is no key.
            let of_kind = v.as_str().filter(|s| s.starts_with(prefix)).and(leaf::<Selector>(v).ok());
            match of_kind {
                Some(s) if found.is_none() => found = Some(s),
                Some(_) => e.problem(kind, "an entry selects one thing: write a second entry", p),
                None => e.problem(kind, format_args!("must be \"{prefix}\" and 16 hexadecimal digits"), p),
            }
        }
        match found {
            Some(selector) => {
                places.push(i);
                out.push(ListEntry { name, selector });
            }
            None if e.number_of_keys() == usize::from(e.has("name")) => {
                p.add(&path, format_args!("[{i}] selects nothing: name key, tenant, template or network"))
            }
            None => {}
        }
        e.finish(p);
    }
    let out = List::new(out);
    for i in out.twins().filter_map(|at| places.get(at)) {
        p.add(&format!("{path}[{i}].key"), "is listed twice");
    }
    out
}

/// `base` with a JSON merge patch applied (RFC 7396). It builds new maps, because removal from a map is 5 KB
/// of the module.
pub fn merged(base: Option<&Value>, patch: &Value) -> Value {
    let (Some(Value::Object(base)), Value::Object(changes)) = (base, patch) else { return patch.clone() };
    let kept = base.iter().filter(|(k, _)| !changes.contains_key(*k)).map(|(k, v)| (k.clone(), v.clone()));
    let new = changes.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), merged(base.get(k), v)));
    let mut out = Map::new();
    kept.chain(new).for_each(|(k, v)| drop(out.insert(k, v)));
    Value::Object(out)
}

/// A copy of the object without some of its keys.
fn without(v: &Value, keys: &[&str]) -> Value {
    let mut out = Map::new();
    for (k, v) in v.as_object().into_iter().flatten().filter(|(k, _)| !keys.contains(&k.as_str())) {
        out.insert(k.clone(), v.clone());
    }
    Value::Object(out)
}

/// Reads a profile, which is a patch over the top level. Problems carry the patch's own path.
fn patched(top: &Value, patch: &Value, name: &str, path: &str, p: &mut Problems) -> Option<Profile> {
    let Value::Object(keys) = patch else {
        p.add(path, format_args!("is {}, must be an object {{…}}", show(patch)));
        return None;
    };
    let mut sound = true;
    for key in TOP_ONLY.iter().filter(|k| keys.contains_key(**k)) {
        p.add(
            &format!("{path}.{key}"),
            "belongs to the whole policy, not to a profile: move it to the top level",
        );
        sound = false;
    }
    if let Some(Value::Object(identity)) = keys.get("identity")
        && identity.contains_key("learn")
    {
        p.add(
            &format!("{path}.identity.learn"),
            "belongs to the whole policy, not to a profile: move it to the top level",
        );
        sound = false;
    }
    if !sound {
        return None;
    }
    let top = without(top, &TOP_ONLY);
    let merged = merged(Some(&top), patch);
    // What is wrong at the top level was told there.
    let (mut inner, mut old) = (Problems::default(), Problems::default());
    let mut o = Object::new(&merged, path.to_string(), &mut inner);
    let (profile, _) = profile(&mut o, name, &mut inner, &mut Problems::default());
    o.finish(&mut inner);
    let mut before = Object::new(&top, path.to_string(), &mut old);
    let _ = self::profile(&mut before, name, &mut old, &mut Problems::default());
    before.finish(&mut old);
    p.0.extend(inner.0.into_iter().filter(|i| !old.0.contains(i)));
    Some(profile)
}

fn named_profiles(top_value: &Value, top: &mut Object<'_>, profiles: &mut Vec<Profile>, p: &mut Problems) {
    let Some(v) = top.get("profiles") else { return };
    let Value::Object(map) = v else {
        p.add("profiles", format_args!("is {}, must be an object {{name: settings}}", show(v)));
        return;
    };
    if map.len() > MAX_PROFILES {
        p.add("profiles", format_args!("has {} entries, at most {MAX_PROFILES} are allowed", map.len()));
        return;
    }
    for (name, patch) in map {
        let path = format!("profiles.{name}");
        if name.is_empty() || name == "default" || name.contains('@') {
            p.add(&path, "is not a name for a profile: it must not be empty, \"default\" or contain @");
            continue;
        }
        if let Some(profile) = patched(top_value, patch, name, &path, p) {
            profiles.push(profile);
        }
    }
}

/// The profile of a route: a named one, a mode, or both.
fn with_mode(profiles: &mut Vec<Profile>, base: usize, mode: Option<Mode>) -> Option<ProfileId> {
    let wanted = profiles.get(base)?.clone();
    let Some(mode) = mode.filter(|m| *m != wanted.mode) else { return u8::try_from(base).ok() };
    let name = format!("{}@{}", wanted.name, mode.name());
    let at = profiles.iter().position(|p| p.name == name).unwrap_or(profiles.len());
    if at == profiles.len() {
        profiles.push(Profile { name, mode, ..wanted });
    }
    u8::try_from(at).ok()
}

fn routes_of(
    top_value: &Value,
    top: &mut Object<'_>,
    profiles: &mut Vec<Profile>,
    p: &mut Problems,
) -> Routes {
    let (routes, rules) = (top.list("routes", p), top.list("_rules_", p));
    let mut out = Vec::new();
    let both = routes.is_some_and(|r| !r.is_empty()) && rules.is_some_and(|r| !r.is_empty());
    if both {
        p.add("_rules_", "and routes are both given: use one of the two");
    }
    for (list, path) in [(routes, "routes"), (rules, "_rules_")] {
        let list = list.map(Vec::as_slice).unwrap_or_default();
        if list.len() > MAX_ROUTES {
            p.add(path, format_args!("has {} entries, at most {MAX_ROUTES} are allowed", list.len()));
            continue;
        }
        for (i, v) in list.iter().enumerate() {
            let at = format!("{path}[{i}]");
            let rule = if path == "routes" {
                route(v, &at, profiles, p)
            } else {
                higress(top_value, v, &at, profiles, p)
            };
            out.extend(rule);
        }
    }
    if let Some(i) = out.iter().position(Rule::matches_all)
        && i.saturating_add(1) < out.len()
    {
        p.add(
            &format!("routes[{}]", i.saturating_add(1)),
            format_args!("is never reached: routes[{i}] matches everything"),
        );
    }
    let names = profiles.iter().map(|p| p.name.clone()).collect();
    Routes::new(out, names)
}

fn route(v: &Value, path: &str, profiles: &mut Vec<Profile>, p: &mut Problems) -> Option<Rule> {
    let mut o = Object::new(v, path.to_string(), p);
    let mut m = o.object("match", p);
    let mut matches = Vec::new();
    let text = |m: &mut Object<'_>, key: &'static str, p: &mut Problems| -> Option<String> {
        m.get(key)?;
        let s = m.string(key, p)?;
        if s.is_empty() {
            m.problem(key, "is empty", p);
            return None;
        }
        Some(s.to_string())
    };
    matches.extend(text(&mut m, "route", p).map(|s| Match::Route(Pattern::glob(&s))));
    matches.extend(text(&mut m, "virtual_host", p).map(|s| Match::VirtualHost(Pattern::glob(&s))));
    matches.extend(text(&mut m, "domain", p).map(|s| Match::Domain(Pattern::glob(&s.to_ascii_lowercase()))));
    matches.extend(text(&mut m, "service", p).map(|s| Match::Service(Pattern::glob(&s))));
    let prefix = text(&mut m, "path", p);
    if prefix.as_ref().is_some_and(|s| !s.starts_with('/')) {
        m.problem("path", "must start with /", p);
    }
    if prefix.as_ref().is_some_and(|s| s.len() >= path::MAX) {
        m.problem("path", format_args!("is longer than {} bytes", path::MAX.saturating_sub(1)), p);
    }
    let prefix = prefix.map(|s| s.to_ascii_lowercase());
    if let Some(s) = prefix.as_ref().filter(|s| s.starts_with('/') && s.len() < path::MAX) {
        let plain = path::Normal::of(s.as_bytes());
        if s.strip_suffix('/').unwrap_or(s).as_bytes() != plain.start() {
            let plain = String::from_utf8_lossy(plain.start());
            m.problem("path", format_args!("would never match: paths are compared as \"{plain}\""), p);
        }
    }
    matches.extend(prefix.map(Match::Path));
    if matches.is_empty() && m.number_of_keys() == 0 {
        o.problem("match", "selects nothing: give route, virtual_host, domain, path or service", p);
    }
    m.finish(p);
    let base = match o.string("profile", p) {
        None => Some(0),
        Some(name) => {
            let found = profiles.iter().position(|x| x.name == name);
            if found.is_none() {
                o.problem("profile", format_args!("is {}, which is not under profiles", quote(name)), p);
            }
            found
        }
    };
    let has_mode = o.has("mode");
    let mode = has_mode.then(|| mode(&mut o, p));
    o.get("mode");
    if !has_mode && !o.has("profile") {
        p.add(path, "changes nothing: give profile or mode");
    }
    o.finish(p);
    let profile = base.and_then(|b| with_mode(profiles, b, mode));
    if base.is_some() && profile.is_none() {
        p.add(path, "needs more than 256 profiles in all");
    }
    Some(Rule { matches, profile: profile? })
}

/// A rule in Higress's form: one selector kind, and the settings beside it.
fn higress(
    top: &Value,
    v: &Value,
    path: &str,
    profiles: &mut Vec<Profile>,
    p: &mut Problems,
) -> Option<Rule> {
    let Value::Object(map) = v else {
        p.add(path, format_args!("is {}, must be an object {{…}}", show(v)));
        return None;
    };
    let kinds = ["_match_route_", "_match_route_prefix_", "_match_domain_", "_match_service_"];
    let present: Vec<&str> = kinds.iter().copied().filter(|k| map.contains_key(*k)).collect();
    // Higress itself knows one combination: a route and a service, of which both must hold.
    if !matches!(present.as_slice(), [_] | ["_match_route_", "_match_service_"]) {
        p.add(path, format_args!("must have exactly one of {}, or a route and a service", kinds.join(", ")));
        return None;
    }
    let mut matches = Vec::new();
    for kind in present {
        let names = match map.get(kind) {
            Some(Value::Array(names)) => names.as_slice(),
            _ => &[],
        };
        let any: Vec<Match> = names
            .iter()
            .filter_map(Value::as_str)
            .filter(|s| !s.is_empty())
            .map(|n| match kind {
                "_match_route_" => Match::Route(Pattern::exact(n)),
                "_match_route_prefix_" => Match::Route(Pattern::prefix(n)),
                "_match_domain_" => Match::Domain(Pattern::glob(&n.to_ascii_lowercase())),
                _ => Match::Service(Pattern::glob(n)),
            })
            .collect();
        if any.is_empty() {
            p.add(&format!("{path}.{kind}"), "must be a list of names that is not empty");
            return None;
        }
        matches.push(Match::Any(any));
    }
    let name = format!("{path}@rule");
    let profile = patched(top, &without(v, &kinds), &name, path, p)?;
    let Ok(id) = u8::try_from(profiles.len()) else {
        p.add(path, "needs more than 256 profiles in all");
        return None;
    };
    profiles.push(profile);
    Some(Rule { matches, profile: id })
}
