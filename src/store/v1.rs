//! v1's free text in v2's words: what can be told is told, what can't stays in the row's v1 columns.

use uuid::Uuid;

use crate::domain::{AgentState, AgentType, Figures, Priority, TaskState, limits};

/// The word as v1 backends compare it.
fn folded(word: &str) -> String {
    limits::cut(word.trim(), 64).to_lowercase().replace([' ', '-'], "_")
}

/// The type that a v1 word stands for; anything unknown is a specialist.
pub(crate) fn agent_type(word: &str) -> AgentType {
    let word = folded(word);
    word.parse().unwrap_or(match word.as_str() {
        "developer" | "programmer" | "dev" => AgentType::Coder,
        "research" => AgentType::Researcher,
        "analyzer" | "analyser" => AgentType::Analyst,
        "qa" | "test" => AgentType::Tester,
        "docs" | "writer" | "documentation" => AgentType::Documenter,
        "lead" | "leader" => AgentType::Coordinator,
        _ => AgentType::Specialist,
    })
}

/// The state that a v1 word stands for; anything unknown is "runs, with nothing more said".
pub(crate) fn agent_state(word: &str) -> AgentState {
    let word = folded(word);
    word.parse().unwrap_or(match word.as_str() {
        "working" | "running" | "in_progress" => AgentState::Busy,
        "ready" | "waiting" | "available" => AgentState::Idle,
        "failed" | "crashed" => AgentState::Error,
        "starting" | "created" | "spawning" => AgentState::Initializing,
        "stopping" => AgentState::Terminating,
        "stopped" | "terminated" | "dead" | "disconnected" | "inactive" => AgentState::Offline,
        _ => AgentState::Active,
    })
}

/// The task state that a v1 word stands for; an unknown one is `Err` with what claims least.
pub(crate) fn task_state(word: &str, completed: bool) -> Result<TaskState, TaskState> {
    let word = folded(word);
    word.parse().or(match word.as_str() {
        "queued" | "new" | "open" => Ok(TaskState::Pending),
        "running" | "active" | "started" => Ok(TaskState::InProgress),
        "done" | "complete" | "finished" | "success" => Ok(TaskState::Completed),
        "error" => Ok(TaskState::Failed),
        "canceled" | "aborted" => Ok(TaskState::Cancelled),
        _ if completed => Err(TaskState::Completed),
        _ => Err(TaskState::Pending),
    })
}

/// The priority that a v1 word stands for; none and anything unknown is medium.
pub(crate) fn priority(word: Option<&str>) -> Priority {
    let Some(word) = word.map(folded) else { return Priority::Medium };
    word.parse().unwrap_or(match word.as_str() {
        "urgent" | "highest" => Priority::Critical,
        "lowest" => Priority::Low,
        _ => Priority::Medium,
    })
}

/// A JSON array of texts, a comma-separated list, or nothing.
pub(crate) fn capabilities(text: &str) -> Vec<String> {
    let text = text.trim();
    let list: Vec<String> = match serde_json::from_str::<Vec<serde_json::Value>>(text) {
        Ok(values) => values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect(),
        Err(_) => text.split(',').map(str::to_owned).collect(),
    };
    let cut = |one: &String| limits::cut(one.trim(), limits::CAPABILITY_CHARS_MAX);
    list.iter().map(cut).filter(|one| !one.is_empty()).take(limits::CAPABILITIES_MAX).collect()
}

/// A v1 name within v2's length, or one made from type and slot as a new agent gets it.
pub(crate) fn name(name: Option<&str>, kind: AgentType, slot: u32) -> String {
    let printable: String = name.unwrap_or_default().trim().chars().filter(|c| !c.is_control()).collect();
    let name = limits::cut(&printable, limits::NAME_CHARS_MAX);
    if name.is_empty() { format!("{kind}-{}", u64::from(slot) + 1) } else { name }
}

/// v1's percentages as ratios; what is NaN or out of range was not said.
///
/// v1's `health` is a percentage or a ratio: what is above 1 is a percentage.
pub(crate) fn figures(cpu: Option<f32>, health: Option<f32>, workload: Option<f32>) -> Figures {
    let ratio = |value: f32| Some(value).filter(|v| (0.0..=1.0).contains(v));
    let either = |value: f32| if value > 1.0 { ratio(value / 100.0) } else { ratio(value) };
    Figures {
        health: health.and_then(either),
        workload: workload.and_then(either),
        cpu_usage: cpu.and_then(|percent| ratio(percent / 100.0)),
        ..Figures::default()
    }
}

/// The id of a task whose v1 id is free text: the same text gets the same id, here and on any machine.
pub(crate) fn task_uuid(id: &str) -> Uuid {
    // other spellings of a UUID are hashed too: two spellings may be two tasks
    if let Some(uuid) = Uuid::parse_str(id).ok().filter(|uuid| uuid.to_string() == id) {
        return uuid;
    }
    // FNV-1a over 128 bits, in the layout of a version 8 UUID
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in id.bytes() {
        hash ^= u128::from(byte);
        hash = hash.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    uuid::Builder::from_custom_bytes(hash.to_be_bytes()).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_v1_become_words_of_v2() {
        assert_eq!(agent_type(" Coder "), AgentType::Coder);
        assert_eq!(agent_type("worker"), AgentType::Specialist);
        assert_eq!(agent_type("工人"), AgentType::Specialist);
        assert_eq!(agent_state("WORKING"), AgentState::Busy);
        assert_eq!(agent_state("?"), AgentState::Active);
        assert_eq!(task_state("In-Progress", false), Ok(TaskState::InProgress));
        assert_eq!(task_state("who knows", false), Err(TaskState::Pending));
        assert_eq!(task_state("who knows", true), Err(TaskState::Completed));
        assert_eq!(priority(Some("URGENT")), Priority::Critical);
        assert_eq!(priority(None), Priority::Medium);
    }

    #[test]
    fn capabilities_come_as_json_as_list_or_not_at_all() {
        assert_eq!(capabilities(r#"["a", 1, "b"]"#), ["a", "b"]);
        assert_eq!(capabilities("a, b ,,c"), ["a", "b", "c"]);
        assert_eq!(capabilities(""), Vec::<String>::new());
        assert_eq!(capabilities(&"x,".repeat(1000)).len(), limits::CAPABILITIES_MAX);
    }

    #[test]
    fn percentages_become_ratios_and_nonsense_is_not_said() {
        let seen = figures(Some(37.5), Some(97.0), Some(0.25));
        assert_eq!((seen.cpu_usage, seen.health, seen.workload), (Some(0.375), Some(0.97), Some(0.25)));
        let seen = figures(Some(f32::NAN), Some(-1.0), Some(f32::INFINITY));
        assert_eq!(seen, Figures::default());
    }

    #[test]
    fn a_task_with_a_free_id_always_gets_the_same_uuid() {
        let uuid = "0198f2a0-0000-7000-8000-000000000001";
        assert_eq!(task_uuid(uuid).to_string(), uuid);
        assert_eq!(task_uuid("task-17"), task_uuid("task-17"));
        assert_ne!(task_uuid("task-17"), task_uuid("task-18"));
        assert_eq!(task_uuid("task-17").get_version_num(), 8);
    }

    #[test]
    fn names_fit() {
        assert_eq!(name(Some(" a\u{7}b "), AgentType::Coder, 3), "ab");
        assert_eq!(name(None, AgentType::Coder, 3), "coder-4");
        assert_eq!(name(Some(&"é".repeat(80)), AgentType::Coder, 3).chars().count(), 50);
    }
}
