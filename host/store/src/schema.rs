//! The versions of the schema: which there are, and which a database still needs.
//!
//! A table of our own records the steps that were taken. A database that the original left in its
//! last version is adopted: its tables stand for the first step and are not touched.

use crate::OpenError;

/// Records the steps taken: version, name, time.
pub(crate) const VERSION_TABLE: &str = "congress_schema";
/// Makes [`VERSION_TABLE`].
pub(crate) const CREATE_VERSION_TABLE: &str = "CREATE TABLE IF NOT EXISTS congress_schema \
     (version INTEGER NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL, applied_at DATETIME NOT NULL)";
/// Asks for the newest version taken.
pub(crate) const VERSION: &str = "SELECT MAX(version) FROM congress_schema";
/// Records a step.
pub(crate) const RECORD_STEP: &str =
    "INSERT INTO congress_schema (version, name, applied_at) VALUES (?, ?, ?)";

/// Where the original records its version.
pub(crate) const ORIGINAL_TABLE: &str = "alembic_version";
/// Asks for the original's version.
pub(crate) const ORIGINAL: &str = "SELECT version_num FROM alembic_version";
/// Makes [`ORIGINAL_TABLE`].
pub(crate) const CREATE_ORIGINAL_TABLE: &str = "CREATE TABLE IF NOT EXISTS alembic_version \
     (version_num VARCHAR(32) NOT NULL PRIMARY KEY)";
/// The original's last version.
pub(crate) const ORIGINAL_HEAD: &str = "c0125080d572";

/// The steps, in order. A step's version is its position, from 1. Each database system has an SQL
/// text for each.
pub(crate) const STEPS: [&str; 3] = ["ussuri", "congress", "high availability"];

/// What undoes each step.
pub(crate) const UNDO: [&[&str]; STEPS.len()] = [
    &[
        "DROP TABLE IF EXISTS library_policies",
        "DROP TABLE IF EXISTS dstabledata",
        "DROP TABLE IF EXISTS datasources",
        "DROP TABLE IF EXISTS policy_rules",
        "DROP TABLE IF EXISTS policiesdeleted",
        "DROP TABLE IF EXISTS policies",
        "DROP TABLE IF EXISTS alembic_version",
    ],
    &[
        "DROP TABLE IF EXISTS congress_driver_chunks",
        "DROP TABLE IF EXISTS congress_drivers",
        "DROP TABLE IF EXISTS congress_revision",
    ],
    &["DROP TABLE IF EXISTS congress_actions", "DROP TABLE IF EXISTS congress_leases"],
];

/// Undoes the record of steps as a whole.
pub(crate) const DROP_VERSION_TABLE: &str = "DROP TABLE IF EXISTS congress_schema";
/// Undoes the record of those above a version.
pub(crate) const FORGET_STEPS: &str = "DELETE FROM congress_schema WHERE version > ?";

/// The newest version.
pub(crate) const HEAD: i64 = STEPS.len() as i64;

/// What a database holds.
#[derive(Debug)]
pub(crate) struct Found {
    /// The names of all tables, sorted.
    pub(crate) tables: Vec<String>,
    /// The newest version in [`VERSION_TABLE`].
    pub(crate) version: Option<i64>,
    /// The version in [`ORIGINAL_TABLE`].
    pub(crate) original: Option<String>,
}

impl Found {
    pub(crate) fn has(&self, table: &str) -> bool {
        self.tables.iter().any(|name| name == table)
    }
}

/// The steps that a database needs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    /// Its position in [`STEPS`].
    pub(crate) index: usize,
    /// Whether the original has taken it already: record it only.
    pub(crate) adopted: bool,
}

impl Step {
    pub(crate) fn version(&self) -> i64 {
        version_of(self.index)
    }

    pub(crate) fn name(&self) -> &'static str {
        STEPS.get(self.index).copied().unwrap_or_default()
    }
}

fn version_of(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX).saturating_add(1)
}

/// Why a database cannot be used.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    /// It belongs to something else.
    Foreign { table: String },
    /// A newer program made it.
    Newer { found: i64, known: i64 },
    /// The original made it, in an old version.
    OldOriginal { found: String },
}

impl Refusal {
    /// The error for a database on a server.
    pub(crate) fn of(self, place: &str) -> OpenError {
        let place = place.to_owned();
        match self {
            Self::Foreign { table } => OpenError::Foreign { place, table },
            Self::Newer { found, known } => OpenError::Newer { place, found, known },
            Self::OldOriginal { found } => OpenError::OldOriginal { place, found },
        }
    }
}

/// Which steps the database needs to be at a version, [`HEAD`] or an older one.
pub(crate) fn plan(found: &Found, to: i64) -> Result<Plan, Refusal> {
    let known = HEAD;
    let (taken, adopted) = match (found.version, &found.original, found.tables.first()) {
        (Some(version), ..) if version > known => {
            return Err(Refusal::Newer { found: version, known });
        }
        (Some(version), ..) => (version, false),
        (None, Some(original), _) if original == ORIGINAL_HEAD => (0, true),
        (None, Some(original), _) => {
            return Err(Refusal::OldOriginal { found: original.clone() });
        }
        (None, None, Some(table)) => return Err(Refusal::Foreign { table: table.clone() }),
        (None, None, None) => (0, false),
    };
    let steps = (0..STEPS.len())
        .filter(|index| version_of(*index) > taken && version_of(*index) <= to)
        .map(|index| Step { index, adopted: adopted && index == 0 })
        .collect();
    Ok(Plan { steps })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(tables: &[&str], version: Option<i64>, original: Option<&str>) -> Found {
        Found {
            tables: tables.iter().map(|name| (*name).to_owned()).collect(),
            version,
            original: original.map(str::to_owned),
        }
    }

    fn steps(found: &Found) -> Vec<(i64, bool)> {
        let plan = plan(found, HEAD).unwrap();
        plan.steps.iter().map(|step| (step.version(), step.adopted)).collect()
    }

    #[test]
    fn an_empty_database_takes_every_step() {
        assert_eq!(steps(&found(&[], None, None)), [(1, false), (2, false), (3, false)]);
    }

    #[test]
    fn a_current_database_takes_none_and_an_older_one_the_rest() {
        assert_eq!(steps(&found(&[VERSION_TABLE], Some(3), None)), []);
        assert_eq!(steps(&found(&[VERSION_TABLE], Some(1), None)), [(2, false), (3, false)]);
    }

    #[test]
    fn the_originals_last_version_is_adopted() {
        let tables = ["alembic_version", "policies"];
        assert_eq!(
            steps(&found(&tables, None, Some(ORIGINAL_HEAD))),
            [(1, true), (2, false), (3, false)]
        );
    }

    #[test]
    fn others_are_refused() {
        assert_eq!(
            plan(&found(&[VERSION_TABLE], Some(4), None), HEAD),
            Err(Refusal::Newer { found: 4, known: 3 })
        );
        assert_eq!(
            plan(&found(&["alembic_version"], None, Some("01e78af70b91")), HEAD),
            Err(Refusal::OldOriginal { found: "01e78af70b91".into() })
        );
        assert_eq!(
            plan(&found(&["moz_places"], None, None), HEAD),
            Err(Refusal::Foreign { table: "moz_places".into() })
        );
    }
}
