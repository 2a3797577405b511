//! The fixed header that opens every binary frame, and the limits that a receiver may rely on. Bodies are in
//! [`super::keyframe`] and [`super::delta`].
//!
//! | offset | size | type | field | meaning |
//! |---|---|---|---|---|
//! | 0 | 2 | u16 | magic | 0x4656: the bytes `V`, `F` |
//! | 2 | 1 | u8 | version | 2 |
//! | 3 | 1 | u8 | kind | 1 keyframe, 2 delta, 3 heartbeat |
//! | 4 | 4 | u32 | stream | server-wide number announced by `subscribed` |
//! | 8 | 4 | u32 | epoch | incarnation of the swarm's stream |
//! | 12 | 4 | u32 | seq | number of the state that this frame leads to |
//! | 16 | 4 | u32 | `base_seq` | state that must be held; equals seq unless a delta |
//! | 20 | 4 | u32 | `roster_version` | roster that names the slots |
//! | 24 | 8 | u64 | `server_time_us` | µs since the Unix epoch, by the server's clock |
//! | 32 | 4 | u32 | tick | layout tick of the positions |
//! | 36 | 4 | u32 | count | agents in the state |
//!
//! All little-endian. The first four bytes are common to every version and kind there will ever be; what follows belongs to
//! (version, kind), so a later kind may carry a shorter header.

use super::error::WireError;
use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::{Decode, Encode};

/// `V`, `F` read as a little-endian u16.
pub const MAGIC: u16 = 0x4656;
/// Version of the binary format, and of the protocol that carries it.
pub const FORMAT_VERSION: u8 = 2;
/// Bytes of the fixed header.
pub const HEADER_BYTES: usize = 40;
/// Agents in one frame at most.
pub const MAX_AGENTS: usize = 131_072;
/// Bytes of one frame at most: the worst keyframe of [`MAX_AGENTS`] fits.
pub const MAX_FRAME_BYTES: usize = 8 * 1024 * 1024;

/// bincode settings of every fixed structure on the wire: little-endian, fixed-width, never more than a header's worth.
type Fixed = Configuration<LittleEndian, Fixint, Limit<HEADER_BYTES>>;
const FIXED: Fixed =
    bincode::config::standard().with_little_endian().with_fixed_int_encoding().with_limit::<HEADER_BYTES>();

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// A whole state: needs nothing before it.
    Keyframe = 1,
    /// What changed since the state `base_seq`.
    Delta = 2,
    /// No change; says that the stream is alive and at which tick.
    Heartbeat = 3,
}

impl FrameKind {
    fn from_wire(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Keyframe),
            2 => Some(Self::Delta),
            3 => Some(Self::Heartbeat),
            _ => None,
        }
    }

    /// Gives the number on the wire.
    #[must_use]
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::Keyframe => 1,
            Self::Delta => 2,
            Self::Heartbeat => 3,
        }
    }
}

/// The header of one frame, as values. Contains nothing of a session: frames are encoded once and shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the frame is.
    pub kind: FrameKind,
    /// Server-wide number of the stream (swarm and rate class), announced by `subscribed`.
    pub stream: u32,
    /// Incarnation of the stream; numbers of another epoch are not comparable.
    pub epoch: u32,
    /// State that applying this frame gives. Wraps.
    pub seq: u32,
    /// State that must be held before; equals `seq` in keyframes and heartbeats.
    pub base_seq: u32,
    /// Version of the roster that names the slots of this state.
    pub roster_version: u32,
    /// Server clock in microseconds since the Unix epoch.
    pub server_time_us: u64,
    /// Layout tick of the positions.
    pub tick: u32,
    /// Agents in the state.
    pub count: u32,
}

#[derive(Debug, Clone, Copy, Encode, Decode)]
struct RawHeader {
    magic: u16,
    version: u8,
    kind: u8,
    stream: u32,
    epoch: u32,
    seq: u32,
    base_seq: u32,
    roster_version: u32,
    server_time_us: u64,
    tick: u32,
    count: u32,
}

