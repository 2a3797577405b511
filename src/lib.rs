//! VisionFlow: control of AI agent swarms over MCP, live layout, binary streaming to browsers.

pub mod actors;
pub mod app;
pub mod compute;
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
