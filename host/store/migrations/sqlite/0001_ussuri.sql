-- The tables of the original's Ussuri release (its migration c0125080d572), column by column, so
-- that either system can open a database of the other. The index is ours. A database that the
-- original made skips this step.

CREATE TABLE policies (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    created_at DATETIME NOT NULL,
    updated_at DATETIME,
    deleted_at DATETIME,
    deleted VARCHAR(36) DEFAULT '',
    name VARCHAR(255) NOT NULL UNIQUE,
    abbreviation VARCHAR(5) NOT NULL,
    description TEXT NOT NULL,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL
);

CREATE TABLE policiesdeleted (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    created_at DATETIME NOT NULL,
    updated_at DATETIME,
    deleted_at DATETIME,
    deleted VARCHAR(36) DEFAULT '',
    name VARCHAR(255) NOT NULL,
    abbreviation VARCHAR(5) NOT NULL,
    description TEXT NOT NULL,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL
);

CREATE TABLE policy_rules (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    created_at DATETIME NOT NULL,
    updated_at DATETIME,
    deleted_at DATETIME,
    deleted VARCHAR(36) DEFAULT '',
    rule TEXT NOT NULL,
    policy_name VARCHAR(255) NOT NULL,
    comment VARCHAR(255) NOT NULL,
    name VARCHAR(255)
);

CREATE INDEX congress_policy_rules_live ON policy_rules (policy_name, deleted);

CREATE TABLE datasources (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    name VARCHAR(255) UNIQUE,
    driver VARCHAR(255),
    config TEXT NOT NULL,
    description TEXT,
    enabled BOOLEAN CHECK (enabled IN (0, 1))
);

CREATE TABLE dstabledata (
    ds_id VARCHAR(36) NOT NULL,
    tablename VARCHAR(255) NOT NULL,
    tabledata TEXT NOT NULL,
    PRIMARY KEY (ds_id, tablename)
);

CREATE TABLE library_policies (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    name VARCHAR(255) NOT NULL UNIQUE,
    abbreviation VARCHAR(5) NOT NULL,
    description TEXT NOT NULL,
    kind TEXT NOT NULL,
    rules TEXT NOT NULL
);
