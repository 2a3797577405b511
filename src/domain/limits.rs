//! Every bound that the domain knows, with its unit. What an operator may change comes from settings.

use super::DomainError;

/// Longest name of a swarm or an agent, in characters.
pub const NAME_CHARS_MAX: usize = 50;
/// Longest id of an agent, in characters; v1 ids are free text.
pub const AGENT_ID_CHARS_MAX: usize = 128;
/// Most capabilities of one agent.
pub const CAPABILITIES_MAX: usize = 32;
/// Longest capability, in characters.
pub const CAPABILITY_CHARS_MAX: usize = 64;
/// Longest description of a task, in characters.
pub const TASK_DESCRIPTION_CHARS_MAX: usize = 4_000;
/// Most tasks of one swarm that are not finished yet.
pub const OPEN_TASKS_MAX: usize = 1_000;
/// Finished tasks that a running swarm keeps in memory; older ones are read from the store.
pub const RECENT_TASKS_MAX: usize = 100;
/// Most agents that one task is spread over.
pub const TASK_AGENTS_MAX: usize = 32;
/// Longest reason or result text kept from an agent runtime, in characters.
pub const REASON_CHARS_MAX: usize = 2_000;
/// Fan-out of the tree in a hierarchical swarm.
pub const HIERARCHY_FAN_OUT: usize = 5;
/// Complete answers in a row that must lack an agent before it counts as gone.
pub const MISSING_POLLS_TO_GONE: u32 = 2;
/// Poll periods without news after which a figure is stale.
pub const STALE_POLLS: u32 = 3;
/// Polls after which an acknowledged command that nothing confirmed is unverified.
pub const UNVERIFIED_POLLS: u32 = 2;

/// Checks the length of a text in characters and that it holds no control characters.
///
/// # Errors
/// [`DomainError::Length`] or [`DomainError::ControlCharacter`], naming `field`.
pub fn check_chars(field: &'static str, text: &str, min: usize, max: usize) -> Result<(), DomainError> {
    // bytes bound characters from above, so a huge text is refused without being counted
    let chars = if text.len() > max.saturating_mul(4) { text.len() } else { text.chars().count() };
    if chars < min || chars > max {
        return Err(DomainError::Length { field, chars, min, max });
    }
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(DomainError::ControlCharacter { field });
    }
    Ok(())
}

/// Cuts a text to `max` characters.
#[must_use]
pub fn cut(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}
