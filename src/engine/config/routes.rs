//! Which profile applies to a request: the one that the route's own metadata names, else that of the first
//! rule whose selectors match.

use super::ProfileId;
use crate::engine::dialect::path;

/// What is known of a request's route. Empty = unknown.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteQuery<'a> {
    /// `xds.route_name` (or Higress `route_name`).
    pub route: &'a [u8],
    /// `xds.virtual_host_name`.
    pub virtual_host: &'a [u8],
    /// `:authority`, with or without port.
    pub authority: &'a [u8],
    /// `:path`.
    pub path: &'a path::Normal,
    /// `xds.cluster_name`, for Higress `_match_service_`.
    pub service: &'a [u8],
    /// Route metadata `weir.profile`.
    pub metadata_profile: &'a [u8],
}

/// A pattern of names in which `*` matches anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Vec<u8>>,
}

impl Pattern {
    /// A pattern in which `*` matches any run of bytes.
    pub fn glob(text: &str) -> Pattern {
        Pattern { parts: text.split('*').map(|p| p.as_bytes().to_vec()).collect() }
    }
    /// A pattern that matches this name only.
    pub fn exact(text: &str) -> Pattern {
        Pattern { parts: vec![text.as_bytes().to_vec()] }
    }
    /// A pattern that matches names with this prefix.
    pub fn prefix(text: &str) -> Pattern {
        Pattern { parts: vec![text.as_bytes().to_vec(), Vec::new()] }
    }
    fn is_any(&self) -> bool {
        self.parts.len() > 1 && self.parts.iter().all(Vec::is_empty)
    }
    /// True if the name matches. Cost: linear in its length.
    pub fn matches(&self, name: &[u8]) -> bool {
        let Some((first, rest)) = self.parts.split_first() else { return name.is_empty() };
        let Some((last, middle)) = rest.split_last() else { return name == first.as_slice() };
        let Some(mut at) = name.strip_prefix(first.as_slice()) else { return false };
        for part in middle.iter().filter(|p| !p.is_empty()) {
            match at.windows(part.len()).position(|w| w == part.as_slice()) {
                Some(i) => at = at.get(i.saturating_add(part.len())..).unwrap_or_default(),
                None => return false,
            }
        }
        at.ends_with(last)
    }
}

/// One condition of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// Route name.
    Route(Pattern),
    /// Virtual host name.
    VirtualHost(Pattern),
    /// Host part of `:authority`, lower case.
    Domain(Pattern),
    /// Cluster name.
    Service(Pattern),
    /// Prefix of the normalised path.
    Path(String),
    /// One of these holds.
    Any(Vec<Match>),
}

impl Match {
    /// The attribute of a request that it compares.
    fn value<'a>(&self, q: &RouteQuery<'a>, host: &'a [u8]) -> &'a [u8] {
        match self {
            Match::Route(_) => q.route,
            Match::VirtualHost(_) => q.virtual_host,
            Match::Domain(_) => host,
            Match::Service(_) => q.service,
            Match::Path(_) => q.path.start(),
            Match::Any(list) => list.first().map_or(b"", |m| m.value(q, host)),
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<_> = self.parts.iter().map(|p| String::from_utf8_lossy(p)).collect();
        f.write_str(&parts.join("*"))
    }
}

impl std::fmt::Display for Match {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Match::Route(p) => write!(f, "route {p}"),
            Match::VirtualHost(p) => write!(f, "virtual host {p}"),
            Match::Domain(p) => write!(f, "domain {p}"),
            Match::Service(p) => write!(f, "service {p}"),
            Match::Path(p) => write!(f, "path {p}"),
            Match::Any(any) if any.len() > 1 => write!(f, "({})", list(any, " or ")),
            Match::Any(any) => f.write_str(&list(any, " or ")),
        }
    }
}

fn list(matches: &[Match], word: &str) -> String {
    if matches.is_empty() {
        return "anything".into();
    }
    matches.iter().map(ToString::to_string).collect::<Vec<_>>().join(word)
}

/// Conditions that must all hold, and the profile that then applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Conditions that must all hold.
    pub matches: Vec<Match>,
    /// Profile that applies.
    pub profile: ProfileId,
}

impl Rule {
    /// True if it matches every request.
    pub fn matches_all(&self) -> bool {
        self.matches.iter().all(|m| match m {
            Match::Route(p) | Match::VirtualHost(p) | Match::Domain(p) | Match::Service(p) => p.is_any(),
            Match::Path(prefix) => prefix == "/",
            Match::Any(_) => false,
        })
    }
}

