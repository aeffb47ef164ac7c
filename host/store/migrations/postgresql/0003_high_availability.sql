-- What high availability needs. Every statement can be repeated.

-- Who may act as the active one: see congress_store::Lease. Times are milliseconds since 1970 by
-- the database's clock. A released lease has no instance. `writes` is raised by every write that
-- the holder may make, so that it cannot commit beside a taking by somebody else.
CREATE TABLE IF NOT EXISTS congress_leases (
    name VARCHAR(255) COLLATE "C" NOT NULL PRIMARY KEY,
    node_id VARCHAR(255) COLLATE "C" NOT NULL,
    instance VARCHAR(255) NOT NULL,
    term BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    writes BIGINT NOT NULL
);

-- The ledger of actions that rules asked for: see congress_store::ActionRecord. `table_key` is a
-- digest of (policy, service, action), `id` one of these and the arguments.
CREATE TABLE IF NOT EXISTS congress_actions (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    table_key VARCHAR(64) NOT NULL,
    policy VARCHAR(255) COLLATE "C" NOT NULL,
    service VARCHAR(255) COLLATE "C" NOT NULL,
    action VARCHAR(255) COLLATE "C" NOT NULL,
    args TEXT NOT NULL,
    present BOOLEAN NOT NULL,
    state VARCHAR(16) NOT NULL,
    attempts BIGINT NOT NULL,
    term BIGINT NOT NULL,
    instance VARCHAR(255) NOT NULL,
    requested_at BIGINT NOT NULL,
    finished_at BIGINT,
    absent_since BIGINT,
    error TEXT
);

CREATE INDEX IF NOT EXISTS congress_actions_by_table ON congress_actions (table_key, present, id);
CREATE INDEX IF NOT EXISTS congress_actions_by_time ON congress_actions (requested_at, id);
CREATE INDEX IF NOT EXISTS congress_actions_by_state ON congress_actions (state, requested_at);
CREATE INDEX IF NOT EXISTS congress_actions_absent ON congress_actions (absent_since);
