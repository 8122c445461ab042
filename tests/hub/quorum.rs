//! Whose a node id is, and where a campaign is in force that one alone has seen: on a hub as a process.

use super::fake::{Fake, account, config, config_text, traffic_at};
use super::in_time::in_time;
use super::process::{Dir, Hub, command, ends, now, read_from};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use weir::engine::config::Config;
use weir::engine::observation::Observation;
use weir::engine::units::{Nanos, scaled};

const FIRST: &str = "token-of-the-first-proxy";
const SECOND: &str = "token-of-the-second-proxy";
const THIRD: &str = "token-of-the-third-proxy";

fn lines(of: &[(&str, &str)]) -> String {
    of.iter().map(|(name, token)| format!("{name} {token}\n")).collect()
}

fn start(dir: &Dir, file: &Path, args: &[&str]) -> Hub {
    let tokens = dir.0.join("tokens");
    let all: Vec<&str> =
        ["--tokens", tokens.to_str().unwrap()].into_iter().chain(args.iter().copied()).collect();
    let mut hub = Hub::start(file, &dir.state(), &all);
    hub.token = Some(FIRST.into());
    hub
}

/// One exchange with a token of one's own.
fn exchange(hub: &mut Hub, token: &str, f: &mut Fake, t: Nanos) -> Result<usize, (u16, String)> {
    hub.token = Some(token.into());
    hub.exchange(f, t)
}

#[test]
fn a_node_id_is_its_tokens_and_tokens_come_and_go_at_sighup() {
    let (dir, config) = (Dir::new("tokens"), config(""));
    let file = dir.file("c.json", config_text(""));
    for (text, why) in
        [("", "holds no name with a token"), ("a b c\n", "tokens: line 1: must be a name and a token")]
    {
        let tokens = dir.file("tokens", text);
        let (status, said) = ends(command(&file, &dir.state(), &["--tokens", tokens.to_str().unwrap()]));
        assert!(status == 1 && said.contains(why), "{status} {said}");
    }
    dir.file("tokens", lines(&[("first", FIRST), ("second", SECOND)]));
    let mut hub = start(&dir, &file, &[]);
    let (mut one, mut two) = (Fake::new(1, &config), Fake::new(2, &config));
    exchange(&mut hub, FIRST, &mut one, now()).unwrap();
    exchange(&mut hub, SECOND, &mut two, now()).unwrap();
    assert_eq!(exchange(&mut hub, THIRD, &mut two, now()), Err((401, "token".into())));
    let refused = Err((403, "identity".into()));
    assert_eq!(exchange(&mut hub, SECOND, &mut one, now()), refused);
    // The identity is durable before anything is sent, and outlives the hub.
    hub.kill();
    let mut hub = start(&dir, &file, &[]);
    assert_eq!(exchange(&mut hub, SECOND, &mut one, now()), refused);
    exchange(&mut hub, FIRST, &mut one, now()).unwrap();
    assert_eq!(hub.metric("weir_hub_errors_total{kind=\"identity\"}"), 1);
    let status = hub.status();
    let names: Vec<&str> =
        status["nodes"].as_array().unwrap().iter().map(|n| n["identity"].as_str().unwrap()).collect();
    assert!(
        names.len() == 2 && names.contains(&"token first") && names.contains(&"token second"),
        "{names:?}"
    );
    assert_eq!((&status["identities"], &status["quorum"]), (&2.into(), &2.into()));
    // One is taken away, one added; a bad file leaves what holds.
    dir.file("tokens", "first\n");
    hub.reload("tokens_not_reloaded");
    exchange(&mut hub, SECOND, &mut two, now()).unwrap();
    dir.file("tokens", lines(&[("first", FIRST), ("third", THIRD)]));
    hub.reload("tokens_reloaded");
    assert_eq!(exchange(&mut hub, SECOND, &mut two, now()), Err((401, "token".into())));
    assert_eq!(exchange(&mut hub, THIRD, &mut two, now()), refused);
    exchange(&mut hub, THIRD, &mut Fake::new(3, &config), now()).unwrap();
    assert!(!hub.logged().contains("token-of-the"));
}

/// Six hours in six seconds.
const SCALE: u32 = 3_600;

fn engine() -> Nanos {
    scaled(now(), SCALE)
}

/// The campaign of sixty accounts comes through the nodes; `by`: through which.
fn campaign(hub: &mut Hub, config: &Arc<Config>, by: impl Fn(&Observation) -> usize) -> [usize; 3] {
    let mut nodes: Vec<Fake> = (0..3).map(|i| Fake::new(i, config)).collect();
    let tokens = [FIRST, SECOND, THIRD];
    in_time(traffic_at(0.3, 60, 10, 6.5, 7), engine, |due| {
        for (i, f) in nodes.iter_mut().enumerate() {
            let own: Vec<Observation> = due.iter().filter(|o| by(o) == i).copied().collect();
            if !own.is_empty() {
                f.write(0, &own);
            }
            exchange(hub, tokens[i], f, engine()).unwrap();
        }
    });
    let denied = |(f, token): (&mut Fake, &str)| {
        exchange(hub, token, f, engine()).unwrap();
        (0..60).filter(|i| f.snapshot.key(account(*i), engine().secs() as u32).is_some()).count()
    };
    let counts: Vec<usize> = nodes.iter_mut().zip(tokens).map(denied).collect();
    counts.try_into().unwrap()
}

