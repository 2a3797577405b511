//! The JSON control messages of `/wss`: [`client`] is what a browser may say, [`server`] what it is told.
//!
//! Every text frame is one object with a `type`. A client's message may carry `ref`, a string of at most 64 bytes that the
//! answers repeat. Unknown fields of a client are refused by name, since a misspelt option that is ignored looks like one
//! that works; a client must ignore unknown fields and types of the server.

pub mod client;
pub mod server;

pub use client::{ClientCommand, ClientMessage, ControlError, Resume, parse};
pub use server::{AgentEntry, ServerMessage};

/// Bytes of one text frame from a client at most.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;
/// Nesting of objects and arrays in a client's message at most.
pub const MAX_DEPTH: usize = 8;
/// Bytes of a `ref` at most.
pub const MAX_REF_BYTES: usize = 64;
/// Frames per second that a subscription may ask for at most.
pub const MAX_RATE: u16 = 240;
