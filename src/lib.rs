//! VisionFlow: control of AI agent swarms over MCP, live layout, binary streaming to browsers.
//!
//! From the bottom up; `tests/layering.rs` enforces who may use whom:
//!
//! * pure: [`domain`] (swarms, agents, tasks and their rules), [`layout`] (forces and placement),
//!   [`wire`] (bytes of both protocols)
//! * machinery: [`runtime`] (actors that survive panics), [`settings`], [`telemetry`], [`identity`] (tokens)
//! * [`compute`] (the layout world), [`store`] (the database), [`mcp_runtime`] (the agent runtime that we bring)
//! * [`actors`]: thin shells over the pure parts, one per swarm, connection, layout, frame hub and session
//! * [`web`]: REST, health, the viewer
//! * [`app`]: the composition root
//!
//! Units: layout units and seconds in [`layout`]; everywhere else ratios are 0 to 1, sizes bytes, durations
//! milliseconds where they cross a wire, and times UTC. A figure that was not observed is `None`, never zero.

pub mod actors;
pub mod app;
pub mod compute;
pub mod docs;
pub mod domain;
pub mod identity;
pub mod layout;
pub mod mcp_runtime;
pub mod runtime;
pub mod settings;
pub mod store;
pub mod telemetry;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod web;
pub mod wire;
