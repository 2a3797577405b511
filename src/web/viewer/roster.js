// Puts together what the socket's roster and the REST list say of the same agents. Pure.
//
// Both tell the truth of a moment; the later moment wins, per agent and for who is there at all. The list knows more fields, so
// those that the roster lacks are kept.

/**
 * `roster`: `{entries: Map(slot → entry), at}` or null; `listed`: `{agents: [agent], at}` or null; `at`: when it was received,
 * or for a list asked for. Gives the agents in the order of their slots, without those that are gone.
 */
export function mergeAgents(roster, listed) {
  const fromRoster = roster?.entries ?? new Map();
  const fromList = new Map((listed?.agents ?? []).map((agent) => [agent.slot, flat(agent)]));
  const rosterIsNewer = roster !== null && (listed === null || roster.at >= listed.at);
  const [older, newer] = rosterIsNewer ? [fromList, fromRoster] : [fromRoster, fromList];
  return [...newer.entries()]
    .map(([slot, agent]) => ({ ...(older.get(slot)?.id === agent.id ? older.get(slot) : null), ...agent }))
    .filter((agent) => agent.state !== 'offline')
    .sort((a, b) => a.slot - b.slot);
}

/** The list nests what the roster has side by side; without one shape an older figure would hide a newer one. */
function flat({ figures, observation, ...agent }) {
  return { ...figures, ...(observation && { observed_at: observation.observed_at, source: observation.source }), ...agent };
}
