//! Steps in which we differ from the recordings on purpose, and why.

/// A scenario, some of its steps, and the reason.
type Deviation = (&'static str, &'static [usize], &'static str);

const HIDDEN: &str = "secrets are hidden in every answer";

/// The specification wants what the reference did not do, or this version lacks a part. A step
/// that agrees after all must leave the list.
const DEVIATIONS: &[Deviation] = &[
    ("doctor-driver", &[11], "an error says what is wrong, not just which key"),
    ("datasource-crud", &[20], HIDDEN),
    ("datasource-execute", &[1], HIDDEN),
    ("execute-disabled", &[1], HIDDEN),
    ("rules-before-datasource", &[10], HIDDEN),
    ("library-crud", &[14, 15, 16, 17, 18, 19, 27], "a library policy can be replaced"),
    ("rules-crud", &[7], "ids are accepted wherever names are"),
    ("tables-and-rows", &[10, 12, 17], "ids are accepted wherever names are"),
    ("rules-crud", &[17, 18, 19], "deleting an unknown rule is a plain 404"),
    ("rules-syntax-accepted", &[20, 21], "`true` is a literal like any other when laid out"),
    ("rules-syntax-accepted", &[38], "`true` is no table"),
];

/// Why a step differs, if that is on purpose.
pub(crate) fn reason(scenario: &str, step: usize) -> Option<&'static str> {
    DEVIATIONS
        .iter()
        .find(|(name, steps, _)| *name == scenario && steps.contains(&step))
        .map(|(_, _, reason)| *reason)
}

/// Steps of a scenario that are to differ.
pub(crate) fn steps(scenario: &str) -> impl Iterator<Item = usize> {
    DEVIATIONS.iter().filter(move |(name, _, _)| *name == scenario).flat_map(|d| d.1).copied()
}
