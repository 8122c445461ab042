//! Configuration, valid by construction. `raw` reads the JSON; nothing here knows JSON.

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
    /// Name of the policy. Prefix of everything that is stored or shared.
    pub policy: String,
    /// Secret of all keyed hashes.
    pub seed: Seed,
    /// True if no seed was configured, so that it is derived from the policy's name: predictable, warned
    /// about, and refused with mode enforce. A host with randomness replaces it by a random one.
    pub seed_is_derived: bool,
    /// `identity.learn`: time after an empty start in which the age of a new key is unknown.
    pub learn: Nanos,
    /// Detection parameters, common to all profiles, as they share the ledger.
    pub campaign: Campaign,
    /// Profiles: the default one first, at most 64 others.
    pub profiles: Vec<Profile>,
    /// Which profile applies to a request.
    pub routes: Routes,
    /// `scope`: one ledger for all VMs of a node, or one in each VM.
    pub scope: Scope,
    /// `demo.time_scale`: engine seconds a wall second, 1 in production.
    pub time_scale: u32,
    /// `keys`: capacity of the key table (entries of 64 bytes).
    pub keys: u32,
    /// `exceptions`: decisions of people.
    pub exceptions: Exceptions,
    /// `hub`: the hub of several nodes, if there is one.
    pub hub: Option<Hub>,
    /// Problems that do not refuse the configuration.
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

/// Settings that apply to some routes.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Name; `default` for the top level.
    pub name: String,
    /// `mode`.
    pub mode: Mode,
    /// Percent of the keys that mode enforce applies to.
    pub enforce_percent: u8,
    /// How a request's key is found.
    pub identity: IdentityConfig,
    /// What is read and held of bodies.
    pub inspect: Inspect,
    /// Limits of keys, then those of tenants; at most 8. The one with the longest wait decides.
    pub limits: Vec<Limit>,
    /// What is done about verdicts.
    pub actions: Actions,
    /// Requests that are always allowed.
    pub allow: List,
    /// Requests that are always blocked.
    pub deny: List,
    /// What is done when Weir itself cannot decide.
    pub failure_mode: FailureMode,
    /// Which decisions are logged.
    pub log: LogDecisions,
}

/// Where an identity's value is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A request header (lower-case name) that holds a name, which a filter in front has written.
    Header(String),
    /// A request header (lower-case name) that holds a secret, to judge by its name.
    Secret(String),
    /// The token of `authorization`, whatever its scheme.
    Bearer,
    /// The user name in `authorization: Basic …`.
    Basic,
    /// The access key id of a request signed for AWS, in `authorization` or `X-Amz-Credential`.
    SigV4,
    /// A claim of the JSON Web Token in `authorization`, by name or dotted path. Its signature is not
    /// verified here.
    Jwt(String),
    /// A cookie.
    Cookie(String),
    /// A query parameter of the path.
    Query(String),
    /// A host property, dotted path.
    Property(String),
    /// The peer's address (or that of the trusted hop), cut to a prefix length.
    Address {
        /// Prefix bits for IPv4, 8..=32.
        ipv4: u8,
        /// Prefix bits for IPv6, 16..=128.
        ipv6: u8,
    },
}

impl Source {
    /// A header as a source. One whose name contains key, token, auth, secret or credential is taken for a
    /// secret, any other for a name.
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
    /// Sources in order; the first that yields a value names the key.
    pub sources: Vec<Source>,
    /// Hash secrets with SHA-256 before the keyed hash, so that logs which hold their SHA-256 name the same
    /// key.
    pub hash_secrets: bool,
    /// Source of the tenant, who owns several keys.
    pub tenant: Option<Source>,
    /// Header or property with the account's creation time (RFC 3339, or a number since the epoch).
    pub age: Option<Source>,
    /// Source of the JA4 fingerprint, if the host exposes one.
    pub ja4: Option<Source>,
    /// Number of trusted proxies in front: as many entries of `hops_header` are believed, counted from the
    /// right. 0: the peer address is used.
    pub trusted_hops: u8,
    /// Header that those proxies write.
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
    /// Longest part of a body that is held before it is released, bytes.
    pub max_hold_bytes: u32,
    /// Longest part of a body that is scanned, bytes.
    pub max_inspect_bytes: u32,
    /// Bytes that the host buffers of a request.
    pub host_buffer_bytes: u32,
    /// Hold request headers until the body is decided (only where the host allows it).
    pub hold_headers: bool,
    /// What is done about a body that cannot be read.
    pub on_unreadable: OnUnreadable,
    /// What is done about requests without a prompt that a dialect reads.
    pub other_paths: OtherPaths,
    /// The operator's own paths, at most 32. They are matched before those of the dialects.
    pub paths: Vec<OwnPath>,
}

/// An entry of `inspect.paths`.
#[derive(Clone, Debug)]
pub struct OwnPath {
    /// End of the path: whole segments, in lower case.
    pub suffix: String,
    /// Dialect that reads the body.
    pub dialect: &'static dyn Dialect,
}

impl Inspect {
    /// Bytes of a body with this `content-length` that may be held; 0: none. A host that buffers a body and
    /// receives more than its buffer takes answers 413 by itself, and a single burst may be of any size (a
    /// decompressor makes 3 MB of 13 KB). So a body is held only if its length is known and all of it fits.
    pub fn holds(&self, length: Option<u64>) -> u64 {
        let most = u64::from(self.max_hold_bytes.min(self.host_buffer_bytes));
        length.filter(|n| *n <= most).map_or(0, |_| most)
    }

