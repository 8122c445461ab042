//! A real Envoy with the shipped configuration, in a folder of its own, stopped when dropped.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running Envoy.
pub struct Envoy {
    child: Child,
    dir: PathBuf,
    /// Port of the listener.
    pub port: u16,
    /// Port of the admin interface.
    pub admin: u16,
}

fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Envoy {
    /// Fills in `template`, starts `binary`, and waits until it is ready. It tries again with other ports if
    /// somebody else has taken one.
    pub fn start(
        binary: &Path,
        template: &Path,
        wasm: &Path,
        config: &str,
        upstream: u16,
    ) -> Result<Envoy, String> {
        let mut last = String::new();
        for _ in 0..3 {
            match Envoy::once(binary, template, wasm, config, upstream) {
                Err(e) if e.contains("ddress already in use") => last = e,
                other => return other,
            }
        }
        Err(last)
    }

    fn once(
        binary: &Path,
        template: &Path,
        wasm: &Path,
        config: &str,
        upstream: u16,
    ) -> Result<Envoy, String> {
        let read = |p: &Path| std::fs::read_to_string(p).map_err(|e| format!("{}: {e}", p.display()));
        let dir = std::env::temp_dir().join(format!("weir-demo-{}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let port = free_port().map_err(|e| e.to_string())?;
        let admin = free_port().map_err(|e| e.to_string())?;
        let wasm =
            wasm.canonicalize().map_err(|e| format!("{}: {e} (make wasm builds it)", wasm.display()))?;
        let mut yaml = read(template)?;
        for (key, value) in [
            ("@PORT@", port.to_string()),
            ("@ADMIN_PORT@", admin.to_string()),
            ("@UPSTREAM_PORT@", upstream.to_string()),
            ("@BUFFER_LIMIT@", "1048576".into()),
            ("@ACCESS_LOG@", dir.join("access.log").display().to_string()),
            ("@ALLOW_HOLD@", "true".into()),
            ("@WEIR_CONFIG@", config.replace('\'', "''")),
            ("@WEIR_WASM@", wasm.display().to_string()),
        ] {
            yaml = yaml.replace(key, &value);
        }
        let file = dir.join("envoy.yaml");
        std::fs::write(&file, yaml).map_err(|e| e.to_string())?;
        let child = Command::new(binary)
            .args([
                "-c",
                &file.display().to_string(),
                "--concurrency",
                "2",
                "--disable-hot-restart",
                "-l",
                "warning",
            ])
            .args(["--log-path", &dir.join("envoy.log").display().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("{}: {e} (make setup installs Envoy)", binary.display()))?;
        let mut envoy = Envoy { child, dir, port, admin };
        envoy.wait_ready()?;
        Ok(envoy)
    }

    fn wait_ready(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            if get(self.admin, "/ready").is_some_and(|r| r.contains("LIVE")) {
                return Ok(());
            }
            let gone = self.child.try_wait().ok().flatten().is_some();
            if gone || begun.elapsed() > Duration::from_secs(30) {
                let log = std::fs::read_to_string(self.dir.join("envoy.log")).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let tail = lines[lines.len().saturating_sub(8)..].join("\n");
                return Err(format!("Envoy did not start; last lines of its log:\n{tail}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The body of a GET on loopback; `None` if it fails.
pub fn get(port: u16, path: &str) -> Option<String> {
    use std::io::{Read, Write};
    let mut s = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    s.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(s, "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").ok()?;
    let mut out = String::new();
    s.read_to_string(&mut out).ok()?;
    Some(out)
}
