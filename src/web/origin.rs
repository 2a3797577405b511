//! Which pages may talk to the server, and to which names it answers.
//!
//! A page on the internet can make a browser call a server on its user's own machine. The `Origin` header
//! says which page asks; the `Host` header says under which name the server was reached, and a foreign name
//! that was made to resolve to this machine (DNS rebinding) is refused by it.

use std::net::IpAddr;

/// The allow-lists for `Origin` and `Host`. Cheap to ask; asked for every request.
#[derive(Debug, Clone)]
pub struct OriginPolicy {
    origins: Vec<String>,
    /// Names without ports, lower case; `None`: every name.
    hosts: Option<Vec<String>>,
}

impl OriginPolicy {
    /// A policy for these origins, each such as `http://localhost:3001`, in lower case.
    ///
    /// `bind` is the address that the server listens on. When only this machine reaches it, the server answers
    /// to `localhost`, `127.0.0.1`, `[::1]`, that address and the hosts of the allowed origins, with any port.
    /// Otherwise it answers to every name.
    #[must_use]
    pub fn new(origins: &[String], bind: IpAddr) -> Self {
        let origins: Vec<String> = origins.iter().map(|origin| origin.to_ascii_lowercase()).collect();
        let hosts = bind.is_loopback().then(|| {
            let own = ["localhost".to_owned(), "127.0.0.1".to_owned(), "[::1]".to_owned(), in_a_url(bind)];
            let theirs =
                origins.iter().filter_map(|origin| authority(origin)).map(|host| name(host).to_owned());
            own.into_iter().chain(theirs).collect()
        });
        Self { origins, hosts }
    }

    /// Whether a page of `origin` may read answers and open a WebSocket.
    ///
    /// `host` is the request's `Host` header: a page that this server itself served is always allowed. A
    /// request without an origin comes from no page, so it need not be asked about.
    #[must_use]
    pub fn allowed(&self, origin: &str, host: Option<&str>) -> bool {
        let origin = origin.to_ascii_lowercase();
        if self.origins.contains(&origin) {
            return true;
        }
        let (Some(asked), Some(host)) = (authority(&origin), host) else { return false };
        without_usual_port(asked) == without_usual_port(&host.to_ascii_lowercase())
    }

    /// Whether the server answers to this `Host` header. Without one no browser asks, so that is allowed.
    #[must_use]
    pub fn host_allowed(&self, host: Option<&str>) -> bool {
        let (Some(hosts), Some(host)) = (&self.hosts, host) else { return true };
        let host = host.to_ascii_lowercase();
        let asked = name(&host);
        hosts.iter().any(|allowed| allowed == asked)
    }
}

/// What follows the scheme of an origin; nothing for `null` and for what is no origin.
fn authority(origin: &str) -> Option<&str> {
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))?;
    (!rest.is_empty() && !rest.contains(['/', '@', '?', '#'])).then_some(rest)
}

fn in_a_url(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// The host without its port and without the dot that ends a full name.
fn name(authority: &str) -> &str {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.ends_with(':') => host,
        _ => authority,
    };
    host.strip_suffix('.').unwrap_or(host)
}

fn without_usual_port(authority: &str) -> &str {
    authority.strip_suffix(":80").or_else(|| authority.strip_suffix(":443")).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(bind: &str) -> OriginPolicy {
        OriginPolicy::new(
            &["http://localhost:3001".into(), "https://app.example.org".into()],
            bind.parse().unwrap(),
        )
    }

    #[test]
    fn listed_origins_and_the_server_s_own_pages_are_allowed() {
        let policy = policy("127.0.0.1");
        assert!(policy.allowed("http://localhost:3001", Some("127.0.0.1:3001")));
        assert!(policy.allowed("HTTPS://App.Example.org", None));
        assert!(policy.allowed("http://127.0.0.1:4000", Some("127.0.0.1:4000")));
        assert!(policy.allowed("https://own.example", Some("own.example:443")));
    }

    #[test]
    fn other_origins_are_not() {
        let policy = policy("127.0.0.1");
        for origin in [
            "http://evil.example",
            "http://localhost:3002",
            "https://localhost:3001",
            "null",
            "",
            "http://app.example.org",
            "https://app.example.org.evil.example",
            "file://",
            "http://evil.example@localhost:3001",
            "http://127.0.0.1:4001",
        ] {
            assert!(!policy.allowed(origin, Some("127.0.0.1:4000")), "{origin}");
        }
    }

    #[test]
    fn on_the_loopback_address_only_known_names_are_answered() {
        let policy = policy("127.0.0.1");
        for host in [
            "localhost",
            "LOCALHOST:3001",
            "127.0.0.1:9",
            "[::1]:3001",
            "[::1]",
            "app.example.org",
            "localhost.",
        ] {
            assert!(policy.host_allowed(Some(host)), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:3001",
            "127.0.0.2",
            "",
            "::1",
            "[::2]:3001",
        ] {
            assert!(!policy.host_allowed(Some(host)), "{host}");
        }
        assert!(policy.host_allowed(None));
        assert!(self::policy("127.0.0.2").host_allowed(Some("127.0.0.2:3001")));
        // what a rebinding page would send: its own name in both
        assert!(!policy.host_allowed(Some("evil.example:3001")));
    }

    #[test]
    fn on_other_addresses_every_name_is_answered() {
        assert!(policy("0.0.0.0").host_allowed(Some("vf.internal:3001")));
    }
}
