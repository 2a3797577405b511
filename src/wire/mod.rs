//! Everything that crosses a socket, as pure code: bytes in, values out, and back.
//!
//! Browser side: [`version`] negotiates, [`control`] is the JSON of `/wss`, [`frame`], [`quantize`], [`predict`], [`delta`],
//! [`encode`] and [`decode`] are the binary position frames. Agent-runtime side: [`mod@line`] frames a byte stream, [`jsonrpc`]
//! classifies and builds messages, [`mcp`] knows the shapes that real runtimes answer with. `src/docs/protocol.md` is the
//! specification of the browser side; it changes in the same commit as this code.
//!
//! Not here: clocks, sockets, tokio, actors. Nothing in this module blocks or panics on input.

pub mod bits;
pub mod close;
pub mod control;
pub mod decode;
pub mod delta;
pub mod encode;
pub mod error;
pub mod frame;
pub mod jsonrpc;
pub mod keyframe;
pub mod line;
pub mod mcp;
pub mod metadata;
pub mod predict;
pub mod quantize;
pub mod version;

pub use close::CloseCode;
pub use control::{ClientCommand, ClientMessage, ControlError, ServerMessage};
pub use decode::{Decoder, FrameView};
pub use encode::{Encoded, Encoder, EncoderConfig, FrameInput, KeyReason};
pub use error::WireError;
pub use frame::{FrameHeader, FrameKind};
pub use version::{Negotiated, negotiate};

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod stream_tests;
