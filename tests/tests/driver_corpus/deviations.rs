//! What differs from the recordings on purpose, and why.

/// Why something that differs counts as passed; none if it does not differ.
pub(crate) type Why = Option<&'static str>;

/// A driver, an action (or `execute` and an action), and the reason.
const DEVIATIONS: &[(&str, &str, &str)] = &[
    ("nova", "servers.delete_meta", CHARACTERS),
    ("cinder", "volume_snapshots.delete_metadata", CHARACTERS),
    ("cinder", "volumes.delete_image_metadata", CHARACTERS),
    ("cinder", "volumes.delete_metadata", CHARACTERS),
    ("swift", "post", CHARACTERS),
    ("swift", "stat", CHARACTERS),
    ("swift", "copy", CHARACTERS),
    ("keystone", "authenticate", "a driver never sees a token: the host logs in"),
    ("nova", "versions.get_current", "the client failed at an answer that we do not read"),
    ("neutronv2", "schema columns of routers", "a description has no space at its end"),
    ("config", "schema description", PUSHED),
    ("plexxi", "schema description", PUSHED),
];

const CHARACTERS: &str = "one key in the place of a list is that key, not a list of its characters";

const PUSHED: &str = "a driver whose service is not asked over HTTP says that its rows are pushed";

/// Whether a result counts, and why it does although it differs.
pub(crate) fn judge(driver: &str, what: &str, result: Result<(), String>) -> Result<Why, String> {
    let reason = |(d, w, _): &&(&str, &str, &str)| *d == driver && *w == what;
    match (result, DEVIATIONS.iter().find(reason)) {
        (Ok(()), _) => Ok(None),
        (Err(_), Some((_, _, why))) => Ok(Some(why)),
        (Err(difference), None) => Err(difference),
    }
}
