//! The tables, and how answers become their rows.

use congress_driver::Table;
use congress_driver::translate::{Field, Translator, hdict, value};
use congress_driver::types::DataType::{Float, Int, Str};
use serde_json::{Value as Json, json};

/// The table of the providers themselves.
pub(crate) const PROVIDERS: &str = "resource_providers";

/// What each provider has of one kind, read one provider at a time.
pub(crate) struct Part {
    /// The root table.
    pub(crate) table: &'static str,
    /// Its path below the provider.
    pub(crate) path: &'static str,
    pub(crate) translator: fn() -> Translator,
    /// From a provider's id and the answer to the objects that become rows.
    pub(crate) rows: fn(&str, &Json) -> Vec<Json>,
}

pub(crate) const PARTS: &[Part] = &[
    Part {
        table: "inventories",
        path: "inventories",
        translator: inventories,
        rows: |provider, body| {
            members(&body["inventories"])
                .map(|(class, inventory)| joined(provider, "resource_class", class, inventory))
                .collect()
        },
    },
    Part {
        table: "usages",
        path: "usages",
        translator: usages,
        rows: |provider, body| {
            let usage = |(class, used): (&String, &Json)| json!({ "provider_id": provider, "resource_class": class, "used": used });
            members(&body["usages"]).map(usage).collect()
        },
    },
    Part {
        table: "traits",
        path: "traits",
        translator: || pair("traits", "trait", "What it can do or is, as HW_CPU_X86_AVX2"),
        rows: |provider, body| pairs(provider, "trait", &body["traits"]),
    },
    Part {
        table: "aggregates",
        path: "aggregates",
        translator: || pair("aggregates", "aggregate_id", "An aggregate that it is in"),
        rows: |provider, body| pairs(provider, "aggregate_id", &body["aggregates"]),
    },
    Part {
        table: "allocations",
        path: "allocations",
        translator: allocations,
        rows: |provider, body| {
            let of_consumer = |(consumer, allocation): (&String, &Json)| {
                let resource = |(class, used): (&String, &Json)| {
                    json!({
                        "provider_id": provider, "consumer_id": consumer, "resource_class": class,
                        "used": used,
                    })
                };
                members(&allocation["resources"]).map(resource).collect::<Vec<_>>()
            };
            members(&body["allocations"]).flat_map(of_consumer).collect()
        },
    },
];

/// All tables, each a root.
pub(crate) fn tables() -> Vec<Table> {
    let parts = PARTS.iter().flat_map(|part| (part.translator)().tables());
    providers().tables().into_iter().chain(parts).collect()
}

pub(crate) fn providers() -> Translator {
    hdict(PROVIDERS).fields([
        value("uuid").col("id").typed(Str).desc("The provider's id"),
        value("name").typed(Str).desc("The provider's name"),
        value("parent_provider_uuid").col("parent_id").typed(Str).desc("What it is a part of"),
        value("root_provider_uuid").col("root_id").typed(Str).desc("The whole that it belongs to"),
    ])
}

fn provider() -> Field {
    value("provider_id").typed(Str).desc("The provider's id")
}

fn class() -> Field {
    value("resource_class").typed(Str).desc("VCPU, MEMORY_MB, DISK_GB and others")
}

fn inventories() -> Translator {
    let number = |member: &str, description: &str| value(member).typed(Int).desc(description);
    hdict("inventories").fields([
        provider(),
        class(),
        number("total", "How much there is"),
        number("reserved", "How much of it is not for consumers"),
        value("allocation_ratio").typed(Float).desc("How many times it may be given away"),
        number("min_unit", "The least that may be asked for"),
        number("max_unit", "The most that one consumer may have"),
        number("step_size", "What amounts must be a multiple of"),
    ])
}

fn usages() -> Translator {
    hdict("usages").fields([provider(), class(), value("used").typed(Int).desc("How much is used")])
}

fn allocations() -> Translator {
    hdict("allocations").fields([
        provider(),
        value("consumer_id").typed(Str).desc("Who has it, as the id of a server"),
        class(),
        value("used").typed(Int).desc("How much"),
    ])
}

fn pair(table: &str, column: &str, description: &str) -> Translator {
    hdict(table).fields([provider(), value(column).typed(Str).desc(description)])
}

fn pairs(provider: &str, column: &str, list: &Json) -> Vec<Json> {
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    list.iter().map(|item| json!({ "provider_id": provider, column: item })).collect()
}

fn members(object: &Json) -> impl Iterator<Item = (&String, &Json)> {
    object.as_object().into_iter().flatten()
}

/// An object with its provider's id and the name that it has in its list.
fn joined(provider: &str, member: &str, name: &str, object: &Json) -> Json {
    let mut object = object.as_object().cloned().unwrap_or_default();
    object.insert("provider_id".to_owned(), provider.into());
    object.insert(member.to_owned(), name.into());
    Json::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(table: &str, body: Json) -> Vec<Json> {
        let part = PARTS.iter().find(|part| part.table == table).unwrap();
        (part.rows)("p", &body)
    }

    #[test]
    fn objects_by_name_become_lists() {
        let body =
            json!({"inventories": {"VCPU": {"total": 8}}, "resource_provider_generation": 3});
        let expected = json!({"total": 8, "provider_id": "p", "resource_class": "VCPU"});
        assert_eq!(rows("inventories", body), [expected]);
        assert_eq!(rows("traits", json!({"traits": ["A", "B"]})).len(), 2);
        let body = json!({"allocations": {"c": {"resources": {"VCPU": 2, "MEMORY_MB": 512}}}});
        assert_eq!(rows("allocations", body).len(), 2);
        assert_eq!(rows("usages", json!({})), [] as [Json; 0]);
    }
}
