//! The listener for people, on a hub as a process: who may, what is kept, what is refused.

use super::fake::{Fake, config, config_text};
use super::process::{Dir, Hub, command, ends, now};
use serde_json::json;
use weir::engine::snapshot::{DENIED, RELEASED};

const ADMIN: [&str; 2] = ["--admin", "127.0.0.1:0"];
const READ: &str = "a-secret-to-read";
const ACT: &str = "a-secret-to-act";
const KEY: &str = "kid:00000000000000ab";

fn start(dir: &Dir) -> Hub {
    let mut c = command(&dir.file("c.json", config_text("")), &dir.state(), &ADMIN);
    c.env("WEIR_HUB_READ_TOKEN", READ).env("WEIR_HUB_ACT_TOKEN", ACT);
    Hub::spawn(c)
}

fn deny(expires: u64) -> String {
    json!({"key": KEY, "reason": "ticket 7", "expires": expires}).to_string()
}

#[test]
fn who_may_not_is_told_so_and_changes_nothing() {
    let dir = Dir::new("may");
    let hub = start(&dir);
    let paths =
        ["/v1/status", "/v1/cases", "/v1/cases/00000001", "/v1/nodes", "/v1/exceptions", "/v1/lists.json"];
    for wrong in [None, Some(""), Some("a-secret-to-rea"), Some("a-secret-to-act2")] {
        for path in paths.into_iter().chain(["/v1/keys/kid:00000000000000ab"]) {
            assert_eq!(hub.people(wrong, &format!("GET {path}"), "").0, 401, "{path} {wrong:?}");
        }
        let (status, said) = hub.people(wrong, "POST /v1/deny", &deny(60));
        assert_eq!((status, &said["error"]), (401, &"token".into()));
        assert_eq!(
            (hub.people(wrong, "GET /healthz", "").0, hub.people(wrong, "GET /metrics", "").0),
            (200, 200)
        );
    }
    assert_eq!(hub.people(Some(READ), "POST /v1/deny", &deny(60)).1["error"], "forbidden");
    for token in [READ, ACT] {
        for path in paths.into_iter().filter(|p| !p.contains("cases/")) {
            assert_eq!(hub.people(Some(token), &format!("GET {path}"), "").0, 200, "{path}");
        }
        assert_eq!(hub.people(Some(token), "GET /v1/cases/00000001", "").1["error"], "unknown");
    }
    assert_eq!(hub.people(Some(ACT), "GET /v1/exceptions", "").1["exceptions"], json!([]));
    assert!(!hub.log.lock().unwrap().join("\n").contains("a-secret"));
    // The proxies' listener knows none of this.
    assert_eq!((hub.get("/v1/cases").0, hub.send("POST /v1/deny", deny(60).as_bytes()).0), (404, 404));
}

