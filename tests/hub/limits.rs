//! What the listeners take, and what happens beyond it.

use super::fake::config_text;
use super::process::{Dir, Hub, command, ends, read};
use super::quorum::certificates;
use super::wait::until;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Connections of a listener at once.
const CONNECTIONS: usize = 8_192;

#[test]
fn what_is_beyond_its_limit_ends_the_start() {
    let dir = Dir::new("beyond");
    let file = dir.file("c.json", config_text(""));
    for (option, value, most) in
        [("--quorum", "17", "16"), ("--quorum", "0", "1"), ("--keys", "10000001", "10000000")]
    {
        let (status, said) = ends(command(&file, &dir.state(), &[option, value]));
        assert!(status == 1 && said.contains(option) && said.contains(most), "{status} {said}");
    }
}

#[test]
fn connections_beyond_so_many_wait_and_a_head_that_is_too_long_is_refused() {
    let most = getrlimit(Resource::Nofile).maximum;
    assert!(most.is_none_or(|n| n > 10_000), "10,000 open files are needed: ulimit -n");
    setrlimit(Resource::Nofile, Rlimit { current: Some(10_000), maximum: most }).unwrap();
    let dir = Dir::new("connections");
    let hub = Hub::start(&dir.file("c.json", config_text("")), &dir.state(), &[]);
    let head = format!(
        "GET /healthz HTTP/1.1\r\nhost: hub\r\nconnection: close\r\nx: {}\r\n\r\n",
        "x".repeat(20 << 10)
    );
    let mut long = TcpStream::connect(hub.address).unwrap();
    // It may be refused before it has been read.
    let _ = long.write_all(head.as_bytes());
    assert_eq!(read(long).0, 431);
    let mut open: Vec<TcpStream> =
        (0..CONNECTIONS).map(|_| TcpStream::connect(hub.address).unwrap()).collect();
    let ask = |s: &mut TcpStream| {
        s.write_all(b"GET /healthz HTTP/1.1\r\nhost: hub\r\n\r\n").unwrap();
        s.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        s.read(&mut [0; 1]).is_ok_and(|n| n == 1)
    };
    assert!(ask(&mut open[CONNECTIONS - 1]), "the last of them is served");
    let mut beyond = TcpStream::connect(hub.address).unwrap();
    beyond.write_all(b"GET /healthz HTTP/1.1\r\nhost: hub\r\n\r\n").unwrap();
    beyond.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert!(beyond.read(&mut [0; 1]).is_err(), "the next one waits");
    open.pop();
    beyond.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(beyond.read(&mut [0; 1]).unwrap(), 1);
}

#[test]
fn who_says_nothing_is_cut_off_after_ten_seconds() {
    let dir = Dir::new("handshake");
    let files = certificates(&dir, &[]);
    let tls = [["--tls-cert", &files[1]], ["--tls-key", &files[2]], ["--admin", "127.0.0.1:0"]];
    let hub = Hub::start(&dir.file("c.json", config_text("")), &dir.state(), tls.as_flattened());
    let mut silent = TcpStream::connect(hub.address).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0, "closed");
    let told = || {
        hub.events("tls_failed")
            .iter()
            .any(|e| e["message"].as_str().is_some_and(|m| m.contains("ten seconds")))
    };
    until(10, told, || hub.logged());
}
