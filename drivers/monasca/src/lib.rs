//! Monitoring: metrics with their dimensions, and averages of the last day, in Monasca.

mod actions;

use congress_driver::openstack::{self, Service};
use congress_driver::paging::{Pages, Paging};
use congress_driver::path::Path;
use congress_driver::prelude::*;
use congress_driver::session::EndpointInterface;
use congress_driver::tables::TableSet;
use congress_driver::translate::{Translator, hdict, list, nested, value, vdict};
use congress_driver::url;
use serde_json::Value as Json;
use time::{Duration, OffsetDateTime};

/// Seconds between polls: statistics are about the last day.
const POLL_TIME: &str = "3600";

/// The field that asks for the statistics of all metrics.
const ALL_STATISTICS: &str = "all_statistics";

struct Monasca;

impl Driver for Monasca {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with monasca.";
        let all = "Reads the statistics of all metrics, not of that alone which is listed last.";
        let own = [field(ALL_STATISTICS, all).of(FieldType::Boolean).or("false")];
        let mut metadata =
            openstack::openstack("monasca", env!("CARGO_PKG_VERSION"), description, own)
                .with_tables(metrics().tables())
                .with_tables(statistics().tables())
                .with_actions(actions::all());
        for field in metadata.config.iter_mut().filter(|field| field.name == "poll_time") {
            field.default = Some(POLL_TIME.into());
        }
        metadata
    }

    fn tables(config: &Config) -> Result<Vec<Table>> {
        config.boolean(ALL_STATISTICS)?;
        Ok(Self::metadata().tables)
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        let service = monitoring(config)?;
        let all = config.boolean(ALL_STATISTICS)?.unwrap_or(false);
        let period = config.get("poll_time").unwrap_or(POLL_TIME);
        wanted.each(["metrics", "statistics"], |root| match root {
            "metrics" => read_metrics(&service),
            _ => read_statistics(&service, period, all),
        })
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        let service = monitoring(config)?;
        service.send(actions::request(call, service.base())?)
    }
}

fn monitoring(config: &Config) -> Result<Service> {
    Service::find(config, "monitoring", EndpointInterface::Public)
}

fn metrics() -> Translator {
    let dimensions = vdict("dimensions", "key", "value").id_col("id");
    hdict("metrics").fields([value("id"), value("name"), nested("dimensions", dimensions)])
}

/// Pairs of time and value, as text.
fn statistics() -> Translator {
    let data = list("statistics.data", "value_col").id_col("name");
    hdict("statistics").fields([value("name"), nested("statistics", data)])
}

fn read_metrics(service: &Service) -> Result<()> {
    let translator = metrics();
    let mut rows = TableSet::of(&translator);
    for page in pages(service, "metrics") {
        translator.translate(page?.list()?, &mut rows)?;
    }
    rows.finish()
}

/// Reads the averages of all metrics, or of the one that is listed last: the original asks for those
/// of all, each of which replaces the one before.
fn read_statistics(service: &Service, period: &str, all: bool) -> Result<()> {
    let mut names = Vec::new();
    for page in pages(service, "metrics/names") {
        add_names(&mut names, page?.list()?, all);
    }
    let translator = statistics();
    let mut rows = TableSet::of(&translator);
    let since = iso(OffsetDateTime::now_utc() - Duration::days(1));
    for name in &names {
        let query = [
            ("name", name.as_str()),
            ("start_time", &since),
            ("statistics", "avg"),
            ("period", period),
            ("merge_metrics", "true"),
        ];
        let path = query.iter().fold("metrics/statistics".to_owned(), |path, (name, value)| {
            url::with_query(&path, name, value)
        });
        for page in statistics_pages(service, &path, all) {
            translator.translate(page?.list()?, &mut rows)?;
        }
    }
    rows.finish()
}

/// The pages of a metric's statistics. One of many may be gone since they were listed.
fn statistics_pages(service: &Service, path: &str, is_one_of_many: bool) -> Pages {
    let pages = pages(service, path);
    if is_one_of_many { pages.may_be_gone() } else { pages }
}

/// Adds the names of a page's metrics; keeps the last one alone if not all are wanted.
fn add_names(names: &mut Vec<String>, page: &[Json], all: bool) {
    names.extend(page.iter().filter_map(|item| item["name"].as_str()).map(String::from));
    if !all {
        names.drain(..names.len().saturating_sub(1));
    }
}

fn pages(service: &Service, path: &str) -> Pages {
    let next = Paging::RelNext(Path::member("links"));
    Pages::new(service.get(path), next, Path::member("elements")).same_address()
}

/// `2026-01-01T03:04:05.000600`; without fraction where it is zero.
fn iso(time: OffsetDateTime) -> String {
    let (date, hour, minute, second) = (time.date(), time.hour(), time.minute(), time.second());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    let seconds = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    match time.microsecond() {
        0 => seconds,
        micros => format!("{seconds}.{micros:06}"),
    }
}

congress_driver::export_driver!(Monasca);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn translators_can_work() {
        for translator in [metrics(), statistics()] {
            translator.check().unwrap();
        }
    }

    #[test]
    fn the_last_metric_counts_or_all_do() {
        let pages = [json!([{"name": "a"}, {"name": "b"}]), json!([{}]), json!([{"name": "c"}])];
        let names = |count: usize, all| {
            let mut names = Vec::new();
            for page in &pages[..count] {
                add_names(&mut names, page.as_array().unwrap(), all);
            }
            names
        };
        assert_eq!(names(0, false), [] as [&str; 0]);
        assert_eq!((names(2, false), names(3, false)), (vec!["b".into()], vec!["c".into()]));
        assert_eq!(names(3, true), ["a", "b", "c"]);
    }

    #[test]
    fn one_of_many_metrics_may_be_gone_and_a_single_one_may_not() {
        let pages = |all| format!("{:?}", statistics_pages(&Service::at("http://m"), "x", all));
        assert!(pages(true).contains("may_be_gone: true"), "{}", pages(true));
        assert!(pages(false).contains("may_be_gone: false"), "{}", pages(false));
    }

    #[test]
    fn times_are_as_python_writes_them() {
        let time = OffsetDateTime::from_unix_timestamp(1_767_323_045).unwrap();
        assert_eq!(iso(time), "2026-01-02T03:04:05");
        assert_eq!(iso(time + Duration::microseconds(600)), "2026-01-02T03:04:05.000600");
    }
}
