-- What high availability needs. Every statement can be repeated.

-- Who may act as the active one: see congress_store::Lease. Times are milliseconds since 1970 by
-- the database's clock. A released lease has no instance. `writes` is raised by every write that
-- the holder may make, so that it cannot commit beside a taking by somebody else.
CREATE TABLE IF NOT EXISTS congress_leases (
    name VARCHAR(255) NOT NULL PRIMARY KEY,
    node_id VARCHAR(255) NOT NULL,
    instance VARCHAR(255) NOT NULL,
    term BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    writes BIGINT NOT NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- The ledger of actions that rules asked for: see congress_store::ActionRecord. `table_key` is a
-- digest of (policy, service, action), `id` one of these and the arguments.
CREATE TABLE IF NOT EXISTS congress_actions (
    id CHAR(64) NOT NULL PRIMARY KEY,
    table_key CHAR(64) NOT NULL,
    policy VARCHAR(255) NOT NULL,
    service VARCHAR(255) NOT NULL,
    action VARCHAR(255) NOT NULL,
    args LONGTEXT NOT NULL,
    present BOOLEAN NOT NULL,
    state VARCHAR(16) NOT NULL,
    attempts BIGINT NOT NULL,
    term BIGINT NOT NULL,
    instance VARCHAR(255) NOT NULL,
    requested_at BIGINT NOT NULL,
    finished_at BIGINT,
    absent_since BIGINT,
    error TEXT,
    KEY congress_actions_by_table (table_key, present, id),
    KEY congress_actions_by_time (requested_at, id),
    KEY congress_actions_by_state (state, requested_at),
    KEY congress_actions_absent (absent_since)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
