//! A hub as a process, and what speaks HTTP to it.
#![allow(dead_code, reason = "each of the tests uses a part")]

#[path = "../support/dir.rs"]
mod dir;

use super::fake::Fake;
use super::wait::until;
pub use dir::Dir;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use weir::engine::units::Nanos;

pub fn now() -> Nanos {
    Nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64)
}

impl Dir {
    pub fn state(&self) -> PathBuf {
        self.0.join("state")
    }
    /// The last segment.
    pub fn segment(&self) -> PathBuf {
        let files = std::fs::read_dir(self.state()).unwrap().map(|e| e.unwrap().path());
        files.filter(|p| p.to_string_lossy().contains("segment-")).max().unwrap()
    }
}

pub fn command(config: &Path, state: &Path, args: &[&str]) -> Command {
    let mut c = command_on(config, args);
    c.arg("--state").arg(state);
    c
}

/// A hub that keeps things where `args` say.
pub fn command_on(config: &Path, args: &[&str]) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_weir"));
    c.args(["hub", "--config"]).arg(config);
    for usual in [["--listen", "127.0.0.1:0"], ["--keys", "1024"]] {
        if !args.contains(&usual[0]) {
            c.args(usual);
        }
    }
    c.args(args).env_remove("WEIR_HUB_TOKEN").env_remove("WEIR_SEED").env_remove("WEIR_STORE_PASSWORD");
    c.env_remove("WEIR_HUB_READ_TOKEN").env_remove("WEIR_HUB_ACT_TOKEN");
    c.stderr(Stdio::piped()).stdout(Stdio::null());
    c
}

/// What a command prints that ends by itself.
pub fn ends(mut c: Command) -> (i32, String) {
    let out = c.output().unwrap();
    (out.status.code().unwrap(), String::from_utf8(out.stderr).unwrap())
}

pub struct Hub {
    child: Child,
    pub address: SocketAddr,
    /// The listener for people, if there is one.
    pub admin: Option<SocketAddr>,
    pub log: Arc<Mutex<Vec<String>>>,
    pub token: Option<String>,
}

impl Hub {
    pub fn start(config: &Path, state: &Path, args: &[&str]) -> Hub {
        Hub::spawn(command(config, state, args))
    }

