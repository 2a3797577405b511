//! What one session has of one swarm, and what it needs next.
//!
//! Order matters: the stream is announced before its first frame, and a roster goes out before the frames
//! that need it, so that a client never sees a slot that it can't look up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::actors::frames::{FrameChannel, FramesHandle, Published, Roster, class_fps};
use crate::actors::swarm::SwarmHandle;
use crate::domain::{Agent, Event, SwarmState};
use crate::wire::ServerMessage;
use crate::wire::control::{AgentEntry, Resume};
use crate::wire::metadata::SwarmMetadata;

/// Something to be sent.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// A text frame.
    Message(Box<ServerMessage>),
    /// A binary frame.
    Frame(Bytes),
}

/// One session's subscription to one swarm.
#[derive(Debug)]
pub(super) struct Subscription {
    swarm: SwarmHandle,
    channel: Arc<FrameChannel>,
    class: usize,
    full_fps: u32,
    poll_rate: Duration,
    resume: Option<Resume>,
    reference: Option<String>,
    /// Stream that `subscribed` announced; `None` before the first.
    announced: Option<(u32, u32)>,
    roster: Option<Arc<Roster>>,
    metadata: Option<(i64, SwarmState)>,
    last_event: Option<i64>,
    last_seq: Option<u32>,
    beat: u64,
}

impl Subscription {
    pub(super) fn new(
        swarm: SwarmHandle,
        class: usize,
        full_fps: u32,
        poll_rate: Duration,
        resume: Option<Resume>,
        reference: Option<String>,
    ) -> Self {
        let channel = swarm.channel();
        Self {
            swarm,
            channel,
            class,
            full_fps,
            poll_rate,
            resume,
            reference,
            announced: None,
            roster: None,
            metadata: None,
            last_event: None,
            last_seq: None,
            beat: 0,
        }
    }

    pub(super) fn channel(&self) -> &FrameChannel {
        &self.channel
    }

    /// The client can't go on from what it has: everything anew.
    pub(super) fn resync(&mut self, frames: &FramesHandle) {
        self.last_seq = None;
        self.roster = None;
        self.channel.want_keyframe(self.class);
        frames.want_keyframe(self.swarm.id(), self.class);
    }

    /// Adds what is new to `out`; says whether the subscription still stands.
    pub(super) fn pump(&mut self, paused: bool, frames: &FramesHandle, out: &mut Vec<Outgoing>) -> bool {
        if self.channel.is_closed() {
            return false;
        }
        let frame = self.channel.frame(self.class);
        self.announce(&frame, out);
        self.send_roster(&frame, out);
        self.send_metadata(out);
        self.send_events(out);
        if !paused {
            self.send_frame(frame, frames, out);
        }
        true
    }

    fn announce(&mut self, frame: &Published, out: &mut Vec<Outgoing>) {
        let epoch = self.channel.roster().epoch;
        if self.announced == Some((frame.stream, epoch)) {
            return;
        }
        self.announced = Some((frame.stream, epoch));
        self.last_seq = None;
        self.roster = None;
        out.push(message(ServerMessage::Subscribed {
            swarm_id: self.swarm.id().0,
            stream: frame.stream,
            epoch,
            fps: u16::try_from(class_fps(self.class, self.full_fps)).unwrap_or(u16::MAX),
            roster: self.channel.roster().version,
            reference: self.reference.take(),
        }));
    }

    fn send_roster(&mut self, frame: &Published, out: &mut Vec<Outgoing>) {
        let roster = self.channel.roster();
        if self.roster.as_ref().is_some_and(|sent| Arc::ptr_eq(sent, &roster)) {
            return;
        }
        let (full, agents, removed) = match &self.roster {
            Some(sent) => {
                let (agents, removed) = changes(sent, &roster);
                (false, agents, removed)
            }
            None => (true, roster.agents.iter().map(entry).collect(), Vec::new()),
        };
        let is_news = full || !agents.is_empty() || !removed.is_empty();
        if is_news || self.roster.as_ref().is_some_and(|sent| sent.version != roster.version) {
            out.push(message(ServerMessage::Roster {
                swarm_id: self.swarm.id().0,
                stream: frame.stream,
                epoch: roster.epoch,
                roster_version: roster.version,
                full,
                agents,
                removed,
            }));
        }
        self.roster = Some(roster);
    }