impl FrameHeader {
    /// Appends the 40 bytes of the header to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_fixed::<HEADER_BYTES, _>(
            &RawHeader {
                magic: MAGIC,
                version: FORMAT_VERSION,
                kind: self.kind.to_wire(),
                stream: self.stream,
                epoch: self.epoch,
                seq: self.seq,
                base_seq: self.base_seq,
                roster_version: self.roster_version,
                server_time_us: self.server_time_us,
                tick: self.tick,
                count: self.count,
            },
            out,
        );
    }

    /// Reads the header of `frame` and gives it with the body behind it.
    ///
    /// # Errors
    /// [`WireError::BadHeader`] when this is no frame of this version, [`WireError::Unknown`] for a later kind,
    /// [`WireError::TooLarge`] over a declared limit.
    pub fn read(frame: &[u8]) -> Result<(Self, &[u8]), WireError> {
        if frame.len() > MAX_FRAME_BYTES {
            return Err(WireError::TooLarge {
                what: "frame bytes",
                got: frame.len(),
                limit: MAX_FRAME_BYTES,
            });
        }
        let [m0, m1, version, kind, ..] = *frame else {
            return Err(WireError::BadHeader("shorter than four bytes"));
        };
        if u16::from_le_bytes([m0, m1]) != MAGIC {
            return Err(WireError::BadHeader("the magic number is not VF"));
        }
        if version != FORMAT_VERSION {
            return Err(WireError::BadHeader("the version is not 2"));
        }
        let kind = FrameKind::from_wire(kind).ok_or(WireError::Unknown(kind))?;
        let (raw, body) =
            read_fixed::<RawHeader>(frame).ok_or(WireError::BadHeader("shorter than the header"))?;
        let count = usize::try_from(raw.count).unwrap_or(usize::MAX);
        if count > MAX_AGENTS {
            return Err(WireError::TooLarge { what: "agents in a frame", got: count, limit: MAX_AGENTS });
        }
        let header = Self {
            kind,
            stream: raw.stream,
            epoch: raw.epoch,
            seq: raw.seq,
            base_seq: raw.base_seq,
            roster_version: raw.roster_version,
            server_time_us: raw.server_time_us,
            tick: raw.tick,
            count: raw.count,
        };
        if kind != FrameKind::Delta && header.base_seq != header.seq {
            return Err(WireError::BadHeader("base_seq differs from seq outside a delta"));
        }
        Ok((header, body))
    }
}

/// Appends a fixed structure of exactly `N` bytes.
///
/// # Panics
/// When `value` does not encode to `N` bytes: a bug in its definition, found by the first test that encodes one.
pub(crate) fn write_fixed<const N: usize, T: Encode>(value: &T, out: &mut Vec<u8>) {
    let mut block = [0_u8; N];
    let written = bincode::encode_into_slice(value, &mut block, FIXED);
    assert!(matches!(written, Ok(n) if n == N), "a fixed structure must fill its block");
    out.extend_from_slice(&block);
}

/// Reads a fixed structure and gives it with the bytes behind it; `None` when there are too few.
pub(crate) fn read_fixed<T: Decode<()>>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let (value, used) = bincode::decode_from_slice::<T, _>(bytes, FIXED).ok()?;
    Some((value, bytes.get(used..)?))
}

/// Tells whether sequence number `a` is newer than `b`, across the wrap.
#[must_use]
pub fn newer(a: u32, b: u32) -> bool {
    let distance = a.wrapping_sub(b);
    distance != 0 && distance < 0x8000_0000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> FrameHeader {
        FrameHeader {
            kind: FrameKind::Delta,
            stream: 0x0403_0201,
            epoch: 5,
            seq: 7,
            base_seq: 6,
            roster_version: 9,
            server_time_us: 0x1122_3344_5566_7788,
            tick: 11,
            count: 200,
        }
    }

    #[test]
    fn header_has_the_documented_offsets() {
        let mut out = Vec::new();
        header().write(&mut out);
        assert_eq!(out.len(), HEADER_BYTES);
        assert_eq!(&out[..8], b"VF\x02\x02\x01\x02\x03\x04");
        assert_eq!(&out[24..32], &0x1122_3344_5566_7788_u64.to_le_bytes());
        assert_eq!(&out[36..], &200_u32.to_le_bytes());
        let (back, body) = FrameHeader::read(&out).unwrap();
        assert_eq!(back, header());
        assert!(body.is_empty());
    }

    #[test]
    fn foreign_headers_are_refused_by_reason() {
        let mut out = Vec::new();
        header().write(&mut out);
        let with = |at: usize, byte: u8| {
            let mut copy = out.clone();
            copy[at] = byte;
            FrameHeader::read(&copy).map(|_| ())
        };
        assert!(matches!(with(0, 0), Err(WireError::BadHeader(_))));
        assert!(matches!(with(2, 3), Err(WireError::BadHeader(_))));
        assert_eq!(with(3, 9), Err(WireError::Unknown(9)));
        assert!(matches!(with(3, 1), Err(WireError::BadHeader(_))), "a keyframe must be its own base");
        assert!(matches!(with(39, 1), Err(WireError::TooLarge { .. })));
        assert!(matches!(FrameHeader::read(&out[..39]), Err(WireError::BadHeader(_))));
    }

    #[test]
    fn newer_survives_the_wrap() {
        assert!(newer(1, 0));
        assert!(newer(2, u32::MAX));
        assert!(!newer(5, 5));
        assert!(!newer(u32::MAX, 2));
    }
}
