//! The decoder of one stream, for tests and native clients: frames in, positions out. `client.js` is its twin.

use super::delta;
use super::error::WireError;
use super::frame::{FrameHeader, FrameKind, newer};
use super::keyframe;
use super::predict::Axis;
use super::quantize::Grid;

/// Decodes the frames of one stream. Holds at most one state, and memory in proportion to its agents.
#[derive(Debug, Default)]
pub struct Decoder {
    held: Option<Held>,
    /// Where the next keyframe is read to, so that a bad one leaves the held state whole.
    spare: State,
    residual: [Vec<u32>; 3],
}

#[derive(Debug)]
struct Held {
    header: FrameHeader,
    grid: Grid,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    slots: Vec<u32>,
    axes: [Axis; 3],
}

/// The state after a frame was applied.
#[derive(Debug, Clone, Copy)]
pub struct FrameView<'a> {
    /// Header of the frame that was applied.
    pub header: FrameHeader,
    /// Slots, ascending.
    pub slots: &'a [u32],
    /// Quantised x, y, z of each slot, in steps from the grid's origin.
    pub q: [&'a [i32]; 3],
    /// The grid.
    pub grid: Grid,
}

impl FrameView<'_> {
    /// Gives each slot with its position in layout units, slots ascending.
    pub fn positions(&self) -> impl Iterator<Item = (u32, [f32; 3])> {
        let [x, y, z] = self.q;
        self.slots.iter().zip(x).zip(y).zip(z).map(|(((&slot, &x), &y), &z)| {
            (slot, [self.grid.position(0, x), self.grid.position(1, y), self.grid.position(2, z)])
        })
    }
}

impl Decoder {
    /// Makes a decoder that holds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies one frame and gives the state after it. On any error the state is the one before.
    ///
    /// # Errors
    /// [`WireError::NeedKeyframe`]: send `resync`. [`WireError::Stale`], [`WireError::OtherStream`],
    /// [`WireError::Unknown`]: ignore the frame. All others: the frame is damaged or hostile.
    pub fn apply(&mut self, frame: &[u8]) -> Result<FrameView<'_>, WireError> {
        let (header, body) = FrameHeader::read(frame)?;
        if let Some(held) = &self.held
            && held.header.stream != header.stream
        {
            return Err(WireError::OtherStream { got: header.stream, held: held.header.stream });
        }
        match header.kind {
            FrameKind::Keyframe => self.keyframe(header, body)?,
            FrameKind::Delta => self.delta(header, body)?,
            FrameKind::Heartbeat => self.heartbeat(header, body)?,
        }
        self.view(header).ok_or(WireError::NeedKeyframe { seq: header.seq, base_seq: header.base_seq })
    }

    /// Forgets the held state, as after a reconnect without resume.
    pub fn reset(&mut self) {
        if let Some(held) = self.held.take() {
            self.spare = held.state;
        }
    }

    /// Gives (epoch, seq) of the held state, to resume with; `None` when nothing is held.
    #[must_use]
    pub fn position(&self) -> Option<(u32, u32)> {
        self.held.as_ref().map(|held| (held.header.epoch, held.header.seq))
    }

    fn view(&self, header: FrameHeader) -> Option<FrameView<'_>> {
        let held = self.held.as_ref()?;
        let [x, y, z] = &held.state.axes;
        Some(FrameView { header, slots: &held.state.slots, q: [&x.q, &y.q, &z.q], grid: held.grid })
    }

    fn keyframe(&mut self, header: FrameHeader, body: &[u8]) -> Result<(), WireError> {
        if let Some(held) = &self.held
            && held.header.epoch == header.epoch
            && newer(held.header.seq, header.seq)
        {
            return Err(WireError::Stale { seq: header.seq, held: held.header.seq });
        }
        let grid = keyframe::read(body, count(header), &mut self.spare.slots, &mut self.spare.axes)?;
        let state = std::mem::take(&mut self.spare);
        if let Some(before) = self.held.replace(Held { header, grid, state }) {
            self.spare = before.state;
        }
        Ok(())
    }

    fn delta(&mut self, header: FrameHeader, body: &[u8]) -> Result<(), WireError> {
        let need = WireError::NeedKeyframe { seq: header.seq, base_seq: header.base_seq };
        let held = self.held.as_mut().filter(|held| held.header.epoch == header.epoch).ok_or(need.clone())?;
        if !newer(header.seq, held.header.seq) {
            return Err(WireError::Stale { seq: header.seq, held: held.header.seq });
        }
        if held.header.seq != header.base_seq {
            return Err(need);
        }
        if held.header.count != header.count {
            let what = "its count differs from its base's";
            return Err(WireError::BadBody { kind: FrameKind::Delta, what });
        }
        delta::read(body, count(header), &mut self.residual)?;
        for (axis, residual) in held.state.axes.iter_mut().zip(&self.residual) {
            axis.follow(residual);
        }
        held.header = header;
        Ok(())
    }

    fn heartbeat(&self, header: FrameHeader, body: &[u8]) -> Result<(), WireError> {
        if !body.is_empty() {
            let what = "bytes behind the header";
            return Err(WireError::BadBody { kind: FrameKind::Heartbeat, what });
        }
        let held = self.held.as_ref().map(|held| (held.header.epoch, held.header.seq));
        match held {
            Some((epoch, seq)) if epoch == header.epoch && newer(seq, header.seq) => {
                Err(WireError::Stale { seq: header.seq, held: seq })
            }
            Some((epoch, seq)) if epoch == header.epoch && seq == header.seq => Ok(()),
            _ => Err(WireError::NeedKeyframe { seq: header.seq, base_seq: header.seq }),
        }
    }
}

fn count(header: FrameHeader) -> usize {
    usize::try_from(header.count).unwrap_or(usize::MAX)
}