    /// The dialect that reads a path: the operator's, else the one that claims it.
    pub fn dialect(&self, path: &Normal) -> Option<&'static dyn Dialect> {
        let own = self.paths.iter().find(|own| path.end().ends_with(own.suffix.as_bytes()));
        own.map(|own| own.dialect).or_else(|| dialect_for(path))
    }
}

/// `inspect.other_paths`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtherPaths {
    /// The key decides: lists and convictions, and limits where the request may carry work.
    #[default]
    Keys,
    /// It passes.
    None,
    /// 404 if no dialect claims the path; else as `Keys`.
    Reject,
}

/// `inspect.on_unreadable`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnreadable {
    /// It passes, and no limit is charged.
    Allow,
    /// It passes, charged to the limits; verdicts on its key apply.
    #[default]
    Limit,
    /// It is refused.
    Reject,
}

/// One rate limit (GCRA).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Name in logs.
    pub name: String,
    /// Requests in `per`, which is also the largest burst.
    pub requests: u32,
    /// Period of the quota.
    pub per: Nanos,
    /// Whose requests are counted together.
    pub by: By,
    /// What a request costs.
    pub cost: Cost,
}

/// `limits[].by`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// Those of each key.
    #[default]
    Key,
    /// Those of all keys of a tenant. Requests without a tenant are not counted.
    Tenant,
}

/// `limits[].cost`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cost {
    /// One for each answer asked for: `n` (or `best_of`, …) times the number of prompts.
    #[default]
    Answers,
    /// One for each request.
    Requests,
}

impl Limit {
    /// A limit of each key, in answers.
    pub fn new(name: &str, requests: u32, per: Nanos) -> Limit {
        Limit { name: name.into(), requests, per, by: By::Key, cost: Cost::Answers }
    }
    /// Time in which one unit of the quota is regained: the emission interval of GCRA.
    pub fn interval(&self) -> Nanos {
        Nanos(self.per.0.checked_div(u64::from(self.requests)).unwrap_or(self.per.0))
    }
    /// Units of the quota that a request of `cost` takes.
    pub fn cells(&self, cost: u16) -> u32 {
        match self.cost {
            Cost::Answers => u32::from(cost).max(1),
            Cost::Requests => 1,
        }
    }
}

/// Splits limits into those of keys and those of tenants.
pub fn by_owner(limits: &[Limit]) -> (&[Limit], &[Limit]) {
    let n = limits.partition_point(|l| l.by == By::Key);
    limits.split_at_checked(n).unwrap_or((limits, &[]))
}

/// `actions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actions {
    /// `watch`: tag watched requests for the upstream.
    pub watch_tags: bool,
    /// `watch: budget` with `budget`: what unproven keys may send together of a template that is suspicious
    /// but not decided.
    pub budget: Option<Budget>,
    /// `throttle.retry_after`: longest wait that a client is told, at most 60 s.
    pub throttle_retry_after: Nanos,
    /// `block.for`: time for which a conviction lasts after the key's last request.
    pub block_for: Nanos,
    /// `block.status`: 400..=599, 429 by default.
    pub block_status: u16,
}

/// `actions.budget`: a quota of each suspicious template, for all unproven keys together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Requests in `per`, which is also the largest burst.
    pub requests: u32,
    /// Period of the quota.
    pub per: Nanos,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { requests: 500, per: Nanos::from_hours(1) }
    }
}

impl Budget {
    /// The same as a limit.
    pub fn limit(&self) -> Limit {
        Limit { cost: Cost::Requests, ..Limit::new("", self.requests, self.per) }
    }
}

/// An entry of `allow` or `deny`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListEntry {
    /// Name in logs.
    pub name: String,
    /// Which requests it selects.
    pub selector: Selector,
}

/// Entries of `allow` or `deny` in the file's order, with an index by selector, so that the cost of a look-up
/// does not depend on their number.
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
    /// Builds the list. Of two entries with one selector the first counts.
    pub fn new(entries: Vec<ListEntry>) -> List {
        let places = map::places(entries.iter().map(|e| e.selector), map::fixed());
        let templates = entries.iter().any(|e| matches!(e.selector, Selector::Template(_)));
        List { entries, places, templates }
    }
    /// Indices of entries whose selector an earlier entry has.
    pub fn twins(&self) -> impl Iterator<Item = usize> {
        let first = |e: &ListEntry| self.places.get(&e.selector).copied();
        self.entries.iter().enumerate().filter(move |(at, e)| first(e) != Some(*at)).map(|(at, _)| at)
    }
    /// All entries.
    pub fn entries(&self) -> &[ListEntry] {
        &self.entries
    }
    /// The entry with this selector.
    pub fn get(&self, what: Selector) -> Option<&ListEntry> {
        self.places.get(&what).and_then(|at| self.entries.get(*at))
    }
    /// True if any entry selects a template. (A request has up to 192 values to look up.)
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
    /// `tid:` + 16 hex digits: one fingerprint value. The ledger learns nothing from requests that carry it.
    Template(u64),
    /// `nid:` + 16 hex digits: one network value. The ledger learns nothing from requests that carry it.
    Network(u64),
}

/// `scope`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// One ledger for all VMs of a node, if the host has shared data; otherwise as `Vm`.
    #[default]
    Node,
    /// One ledger in each VM.
    Vm,
}

/// `failure_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureMode {
    /// The request passes.
    #[default]
    Open,
    /// The request is answered with 503.
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
    /// The profile of an id; the default profile for an id that does not exist.
    pub fn profile(&self, id: ProfileId) -> Option<&Profile> {
        self.profiles.get(usize::from(id)).or_else(|| self.profiles.first())
    }
}
