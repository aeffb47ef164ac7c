//! Who may use the API, with `auth_strategy = keystone`.
//!
//! Each request below `/v1` brings a token. [`Guard`] has Keystone (`keystone`, as `credentials`
//! says who we are) tell whom it belongs to (`caller`) and remembers that for a while (`tokens`);
//! then it looks by which names policy files know what the request wants (`names`), and whether the
//! rules in force (`policy`) let that caller do it.

mod caller;
mod credentials;
mod guard;
mod keystone;
mod names;
mod policy;
mod sample;
mod tokens;

pub use credentials::{Account, Credentials, IdOrName, Scope, Secret};
pub use guard::{AuthOptions, Guard, TokenOptions};
pub(crate) use guard::{GoodUntil, Privileges, wrap};
pub use keystone::{EndpointChoice, KeystoneOptions};
pub use policy::{PolicyFiles, PolicyProblem};
pub use sample::sample_policy;

/// Reads policy files and tells what is wrong with them.
pub fn check_policy(files: &PolicyFiles) -> Result<(), PolicyProblem> {
    files.load().map(drop)
}
