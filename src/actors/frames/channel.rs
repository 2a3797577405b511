//! Where a swarm's frames, roster and events wait to be picked up: latest wins, nothing queues per client.
//!
//! The hub writes frames, the swarm's actor writes roster and events, sessions read. Every lock is held for
//! a few moves of pointers only. A session that was too slow finds the newest state and nothing else; of
//! events it finds the last [`EVENTS_KEPT`], and is told when some were lost to it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use actix::prelude::*;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use crate::domain::{Agent, Event, SwarmId};

/// Rate classes: class `k` gets every 2^k-th frame.
pub const RATE_CLASSES: usize = 6;
/// Events of a swarm kept for sessions that resume.
const EVENTS_KEPT: usize = 1_000;

/// Tells a session that something waits for it.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Wake;

/// Wakes one session, at most once until it has looked.
#[derive(Debug)]
pub struct Waker {
    woken: AtomicBool,
    session: Recipient<Wake>,
}

impl Waker {
    /// A waker for the session behind `session`.
    #[must_use]
    pub fn new(session: Recipient<Wake>) -> Self {
        Self { woken: AtomicBool::new(false), session }
    }

    /// Sends a [`Wake`], unless one is under way already. Losing one is harmless: the next change sends another.
    pub fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) && self.session.try_send(Wake).is_err() {
            self.woken.store(false, Ordering::Release);
            metrics::counter!("visionflow_session_wakes_refused_total").increment(1);
        }
    }

    /// To be called by the session before it looks: changes from now on wake it again.
    pub fn looking(&self) {
        self.woken.store(false, Ordering::Release);
    }
}

/// Who is in the swarm: what slots on the wire stand for.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    /// The swarm's incarnation.
    pub epoch: u32,
    /// Rises with every change of the roster within an epoch.
    pub version: u32,
    /// The agents in the order of slots.
    pub agents: Vec<Agent>,
}

/// The newest frame of one rate class.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// Number of the stream, changes when the hub starts anew; 0 before the first frame.
    pub stream: u32,
    /// Number of the state.
    pub seq: u32,
    /// State that `delta` starts from.
    pub base_seq: u32,
    /// Incarnation of the swarm.
    pub epoch: u32,
    /// Roster that the frame needs.
    pub roster_version: u32,
    /// The change from `base_seq`, unless the state has none.
    pub delta: Option<Bytes>,
    /// The whole state, when somebody asked for it.
    pub keyframe: Option<Bytes>,
    /// Sign of life while nothing moves, and its number.
    pub heartbeat: Option<(u64, Bytes)>,
}

#[derive(Debug)]
struct Subscriber {
    session: u64,
    class: usize,
    waker: Arc<Waker>,
}

/// One swarm's meeting point of hub, swarm actor and sessions.
#[derive(Debug)]
pub struct FrameChannel {
    swarm: SwarmId,
    frames: [Mutex<Published>; RATE_CLASSES],
    /// Frames that still carry a keyframe, per class.
    keyframes_due: [AtomicU32; RATE_CLASSES],
    roster: RwLock<Arc<Roster>>,
    events: Mutex<VecDeque<Arc<Event>>>,
    subscribers: Mutex<Vec<Subscriber>>,
    watched: [AtomicU32; RATE_CLASSES],
    closed: AtomicBool,
    changes: AtomicU64,
}

impl FrameChannel {
    /// An empty channel.
    #[must_use]
    pub fn new(swarm: SwarmId) -> Self {
        Self {
            swarm,
            frames: Default::default(),
            keyframes_due: Default::default(),
            roster: RwLock::default(),
            events: Mutex::default(),
            subscribers: Mutex::default(),
            watched: Default::default(),
            closed: AtomicBool::new(false),
            changes: AtomicU64::new(0),
        }
    }

    /// The swarm that it belongs to.
    #[must_use]
    pub const fn swarm(&self) -> SwarmId {
        self.swarm
    }

    /// Adds a session, or moves it to another rate class.
    pub fn subscribe(&self, session: u64, class: usize, waker: Arc<Waker>) {
        let class = class.min(RATE_CLASSES - 1);
        self.unsubscribe(session);
        self.count(class, 1);
        self.want_keyframe(class);
        self.subscribers.lock().push(Subscriber { session, class, waker });
    }

    /// Takes a session out.
    pub fn unsubscribe(&self, session: u64) {
        let mut gone = Vec::new();
        self.subscribers.lock().retain(|s| {
            if s.session == session {
                gone.push(s.class);
            }
            s.session != session
        });
        for class in gone {
            self.count(class, -1);
        }
    }

    /// How many sessions there are.
    #[must_use]
    pub fn subscriber_count(&self) -> usize {
        self.subscribers.lock().len()
    }

    /// Whether anybody takes the frames of this class.
    #[must_use]
    pub fn is_watched(&self, class: usize) -> bool {
        self.watched.get(class).is_some_and(|n| n.load(Ordering::Acquire) > 0)
    }

