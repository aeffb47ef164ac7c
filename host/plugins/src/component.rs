//! Whether a file is a component of our world: decided by its bytes and its type, before any of
//! its code runs.

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::{LoadErrorKind, Standing};

/// The package of the contract.
const PACKAGE: &str = "congress:datasource/";

/// What a driver exports, and the version that this host calls; as in `wit/datasource.wit`.
pub(crate) const WANTED: &str = "congress:datasource/driver@1.0.0";

/// The versions that this host can call, by their leading numbers: one entry for each frozen
/// contract (`docs/driver-contract.md`).
const COMPATIBLE: [&str; 1] = ["1.0."];

/// How many names an error lists.
const SHOWN: usize = 5;

/// Tells a component from everything else by its first bytes, before it is compiled.
pub(crate) fn check_bytes(bytes: &[u8]) -> Result<(), LoadErrorKind> {
    match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(LoadErrorKind::CoreModule),
        [0, b'a', b's', b'm', ..] => Err(LoadErrorKind::Invalid(
            "its header is that of no known version of WebAssembly".to_owned(),
        )),
        _ => Err(LoadErrorKind::NotWasm { wanted: WANTED }),
    }
}

/// Checks a component's exports and imports. Answers the version of the contract that it is
/// built for.
pub(crate) fn check_type(engine: &Engine, component: &Component) -> Result<String, LoadErrorKind> {
    let component_type = component.component_type();
    let exports: Vec<&str> = component_type.exports(engine).map(|(name, _)| name).collect();
    let driver = exports.iter().find(|n| n.split('@').next() == WANTED.split('@').next());
    let Some(driver) = driver else {
        return Err(LoadErrorKind::OtherWorld { found: shown(&exports), wanted: WANTED });
    };
    let other_version =
        |found: &str| Err(LoadErrorKind::OtherVersion { found: found.to_owned(), wanted: WANTED });
    if !is_known(driver) {
        return other_version(driver);
    }

    let imports: Vec<&str> = component_type.imports(engine).map(|(name, _)| name).collect();
    if let Some(name) = imports.iter().find(|name| name.starts_with(PACKAGE) && !is_known(name)) {
        return other_version(name);
    }
    let foreign: Vec<&str> =
        imports.into_iter().filter(|name| standing(name) == Standing::Refused).collect();
    if !foreign.is_empty() {
        return Err(LoadErrorKind::Imports(shown(&foreign)));
    }
    Ok(version(driver).to_owned())
}

/// The version in a name such as `wasi:io/poll@0.2.6`; empty without one.
fn version(name: &str) -> &str {
    name.split_once('@').map_or("", |(_, version)| version)
}

/// Whether an interface of the contract is of a version that this host has.
fn is_known(name: &str) -> bool {
    COMPATIBLE.iter().any(|known| version(name).starts_with(known))
}

/// What this host makes of an import, by its name: see the world's comment in
/// `wit/datasource.wit`.
pub(crate) fn standing(name: &str) -> Standing {
    let interface = name.split('@').next().unwrap_or_default();
    if interface.starts_with(PACKAGE) && is_known(name) {
        return Standing::Granted;
    }
    if !interface.starts_with("wasi:") || !version(name).starts_with("0.2.") {
        return Standing::Refused;
    }
    let works =
        ["wasi:clocks/", "wasi:io/", "wasi:random/"].iter().any(|p| interface.starts_with(p))
            || ["wasi:http/types", "wasi:http/outgoing-handler"].contains(&interface);
    if works { Standing::Granted } else { Standing::Empty }
}

/// Some names for people.
fn shown(names: &[&str]) -> String {
    let clean = |name: &&str| crate::text::clean(name, 100);
    let list = names.iter().take(SHOWN).map(clean).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "nothing".to_owned(),
        n if n > SHOWN => format!("{list} and {} more", n - SHOWN),
        _ => list,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wat: &str) -> Result<String, LoadErrorKind> {
        let bytes = wat::parse_str(wat).unwrap();
        check_bytes(&bytes)?;
        let engine = Engine::default();
        check_type(&engine, &Component::new(&engine, bytes).unwrap())
    }

    fn driver(version: &str, imports: &str) -> String {
        format!(
            r#"(component {imports}
                (component $d) (instance $i (instantiate $d))
                (export "congress:datasource/driver@{version}" (instance $i)))"#
        )
    }

    #[test]
    fn bytes() {
        assert!(matches!(check_bytes(b""), Err(LoadErrorKind::NotWasm { .. })));
        assert!(matches!(check_bytes(b"\x7fELF"), Err(LoadErrorKind::NotWasm { .. })));
        assert!(matches!(check("(module)"), Err(LoadErrorKind::CoreModule)));
        let future = check_bytes(b"\0asm\x0e\0\x01\0").unwrap_err();
        assert!(matches!(future, LoadErrorKind::Invalid(_)));
    }

    #[test]
    fn worlds_and_versions() {
        let other = check("(component)").unwrap_err().to_string();
        assert!(other.contains("it exports nothing") && other.contains(WANTED), "{other}");
        assert_eq!(check(&driver("1.0.0", "")).unwrap(), "1.0.0");
        assert_eq!(check(&driver("1.0.9", "")).unwrap(), "1.0.9");
        for (version, advice) in [
            ("0.1.0", "that was a draft of the contract; build it anew"),
            ("0.2.0", "a draft of the contract"),
            ("1.1.0", "build it against that version, or update the server if"),
            ("1.10.0", "or update the server"),
            ("2.0.0", "or update the server"),
        ] {
            let error = check(&driver(version, "")).unwrap_err().to_string();
            assert!(error.contains(version) && error.contains("driver@1.0.0"), "{error}");
            assert!(error.contains(advice), "{error}");
        }
    }

    #[test]
    fn imports() {
        let import = |name: &str| format!(r#"(import "{name}" (instance))"#);
        for name in ["wasi:io/poll@0.2.6", "congress:datasource/sink@1.0.0"] {
            assert!(check(&driver("1.0.0", &import(name))).is_ok(), "{name}");
        }
        for name in ["wasi:io/poll@0.3.0", "acme:tools/shell@1.0.0", "congress:other/x@0.1.0"] {
            let error = check(&driver("1.0.0", &import(name))).unwrap_err();
            assert!(matches!(&error, LoadErrorKind::Imports(text) if text == name), "{error}");
        }
        for (name, expected) in [
            ("congress:datasource/sink@1.0.0", Standing::Granted),
            ("congress:datasource/sink@0.1.0", Standing::Refused),
            ("congress:datasource/sink@1.1.0", Standing::Refused),
            ("wasi:clocks/wall-clock@0.2.6", Standing::Granted),
            ("wasi:http/outgoing-handler@0.2.0", Standing::Granted),
            ("wasi:filesystem/types@0.2.6", Standing::Empty),
            ("wasi:filesystem/types@0.3.0", Standing::Refused),
            ("shell", Standing::Refused),
        ] {
            assert_eq!(standing(name), expected, "{name}");
        }
        let later = check(&driver("1.0.0", &import("congress:datasource/sink@1.1.0")));
        assert!(matches!(later, Err(LoadErrorKind::OtherVersion { .. })));
    }
}
