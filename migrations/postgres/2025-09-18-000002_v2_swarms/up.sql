-- Swarms, and everything of v2 beside the columns of v1.
--
-- Whatever v1 may say to `agents` and `tasks` must still work: each new column has a default or takes
-- NULL, and nothing new refers to `agents`.
CREATE TABLE swarms (
    id             uuid        NOT NULL PRIMARY KEY,
    owner          text        NOT NULL,
    name           text        NOT NULL,
    topology       text        NOT NULL,
    strategy       text        NOT NULL,
    max_agents     bigint      NOT NULL CHECK (max_agents >= 0),
    status         text        NOT NULL,
    reason         text,
    runtime_id     text,
    epoch          bigint      NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    version        bigint      NOT NULL DEFAULT 1,
    next_slot      bigint      NOT NULL DEFAULT 0 CHECK (next_slot >= 0),
    next_event_seq bigint      NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    last_used_at   timestamptz NOT NULL
);
CREATE INDEX swarms_owner_idx ON swarms (owner, created_at, id);
CREATE INDEX swarms_created_idx ON swarms (created_at, id);

-- where agents and tasks of v1 belong, now and when v1 writes more of them
INSERT INTO swarms (id, owner, name, topology, strategy, max_agents, status, created_at, updated_at, last_used_at)
VALUES ('00000000-0000-7000-8000-000000000000', 'v1', 'legacy', 'mesh', 'adaptive', 200, 'idle', now(), now(), now());

ALTER TABLE agents
    ADD COLUMN swarm_id     uuid    NOT NULL DEFAULT '00000000-0000-7000-8000-000000000000',
    ADD COLUMN slot         bigint  CHECK (slot >= 0),
    ADD COLUMN stage        text    NOT NULL DEFAULT 'unverified',
    ADD COLUMN runtime_id   text,
    ADD COLUMN figures      jsonb,
    ADD COLUMN observed_at  timestamptz,
    ADD COLUMN source       text,
    ADD COLUMN stale        boolean NOT NULL DEFAULT true,
    ADD COLUMN missed_polls bigint  NOT NULL DEFAULT 0,
    ADD COLUMN accepted_at  timestamptz,
    ADD COLUMN changed_at   timestamptz,
    ADD COLUMN v1_status    text;
ALTER TABLE agents ADD CONSTRAINT agents_swarm_id_fkey
    FOREIGN KEY (swarm_id) REFERENCES swarms (id) ON DELETE CASCADE NOT VALID;
ALTER TABLE agents VALIDATE CONSTRAINT agents_swarm_id_fkey;
CREATE INDEX agents_swarm_id_idx ON agents (swarm_id);
CREATE UNIQUE INDEX agents_slot_idx ON agents (swarm_id, slot) WHERE slot IS NOT NULL;
CREATE INDEX agents_v1_idx ON agents (created_at, id) WHERE slot IS NULL;

ALTER TABLE tasks
    ADD COLUMN swarm_id        uuid NOT NULL DEFAULT '00000000-0000-7000-8000-000000000000',
    ADD COLUMN uid             uuid,
    ADD COLUMN strategy        text,
    ADD COLUMN max_agents      bigint CHECK (max_agents >= 0),
    ADD COLUMN stage           text NOT NULL DEFAULT 'unverified',
    ADD COLUMN progress        real,
    ADD COLUMN reason          text,
    ADD COLUMN assigned_agents jsonb,
    ADD COLUMN runtime_id      text,
    ADD COLUMN observed_at     timestamptz,
    ADD COLUMN accepted_at     timestamptz,
    ADD COLUMN changed_at      timestamptz,
    ADD COLUMN finished_at     timestamptz,
    ADD COLUMN v1_status       text;
ALTER TABLE tasks ADD CONSTRAINT tasks_swarm_id_fkey
    FOREIGN KEY (swarm_id) REFERENCES swarms (id) ON DELETE CASCADE NOT VALID;
ALTER TABLE tasks VALIDATE CONSTRAINT tasks_swarm_id_fkey;
CREATE UNIQUE INDEX tasks_uid_idx ON tasks (uid);
CREATE INDEX tasks_accepted_idx ON tasks (swarm_id, accepted_at, uid);
CREATE INDEX tasks_finished_idx ON tasks (swarm_id, finished_at);
CREATE INDEX tasks_agent_id_idx ON tasks (agent_id) WHERE agent_id IS NOT NULL;
CREATE INDEX tasks_v1_idx ON tasks (created_at, id) WHERE uid IS NULL;

CREATE TABLE events (
    swarm_id uuid        NOT NULL REFERENCES swarms (id) ON DELETE CASCADE,
    seq      bigint      NOT NULL,
    at       timestamptz NOT NULL,
    actor    text        NOT NULL,
    kind     text        NOT NULL,
    data     jsonb       NOT NULL,
    PRIMARY KEY (swarm_id, seq)
);

CREATE TABLE layout_snapshots (
    swarm_id  uuid        NOT NULL PRIMARY KEY REFERENCES swarms (id) ON DELETE CASCADE,
    epoch     bigint      NOT NULL,
    tick      bigint      NOT NULL,
    taken_at  timestamptz NOT NULL,
    positions bytea       NOT NULL
);

CREATE TABLE revoked_tokens (
    jti        text        NOT NULL PRIMARY KEY,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz NOT NULL
);
CREATE INDEX revoked_tokens_expires_idx ON revoked_tokens (expires_at);

CREATE TABLE idempotency_keys (
    subject    text        NOT NULL,
    key        text        NOT NULL,
    route      text        NOT NULL,
    body_hash  text        NOT NULL,
    status     integer,
    response   text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (subject, key)
);
CREATE INDEX idempotency_keys_created_idx ON idempotency_keys (created_at);
