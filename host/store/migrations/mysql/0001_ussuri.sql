-- The tables of the original's Ussuri release (its migration c0125080d572), column by column, so
-- that either system can use a database of the other. Different on purpose: names are compared
-- exactly (the collation), times have microseconds, a library policy may be larger than 64 KiB, and
-- the index. A database that the original made skips this step. Every statement can be repeated.

CREATE TABLE IF NOT EXISTS policies (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    created_at DATETIME(6) NOT NULL,
    updated_at DATETIME(6),
    deleted_at DATETIME(6),
    deleted VARCHAR(36) DEFAULT '',
    name VARCHAR(255) NOT NULL UNIQUE,
    abbreviation VARCHAR(5) NOT NULL,
    description TEXT NOT NULL,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS policiesdeleted (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    created_at DATETIME(6) NOT NULL,
    updated_at DATETIME(6),
    deleted_at DATETIME(6),
    deleted VARCHAR(36) DEFAULT '',
    name VARCHAR(255) NOT NULL,
    abbreviation VARCHAR(5) NOT NULL,
    description TEXT NOT NULL,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS policy_rules (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    created_at DATETIME(6) NOT NULL,
    updated_at DATETIME(6),
    deleted_at DATETIME(6),
    deleted VARCHAR(36) DEFAULT '',
    rule TEXT NOT NULL,
    policy_name VARCHAR(255) NOT NULL,
    comment VARCHAR(255) NOT NULL,
    name VARCHAR(255),
    KEY congress_policy_rules_live (policy_name, deleted)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS datasources (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    name VARCHAR(255) UNIQUE,
    driver VARCHAR(255),
    config TEXT NOT NULL,
    description TEXT,
    enabled TINYINT(1)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS dstabledata (
    ds_id VARCHAR(36) NOT NULL,
    tablename VARCHAR(255) NOT NULL,
    tabledata LONGTEXT NOT NULL,
    PRIMARY KEY (ds_id, tablename)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS library_policies (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    name VARCHAR(255) NOT NULL UNIQUE,
    abbreviation VARCHAR(5) NOT NULL,
    description TEXT NOT NULL,
    kind TEXT NOT NULL,
    rules MEDIUMTEXT NOT NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- What tells the original's own tools, and the original, that these are its tables.
CREATE TABLE IF NOT EXISTS alembic_version (
    version_num VARCHAR(32) NOT NULL PRIMARY KEY
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

INSERT IGNORE INTO alembic_version (version_num) VALUES ('c0125080d572');
