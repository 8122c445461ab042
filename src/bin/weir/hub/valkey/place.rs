//! Where a store is and how it is reached: URL, password, certificates. What is shown of it never holds the
//! password.

use redis::{
    Client, ClientTlsConfig, Connection, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError,
    TlsCertificates,
};
use std::time::Duration;

/// A host and its port.
pub type Node = (String, u16);

const FORMS: &str = "redis://HOST:PORT, rediss://HOST:PORT (TLS), redis-cluster://HOST:PORT,HOST:PORT,… or \
                     rediss-cluster://…, each with USER@ and, but for a cluster, /DB if wanted";
const CONNECT: Duration = Duration::from_secs(1);

/// PEM texts for TLS.
#[derive(Default)]
pub struct Pem {
    /// Authority of the store's certificate; `None`: those that the system trusts.
    pub ca: Option<Vec<u8>>,
    /// The hub's certificate and its key.
    pub own: Option<(Vec<u8>, Vec<u8>)>,
}

/// Where a store is.
pub struct Place {
    /// Its address, or the addresses of some nodes of a cluster.
    pub seeds: Vec<Node>,
    info: ConnectionInfo,
    is_tls: bool,
    pem: Option<Pem>,
    shown: String,
    /// Replicas that must have a group beside the primary.
    pub replicas: u8,
}

impl Place {
    /// Reads a URL. A password given apart replaces one in the URL.
    ///
    /// # Errors
    /// What is wrong, without the password.
    pub fn new(url: &str, password: Option<&str>, pem: Option<Pem>) -> Result<Place, String> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("no store's URL: {FORMS}"))?;
        let (is_tls, is_cluster) = match scheme {
            "redis" => (false, false),
            "rediss" => (true, false),
            "redis-cluster" => (false, true),
            "rediss-cluster" => (true, true),
            _ => return Err(format!("no scheme of a store: {FORMS}")),
        };
        let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(u, r)| (Some(u), r));
        let (hosts, db) = rest.split_once('/').unwrap_or((rest, ""));
        let hosts: Vec<&str> = hosts.split(',').collect();
        let hosts_shown = hosts.join(",");
        let bad = |what: &str| format!("the store's URL: {what}. It is {FORMS}");
        if !is_cluster && hosts.len() > 1 {
            return Err(bad("several hosts are a cluster's"));
        }
        if hosts_shown.contains(['?', '#']) || !db.chars().all(|c| c.is_ascii_digit()) {
            return Err(bad("behind the hosts only the number of a database may stand"));
        }
        if is_cluster && !db.is_empty() {
            return Err(bad("a cluster has no numbered databases"));
        }
        let mut seeds = Vec::new();
        let mut first = None;
        for host in &hosts {
            let user = user.map(|u| format!("{u}@")).unwrap_or_default();
            // What the library says of it may quote it.
            let info = format!("redis://{user}{host}/{db}")
                .into_connection_info()
                .map_err(|_| bad("user, host or port do not parse"))?;
            let ConnectionAddr::Tcp(host, port) = info.addr() else { return Err(bad("no host")) };
            seeds.push((host.clone(), *port));
            first.get_or_insert(info);
        }
        let info = first.ok_or_else(|| bad("no host"))?;
        let settings = info.redis_settings().clone().set_skip_set_lib_name();
        let settings = match password {
            Some(password) => settings.set_password(password),
            None => settings,
        };
        let name = user.map(|u| u.split(':').next().unwrap_or_default());
        let secret = if settings.password().is_some() { ":***" } else { "" };
        let who = match name {
            Some(name) => format!("{name}{secret}@"),
            None if secret.is_empty() => String::new(),
            None => format!("{secret}@"),
        };
        let slash = if db.is_empty() { "" } else { "/" };
        Ok(Place {
            seeds,
            info: info.set_redis_settings(settings),
            is_tls,
            pem: pem.filter(|_| is_tls),
            replicas: 0,
            shown: format!("{scheme}://{who}{hosts_shown}{slash}{db}"),
        })
    }

    /// The URL without its password.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Connects, with TLS and password as configured. `timeout`: for each call on the connection.
    pub fn connect(&self, (host, port): &Node, timeout: Duration) -> Result<Connection, RedisError> {
        let (host, port) = (host.clone(), *port);
        let client = if self.is_tls {
            let addr = ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None };
            let own = self.pem.as_ref().and_then(|p| p.own.clone());
            let certificates = TlsCertificates {
                client_tls: own.map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key }),
                root_cert: self.pem.as_ref().and_then(|p| p.ca.clone()),
            };
            Client::build_with_tls(self.info.clone().set_addr(addr), certificates)?
        } else {
            Client::open(self.info.clone().set_addr(ConnectionAddr::Tcp(host, port)))?
        };
        let connection = client.get_connection_with_timeout(CONNECT.min(timeout))?;
        connection.set_read_timeout(Some(timeout))?;
        connection.set_write_timeout(Some(timeout))?;
        Ok(connection)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown_without_their_password() {
        for (url, password, shown, seeds) in [
            ("redis://h", None, "redis://h", vec![("h", 6_379)]),
            ("redis://h:1/2", None, "redis://h:1/2", vec![("h", 1)]),
            ("redis://:geheim@h:1", None, "redis://:***@h:1", vec![("h", 1)]),
            ("rediss://u:geheim%40@h:1/0", None, "rediss://u:***@h:1/0", vec![("h", 1)]),
            ("redis://u:ge@h:eim@h:1", None, "redis://u:***@h:1", vec![("h", 1)]),
            ("redis://u@h:1", Some("geheim"), "redis://u:***@h:1", vec![("h", 1)]),
            ("redis-cluster://a:1,b:2", None, "redis-cluster://a:1,b:2", vec![("a", 1), ("b", 2)]),
            ("rediss-cluster://[::1]:7", Some("geheim"), "rediss-cluster://:***@[::1]:7", vec![("::1", 7)]),
        ] {
            let place = Place::new(url, password, None).unwrap_or_else(|e| panic!("{url}: {e}"));
            assert_eq!(place.shown(), shown);
            let seeds: Vec<Node> = seeds.into_iter().map(|(h, p)| (String::from(h), p)).collect();
            assert_eq!(place.seeds, seeds);
        }
        let place = Place::new("redis://u:old@h", Some("new"), None).unwrap();
        assert_eq!(place.info.redis_settings().password(), Some("new"));
    }

    #[test]
    fn what_is_no_url_of_a_store_is_refused_and_never_shows_a_password() {
        for url in [
            "",
            "h:1",
            "http://u:geheim@h:1",
            "redis+unix:///tmp/geheim",
            "redis://u:geheim@h:1,i:2",
            "redis://u:geheim@h:1/x",
            "redis://u:geheim@h:1/0?geheim",
            "rediss://u:geheim@h:1#insecure",
            "redis://u:geheim@h:99999",
            "redis://u:geheim@",
            "redis-cluster://u:geheim@h:1/1",
            "redis-cluster://u:geheim@h:1,,",
        ] {
            let Err(why) = Place::new(url, None, None) else { panic!("{url}") };
            assert!(!why.contains("geheim"), "{why}");
        }
    }
}
