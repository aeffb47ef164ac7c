//! Replays the recorded behaviour of the original's translators: `corpus/drivers/_translator` in
//! the folder that `CONGRESS_SHARED` names (`../shared` beside the repository by default).
//! Skipped where that folder is absent; the crate's own tests stand without it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test, also outside of its test functions"
)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use congress_driver::translate::{Collected, Translator};
use congress_driver::types::{DataType, Member};
use congress_driver::{Value, hash, json, pytext};
use serde_json::Value as Json;

/// The cases of one file, or none where there is no corpus.
fn cases(file: &str) -> Vec<Json> {
    let shared = std::env::var_os("CONGRESS_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let path = shared.join("corpus/drivers/_translator").join(file);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: {} is absent", path.display());
            Vec::new()
        }
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// Runs each case, prints how many passed, and fails if one did not.
fn replay(file: &str, run: impl Fn(&Json) -> Result<(), String>) {
    let cases = cases(file);
    let failures: Vec<String> = cases
        .iter()
        .enumerate()
        .filter_map(|(i, case)| run(case).err().map(|why| format!("{file}[{i}]: {why}")))
        .collect();
    println!("{file}: {} of {} passed", cases.len() - failures.len(), cases.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn same<T: PartialEq + std::fmt::Debug>(found: &T, expected: &T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("found {found:?}, expected {expected:?}"))
}

fn array(json: &Json) -> &[Json] {
    json.as_array().unwrap()
}

/// Rows as a set in which 1 and 1.0 are told apart.
fn set<'a>(rows: impl IntoIterator<Item = &'a Vec<Value>>) -> BTreeSet<String> {
    rows.into_iter().map(|row| format!("{row:?}")).collect()
}

#[test]
fn translators() {
    replay("translate.json", |case| {
        let translator = Translator::from_json(&case["translator"]).map_err(|e| e.to_string())?;
        let columns: Vec<(String, Vec<String>)> = translator
            .tables()
            .into_iter()
            .map(|table| (table.name, table.columns.into_iter().map(|c| c.name).collect()))
            .collect();
        let expected = case["columns"].as_object().unwrap();
        for (table, columns) in &columns {
            same(&Json::from(columns.clone()), &expected[table])?;
        }
        same(&columns.len(), &expected.len())?;

        let mut output = Collected::default();
        translator.translate(array(&case["objects"]), &mut output).map_err(|e| e.to_string())?;
        for (table, rows) in case["tables"].as_object().unwrap() {
            let expected: Vec<Vec<Value>> =
                array(rows).iter().map(|row| array(row).iter().map(json::cell).collect()).collect();
            let found = output.0.remove(table).unwrap_or_default();
            same(&set(&found), &set(&expected)).map_err(|why| format!("{table}: {why}"))?;
        }
        same(&output.0.keys().count(), &0)
    });
}

#[test]
fn hashes() {
    replay("hash.json", |case| {
        let input = array(&case["input"]);
        let found = if case["kind"] == "pairs" {
            let pairs: Vec<(Value, Value)> =
                input.iter().map(|pair| (json::cell(&pair[0]), json::cell(&pair[1]))).collect();
            hash::of_pairs(pairs.iter().map(|(key, value)| (key, value)))
        } else {
            hash::of_values(&input.iter().map(json::cell).collect::<Vec<_>>())
        };
        same(&found.as_str(), &case["md5"].as_str().unwrap())
    });
}

#[test]
fn python_text() {
    replay("pyrepr.json", |case| {
        same(&pytext::text(&case["input"]).as_str(), &case["text"].as_str().unwrap())
    });
}

#[test]
fn types() {
    use Member::{Integer, Text};
    const STATUS: &[Member] = &[Text("ACTIVE"), Text("DOWN"), Text("ERROR")];
    const NEUTRON: &[Member] = &[Text("ACTIVE"), Text("BUILD"), Text("DOWN"), Text("ERROR")];
    replay("types.json", |case| {
        let data_type = match case["type"].as_str().unwrap() {
            "Scalar" => DataType::Scalar,
            "Str" => DataType::Str,
            "Bool" => DataType::Bool,
            "Int" => DataType::Int,
            "Float" => DataType::Float,
            "UUID" => DataType::Uuid,
            "IPAddress" => DataType::IpAddress,
            "IPNetwork" => DataType::IpNetwork,
            "IngressEgress" => {
                DataType::Enumeration { members: &[Text("ingress"), Text("egress")], other: None }
            }
            "FloatingIPStatus" => DataType::Enumeration { members: STATUS, other: Some("OTHER") },
            "NeutronStatus" => DataType::Enumeration { members: NEUTRON, other: Some("OTHER") },
            "IPv4IPv6" => DataType::Enumeration { members: &[Integer(4), Integer(6)], other: None },
            other => return Err(format!("unknown type {other}")),
        };
        let input = json::cell(&case["input"]);
        let expected = match case["ok"].as_bool() {
            Some(true) => Ok(json::cell(&case["output"])),
            _ => Err(input.clone()),
        };
        same(&data_type.marshal(input), &expected)
    });
}