/// The rules in order.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    rules: Vec<Rule>,
    names: Vec<String>,
    route: bool,
    virtual_host: bool,
    service: bool,
}

impl Routes {
    /// `names`: names of the profiles, by id.
    pub fn new(rules: Vec<Rule>, names: Vec<String>) -> Routes {
        fn uses(ms: &[Match], f: &dyn Fn(&Match) -> bool) -> bool {
            ms.iter().any(|m| f(m) || matches!(m, Match::Any(inner) if uses(inner, f)))
        }
        let any = |f: &dyn Fn(&Match) -> bool| rules.iter().any(|r| uses(&r.matches, f));
        let (route, virtual_host, service) = (
            any(&|m| matches!(m, Match::Route(_))),
            any(&|m| matches!(m, Match::VirtualHost(_))),
            any(&|m| matches!(m, Match::Service(_))),
        );
        Routes { rules, names, route, virtual_host, service }
    }
    /// Number of rules.
    pub fn len(&self) -> usize {
        self.rules.len()
    }
    /// True if there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
    /// The profile of a request.
    pub fn select(&self, query: &RouteQuery<'_>) -> ProfileId {
        self.find(query).map_or(0, |(id, _)| id)
    }
    /// For `weir check`: the profile of a request, and each step on the way to it, in words.
    pub fn explain(&self, q: &RouteQuery<'_>) -> (ProfileId, Vec<String>) {
        let found = self.find(q);
        let mut steps = Vec::new();
        if !q.metadata_profile.is_empty() {
            let name = String::from_utf8_lossy(q.metadata_profile);
            let what = match found {
                Some((_, None)) => "is a profile of this configuration: it wins over all selectors",
                _ => "is no profile of this configuration: it is passed over",
            };
            steps.push(format!("the route's metadata names {}, which {what}", super::read::quote(&name)));
        }
        match found {
            Some((id, None)) => (id, steps),
            Some((id, Some(i))) => {
                steps.extend(self.misses(q, i));
                let all = self.rules.get(i).map(|r| list(&r.matches, " and ")).unwrap_or_default();
                steps.push(format!("{} matches, the first one: {all}", self.place(i)));
                (id, steps)
            }
            None => {
                steps.extend(self.misses(q, self.rules.len()));
                steps.push("no selector matches: the top level applies".into());
                (0, steps)
            }
        }
    }
    /// For each of the first `n` rules why it does not match.
    fn misses(&self, q: &RouteQuery<'_>, n: usize) -> Vec<String> {
        let mut host = [0u8; 256];
        let host = lower_host(q.authority, &mut host);
        let why = |(i, r): (usize, &Rule)| {
            let missed = r.matches.iter().find(|m| !holds(m, q, host))?;
            let has = match missed.value(q, host) {
                b"" => "none is given".into(),
                value => format!("this is {}", String::from_utf8_lossy(value)),
            };
            Some(format!("{} does not match: it asks for {missed}, {has}", self.place(i)))
        };
        self.rules.iter().take(n).enumerate().filter_map(why).collect()
    }
    /// JSON path of a rule in the file. Only Higress's form has lists of names.
    fn place(&self, i: usize) -> String {
        let higress = self.rules.iter().any(|r| r.matches.iter().any(|m| matches!(m, Match::Any(_))));
        format!("{}[{i}]", if higress { "_rules_" } else { "routes" })
    }
    /// True if a rule needs the route's name. (Each property costs a host call.)
    pub fn needs_route_name(&self) -> bool {
        self.route
    }
    /// True if a rule needs the virtual host's name.
    pub fn needs_virtual_host(&self) -> bool {
        self.virtual_host
    }
    /// True if a rule needs the cluster's name.
    pub fn needs_service(&self) -> bool {
        self.service
    }
    /// True if the route's metadata may name a profile.
    pub fn needs_metadata(&self) -> bool {
        self.names.len() > 1
    }

    fn find(&self, q: &RouteQuery<'_>) -> Option<(ProfileId, Option<usize>)> {
        if !q.metadata_profile.is_empty()
            && let Some(i) = self.names.iter().position(|n| n.as_bytes() == q.metadata_profile)
        {
            return Some((u8::try_from(i).ok()?, None));
        }
        if self.rules.is_empty() {
            return None;
        }
        let mut host = [0u8; 256];
        let host = lower_host(q.authority, &mut host);
        let i = self.rules.iter().position(|r| r.matches.iter().all(|m| holds(m, q, host)))?;
        self.rules.get(i).map(|r| (r.profile, Some(i)))
    }
}