#[test]
fn what_is_no_act_is_refused_by_name() {
    let dir = Dir::new("acts");
    let hub = start(&dir);
    let says = |verb: &str, body: &str| {
        let (status, said) = hub.people(Some(ACT), &format!("POST /v1/{verb}"), body);
        (status, said["message"].as_str().unwrap().to_string())
    };
    let bad = [
        ("deny", "", "EOF"),
        ("deny", "[]", "invalid"),
        ("deny", r#"{"key":"kid:00000000000000ab","reason":"r","expires":9,"why":1}"#, "unknown field"),
        ("deny", r#"{"reason":"r","expires":9}"#, "names one of"),
        (
            "deny",
            r#"{"key":"kid:00000000000000ab","case":"00000001","reason":"r","expires":9}"#,
            "names one of",
        ),
        ("deny", r#"{"key":"kid:0000000000000000","reason":"r","expires":9}"#, "key: must be"),
        ("deny", r#"{"key":"tid:00000000000000ab","reason":"r","expires":9}"#, "key: must be"),
        ("deny", r#"{"key":"kid:+0000000000000ab","reason":"r","expires":9}"#, "key: must be"),
        ("deny", r#"{"template":"tid:00000000000000ab","reason":"r","expires":9}"#, "is not for a template"),
        ("allow", r#"{"case":"00000001","reason":"r","expires":9}"#, "is not for a case"),
        ("allow", r#"{"key":"kid:00000000000000ab","reason":" ","expires":9}"#, "reason: must be said"),
        ("allow", r#"{"key":"kid:00000000000000ab","reason":"r"}"#, "expires: must be said"),
        ("allow", r#"{"key":"kid:00000000000000ab","reason":"r","expires":0}"#, "expires: must be said"),
        (
            "allow",
            r#"{"key":"kid:00000000000000ab","reason":"r","expires":31622401}"#,
            "expires: must be said",
        ),
        ("undo", r#"{"key":"kid:00000000000000ab","reason":"r","expires":1}"#, "does not end"),
    ];
    for (verb, body, why) in bad {
        let (status, said) = says(verb, body);
        assert!(status == 400 && said.contains(why), "{verb} {body}: {status} {said}");
    }
    assert_eq!(says("release", r#"{"case":"00000001","reason":"r","expires":9}"#).0, 404);
    assert_eq!(says("undo", r#"{"key":"kid:00000000000000ab","reason":"r"}"#).0, 404);
    assert_eq!(says("deny", &" ".repeat(5_000)).0, 413);
    assert_eq!(says("undone", "{}").0, 404);
    assert_eq!(hub.people(Some(ACT), "GET /v1/deny", "").0, 405);
    assert_eq!(hub.people(Some(ACT), "GET /v1/exceptions", "").1["exceptions"], json!([]));
}

#[test]
fn what_people_have_decided_is_durable_and_in_the_next_reply() {
    let (dir, config) = (Dir::new("kept"), config(""));
    let hub = start(&dir);
    let mut node = Fake::new(1, &config);
    hub.exchange(&mut node, now()).unwrap();
    let told = |f: &Fake| f.snapshot.exception(0xab, now().secs() as u32);
    assert_eq!(told(&node), 0);
    let (status, said) = hub.people(Some(ACT), "POST /v1/deny", &deny(3_600));
    assert_eq!((status, &said["key"], &said["verb"]), (200, &KEY.into(), &"deny".into()), "{said}");
    assert_eq!(hub.exchange(&mut node, now()), Ok(1), "and nothing else");
    assert_eq!(told(&node), DENIED);
    hub.kill();
    let hub = start(&dir);
    let all = hub.people(Some(READ), "GET /v1/exceptions", "").1;
    assert_eq!((&all["exceptions"][0]["reason"], &all["ids"]), (&"ticket 7".into(), &1.into()), "{all}");
    hub.exchange(&mut node, now()).unwrap();
    assert_eq!(told(&node), DENIED);
    assert_eq!(hub.people(Some(ACT), "POST /v1/release", &deny(3_600)).0, 200);
    assert_eq!(hub.people(Some(ACT), "POST /v1/release", &deny(7_200)).0, 200);
    hub.exchange(&mut node, now()).unwrap();
    assert_eq!(told(&node), RELEASED, "the last word counts");
    // Over a checkpoint.
    assert_eq!(hub.stop(), 0);
    let hub = start(&dir);
    assert_eq!(hub.people(Some(READ), "GET /v1/exceptions", "").1["exceptions"][0]["verb"], "release");
    assert_eq!(hub.people(Some(READ), &format!("GET /v1/keys/{KEY}"), "").1["exception"]["verb"], "release");
    let undo = json!({"key": KEY, "reason": "a mistake"}).to_string();
    assert_eq!(hub.people(Some(ACT), "POST /v1/undo", &undo).0, 200);
    hub.exchange(&mut node, now()).unwrap();
    assert_eq!(told(&node), 0);
    // A short one ends by itself, and the next reply says so.
    assert_eq!(hub.people(Some(ACT), "POST /v1/deny", &deny(1)).0, 200);
    let exceptions = || hub.people(Some(READ), "GET /v1/exceptions", "").1["exceptions"].clone();
    super::wait::until(10, || exceptions() == json!([]), || exceptions().to_string());
    hub.kill();
}

#[test]
fn off_loopback_it_starts_with_two_tokens_only() {
    let dir = Dir::new("admin");
    let file = dir.file("c.json", config_text(""));
    let with = |tokens: &[(&str, &str)]| {
        let mut c = command(&file, &dir.state(), &["--admin", "0.0.0.0:0"]);
        c.envs(tokens.iter().copied());
        c
    };
    let (read, act) = (("WEIR_HUB_READ_TOKEN", READ), ("WEIR_HUB_ACT_TOKEN", ACT));
    for few in [&[][..], &[read], &[act], &[("WEIR_HUB_READ_TOKEN", ACT), act]] {
        let (status, said) = ends(with(few));
        assert!(
            status == 1 && said.contains("--admin needs two tokens") && !said.contains("a-secret"),
            "{said}"
        );
    }
    assert!(Hub::spawn(with(&[read, act])).admin.is_some());
    // On loopback everybody reads; nobody acts without a token.
    let hub = Hub::start(&file, &dir.state(), &ADMIN);
    assert_eq!(hub.people(None, "GET /v1/cases", "").0, 200);
    assert_eq!(hub.people(None, "POST /v1/deny", &deny(9)).1["error"], "forbidden");
}

fn verify(args: &[&str], file: &std::path::Path) -> (i32, String) {
    let mut c = std::process::Command::new(env!("CARGO_BIN_EXE_weir"));
    let out = c.args(["audit", "verify"]).args(args).arg(file).output().unwrap();
    (out.status.code().unwrap(), String::from_utf8(out.stdout).unwrap())
}

#[test]
fn every_act_has_a_line_that_outlives_the_hub_and_cannot_be_changed_unseen() {
    let dir = Dir::new("audit");
    let hub = start(&dir);
    let file = dir.state().join("audit.jsonl");
    assert_eq!(hub.people(Some(ACT), "POST /v1/deny", &deny(3_600)).0, 200);
    assert_eq!(
        hub.people(Some(ACT), "POST /v1/release", r#"{"case":"00000001","reason":"r","expires":9}"#).0,
        404
    );
    hub.kill();
    let hub = start(&dir);
    let undo = json!({"key": KEY, "reason": "a mistake"}).to_string();
    assert_eq!(hub.people(Some(ACT), "POST /v1/undo", &undo).0, 200);
    let head = hub.people(Some(READ), "GET /v1/status", "").1["audit"]["head"].as_str().unwrap().to_string();
    assert_eq!(hub.stop(), 0);
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let events: Vec<&str> = lines.iter().map(|l| l["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["started", "act", "started", "act", "stopped"]);
    assert_eq!(
        (&lines[1]["verb"], &lines[1]["key"], &lines[1]["reason"]),
        (&"deny".into(), &KEY.into(), &"ticket 7".into())
    );
    assert_eq!((&lines[2]["exceptions"], &lines[4]["exceptions"]), (&1.into(), &0.into()));
    let (status, said) = verify(&["--head", &head], &file);
    assert!(status == 0 && said.contains("5 lines, the last is 5, head "), "{said}");
    // Changed, and cut.
    std::fs::write(&file, text.replace("ticket 7", "ticket 8")).unwrap();
    let (status, said) = verify(&[], &file);
    assert!(status == 4 && said.contains("audit.jsonl:2: changed"), "{said}");
    let cut: String = text.split_inclusive('\n').take(3).collect();
    std::fs::write(&file, &cut).unwrap();
    assert_eq!(verify(&[], &file).0, 0);
    let (status, said) = verify(&["--head", &head], &file);
    assert!(status == 4 && said.contains("the end is cut off"), "{said}");
    // A torn end is cut off, and told.
    std::fs::write(&file, &text[..text.len() - 9]).unwrap();
    assert_eq!(start(&dir).stop(), 0);
    let (status, said) = verify(&["--head", &head], &file);
    assert!(status == 0 && said.contains("7 lines"), "{said}");
    assert!(std::fs::read_to_string(&file).unwrap().lines().nth(4).unwrap().contains("\"event\":\"torn\""));
    // What is no audit log is left alone.
    std::fs::write(&file, "notes of mine\n").unwrap();
    let (status, said) = ends(command(&dir.file("c.json", config_text("")), &dir.state(), &ADMIN));
    assert!(status == 2 && said.contains("not as it was written"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "notes of mine\n");
}
