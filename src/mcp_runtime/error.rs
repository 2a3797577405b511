//! Why the agent runtime did not start.

use std::io;
use std::net::SocketAddr;

/// A start that failed; nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// Something else listens there.
    #[error(
        "binding the agent runtime to {addr} [{variable}]: the address is in use; stop the other process or set {variable}"
    )]
    AddrInUse {
        /// The address.
        addr: SocketAddr,
        /// The variable that sets its port.
        variable: &'static str,
    },
    /// The address can't be bound for another reason.
    #[error("binding the agent runtime to {addr} [{variable}]: {source}")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// The variable that sets its port.
        variable: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The health endpoint has no server.
    #[error("starting the agent runtime's health endpoint: {0}")]
    Health(#[source] io::Error),
}

impl RuntimeError {
    pub(super) fn bind(addr: SocketAddr, variable: &'static str, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::AddrInUse {
            Self::AddrInUse { addr, variable }
        } else {
            Self::Bind { addr, variable, source }
        }
    }
}
