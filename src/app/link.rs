//! The link that opens the viewer signed in.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::identity::{IssueError, Role, TokenIssuer};
use crate::telemetry::clock;

/// How long the token in the printed link is good for.
const LINK_TTL: Duration = Duration::from_secs(12 * 3600);
/// Whose swarms the printed link shows.
const LINK_SUBJECT: &str = "local";

/// Where a browser on this machine finds the viewer.
#[must_use]
pub fn viewer_url(address: SocketAddr) -> String {
    let port = address.port();
    match address.ip() {
        ip if ip.is_unspecified() => format!("http://localhost:{port}/"),
        IpAddr::V4(ip) => format!("http://{ip}:{port}/"),
        IpAddr::V6(ip) => format!("http://[{ip}]:{port}/"),
    }
}

/// The viewer's address with a token in the fragment, which browsers never send to a server.
///
/// # Errors
/// [`IssueError`] when the token can't be signed.
pub fn sign_in_link(address: SocketAddr, issuer: &TokenIssuer) -> Result<String, IssueError> {
    let (token, _) = issuer.issue(LINK_SUBJECT, Role::Operator, LINK_TTL, clock::now())?;
    Ok(format!("{}#token={token}", viewer_url(address)))
}