#[test]
fn what_one_alone_has_seen_is_in_force_there_alone_and_what_two_have_everywhere() {
    let more = r#","demo":{"time_scale":3600}"#;
    let config = config(more);
    let all = lines(&[("first", FIRST), ("second", SECOND), ("third", THIRD)]);
    for (args, by_two, want) in [
        (vec![], false, [true, false, false]),
        (vec!["--quorum", "1"], false, [true; 3]),
        (vec![], true, [true; 3]),
        (vec!["--quorum", "3"], true, [true, true, false]),
    ] {
        let dir = Dir::new("quorum");
        let file = dir.file("c.json", config_text(more));
        dir.file("tokens", &all);
        let admin: Vec<&str> = ["--admin", "127.0.0.1:0"].into_iter().chain(args.iter().copied()).collect();
        let mut hub = start(&dir, &file, &admin);
        let denied = campaign(&mut hub, &config, |o| usize::from(by_two && o.key % 2 == 0));
        let convicted = hub.status()["convicted"].as_u64().unwrap() as usize;
        assert!(convicted >= 45, "{}", hub.status());
        assert_eq!(denied, want.map(|w| if w { convicted } else { 0 }), "{args:?}");
        let everywhere = want == [true; 3];
        let listed = hub.people(None, "GET /v1/lists.json", "").1["deny"].as_array().unwrap().len();
        assert_eq!(listed, if everywhere { convicted } else { 0 });
        let cases = hub.people(None, "GET /v1/cases", "").1;
        assert_eq!(cases["cases"][0]["in_force"], if everywhere { "everywhere" } else { "where_seen" });
        assert_eq!(hub.metric("weir_hub_cases_withheld"), u64::from(!everywhere));
        assert_eq!(hub.stop(), 0);
        let log = std::fs::read_to_string(dir.state().join("audit.jsonl")).unwrap();
        assert!(log.contains(r#""event":"case_opened""#), "{log}");
        assert!(log.contains("where_seen") || args == ["--quorum", "1"], "{log}");
    }
}

/// Files of an authority, of a server, and of clients with these names.
pub fn certificates(dir: &Dir, clients: &[&str]) -> Vec<String> {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut p = rcgen::CertificateParams::new(Vec::new()).unwrap();
    p.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = p.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(p, key);
    let mut files = vec![dir.file("ca.pem", ca.pem())];
    for (i, name) in ["127.0.0.1"].iter().chain(clients).enumerate() {
        let p = rcgen::CertificateParams::new(vec![name.to_string()]).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        files.push(dir.file(&format!("{i}.pem"), p.signed_by(&key, &issuer).unwrap().pem()));
        files.push(dir.file(&format!("{i}.key"), key.serialize_pem()));
    }
    files.iter().map(|f| f.to_str().unwrap().to_string()).collect()
}

/// Status and body of one exchange by TLS, with a certificate to show.
fn by_tls(hub: &Hub, files: &[String], client: usize, body: &[u8]) -> (u16, Vec<u8>) {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&files[0]).unwrap()).unwrap();
    let at = 3 + 2 * client;
    let chain = vec![CertificateDer::from_pem_file(&files[at]).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&files[at + 1]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut s = rustls::StreamOwned::new(connection, TcpStream::connect(hub.address).unwrap());
    let head = "POST /v1/exchange HTTP/1.1\r\nhost: hub\r\nconnection: close\r\nauthorization: Bearer shared-by-all\r\n";
    s.write_all(format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes()).unwrap();
    s.write_all(body).unwrap();
    read_from(s).unwrap()
}

#[test]
fn a_node_id_is_its_certificates_and_another_one_with_it_is_refused() {
    let (dir, config) = (Dir::new("certificates"), config(""));
    // The last is the second's next certificate.
    let files = certificates(&dir, &["proxy-1", "proxy-2", "proxy-2"]);
    let token = dir.file("token", "shared-by-all\n");
    let args = [
        ["--tls-cert", &files[1]],
        ["--tls-key", &files[2]],
        ["--tls-client-ca", &files[0]],
        ["--token-file", token.to_str().unwrap()],
        ["--admin", "127.0.0.1:0"],
    ];
    let hub = Hub::start(&dir.file("c.json", config_text("")), &dir.state(), args.as_flattened());
    let (mut one, mut two) = (Fake::new(1, &config), Fake::new(2, &config));
    let say = |f: &mut Fake, client: usize| {
        let (status, body) = by_tls(&hub, &files, client, &f.request(now()));
        if status == 200 {
            f.take(&body);
        }
        (status, String::from_utf8_lossy(&body).contains(r#""error":"identity""#))
    };
    assert_eq!([say(&mut one, 0), say(&mut two, 1)], [(200, false); 2]);
    assert_eq!([say(&mut one, 1), say(&mut two, 0), say(&mut one, 2)], [(403, true); 3]);
    assert_eq!([say(&mut two, 2), say(&mut one, 0)], [(200, false); 2], "the next certificate of that name");
}
