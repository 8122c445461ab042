//! Configuration, valid by construction. `raw` holds the strict JSON half; nothing here knows JSON.

pub mod campaign;
pub mod exceptions;
pub mod fitted;
mod problem;
mod raw;
pub mod read;
pub mod routes;
pub mod tree;

use super::dialect::path::Normal;
use super::dialect::{Dialect, dialect_for};
use super::hash::Seed;
use super::map::{self, Map};
use super::units::Nanos;
use super::value::KeyId;
use super::verdict::Mode;
pub use campaign::Campaign;
pub use exceptions::Exceptions;
pub use problem::{ConfigError, Problem, Problems};
pub use raw::{merged, parse, parse_with_env};
use routes::Routes;

/// A whole configuration. Profile 0 is the top level ("default").
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the policy: prefix of everything stored or shared.
    pub policy: String,
    /// Secret of all hashes.
    pub seed: Seed,
    /// True when no seed was configured and the policy's name was used: predictable, warned about, and never in force with mode
    /// enforce. A host that can gives a random one instead.
    pub seed_is_derived: bool,
    /// `identity.learn`: keys first seen within this time after an empty start are age unknown.
    pub learn: Nanos,
    /// Detection parameters, one set per policy (the ledger is shared by all profiles).
    pub campaign: Campaign,
    /// At least one; at most 64 besides the default.
    pub profiles: Vec<Profile>,
    /// Which request uses which profile.
    pub routes: Routes,
    /// `scope`: one ledger a node or a VM.
    pub scope: Scope,
    /// `demo.time_scale`, 1 in production.
    pub time_scale: u32,
    /// `keys`: capacity of the key table (entries of 64 bytes).
    pub keys: u32,
    /// `exceptions`: what people have decided.
    pub exceptions: Exceptions,
    /// `hub`: where several nodes learn together, if anywhere.
    pub hub: Option<Hub>,
    /// Warnings: unwise, but allowed.
    pub warnings: Vec<Problem>,
}

/// How the node's leader reaches the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hub {
    /// Name of the host's cluster.
    pub cluster: String,
    /// Time between exchanges, unless the hub asks for another.
    pub every: Nanos,
    /// Name of the environment variable that holds the token.
    pub token_env: String,
}

/// Index into `Config::profiles`.
pub type ProfileId = u8;

/// What applies to one route.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Name; "default" for the top level.
    pub name: String,
    /// off, shadow or enforce.
    pub mode: Mode,
    /// Share of keys that enforce applies to, 0..=100.
    pub enforce_percent: u8,
    /// Where keys come from.
    pub identity: IdentityConfig,
    /// Body limits.
    pub inspect: Inspect,
    /// At most 8, the strictest wins: those of a key first, then those of a tenant.
    pub limits: Vec<Limit>,
    /// Ladder settings.
    pub actions: Actions,
    /// Allow classes.
    pub allow: List,
    /// Always blocked.
    pub deny: List,
    /// What happens when Weir itself cannot decide.
    pub failure_mode: FailureMode,
    /// Which decisions are logged.
    pub log: LogDecisions,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A request header (lower-case name) that holds a name, which a filter in front has written.
    Header(String),
    /// A request header (lower-case name) whose name speaks of a secret.
    Secret(String),
    /// The token of `authorization`, whatever its scheme.
    Bearer,
    /// The user name of `authorization: Basic …`.
    Basic,
    /// The access key id of a request signed for AWS, in `authorization` or `X-Amz-Credential`.
    SigV4,
    /// A claim of the token in `authorization`, by name or dotted path. Nothing here verifies the token.
    Jwt(String),
    /// A cookie.
    Cookie(String),
    /// A query parameter of the path.
    Query(String),
    /// A host property, dotted path.
    Property(String),
    /// Peer address (or the trusted hop of x-forwarded-for), cut to a prefix length.
    Address {
        /// Prefix bits for IPv4, 8..=32.
        ipv4: u8,
        /// Prefix bits for IPv6, 16..=128.
        ipv6: u8,
    },
}

impl Source {
    /// A header: one whose name has key, token, auth, secret or credential in it holds a secret, any other a name.
    pub fn header(name: &str) -> Source {
        let name = name.to_ascii_lowercase();
        let secret = ["key", "token", "auth", "secret", "credential"]
            .iter()
            .any(|word| name.as_bytes().windows(word.len()).any(|w| w == word.as_bytes()));
        if secret { Source::Secret(name) } else { Source::Header(name) }
    }
}

