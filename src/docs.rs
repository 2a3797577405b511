//! The documents of the project as pages: what they say of names and limits stands beside the code.

#![expect(clippy::doc_markdown, reason = "these are pages that are also read outside of rustdoc")]

#[doc = include_str!("docs/architecture.md")]
pub mod architecture {}

#[doc = include_str!("docs/operations.md")]
pub mod operations {}

#[doc = include_str!("docs/protocol.md")]
pub mod protocol {}

#[doc = include_str!("docs/troubleshooting.md")]
pub mod troubleshooting {}