    fn send_metadata(&mut self, out: &mut Vec<Outgoing>) {
        let view = self.swarm.view();
        let key = (view.swarm.version, view.swarm.status);
        if self.metadata == Some(key) {
            return;
        }
        self.metadata = Some(key);
        let poll_rate_ms = u64::try_from(self.poll_rate.as_millis()).unwrap_or(u64::MAX);
        let metadata = SwarmMetadata::of(&view.swarm, &view.agents, &view.tasks, poll_rate_ms);
        if let Ok(Value::Object(metadata)) = serde_json::to_value(&metadata) {
            out.push(message(ServerMessage::Swarm { swarm_id: self.swarm.id().0, metadata }));
        }
    }

    fn send_events(&mut self, out: &mut Vec<Outgoing>) {
        let (swarm_id, epoch) = (self.swarm.id().0, self.channel.roster().epoch);
        let newest = self.channel.last_event();
        let Some(last) = self.last_event else {
            let from = self.resume.take().map(|resume| i64::try_from(resume.seq).unwrap_or(i64::MAX));
            self.last_event = Some(newest);
            if let Some(from) = from {
                let (events, complete) = self.channel.events_after(from);
                // what the ring never held can't be told from what it lost
                let recovered = complete && from <= newest;
                let seq = u64::try_from(newest).unwrap_or(0);
                out.push(message(ServerMessage::Recovered { swarm_id, recovered, epoch, seq }));
                if recovered {
                    out.extend(events.iter().map(|event| message(event_message(event, epoch))));
                }
            }
            return;
        };
        if newest <= last {
            return;
        }
        let (events, complete) = self.channel.events_after(last);
        if !complete {
            let next = events.first().map_or(newest, |event| event.seq);
            let next_seq = u64::try_from(next).unwrap_or(0);
            out.push(message(ServerMessage::Gap { swarm_id, epoch, next_seq }));
        }
        out.extend(events.iter().map(|event| message(event_message(event, epoch))));
        self.last_event = Some(newest);
    }

    fn send_frame(&mut self, frame: Published, frames: &FramesHandle, out: &mut Vec<Outgoing>) {
        if frame.stream == 0 {
            // the hub knows nothing of the swarm yet; its first frame wakes us
            return;
        }
        if self.last_seq == Some(frame.seq) {
            if let Some((beat, bytes)) = frame.heartbeat.filter(|(beat, _)| *beat != self.beat) {
                self.beat = beat;
                out.push(Outgoing::Frame(bytes));
            }
            return;
        }
        let continues = self.last_seq == Some(frame.base_seq);
        match (frame.delta, frame.keyframe) {
            (Some(delta), _) if continues => out.push(Outgoing::Frame(delta)),
            (_, Some(keyframe)) => out.push(Outgoing::Frame(keyframe)),
            _ => {
                self.channel.want_keyframe(self.class);
                frames.want_keyframe(self.swarm.id(), self.class);
                metrics::counter!("visionflow_frames_skipped_total").increment(1);
                return;
            }
        }
        self.last_seq = Some(frame.seq);
    }
}

fn message(message: ServerMessage) -> Outgoing {
    Outgoing::Message(Box::new(message))
}

fn event_message(event: &Event, epoch: u32) -> ServerMessage {
    let value = serde_json::to_value(&event.kind).unwrap_or_default();
    ServerMessage::Event {
        swarm_id: event.swarm_id.0,
        epoch,
        seq: u64::try_from(event.seq).unwrap_or(0),
        kind: event.kind.as_str().to_owned(),
        at: event.at.to_rfc3339(),
        data: value.get("data").cloned().unwrap_or_default(),
    }
}

/// New or changed agents, and the slots of those that left.
fn changes(before: &Roster, now: &Roster) -> (Vec<AgentEntry>, Vec<u32>) {
    let known: BTreeMap<u32, &Agent> = before.agents.iter().map(|agent| (agent.slot, agent)).collect();
    let changed =
        now.agents.iter().filter(|agent| known.get(&agent.slot) != Some(agent)).map(entry).collect();
    let left = known.keys().filter(|slot| !now.agents.iter().any(|agent| agent.slot == **slot));
    (changed, left.copied().collect())
}

fn entry(agent: &Agent) -> AgentEntry {
    let mut more = Map::new();
    if let Ok(Value::Object(figures)) = serde_json::to_value(agent.figures) {
        more.extend(figures);
    }
    more.insert("stage".into(), agent.stage.as_str().into());
    more.insert("capabilities".into(), agent.capabilities.clone().into());
    more.insert("current_task".into(), agent.current_task.clone().into());
    AgentEntry {
        slot: agent.slot,
        id: agent.id.to_string(),
        name: agent.name.clone(),
        kind: agent.kind.as_str().to_owned(),
        state: agent.state.as_str().to_owned(),
        stale: agent.stale,
        observed_at: agent.observation.map(|seen| seen.observed_at.to_rfc3339()),
        more,
    }
}