/// `identity`.
#[derive(Clone, Debug)]
pub struct IdentityConfig {
    /// First that yields a value wins.
    pub sources: Vec<Source>,
    /// Secrets are hashed with SHA-256 before they are hashed with the seed, so that logs which hold that hash name the same key.
    pub hash_secrets: bool,
    /// Owner of many keys, if the operator can name it.
    pub tenant: Option<Source>,
    /// Header or property with the account's creation time (RFC 3339 or seconds since the epoch).
    pub age: Option<Source>,
    /// JA4 fingerprint, if the host exposes one.
    pub ja4: Option<Source>,
    /// Trusted proxies in front: how many entries of `hops_header`, counted from the right, to believe. 0 = use the peer address.
    pub trusted_hops: u8,
    /// The header that those proxies write.
    pub hops_header: HopsHeader,
}

/// `identity.hops_header`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HopsHeader {
    /// `x-forwarded-for`.
    #[default]
    XForwardedFor,
    /// `forwarded` (RFC 7239).
    Forwarded,
}

/// `inspect`.
#[derive(Clone, Debug)]
pub struct Inspect {
    /// Held before the body is released, bytes.
    pub max_hold_bytes: u32,
    /// Scanned, bytes.
    pub max_inspect_bytes: u32,
    /// What the host buffers of a request, bytes.
    pub host_buffer_bytes: u32,
    /// Pause at request headers (only where the host allows it).
    pub hold_headers: bool,
    /// Unreadable bodies.
    pub on_unreadable: OnUnreadable,
    /// Requests that carry no prompt which a dialect reads.
    pub other_paths: OtherPaths,
    /// The operator's own paths, at most 32; they go before those that dialects claim.
    pub paths: Vec<OwnPath>,
}

/// An entry of `inspect.paths`.
#[derive(Clone, Debug)]
pub struct OwnPath {
    /// The end of a path, whole segments, in lower case.
    pub suffix: String,
    /// How its body is read.
    pub dialect: &'static dyn Dialect,
}

impl Inspect {
    /// How many bytes may be held of a body of this length; 0: none. A host that buffers a part of a body and is given more than its buffer
    /// takes answers 413 by itself, and no burst has a bound (a decompressor makes 3 MB of 13 KB): so a body is held only if its length is
    /// known and all of it fits.
    pub fn holds(&self, length: Option<u64>) -> u64 {
        let most = u64::from(self.max_hold_bytes.min(self.host_buffer_bytes));
        length.filter(|n| *n <= most).map_or(0, |_| most)
    }

    /// The dialect that reads this path: the operator's own word, or the one that claims it.
    pub fn dialect(&self, path: &Normal) -> Option<&'static dyn Dialect> {
        let own = self.paths.iter().find(|own| path.end().ends_with(own.suffix.as_bytes()));
        own.map(|own| own.dialect).or_else(|| dialect_for(path))
    }
}

/// `inspect.other_paths`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtherPaths {
    /// Lists and convictions decide; limits too, where the request may carry work.
    #[default]
    Keys,
    /// Pass.
    None,
    /// A path that no dialect claims is answered 404; a claimed path without a body is as under `Keys`.
    Reject,
}

/// `inspect.on_unreadable`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnreadable {
    /// Forward without charging a limit.
    Allow,
    /// Forward, charged to the limits like any request; key verdicts apply.
    #[default]
    Limit,
    /// Reject.
    Reject,
}

/// One rate limit (GCRA).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Name, for logs.
    pub name: String,
    /// Quota: requests in `per`; also the burst.
    pub requests: u32,
    /// Window.
    pub per: Nanos,
    /// Whose requests it counts.
    pub by: By,
    /// What a request costs.
    pub cost: Cost,
}

/// `limits[].by`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// Each key's.
    #[default]
    Key,
    /// Those of all keys of a tenant together. Requests without a tenant are not counted.
    Tenant,
}

/// `limits[].cost`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cost {
    /// One for each answer that it asks for: `n` (or `best_of`, …) for each of its prompts.
    #[default]
    Answers,
    /// One, whatever it asks for.
    Requests,
}

