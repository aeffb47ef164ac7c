-- What the original had no place for.

-- One row: see congress_store::Revision.
CREATE TABLE congress_revision (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL
);

INSERT INTO congress_revision (id, revision) VALUES (1, 1);

-- What each driver says of itself, so that nodes that do not run drivers know their tables,
-- configuration fields and secrets.
CREATE TABLE congress_drivers (
    id VARCHAR(255) NOT NULL PRIMARY KEY,
    hash CHAR(64) NOT NULL,
    size BIGINT NOT NULL,
    metadata TEXT NOT NULL,
    updated_at DATETIME NOT NULL
);

-- The components' bytes, cut so that no database's packet limit stands in the way.
CREATE TABLE congress_driver_chunks (
    hash CHAR(64) NOT NULL,
    position INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (hash, position)
);
