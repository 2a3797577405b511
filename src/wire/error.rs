//! The one error type of the binary frames: a variant for each decision that a receiver or the frame hub can make.

use super::frame::FrameKind;

/// Why a frame could not be encoded or applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes are no frame of this protocol; close or ignore, but do not resync.
    #[error("reading the frame header: {0}")]
    BadHeader(&'static str),
    /// The frame belongs to another stream than this decoder; it was not applied.
    #[error("frame of stream {got} given to the decoder of stream {held}")]
    OtherStream {
        /// Stream of the frame.
        got: u32,
        /// Stream of the decoder.
        held: u32,
    },
    /// A kind or coding that a later revision may define; skip the frame.
    #[error("frame kind or coding {0} is not known here")]
    Unknown(u8),
    /// The frame is well formed but its base is not held; ask for a resync.
    #[error("delta {seq} builds on frame {base_seq}, which is not held")]
    NeedKeyframe {
        /// Sequence number of the refused frame.
        seq: u32,
        /// The frame that it builds on.
        base_seq: u32,
    },
    /// The frame is older than or the same as what is held; ignore it.
    #[error("frame {seq} is not newer than {held}")]
    Stale {
        /// Sequence number of the refused frame.
        seq: u32,
        /// Sequence number held.
        held: u32,
    },
    /// The body contradicts its own header or this specification; ask for a resync, then close if it repeats.
    #[error("reading the body of a {kind:?}: {what}")]
    BadBody {
        /// Kind of the frame.
        kind: FrameKind,
        /// What was wrong.
        what: &'static str,
    },
    /// A declared limit would be exceeded; nothing was allocated for it.
    #[error("{what} is {got}, over the limit of {limit}")]
    TooLarge {
        /// The quantity.
        what: &'static str,
        /// Its value.
        got: usize,
        /// The limit.
        limit: usize,
    },
    /// The encoder was given arrays of different lengths.
    #[error("encoding a frame: {slots} slots but {coordinates} coordinates on one axis")]
    Shape {
        /// Number of slots.
        slots: usize,
        /// Length of the first axis that differs.
        coordinates: usize,
    },
    /// The encoder was given one slot twice.
    #[error("encoding a frame: slot {0} occurs twice")]
    DuplicateSlot(u32),
}
