//! The tables, and how answers become their rows.

use congress_driver::translate::{Field, Translator, hdict, value};
use congress_driver::types::DataType::{Float, Int, Str};
use congress_driver::{Error, Result, Table, json};
use serde_json::{Map, Value as Json, json};

/// The table of the providers themselves.
pub(crate) const PROVIDERS: &str = "resource_providers";

/// What each provider has of one kind, read one provider at a time.
pub(crate) struct Part {
    /// The root table.
    pub(crate) table: &'static str,
    /// Its path below the provider, and the member of the answer.
    pub(crate) path: &'static str,
    pub(crate) translator: fn() -> Translator,
    rows: Rows,
}

/// From a provider's id and what the answer has to the objects that become rows.
enum Rows {
    /// Of an object, by the names of its members.
    Members(fn(&str, &Map<String, Json>) -> Vec<Json>),
    /// Of a list of plain values, which are this column.
    Values(&'static str),
}

impl Part {
    /// The objects that become rows. An answer that lacks them is an error, lest the table be
    /// emptied by it.
    pub(crate) fn objects(&self, provider: &str, body: &Json) -> Result<Vec<Json>> {
        let found = body.get(self.path);
        let wanted = match (&self.rows, found) {
            (Rows::Members(rows), Some(Json::Object(members))) => {
                return Ok(rows(provider, members));
            }
            (Rows::Values(column), Some(Json::Array(values))) => {
                let pair = |value| json!({ "provider_id": provider, *column: value });
                return Ok(values.iter().map(pair).collect());
            }
            (Rows::Members(_), _) => "an object",
            (Rows::Values(_), _) => "a list",
        };
        Err(Error::Protocol(format!(
            "GET resource_providers/{provider}/{}: '{}' in the answer is {}, not {wanted}",
            self.path,
            self.path,
            found.map_or("missing", json::kind),
        )))
    }
}

pub(crate) const PARTS: &[Part] = &[
    Part {
        table: "inventories",
        path: "inventories",
        translator: inventories,
        rows: Rows::Members(|provider, inventories| {
            let joined = |(class, inventory): (&String, &Json)| {
                joined(provider, "resource_class", class, inventory)
            };
            inventories.iter().map(joined).collect()
        }),
    },
    Part {
        table: "usages",
        path: "usages",
        translator: usages,
        rows: Rows::Members(|provider, usages| {
            let usage = |(class, used): (&String, &Json)| json!({ "provider_id": provider, "resource_class": class, "used": used });
            usages.iter().map(usage).collect()
        }),
    },
    Part {
        table: "traits",
        path: "traits",
        translator: || pair("traits", "trait", "What it can do or is, as HW_CPU_X86_AVX2"),
        rows: Rows::Values("trait"),
    },
    Part {
        table: "aggregates",
        path: "aggregates",
        translator: || pair("aggregates", "aggregate_id", "An aggregate that it is in"),
        rows: Rows::Values("aggregate_id"),
    },
    Part {
        table: "allocations",
        path: "allocations",
        translator: allocations,
        rows: Rows::Members(|provider, allocations| {
            let of_consumer = |(consumer, allocation): (&String, &Json)| {
                let resource = |(class, used): (&String, &Json)| {
                    json!({
                        "provider_id": provider, "consumer_id": consumer, "resource_class": class,
                        "used": used,
                    })
                };
                let resources = allocation["resources"].as_object().into_iter().flatten();
                resources.map(resource).collect::<Vec<_>>()
            };
            allocations.iter().flat_map(of_consumer).collect()
        }),
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

    fn objects(table: &str, body: Json) -> Result<Vec<Json>> {
        PARTS.iter().find(|part| part.table == table).unwrap().objects("p", &body)
    }

    fn rows(table: &str, body: Json) -> Vec<Json> {
        objects(table, body).unwrap()
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
        assert_eq!(rows("usages", json!({"usages": {}})), [] as [Json; 0]);
        assert_eq!(rows("traits", json!({"traits": []})), [] as [Json; 0]);
    }

    #[test]
    fn an_answer_about_something_else_is_an_error() {
        for part in PARTS {
            for body in [json!({"maintenance": 1}), json!({ part.path: null }), json!([])] {
                let error = objects(part.table, body).unwrap_err().to_string();
                let place = format!("GET resource_providers/p/{}: '{}'", part.path, part.path);
                assert!(error.contains(&place), "{error}");
            }
        }
        let error = objects("traits", json!({"traits": {}})).unwrap_err().to_string();
        assert!(error.contains("is an object, not a list"), "{error}");
    }
}