impl Limit {
    /// A limit of each key by what its requests cost.
    pub fn new(name: &str, requests: u32, per: Nanos) -> Limit {
        Limit { name: name.into(), requests, per, by: By::Key, cost: Cost::Answers }
    }
    /// Time that one cell takes: its emission interval.
    pub fn interval(&self) -> Nanos {
        Nanos(self.per.0.checked_div(u64::from(self.requests)).unwrap_or(self.per.0))
    }
    /// Cells that a request of `cost` takes.
    pub fn cells(&self, cost: u16) -> u32 {
        match self.cost {
            Cost::Answers => u32::from(cost).max(1),
            Cost::Requests => 1,
        }
    }
}

/// The limits of keys, and those of tenants.
pub fn by_owner(limits: &[Limit]) -> (&[Limit], &[Limit]) {
    let n = limits.partition_point(|l| l.by == By::Key);
    limits.split_at_checked(n).unwrap_or((limits, &[]))
}

/// `actions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actions {
    /// `watch: tag | budget | none`: mark watched requests for the upstream.
    pub watch_tags: bool,
    /// `watch: budget`: what unproven keys may send together of a template that is suspicious but not decided.
    pub budget: Option<Budget>,
    /// `throttle.retry_after`, at most 60 s.
    pub throttle_retry_after: Nanos,
    /// `block.for`: how long a conviction lasts after the last request.
    pub block_for: Nanos,
    /// `block.status`: 400..=599, 429 by default.
    pub block_status: u16,
}

/// `actions.budget`: requests of all unproven keys together, a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Requests in `per`; also the burst.
    pub requests: u32,
    /// Window.
    pub per: Nanos,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { requests: 500, per: Nanos::from_hours(1) }
    }
}

impl Budget {
    /// As a limit of one bucket.
    pub fn limit(&self) -> Limit {
        Limit { cost: Cost::Requests, ..Limit::new("", self.requests, self.per) }
    }
}

/// An entry of `allow` or `deny`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListEntry {
    /// For logs.
    pub name: String,
    /// Which requests it selects.
    pub selector: Selector,
}

/// Entries of `allow` or `deny`, in the file's order, and an index by selector: the time of a look-up does not depend on the
/// length of the list.
#[derive(Clone, Debug)]
pub struct List {
    entries: Vec<ListEntry>,
    places: Map<Selector, usize>,
    templates: bool,
}

impl Default for List {
    fn default() -> List {
        List::new(Vec::new())
    }
}

impl List {
    /// Builds a list; of two entries with one selector the first counts.
    pub fn new(entries: Vec<ListEntry>) -> List {
        let places = map::places(entries.iter().map(|e| e.selector), map::fixed());
        let templates = entries.iter().any(|e| matches!(e.selector, Selector::Template(_)));
        List { entries, places, templates }
    }
    /// Numbers of the entries whose selector an earlier entry has.
    pub fn twins(&self) -> impl Iterator<Item = usize> {
        let first = |e: &ListEntry| self.places.get(&e.selector).copied();
        self.entries.iter().enumerate().filter(move |(at, e)| first(e) != Some(*at)).map(|(at, _)| at)
    }
    /// All entries.
    pub fn entries(&self) -> &[ListEntry] {
        &self.entries
    }
    /// The entry that selects this.
    pub fn get(&self, what: Selector) -> Option<&ListEntry> {
        self.places.get(&what).and_then(|at| self.entries.get(*at))
    }
    /// Does an entry select a template? (A request has up to 192 values to look up.)
    pub fn has_templates(&self) -> bool {
        self.templates
    }
}

/// What a list entry selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// `kid:` + 16 hex digits.
    Key(KeyId),
    /// `ten:` + 16 hex digits.
    Tenant(u64),
    /// `tid:` + 16 hex digits: one fingerprint value. Requests that carry it are not learnt from.
    Template(u64),
    /// `nid:` + 16 hex digits: a network tag. Requests that carry it are not learnt from.
    Network(u64),
}

/// `scope`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// One ledger a node, where the host has shared data; otherwise as `Vm`.
    #[default]
    Node,
    /// One ledger in each VM.
    Vm,
}

/// `failure_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureMode {
    /// Serve.
    #[default]
    Open,
    /// Reject.
    Closed,
}

/// `log.decisions`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogDecisions {
    /// None.
    None,
    /// When a key's action changes.
    #[default]
    Changes,
    /// Every decision other than allow.
    All,
}

impl Config {
    /// The profile at `id`; the default profile for an id that does not exist.
    pub fn profile(&self, id: ProfileId) -> Option<&Profile> {
        self.profiles.get(usize::from(id)).or_else(|| self.profiles.first())
    }
}
