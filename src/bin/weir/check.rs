//! `weir check`: all problems of a configuration, and which profile a request gets.

use crate::{OK, USAGE, fail};
use std::io::Read;
use std::path::PathBuf;
use weir::engine::config::routes::RouteQuery;
use weir::engine::config::{Config, ConfigError, Hub, OtherPaths, Source, parse_with_env};
use weir::engine::dialect::path::Normal;
use weir::engine::verdict::Mode;

/// Check a configuration: all problems at once, each with its JSON path and the fix
#[derive(clap::Args)]
pub struct Args {
    /// Configuration (JSON); - reads standard input
    file: PathBuf,
    /// Route name: print which profile applies, and why
    #[arg(long)]
    route: Option<String>,
    /// Virtual host name, likewise
    #[arg(long)]
    virtual_host: Option<String>,
    /// Domain (:authority), likewise
    #[arg(long)]
    domain: Option<String>,
    /// Path, likewise
    #[arg(long)]
    path: Option<String>,
    /// Cluster name, likewise
    #[arg(long)]
    service: Option<String>,
    /// Profile named by the route's metadata, likewise
    #[arg(long)]
    metadata_profile: Option<String>,
    /// Envoy's own configuration (YAML or JSON): does it have in front of Weir what the identity needs?
    #[arg(long)]
    envoy: Option<PathBuf>,
    /// Print the shared cells that the policy's workers use, and their bytes
    #[arg(long)]
    cells: bool,
    /// Print problems and warnings as one JSON object
    #[arg(long)]
    json: bool,
}

/// Reads a configuration file (the defaults without one), and prints its problems.
///
/// # Errors
/// The exit status.
pub fn load(file: Option<&PathBuf>) -> Result<Config, u8> {
    let Some(file) = file else { return parse("{}").map_err(|_| USAGE) };
    let text = read(file).map_err(|e| fail(file, e))?;
    parse(&text).map_err(|e| {
        for p in &e.0 {
            eprintln!("{}: {p}", file.display());
        }
        USAGE
    })
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    parse_with_env(text, std::env::var("WEIR_SEED").ok().as_deref())
}

fn read(file: &PathBuf) -> std::io::Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(file)
}

pub fn run(args: &Args) -> u8 {
    let text = match read(&args.file) {
        Ok(t) => t,
        Err(e) => return fail(&args.file, e),
    };
    let name = args.file.display();
    let parsed = parse(&text);
    if args.json {
        let list = |ps: &[weir::engine::config::Problem]| -> Vec<serde_json::Value> {
            ps.iter().map(|p| serde_json::json!({"path": p.path, "message": p.message})).collect()
        };
        let (problems, warnings) = match &parsed {
            Ok(c) => (Vec::new(), list(&c.warnings)),
            Err(e) => (list(&e.0), Vec::new()),
        };
        let needs: Vec<&str> = parsed.iter().flat_map(|c| needs(c)).map(|n| n.what).collect();
        let all = serde_json::json!({"ok": parsed.is_ok(), "problems": problems, "warnings": warnings, "in_front": needs});
        println!("{all}");
        return if parsed.is_ok() { OK } else { USAGE };
    }
    let config = match parsed {
        Ok(c) => c,
        Err(e) => {
            for p in &e.0 {
                println!("{name}: {p}");
            }
            println!("{name}: {} problem(s)", e.0.len());
            return USAGE;
        }
    };
    for w in &config.warnings {
        println!("{name}: warning: {w}");
    }
    println!(
        "{name}: ok (policy {}, {} profile(s), {} route(s))",
        config.policy,
        config.profiles.len(),
        config.routes.len()
    );
    for need in needs(&config) {
        println!("{name}: in front: {}", need.what);
    }
    if let Some(hub) = &config.hub {
        println!("{name}: hub: {}", hub_needs(hub));
    }
    if let Some(file) = &args.envoy {
        match read(file) {
            Ok(text) => missing(&config, &text)
                .iter()
                .for_each(|what| println!("{}: warning: {what}", file.display())),
            Err(e) => return fail(file, e),
        }
    }
    explain(args, &config);
    if args.cells {
        cells(&config);
    }
    OK
}

/// What must stand in front of Weir in the proxy, for a configuration's identities to be reliable.
struct Need {
    what: &'static str,
    /// True if it is there, as far as the text of Envoy's configuration shows.
    is_there: fn(&str) -> bool,
    missing: &'static str,
}

const REMOTE_ADDRESS: Need = Need {
    what: "use_remote_address: true in the connection manager (identity.trusted_hops is 0: addresses are those of connections)",
    is_there: |text| {
        let managers = text.matches("v3.HttpConnectionManager").count();
        let on = text.lines().filter(|l| is_on(l)).count();
        managers > 0 && on >= managers
    },
    missing: "a connection manager without use_remote_address: true: its clients' addresses come from x-forwarded-for, and Weir believes none of them",
};
const JWT: Need = Need {
    what: "a filter that verifies tokens and refuses requests without one, such as envoy.filters.http.jwt_authn with forward: true (identity names a claim)",
    is_there: |text| {
        let at = |what: &str| text.find(what);
        at("jwt_authn.v3.JwtAuthentication")
            .is_some_and(|jwt| at("filters.http.wasm.v3.Wasm").is_none_or(|w| jwt < w))
    },
    missing: "no jwt_authn in front of the Wasm filter: claims are believed as they stand",
};

