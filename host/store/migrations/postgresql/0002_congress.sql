-- What the original had no place for. Every statement can be repeated.

-- One row: see congress_store::Revision.
CREATE TABLE IF NOT EXISTS congress_revision (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL
);

INSERT INTO congress_revision (id, revision) VALUES (1, 1) ON CONFLICT DO NOTHING;

-- What each driver says of itself, so that nodes that do not run drivers know their tables,
-- configuration fields and secrets.
CREATE TABLE IF NOT EXISTS congress_drivers (
    id VARCHAR(255) COLLATE "C" NOT NULL PRIMARY KEY,
    hash VARCHAR(64) NOT NULL,
    size BIGINT NOT NULL,
    metadata TEXT NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

-- The components' bytes, cut so that no database's packet limit stands in the way.
CREATE TABLE IF NOT EXISTS congress_driver_chunks (
    hash VARCHAR(64) NOT NULL,
    position BIGINT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (hash, position)
);
