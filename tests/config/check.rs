//! `weir check FILE --route …` as users run it: which selector chooses the profile, and why the others do not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

const ROUTES: &str = r#"{
  "seed": "abababababababababababababababababababababababababababababababab", "policy": "prod",
  "profiles": {"strict": {"mode": "enforce"}},
  "routes": [
    {"match": {"path": "/v1/embeddings"}, "mode": "off"},
    {"match": {"virtual_host": "api", "route": "chat-*"}, "profile": "strict"},
    {"match": {"domain": "*.example.com"}, "profile": "strict"},
    {"match": {"service": "llm.svc"}, "mode": "enforce"}
  ]
}"#;
const HIGRESS: &str = r#"{
  "seed": "abababababababababababababababababababababababababababababababab",
  "_rules_": [
    {"_match_route_": ["chat", "talk"], "_match_service_": ["llm.dns:443"], "mode": "enforce"},
    {"_match_route_prefix_": ["batch-"], "mode": "off"}
  ]
}"#;

fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("weir-check-{}-{name}.json", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

/// What is said of the route: all but the first line and what must stand in front.
fn said(file: &Path, args: &[&str]) -> Vec<String> {
    let o = Command::new(env!("CARGO_BIN_EXE_weir")).arg("check").arg(file).args(args).output().unwrap();
    assert!(o.status.success(), "{}", String::from_utf8_lossy(&o.stdout));
    String::from_utf8(o.stdout)
        .unwrap()
        .lines()
        .skip(1)
        .filter(|l| !l.contains(": in front: "))
        .map(|l| l.trim().to_string())
        .collect()
}

#[test]
fn each_step_to_the_profile_is_told() {
    let f = file("routes", ROUTES);
    let path = ["--path", "/v1/chat/completions"];
    for (args, want) in [
        (vec![], vec![]),
        (
            vec!["--route", "chat-1", "--virtual-host", "api"],
            vec![
                "routes[0] does not match: it asks for path /v1/embeddings, none is given",
                "routes[1] matches, the first one: route chat-* and virtual host api",
                "profile \"strict\", mode enforce",
            ],
        ),
        (
            // Spelled otherwise: the same path.
            vec!["--path", "//v1/%45mbeddings?x=1"],
            vec![
                "routes[0] matches, the first one: path /v1/embeddings",
                "profile \"default@off\", mode off",
                "API openai_embeddings",
            ],
        ),
        (
            vec!["--route", "internal", "--domain", "API.example.org:443", "--service", "other"],
            vec![
                "routes[0] does not match: it asks for path /v1/embeddings, none is given",
                "routes[1] does not match: it asks for route chat-*, this is internal",
                "routes[2] does not match: it asks for domain *.example.com, this is api.example.org",
                "routes[3] does not match: it asks for service llm.svc, this is other",
                "no selector matches: the top level applies",
                "profile \"default\", mode shadow",
            ],
        ),
        (
            vec!["--service", "outbound|443||llm.svc", path[0], path[1]],
            vec![
                "routes[0] does not match: it asks for path /v1/embeddings, this is /v1/chat/completions",
                "routes[1] does not match: it asks for route chat-*, none is given",
                "routes[2] does not match: it asks for domain *.example.com, none is given",
                "routes[3] matches, the first one: service llm.svc",
                "profile \"default@enforce\", mode enforce",
                "API openai_chat",
            ],
        ),
        (
            vec!["--metadata-profile", "strict", "--path", "/v1/embeddings"],
            vec![
                "the route's metadata names \"strict\", which is a profile of this configuration: it wins over all selectors",
                "profile \"strict\", mode enforce",
                "API openai_embeddings",
            ],
        ),
        (
            vec!["--metadata-profile", "strikt", "--path", "/healthz"],
            vec![
                "the route's metadata names \"strikt\", which is no profile of this configuration: it is passed over",
                "routes[0] does not match: it asks for path /v1/embeddings, this is /healthz",
                "routes[1] does not match: it asks for route chat-*, none is given",
                "routes[2] does not match: it asks for domain *.example.com, none is given",
                "routes[3] does not match: it asks for service llm.svc, none is given",
                "no selector matches: the top level applies",
                "profile \"default\", mode shadow",
                "no API that is known: lists, convictions and limits decide, counted as not_inference",
            ],
        ),
    ] {
        assert_eq!(said(&f, &args), want, "{args:?}");
    }
    std::fs::remove_file(f).unwrap();
}

#[test]
fn rules_in_higress_form_are_told_likewise() {
    let f = file("higress", HIGRESS);
    assert_eq!(
        said(&f, &["--route", "talk", "--service", "outbound|443||other.dns"]),
        [
            "_rules_[0] does not match: it asks for service llm.dns:443, this is outbound|443||other.dns",
            "_rules_[1] does not match: it asks for route batch-*, this is talk",
            "no selector matches: the top level applies",
            "profile \"default\", mode shadow",
        ]
    );
    let last = said(&f, &["--route", "talk", "--service", "outbound|443||llm.dns"]);
    assert_eq!(
        last.first().unwrap(),
        "_rules_[0] matches, the first one: (route chat or route talk) and service llm.dns:443"
    );
    std::fs::remove_file(f).unwrap();
}

#[test]
fn what_must_stand_in_front_is_told_and_looked_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy");
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let (address, claims) =
        ("use_remote_address: true in the connection manager", "a filter that verifies tokens");
    let all = |config: &Path, envoy: &Path| {
        let o = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["check", config.to_str().unwrap(), "--envoy", envoy.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(o.status.success());
        String::from_utf8(o.stdout).unwrap()
    };
    let plain = file("plain", "{}");
    let jwt = file("jwt", r#"{"identity": {"sources": [{"jwt": "sub"}]}}"#);
    let hops = file("hops", r#"{"identity": {"trusted_hops": 1}}"#);
    let without = file(
        "without-yaml",
        &read("envoy.yaml").replace("use_remote_address: true", "# use_remote_address: true"),
    );
    let off = file(
        "off-yaml",
        &read("envoy.yaml").replace("use_remote_address: true", "use_remote_address: false"),
    );
    let shipped = root.join("envoy.yaml");
    let said = all(&plain, &shipped);
    assert!(
        said.contains(address) && !said.contains(claims) && !said.contains("a connection manager without"),
        "{said}"
    );
    for bad in [&without, &off] {
        assert!(all(&plain, bad).contains("a connection manager without use_remote_address: true"));
        assert!(!all(&hops, bad).contains("use_remote_address"), "the operator trusts a header");
    }
    let said = all(&jwt, &shipped);
    assert!(said.contains(claims) && said.contains("no jwt_authn in front of the Wasm filter"), "{said}");
    assert!(
        said.contains("warning: identity.sources: claims of a token are believed as they stand"),
        "{said}"
    );
    assert!(!all(&jwt, &root.join("identity/jwt.yaml")).contains("no jwt_authn"));
    // Every example that has a connection manager.
    for dir in ["", "routes", "lds", "identity"] {
        for f in std::fs::read_dir(root.join(dir)).unwrap().map(|f| f.unwrap().path()) {
            if f.extension().is_some_and(|e| e == "yaml")
                && std::fs::read_to_string(&f).unwrap().contains("HttpConnectionManager")
            {
                assert!(!all(&plain, &f).contains("a connection manager without"), "{}", f.display());
            }
        }
    }
}

#[test]
fn what_the_hub_needs_is_told_and_looked_for() {
    let seed = "ab".repeat(32);
    let f = file("hub", &format!(r#"{{"seed": "{seed}", "hub": {{"cluster": "weir_hub"}}}}"#));
    let envoy = std::env::temp_dir().join(format!("weir-check-{}-hub.yaml", std::process::id()));
    let cluster = "clusters:\n- name: weir_hub\n";
    let token = "environment_variables: {host_env_keys: [WEIR_HUB_TOKEN]}\n";
    for (text, warnings) in [
        (
            String::new(),
            vec![
                "no cluster named \"weir_hub\": the hub cannot be called",
                "no WEIR_HUB_TOKEN in environment_variables: the hub refuses calls without its token",
            ],
        ),
        (
            cluster.to_string(),
            vec!["no WEIR_HUB_TOKEN in environment_variables: the hub refuses calls without its token"],
        ),
        ([cluster, token].concat(), vec![]),
    ] {
        std::fs::write(&envoy, &text).unwrap();
        let all = said(&f, &["--envoy", envoy.to_str().unwrap()]);
        let (needs, missing): (Vec<_>, Vec<_>) = all.iter().partition(|l| l.contains(": hub: "));
        assert!(
            needs.len() == 1 && needs.iter().all(|l| l.contains("POST /v1/exchange each 500 ms")),
            "{needs:?}"
        );
        let of_hub: Vec<&str> = missing
            .iter()
            .filter_map(|l| l.split(": warning: ").nth(1))
            .filter(|l| !l.contains("use_remote_address"))
            .collect();
        assert_eq!(of_hub, warnings, "{text:?}");
    }
    // Only a node's leader calls.
    let f =
        file("hub-vm", &format!(r#"{{"seed": "{seed}", "scope": "vm", "hub": {{"cluster": "weir_hub"}}}}"#));
    let o = Command::new(env!("CARGO_BIN_EXE_weir")).arg("check").arg(f).output().unwrap();
    assert!(String::from_utf8_lossy(&o.stdout).contains("hub: has no effect with scope vm"));
}
