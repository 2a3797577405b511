-- The v1 database. A database that has these tables already keeps them as they are.
CREATE TABLE IF NOT EXISTS agents (
    id           TEXT PRIMARY KEY,
    type         TEXT NOT NULL,
    name         TEXT,
    status       TEXT NOT NULL DEFAULT 'idle',
    capabilities TEXT NOT NULL DEFAULT '[]',
    current_task TEXT,
    cpu_usage    REAL,
    memory_usage REAL,
    health       REAL,
    workload     REAL,
    x            REAL,
    y            REAL,
    z            REAL,
    created_at   TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at   TIMESTAMP
);
CREATE TABLE IF NOT EXISTS tasks (
    id           TEXT PRIMARY KEY,
    agent_id     TEXT REFERENCES agents(id),
    description  TEXT NOT NULL,
    status       TEXT NOT NULL DEFAULT 'pending',
    priority     TEXT,
    result       TEXT,
    created_at   TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    completed_at TIMESTAMP
);