fn is_on(line: &str) -> bool {
    let plain: String = line
        .split('#')
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '"')
        .collect();
    plain.contains("use_remote_address:true") || plain.contains("useRemoteAddress:true")
}

fn needs(config: &Config) -> Vec<&'static Need> {
    let mut out = Vec::new();
    let identities = || config.profiles.iter().filter(|p| p.mode != Mode::Off).map(|p| &p.identity);
    if identities().any(|i| i.trusted_hops == 0) {
        out.push(&REMOTE_ADDRESS);
    }
    if identities()
        .any(|i| i.sources.iter().chain(&i.tenant).chain(&i.age).any(|s| matches!(s, Source::Jwt(_))))
    {
        out.push(&JWT);
    }
    out
}

fn missing(config: &Config, envoy: &str) -> Vec<String> {
    let missing = needs(config).into_iter().filter(|n| !(n.is_there)(envoy)).map(|n| n.missing.to_string());
    missing.chain(config.hub.iter().flat_map(|hub| hub_missing(hub, envoy))).collect()
}

/// What Envoy's configuration must contain for the hub to be reached.
fn hub_needs(hub: &Hub) -> String {
    format!(
        "needs an Envoy cluster named {:?} that reaches `weir hub` (one POST {} each {} ms), and the token in vm_config.environment_variables as {}",
        hub.cluster,
        weir::node::exchange::PATH,
        hub.every.0 / 1_000_000,
        hub.token_env
    )
}

fn hub_missing(hub: &Hub, envoy: &str) -> Vec<String> {
    let plain: String = envoy.chars().filter(|c| !c.is_whitespace() && *c != '"' && *c != '\'').collect();
    let mut out = Vec::new();
    if !plain.contains(&format!("cluster_name:{}", hub.cluster))
        && !plain.contains(&format!("name:{}", hub.cluster))
    {
        out.push(format!("no cluster named {:?}: the hub cannot be called", hub.cluster));
    }
    if !plain.contains(&hub.token_env) {
        out.push(format!(
            "no {} in environment_variables: the hub refuses calls without its token",
            hub.token_env
        ));
    }
    out
}

/// Prints the shared cells of the policy, as the node protocol defines them.
fn cells(config: &Config) {
    use weir::node::cells;
    if config.scope == weir::engine::config::Scope::Vm {
        println!("scope is vm: no shared cells");
        return;
    }
    let ledger = weir::engine::ledger::Ledger::new(config);
    let table = cells::table(ledger.page_count(), config.hub.is_some());
    println!("shared cells {}…, at most:", cells::prefix(config));
    let mut rows = crate::table::new(1, &["cell", "number", "bytes", "together"]);
    let (mut policy, mut vm) = (0, 0);
    for (name, number, bytes) in table.into_iter().filter(|row| row.1 > 0) {
        let own = name == "s" || name == "r";
        let all = number * bytes as u64;
        *(if own { &mut vm } else { &mut policy }) += all;
        let what = if own { format!("{name} (each VM)") } else { name.to_string() };
        rows.add_row([what, number.to_string(), bytes.to_string(), all.to_string()]);
    }
    println!("{}", rows.trim_fmt());
    println!(
        "{policy} bytes for the policy and {vm} for each VM that serves, at most {} of them",
        cells::SLOTS
    );
    println!("leader's tables: {} bytes", ledger.size_bytes());
}

fn explain(args: &Args, config: &Config) {
    let asked =
        [&args.route, &args.virtual_host, &args.domain, &args.path, &args.service, &args.metadata_profile];
    if asked.iter().all(|a| a.is_none()) {
        return;
    }
    let bytes = |a: &'_ Option<String>| a.clone().unwrap_or_default().into_bytes();
    let [route, virtual_host, authority, path, service, metadata] = asked.map(bytes);
    let path = Normal::of(&path);
    let (id, steps) = config.routes.explain(&RouteQuery {
        route: &route,
        virtual_host: &virtual_host,
        authority: &authority,
        path: &path,
        service: &service,
        metadata_profile: &metadata,
    });
    for step in steps {
        println!("  {step}");
    }
    if let Some(p) = config.profile(id) {
        println!("profile {:?}, mode {}", p.name, p.mode.name());
    }
    if args.path.is_some() {
        let inspect = config.profile(id).map(|p| &p.inspect);
        match inspect.and_then(|i| i.dialect(&path)) {
            Some(d) => println!("API {}", d.name()),
            None => println!(
                "no API that is known: {}, counted as not_inference",
                match inspect.map(|i| i.other_paths) {
                    Some(OtherPaths::None) => "it passes",
                    Some(OtherPaths::Reject) => "it is answered 404",
                    _ => "lists, convictions and limits decide",
                }
            ),
        }
    }
}
