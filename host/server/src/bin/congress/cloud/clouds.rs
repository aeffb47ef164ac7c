//! `clouds.yaml`, and `secure.yaml` with its secrets.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// The most bytes that such a file may have.
const MAX_BYTES: u64 = 4 << 20;

/// The cloud of this name. Its secrets may be in `secure.yaml`, what clouds of a provider have in
/// common in `clouds-public.yaml`.
///
/// # Errors
///
/// No file has it, or one cannot be read.
pub(super) fn find(
    name: &str,
    variable: &impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Value> {
    let clouds = file("clouds", "OS_CLIENT_CONFIG_FILE", variable)?;
    let Some((path, clouds)) = clouds else {
        let places: Vec<_> =
            folders(variable).iter().map(|f| f.join("clouds.yaml").display().to_string()).collect();
        bail!("there is no clouds.yaml with the cloud '{name}': neither {}", places.join(" nor "));
    };
    let mut cloud = match &clouds["clouds"][name] {
        Value::Object(cloud) => Value::Object(cloud.clone()),
        Value::Null => {
            let names: Vec<&str> = clouds["clouds"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(n, _)| n.as_str())
                .collect();
            bail!("{} has no cloud '{name}'; it has: {}", path.display(), names.join(", "));
        }
        _ => bail!("the cloud '{name}' in {} is no mapping", path.display()),
    };
    if let Some((_, secure)) = file("secure", "OS_CLIENT_SECURE_FILE", variable)? {
        merge(&mut cloud, &secure["clouds"][name]);
    }
    let profile = cloud["profile"].as_str().or_else(|| cloud["cloud"].as_str()).map(str::to_owned);
    if let Some(profile) = profile {
        let public = file("clouds-public", "OS_CLIENT_VENDOR_FILE", variable)?;
        let found = public.map(|(_, public)| public["public-clouds"][&profile].clone());
        let Some(mut base @ Value::Object(_)) = found else {
            bail!("no clouds-public.yaml has '{profile}', the profile of the cloud '{name}'");
        };
        merge(&mut base, &cloud);
        cloud = base;
    }
    Ok(cloud)
}

/// The first file of this name, where OpenStack's clients look for it.
fn file(
    name: &str,
    override_variable: &str,
    variable: &impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Option<(PathBuf, Value)>> {
    if let Some(path) = variable(override_variable) {
        let path = PathBuf::from(path);
        return read(&path).map(|value| Some((path, value)));
    }
    for folder in folders(variable) {
        for extension in ["yaml", "yml", "json"] {
            let path = folder.join(format!("{name}.{extension}"));
            if path.is_file() {
                return read(&path).map(|value| Some((path, value)));
            }
        }
    }
    Ok(None)
}

fn folders(variable: &impl Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let home = variable("HOME").map(PathBuf::from);
    let own = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(home?.join(".config")));
    let mut folders = vec![PathBuf::from(".")];
    folders.extend(own.map(|own| own.join("openstack")));
    folders.push("/etc/openstack".into());
    folders
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let file = path.display();
    let metadata = std::fs::metadata(path).with_context(|| format!("cannot read {file}"))?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        bail!("{file} is no file of at most {MAX_BYTES} bytes");
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {file}"))?;
    crate::files::yaml(&text).map_err(|error| error.context(format!("{file} is not right")))
}

/// Puts `over` over `base`, mapping by mapping.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (base, over) => *base = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn secrets_and_profiles_are_merged() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write(
            "clouds.yaml",
            "clouds:\n  mine:\n    profile: provider\n    region_name: north\n    auth:\n      \
             username: ada\n      project_name: research\n",
        );
        write("secure.yaml", "clouds:\n  mine:\n    auth: {password: hush}\n");
        write(
            "clouds-public.yaml",
            "public-clouds:\n  provider:\n    region_name: south\n    auth: {auth_url: 'http://k/v3'}\n",
        );
        let variable = |name: &str| {
            let file = match name {
                "OS_CLIENT_CONFIG_FILE" => "clouds.yaml",
                "OS_CLIENT_SECURE_FILE" => "secure.yaml",
                "OS_CLIENT_VENDOR_FILE" => "clouds-public.yaml",
                _ => return None,
            };
            Some(folder.path().join(file).display().to_string())
        };
        let cloud = find("mine", &variable).unwrap();
        assert_eq!(cloud["region_name"], "north");
        assert_eq!(cloud["auth"]["auth_url"], "http://k/v3");
        assert_eq!(cloud["auth"]["password"], "hush");
        let error = find("yours", &variable).unwrap_err().to_string();
        assert!(error.contains("it has: mine"), "{error}");
    }
}
