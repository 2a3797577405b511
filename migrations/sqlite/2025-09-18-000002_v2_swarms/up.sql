-- Swarms, and everything of v2 beside the columns of v1.
--
-- Whatever v1 may say to `agents` and `tasks` must still work: each new column has a default or takes
-- NULL, and nothing new refers to `agents`.
--
-- Runs with foreign keys off: only then may a column with REFERENCES and a default be added. So no table
-- is rebuilt, and columns, indices and triggers that an owner added to v1's tables stay.
CREATE TABLE swarms (
    id             BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    owner          TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    topology       TEXT    NOT NULL,
    strategy       TEXT    NOT NULL,
    max_agents     INTEGER NOT NULL CHECK (max_agents >= 0),
    status         TEXT    NOT NULL,
    reason         TEXT,
    runtime_id     TEXT,
    epoch          INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    version        INTEGER NOT NULL DEFAULT 1,
    next_slot      INTEGER NOT NULL DEFAULT 0 CHECK (next_slot >= 0),
    next_event_seq INTEGER NOT NULL DEFAULT 1,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    last_used_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX swarms_owner_idx ON swarms (owner, created_at, id);
CREATE INDEX swarms_created_idx ON swarms (created_at, id);

-- where agents and tasks of v1 belong, now and when v1 writes more of them
INSERT INTO swarms (id, owner, name, topology, strategy, max_agents, status, created_at, updated_at, last_used_at)
SELECT x'00000000000070008000000000000000', 'v1', 'legacy', 'mesh', 'adaptive', 200, 'idle', now, now, now
FROM (SELECT CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER) AS now);

ALTER TABLE agents ADD COLUMN swarm_id BLOB NOT NULL DEFAULT x'00000000000070008000000000000000' REFERENCES swarms (id) ON DELETE CASCADE;
ALTER TABLE agents ADD COLUMN slot INTEGER CHECK (slot IS NULL OR slot >= 0);
ALTER TABLE agents ADD COLUMN stage TEXT NOT NULL DEFAULT 'unverified';
ALTER TABLE agents ADD COLUMN runtime_id TEXT;
ALTER TABLE agents ADD COLUMN figures TEXT CHECK (figures IS NULL OR json_valid(figures));
ALTER TABLE agents ADD COLUMN observed_at INTEGER;
ALTER TABLE agents ADD COLUMN source TEXT;
ALTER TABLE agents ADD COLUMN stale INTEGER NOT NULL DEFAULT 1;
ALTER TABLE agents ADD COLUMN missed_polls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN accepted_at INTEGER;
ALTER TABLE agents ADD COLUMN changed_at INTEGER;
ALTER TABLE agents ADD COLUMN v1_status TEXT;
CREATE INDEX agents_swarm_id_idx ON agents (swarm_id);
CREATE UNIQUE INDEX agents_slot_idx ON agents (swarm_id, slot) WHERE slot IS NOT NULL;
CREATE INDEX agents_v1_idx ON agents (created_at, id) WHERE slot IS NULL;

ALTER TABLE tasks ADD COLUMN swarm_id BLOB NOT NULL DEFAULT x'00000000000070008000000000000000' REFERENCES swarms (id) ON DELETE CASCADE;
ALTER TABLE tasks ADD COLUMN uid BLOB CHECK (uid IS NULL OR length(uid) = 16);
ALTER TABLE tasks ADD COLUMN strategy TEXT;
ALTER TABLE tasks ADD COLUMN max_agents INTEGER CHECK (max_agents IS NULL OR max_agents >= 0);
ALTER TABLE tasks ADD COLUMN stage TEXT NOT NULL DEFAULT 'unverified';
ALTER TABLE tasks ADD COLUMN progress REAL;
ALTER TABLE tasks ADD COLUMN reason TEXT;
ALTER TABLE tasks ADD COLUMN assigned_agents TEXT CHECK (assigned_agents IS NULL OR json_valid(assigned_agents));
ALTER TABLE tasks ADD COLUMN runtime_id TEXT;
ALTER TABLE tasks ADD COLUMN observed_at INTEGER;
ALTER TABLE tasks ADD COLUMN accepted_at INTEGER;
ALTER TABLE tasks ADD COLUMN changed_at INTEGER;
ALTER TABLE tasks ADD COLUMN finished_at INTEGER;
ALTER TABLE tasks ADD COLUMN v1_status TEXT;
CREATE UNIQUE INDEX tasks_uid_idx ON tasks (uid);
CREATE INDEX tasks_accepted_idx ON tasks (swarm_id, accepted_at, uid);
CREATE INDEX tasks_finished_idx ON tasks (swarm_id, finished_at);
CREATE INDEX tasks_agent_id_idx ON tasks (agent_id) WHERE agent_id IS NOT NULL;
CREATE INDEX tasks_v1_idx ON tasks (created_at, id) WHERE uid IS NULL;

CREATE TABLE events (
    swarm_id BLOB    NOT NULL REFERENCES swarms (id) ON DELETE CASCADE,
    seq      INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    actor    TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    data     TEXT    NOT NULL CHECK (json_valid(data)),
    PRIMARY KEY (swarm_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE layout_snapshots (
    swarm_id  BLOB    NOT NULL PRIMARY KEY REFERENCES swarms (id) ON DELETE CASCADE,
    epoch     INTEGER NOT NULL,
    tick      INTEGER NOT NULL,
    taken_at  INTEGER NOT NULL,
    positions BLOB    NOT NULL
) STRICT;

CREATE TABLE revoked_tokens (
    jti        TEXT    NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL
) STRICT;
CREATE INDEX revoked_tokens_expires_idx ON revoked_tokens (expires_at);

CREATE TABLE idempotency_keys (
    subject    TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    route      TEXT    NOT NULL,
    body_hash  TEXT    NOT NULL,
    status     INTEGER,
    response   TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (subject, key)
) STRICT;
CREATE INDEX idempotency_keys_created_idx ON idempotency_keys (created_at);