fn holds(m: &Match, q: &RouteQuery<'_>, host: &[u8]) -> bool {
    match m {
        Match::Route(p) => p.matches(q.route),
        Match::VirtualHost(p) => p.matches(q.virtual_host),
        Match::Domain(p) => p.matches(host),
        Match::Service(p) => p.matches(q.service) || mesh_service(p, q.service),
        Match::Path(prefix) => {
            let prefix = prefix.strip_suffix('/').unwrap_or(prefix).as_bytes();
            q.path.start().strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        }
        Match::Any(list) => list.iter().any(|m| holds(m, q, host)),
    }
}

/// A mesh names its clusters `direction|port|subset|host`: then the host may be given, or host and port.
fn mesh_service(p: &Pattern, cluster: &[u8]) -> bool {
    let mut parts = cluster.split(|b| *b == b'|');
    let (Some(_), Some(port), Some(_), Some(host), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    p.matches(host) || p.matches(&[host, b":", port].concat())
}

/// `:authority` without port and the root's dot, in lower case. A host has 253 bytes; of what is longer than 256 both ends are kept.
fn lower_host<'a>(authority: &[u8], buf: &'a mut [u8; 256]) -> &'a [u8] {
    let end = match authority.iter().rposition(|b| *b == b':') {
        Some(i) if authority.get(i..).is_some_and(|t| t.iter().skip(1).all(u8::is_ascii_digit)) => i,
        _ => authority.len(),
    };
    let host = authority.get(..end).unwrap_or_default();
    let host = host.strip_suffix(b".").unwrap_or(host);
    let (first, last) = match host.len() {
        0..=256 => (host, &b""[..]),
        n => (host.get(..128).unwrap_or_default(), host.get(n.saturating_sub(128)..).unwrap_or_default()),
    };
    buf.iter_mut().zip(first.iter().chain(last)).for_each(|(d, s)| *d = s.to_ascii_lowercase());
    buf.get(..first.len().saturating_add(last.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (glob, name, want) in [
            ("chat-*", "chat-1", true),
            ("chat-*", "xchat-1", false),
            ("*", "", true),
            ("*.example.com", "api.example.com", true),
            ("*.example.com", "example.com", false),
            ("a*b*c", "a__b__c", true),
            ("a*b*c", "acb", false),
            ("ab", "ab", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(Pattern::glob(glob).matches(name.as_bytes()), want, "{glob} {name}");
        }
    }

    #[test]
    fn a_service_is_a_cluster_or_a_host_of_the_mesh() {
        for (name, cluster, want) in [
            ("llm", "llm", true),
            ("llm.ns.svc.cluster.local", "outbound|443||llm.ns.svc.cluster.local", true),
            ("llm.ns.svc.cluster.local:443", "outbound|443||llm.ns.svc.cluster.local", true),
            ("llm.ns.svc.cluster.local:80", "outbound|443||llm.ns.svc.cluster.local", false),
            ("*.dns", "outbound|443||qwen.dns", true),
            ("qwen", "outbound|443||qwen.dns", false),
        ] {
            let rule = Rule { matches: vec![Match::Service(Pattern::glob(name))], profile: 1 };
            let query = RouteQuery { service: cluster.as_bytes(), ..RouteQuery::default() };
            assert_eq!(Routes::new(vec![rule], vec![]).select(&query) == 1, want, "{name} {cluster}");
        }
    }

    #[test]
    fn spelling_of_path_and_host_does_not_change_the_profile() {
        let rule = |m| Rule { matches: vec![m], profile: 1 };
        let routes =
            Routes::new(vec![rule(Match::Path("/v1/embeddings".into()))], vec!["default".into(), "x".into()]);
        let select = |p: &str| {
            routes.select(&RouteQuery { path: &path::Normal::of(p.as_bytes()), ..RouteQuery::default() })
        };
        assert_eq!(select("/v1/embeddings?x"), 1);
        assert_eq!(select("//V1/%65mbeddings/"), 1);
        assert_eq!(select("/v1/embeddingsx"), 0);
        let long = "x".repeat(300);
        assert_eq!(select(&format!("/v1/{long}/../embeddings")), 1);
        assert_eq!(select(&format!("/v1/embeddings/{long}")), 1);
        let routes = Routes::new(vec![rule(Match::Domain(Pattern::glob("*.example.com")))], vec![]);
        let select =
            |h: &str| routes.select(&RouteQuery { authority: h.as_bytes(), ..RouteQuery::default() });
        assert_eq!((select("API.Example.com:8443"), select("example.org")), (1, 0));
        assert_eq!((select(&format!("{long}.example.com.:80")), select("api.example.com.")), (1, 1));
    }
}