    /// Asks for keyframes of a class with the next frames.
    pub fn want_keyframe(&self, class: usize) {
        // more than one: a session that is slow to wake would find the frame after the one that it asked for
        const FRAMES: u32 = 8;
        if let Some(due) = self.keyframes_due.get(class) {
            due.store(FRAMES, Ordering::Release);
        }
    }

    /// Whether the frame being made is to carry a keyframe; counts it.
    pub(super) fn take_keyframe_due(&self, class: usize) -> bool {
        let due = self.keyframes_due.get(class);
        due.is_some_and(|due| {
            due.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1)).is_ok()
        })
    }

    /// The newest frame of a class.
    #[must_use]
    pub fn frame(&self, class: usize) -> Published {
        self.frames.get(class).map(|frame| frame.lock().clone()).unwrap_or_default()
    }

    pub(super) fn publish(&self, class: usize, published: Published) {
        if let Some(frame) = self.frames.get(class) {
            *frame.lock() = published;
        }
    }

    /// The newest roster.
    #[must_use]
    pub fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster.read())
    }

    /// Replaces the roster; to be called before the layout learns of the change.
    pub fn set_roster(&self, roster: Roster) {
        *self.roster.write() = Arc::new(roster);
        self.changed();
    }

    /// Adds events, oldest first.
    pub fn push_events(&self, new: impl IntoIterator<Item = Event>) {
        let mut events = self.events.lock();
        events.extend(new.into_iter().map(Arc::new));
        while events.len() > EVENTS_KEPT {
            events.pop_front();
        }
        drop(events);
        self.changed();
    }

    /// The events after number `seq`, and whether none before them was lost.
    #[must_use]
    pub fn events_after(&self, seq: i64) -> (Vec<Arc<Event>>, bool) {
        let events = self.events.lock();
        let complete = events.front().is_none_or(|first| first.seq <= seq + 1);
        (events.iter().filter(|event| event.seq > seq).cloned().collect(), complete)
    }

    /// Number of the newest event that is kept here; 0 when there is none.
    #[must_use]
    pub fn last_event(&self) -> i64 {
        self.events.lock().back().map_or(0, |event| event.seq)
    }

    /// Marks that something besides frames changed, such as the swarm's state, and wakes everybody.
    pub fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        for subscriber in self.subscribers.lock().iter() {
            subscriber.waker.wake();
        }
    }

    /// Rises with every change besides frames.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Tells all sessions that the swarm is gone.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.changed();
    }

    /// Whether the swarm is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn wake_class(&self, class: usize) {
        for subscriber in self.subscribers.lock().iter().filter(|s| s.class == class) {
            subscriber.waker.wake();
        }
    }

    fn count(&self, class: usize, by: i32) {
        if let Some(n) = self.watched.get(class) {
            n.fetch_add(by.cast_unsigned(), Ordering::AcqRel);
        }
    }
}

/// The rate class that stays at or under `fps`, for a server that makes `full` frames a second.
#[must_use]
pub fn class_for(fps: u32, full: u32) -> usize {
    (0..RATE_CLASSES).find(|class| full >> class <= fps.max(1)).unwrap_or(RATE_CLASSES - 1)
}

/// Frames per second of a rate class.
#[must_use]
pub fn class_fps(class: usize, full: u32) -> u32 {
    (full >> class.min(RATE_CLASSES - 1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_class_never_exceeds_the_rate_that_was_asked_for_but_the_slowest_one() {
        assert_eq!(class_for(60, 60), 0);
        assert_eq!(class_for(59, 60), 1);
        assert_eq!(class_for(30, 60), 1);
        assert_eq!(class_for(10, 60), 3);
        assert_eq!(class_for(1, 60), RATE_CLASSES - 1);
        assert_eq!(class_for(0, 240), RATE_CLASSES - 1);
        assert_eq!(class_for(1_000, 240), 0);
    }

    #[test]
    fn events_say_whether_any_was_lost() {
        use crate::domain::{EventKind, SwarmId};
        let channel = FrameChannel::new(SwarmId(uuid::Uuid::nil()));
        let event = |seq| Event {
            swarm_id: channel.swarm(),
            seq,
            at: chrono::DateTime::from_timestamp(0, 0).unwrap(),
            actor: "server".into(),
            kind: EventKind::SwarmCreated { name: "s".into() },
        };
        assert!(channel.events_after(0).1, "nothing there, nothing lost");
        channel.push_events((1..=1_500).map(event));
        assert_eq!(channel.last_event(), 1_500);
        let (events, complete) = channel.events_after(1_400);
        assert_eq!((events.len(), complete), (100, true));
        let (events, complete) = channel.events_after(10);
        assert_eq!((events.len(), complete), (EVENTS_KEPT, false));
    }

    #[test]
    fn keyframes_are_due_for_a_few_frames_after_each_wish() {
        let channel = FrameChannel::new(SwarmId(uuid::Uuid::nil()));
        assert!(!channel.take_keyframe_due(0));
        channel.want_keyframe(0);
        assert_eq!((0..20).filter(|_| channel.take_keyframe_due(0)).count(), 8);
    }
}
