-- The tables of the original's Ussuri release (its migration c0125080d572), column by column, so
-- that either system can use a database of the other. Different on purpose: names are sorted by
-- their bytes (the collation), and the index. A database that the original made skips this step.
-- Every statement can be repeated.

CREATE TABLE IF NOT EXISTS policies (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP,
    deleted_at TIMESTAMP,
    deleted VARCHAR(36) DEFAULT '',
    name VARCHAR(255) COLLATE "C" NOT NULL UNIQUE,
    abbreviation VARCHAR(5) NOT NULL,
    description TEXT NOT NULL,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS policiesdeleted (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP,
    deleted_at TIMESTAMP,
    deleted VARCHAR(36) DEFAULT '',
    name VARCHAR(255) COLLATE "C" NOT NULL,
    abbreviation VARCHAR(5) NOT NULL,
    description TEXT NOT NULL,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS policy_rules (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP,
    deleted_at TIMESTAMP,
    deleted VARCHAR(36) DEFAULT '',
    rule TEXT NOT NULL,
    policy_name VARCHAR(255) COLLATE "C" NOT NULL,
    comment VARCHAR(255) NOT NULL,
    name VARCHAR(255) COLLATE "C"
);

CREATE INDEX IF NOT EXISTS congress_policy_rules_live ON policy_rules (policy_name, deleted);

CREATE TABLE IF NOT EXISTS datasources (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    name VARCHAR(255) COLLATE "C" UNIQUE,
    driver VARCHAR(255) COLLATE "C",
    config TEXT NOT NULL,
    description TEXT,
    enabled BOOLEAN
);

CREATE TABLE IF NOT EXISTS dstabledata (
    ds_id VARCHAR(36) NOT NULL,
    tablename VARCHAR(255) COLLATE "C" NOT NULL,
    tabledata TEXT NOT NULL,
    PRIMARY KEY (ds_id, tablename)
);

CREATE TABLE IF NOT EXISTS library_policies (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    name VARCHAR(255) COLLATE "C" NOT NULL UNIQUE,
    abbreviation VARCHAR(5) NOT NULL,
    description TEXT NOT NULL,
    kind TEXT NOT NULL,
    rules TEXT NOT NULL
);

-- What tells the original's own tools, and the original, that these are its tables.
CREATE TABLE IF NOT EXISTS alembic_version (
    version_num VARCHAR(32) NOT NULL PRIMARY KEY
);

INSERT INTO alembic_version (version_num) VALUES ('c0125080d572') ON CONFLICT DO NOTHING;