    pub fn spawn(mut command: Command) -> Hub {
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, (tell, told)) = (Arc::clone(&log), std::sync::mpsc::channel());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let event: Value = serde_json::from_str(&line).unwrap_or_default();
                if event["event"] == "listening" {
                    let address = |key: &str| event[key].as_str().map(|a| a.parse::<SocketAddr>().unwrap());
                    let _ = tell.send((address("address").unwrap(), address("admin")));
                }
                lines.lock().unwrap().push(line);
            }
        });
        let (address, admin) = told
            .recv_timeout(Duration::from_secs(20))
            .unwrap_or_else(|_| panic!("it does not listen: {:?}", log.lock().unwrap()));
        Hub { child, address, admin, log, token: None }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }
    /// SIGHUP, and waits until it has said so once more.
    pub fn reload(&self, event: &str) {
        let before = self.events(event).len();
        self.signal(rustix::process::Signal::HUP);
        until(10, || self.events(event).len() > before, || self.logged());
    }
    /// It does nothing until `wake`.
    pub fn sleep(&self) {
        self.signal(rustix::process::Signal::STOP);
    }
    pub fn wake(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    /// Waits until `/readyz` says so.
    pub fn says(&self, what: &str) {
        until(
            30,
            || self.get("/readyz").1.trim_end() == what,
            || format!("not {what} but {:?}: {}", self.get("/readyz"), self.logged()),
        );
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; the exit status.
    pub fn stop(mut self) -> i32 {
        self.signal(rustix::process::Signal::TERM);
        let status = self.child.wait().unwrap().code().unwrap();
        // The log's last line.
        std::thread::sleep(Duration::from_millis(50));
        status
    }

    /// What it has said so far.
    pub fn logged(&self) -> String {
        format!("{:?}", self.log.lock().unwrap())
    }

    pub fn events(&self, name: &str) -> Vec<Value> {
        let log = self.log.lock().unwrap();
        let all = log.iter().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        all.filter(|e| e["event"] == name).collect()
    }

    /// Status and body.
    pub fn send(&self, head: &str, body: &[u8]) -> (u16, Vec<u8>) {
        send(self.address, self.token.as_deref(), head, body).unwrap()
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        let (status, body) = self.send(&format!("GET {path}"), b"");
        (status, String::from_utf8(body).unwrap())
    }

    pub fn post(&self, body: &[u8]) -> (u16, Vec<u8>) {
        self.send("POST /v1/exchange", body)
    }

    /// Status and the error's name.
    pub fn refused(&self, body: &[u8]) -> (u16, String) {
        let (status, body) = self.post(body);
        (status, name(&body))
    }

    /// Status and body of the listener for people.
    pub fn people(&self, token: Option<&str>, head: &str, body: &str) -> (u16, Value) {
        let (status, body) = send(self.admin.unwrap(), token, head, body.as_bytes()).unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// One exchange of a node, by the true time.
    pub fn exchange(&self, f: &mut Fake, t: Nanos) -> Result<usize, (u16, String)> {
        let (status, body) = self.post(&f.request(t));
        if status == 200 { Ok(f.take(&body)) } else { Err((status, name(&body))) }
    }

    pub fn status(&self) -> Value {
        let (status, body) = self.get("/v1/status");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    pub fn metric(&self, name: &str) -> u64 {
        let (_, text) = self.get("/metrics");
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ').map(String::from));
        line.unwrap_or_else(|| panic!("no {name}: {text}")).parse().unwrap()
    }

    /// Waits until the ledger has learned what was acknowledged.
    pub fn settled(&self, key: &str, value: u64) {
        until(10, || self.status()[key] == value, || format!("{key} is not {value}: {}", self.status()));
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn name(body: &[u8]) -> String {
    let v: Value = serde_json::from_slice(body).unwrap_or_default();
    assert!(v["message"].as_str().is_some_and(|m| !m.is_empty()), "{}", String::from_utf8_lossy(body));
    v["error"].as_str().unwrap().into()
}

/// Status and body; an error if the hub is gone.
pub fn send(to: SocketAddr, token: Option<&str>, head: &str, body: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
    let mut s = TcpStream::connect(to)?;
    s.set_read_timeout(Some(Duration::from_secs(30)))?;
    let token = token.map(|t| format!("authorization: Bearer {t}\r\n")).unwrap_or_default();
    s.write_all(format!("{head} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{token}").as_bytes())?;
    if !head.starts_with("GET") {
        s.write_all(format!("content-length: {}\r\n", body.len()).as_bytes())?;
    }
    s.write_all(b"\r\n")?;
    // It may be refused before it has been read.
    let _ = s.write_all(body);
    reply(s)
}

/// Status and body of a reply.
pub fn read(s: TcpStream) -> (u16, Vec<u8>) {
    reply(s).unwrap()
}

fn reply(s: TcpStream) -> std::io::Result<(u16, Vec<u8>)> {
    read_from(s)
}

/// The same of anything that can be read.
pub fn read_from(mut s: impl Read) -> std::io::Result<(u16, Vec<u8>)> {
    let mut all = Vec::new();
    let broken = s.read_to_end(&mut all);
    let Some(at) = all.windows(4).position(|w| w == b"\r\n\r\n") else {
        broken?;
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    };
    let head = std::str::from_utf8(&all[..at]).unwrap().to_ascii_lowercase();
    let length =
        head.split("content-length: ").nth(1).and_then(|l| l.split("\r\n").next()?.parse::<usize>().ok());
    if length.is_some_and(|n| all.len() - at - 4 < n) {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok((head[9..12].parse().unwrap(), all[at + 4..].to_vec()))
}
