//! What the agent runtime is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::engine::EngineLimits;
use super::executor::WorkTiming;
#[cfg(any(test, feature = "testkit"))]
use super::faults::FaultPlan;

/// Bounds of connections and of what travels over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireLimits {
    /// Connections at once; others are told so and closed.
    pub connections: usize,
    /// Longest line read, bytes without the newline; longer ones are skipped and answered with an error.
    pub line_bytes: usize,
    /// Requests of one connection whose answers are not written yet. Beyond it, nothing more is read.
    pub in_flight: usize,
    /// Bytes of one connection's answers that are not written yet. One answer may always be queued.
    pub queue_bytes: u32,
    /// A client that takes no byte for this long while answers wait for it is cut off.
    pub write_stall: Duration,
    /// Lines of one connection that are no requests, after which it is closed.
    pub bad_lines: u32,
    /// Silence after which the kernel asks whether the peer is still there. Silent peers that are may stay.
    pub keepalive: Duration,
}

impl Default for WireLimits {
    fn default() -> Self {
        Self {
            connections: 64,
            line_bytes: 16 * 1024 * 1024,
            in_flight: 64,
            queue_bytes: 4 * 1024 * 1024,
            write_stall: Duration::from_secs(30),
            bad_lines: 1_000,
            keepalive: Duration::from_secs(60),
        }
    }
}

/// What the agent runtime is started with.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// Where it speaks MCP; port 0 takes any.
    pub mcp_addr: SocketAddr,
    /// Where it answers `GET /health`; port 0 takes any.
    pub health_addr: SocketAddr,
    /// Bounds of the wire.
    pub wire: WireLimits,
    /// Bounds of the state.
    pub engine: EngineLimits,
    /// Bounds of the simulated work.
    pub work: WorkTiming,
    /// What goes wrong on purpose.
    #[cfg(any(test, feature = "testkit"))]
    pub faults: FaultPlan,
}

impl RuntimeConfig {
    /// The documented limits, at these addresses.
    #[must_use]
    pub fn new(mcp_addr: SocketAddr, health_addr: SocketAddr) -> Self {
        Self {
            mcp_addr,
            health_addr,
            wire: WireLimits::default(),
            engine: EngineLimits::default(),
            work: WorkTiming::default(),
            #[cfg(any(test, feature = "testkit"))]
            faults: FaultPlan::default(),
        }
    }
}

impl Default for RuntimeConfig {
    /// Loopback, ports 9500 and 9501.
    fn default() -> Self {
        Self::new((Ipv4Addr::LOCALHOST, 9500).into(), (Ipv4Addr::LOCALHOST, 9501).into())
    }
}
