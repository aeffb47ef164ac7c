//! Prometheus: alerts, rules and scrape targets, and a table for each query that the configuration
//! names. `docs/drivers/prometheus.md` describes all of it.

mod query;
mod series;

use std::collections::BTreeMap;

use congress_driver::describe::login;
use congress_driver::mapping::read;
use congress_driver::path::Path;
use congress_driver::prelude::*;
use congress_driver::rest::{self, Collection, Service};
use congress_driver::translate::{Field, Translator, hdict, nested, value, vdict};
use congress_driver::types::DataType::Str;
use query::Query;
use series::{flattened, with_series};

struct Prometheus;

impl Driver for Prometheus {
    fn metadata() -> Metadata {
        let description = "Reads alerts, rules and targets of Prometheus, and what queries answer.";
        metadata("prometheus", env!("CARGO_PKG_VERSION"), description)
            .with_session(SessionKind::Configured)
            .with_hosts(["{url}"])
            .with_config([
                field("url", "The server's address, with its prefix if it has one.").required(),
                field("queries", "A table for each query: {table: {query, labels}}.")
                    .of(FieldType::Json),
            ])
            .with_config(login("none"))
            .with_config([poll_time(), lazy_tables()])
            .with_tables(rest::tables(&collections()))
    }

    fn tables(config: &Config) -> Result<Vec<Table>> {
        let mut tables = rest::tables(&collections());
        for table in rest::tables(&queries(config)?) {
            if tables.iter().any(|other| other.name == table.name) {
                return Err(Error::Config(format!("table '{}' is declared twice", table.name)));
            }
            tables.push(table);
        }
        Ok(tables)
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        let mut collections = Vec::from(collections());
        collections.extend(queries(config)?);
        Service::at(config.text("url")?).poll(&collections, wanted)
    }
}

fn queries(config: &Config) -> Result<Vec<Collection>> {
    if config.get("queries").is_none() {
        return Ok(Vec::new());
    }
    let queries: BTreeMap<String, Query> = read(config, "queries")?;
    queries.iter().map(|(table, query)| query.collection(table)).collect()
}

fn collections() -> [Collection; 3] {
    [
        in_data("alerts", "alerts", alerts()),
        in_data("rules", "groups", rules()),
        in_data("targets?state=active", "activeTargets", targets()),
    ]
}

/// A list that is a member of `data` in the answer.
fn in_data(path: &str, list: &str, translator: Translator) -> Collection {
    Collection::new(format!("api/v1/{path}"), list, translator).at(Path::members(["data", list]))
}

/// The column that tells objects with labels apart, and the tables of their labels.
fn identified<const N: usize>(table: &str, fields: [Field; N]) -> Translator {
    let series = value("series").typed(Str).desc("All labels in one text, as {a=\"b\", c=\"d\"}");
    hdict(table).fields([series]).fields(fields).fields([pairs(table, "labels", "label")])
}

fn pairs(table: &str, member: &str, key: &str) -> Field {
    let pairs = vdict(&format!("{table}.{member}"), key, "value").parent_key("series");
    nested(member, pairs.parent_col("series").parent_desc("All labels in one text"))
}

fn alerts() -> Translator {
    let alerts = [
        value("name").at(Path::members(["labels", "alertname"])).typed(Str).desc("Its rule's name"),
        value("state").typed(Str).desc("pending or firing"),
        value("activeAt").col("active_at").typed(Str).desc("Since when its condition holds"),
        pairs("alerts", "annotations", "annotation"),
    ];
    identified("alerts", alerts).extract_objects(|list| with_series(list, "labels"))
}

fn rules() -> Translator {
    hdict("rules").extract_objects(flattened).fields([
        value("file").typed(Str).desc("The file that has it"),
        value("group").typed(Str).desc("The group that it is in"),
        value("name").typed(Str).desc("The alert's name, or that of the recorded metric"),
        value("type").typed(Str).desc("alerting or recording"),
        value("query").typed(Str).desc("Its expression"),
        value("duration").desc("Seconds for which the condition must hold before it fires"),
        value("severity").at(Path::members(["labels", "severity"])).typed(Str).desc("That label"),
        value("state").typed(Str).desc("inactive, pending or firing"),
        value("health").typed(Str).desc("ok, err or unknown"),
        value("lastError").col("last_error").typed(Str).desc("Why it could not be evaluated"),
    ])
}

fn targets() -> Translator {
    let label = |name: &str| value(name).at(Path::members(["labels", name])).typed(Str);
    let targets = [
        value("scrapePool").col("pool").typed(Str).desc("The job's name in the configuration"),
        label("job").desc("Its label job"),
        label("instance").desc("Its label instance"),
        value("scrapeUrl").col("url").typed(Str).desc("Where its metrics are"),
        value("health").typed(Str).desc("up, down or unknown"),
        value("lastError").col("last_error").typed(Str).desc("Why it could not be scraped"),
    ];
    identified("targets", targets).extract_objects(|list| with_series(list, "labels"))
}

congress_driver::export_driver!(Prometheus);

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(queries: &str) -> Result<Vec<String>> {
        let config = Config::new(vec![("queries".into(), queries.into())]);
        Prometheus::tables(&config).map(|tables| {
            let described = |table: Table| {
                let columns: Vec<String> = table.columns.into_iter().map(|c| c.name).collect();
                format!("{}({})", table.name, columns.join(","))
            };
            tables.into_iter().map(described).collect()
        })
    }

    #[test]
    fn queries_are_tables() {
        let tables = tables(
            r#"{"up": {"query": "up", "labels": ["job", "instance"]}, "load": {"query": "node_load1"}}"#,
        )
        .unwrap();
        for table in
            ["up(job,instance,value)", "load(series,value)", "load.labels(series,label,value)"]
        {
            assert!(tables.iter().any(|t| t == table), "{table}: {tables:?}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (queries, message) in [
            (r#"{"up": {"qery": "up"}}"#, "unknown field `qery`"),
            (r#"{"up": {"query": " "}}"#, "table 'up': the query is empty"),
            (r#"{"alerts": {"query": "ALERTS", "labels": []}}"#, "'alerts' is declared twice"),
            (r#"{"u p": {"query": "up"}}"#, "no name for a table"),
            (r#"{"up": {"query": "up", "labels": ["value"]}}"#, "'value'"),
        ] {
            let Err(Error::Config(text)) = tables(queries) else { panic!("{queries}") };
            assert!(text.contains(message), "{text}");
        }
    }
}
