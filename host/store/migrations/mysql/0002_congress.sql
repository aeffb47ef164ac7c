-- What the original had no place for. Every statement can be repeated.

-- One row: see congress_store::Revision.
CREATE TABLE IF NOT EXISTS congress_revision (
    id INTEGER NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

INSERT IGNORE INTO congress_revision (id, revision) VALUES (1, 1);

-- What each driver says of itself, so that nodes that do not run drivers know their tables,
-- configuration fields and secrets.
CREATE TABLE IF NOT EXISTS congress_drivers (
    id VARCHAR(255) NOT NULL PRIMARY KEY,
    hash CHAR(64) NOT NULL,
    size BIGINT NOT NULL,
    metadata LONGTEXT NOT NULL,
    updated_at DATETIME(6) NOT NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- The components' bytes, cut so that no packet limit stands in the way.
CREATE TABLE IF NOT EXISTS congress_driver_chunks (
    hash CHAR(64) NOT NULL,
    position INTEGER NOT NULL,
    data MEDIUMBLOB NOT NULL,
    PRIMARY KEY (hash, position)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
