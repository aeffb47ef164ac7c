//! Any JSON API over HTTP: field `tables` says where its lists are and what becomes of them.
//! `drivers/http_json/README.md` describes the mapping.

mod mapping;

use std::collections::BTreeMap;

use congress_driver::mapping::read;
use congress_driver::paging::Pages;
use congress_driver::prelude::*;
use congress_driver::session::Request;
use congress_driver::tables::TableSet;
use congress_driver::{conditional, url};
use mapping::Source;
use serde_json::Value as Json;

struct HttpJson;

impl Driver for HttpJson {
    fn metadata() -> Metadata {
        let description = "Reads JSON APIs over HTTP, as a mapping in its configuration says.";
        metadata("http_json", env!("CARGO_PKG_VERSION"), description)
            .with_session(SessionKind::Configured)
            .with_hosts(["{url}", "{auth_url}"])
            .with_config([
                field("url", "The service's address; paths in `tables` are below it.").required(),
                field("auth", "none, basic, bearer, header or keystone.").or("none"),
                field("username", "For basic and keystone."),
                field("password", "For basic and keystone.").secret(),
                field("token", "For bearer and header.").secret(),
                field("auth_header", "For header: the name of the header that carries the token."),
                field("auth_url", "For keystone: its address."),
                field("project_name", "For keystone: the project to log in to."),
                field("tenant_name", "Old name of project_name."),
                field("user_domain_name", "For keystone: the user's domain.").or("Default"),
                field("project_domain_name", "For keystone: the project's domain.").or("Default"),
                field("region", "For keystone: the region."),
                field("headers", "Headers for every request: {name: value}. Shown to users; for keys use `auth`.").of(FieldType::Json),
                field("tables", "The mapping: {table: {path, rows, columns, …}}.")
                    .of(FieldType::Json)
                    .required(),
                poll_time(),
                lazy_tables(),
            ])
    }

    fn tables(config: &Config) -> Result<Vec<Table>> {
        config.address("url")?;
        headers(config)?;
        let mut tables: Vec<Table> = Vec::new();
        for (name, source) in sources(config)? {
            source.paging(&name)?;
            for table in source.rows.translator(&name)?.tables() {
                if tables.iter().any(|other| other.name == table.name) {
                    return Err(Error::Config(format!("table '{}' is declared twice", table.name)));
                }
                tables.push(table);
            }
        }
        Ok(tables)
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        let sources = sources(config)?;
        let headers = headers(config)?;
        let base = config.text("url")?;
        wanted.each(sources.keys().map(String::as_str), |name| match sources.get(name) {
            Some(source) => poll(name, source, base, &headers),
            None => Ok(()),
        })
    }
}

fn sources(config: &Config) -> Result<BTreeMap<String, Source>> {
    read(config, "tables")
}

fn headers(config: &Config) -> Result<Vec<(String, String)>> {
    match config.get("headers") {
        Some(_) => Ok(read::<BTreeMap<_, _>>(config, "headers")?.into_iter().collect()),
        None => Ok(Vec::new()),
    }
}

fn poll(table: &str, source: &Source, base: &str, headers: &[(String, String)]) -> Result<()> {
    let request = source.request(base, headers);
    let translator = source.rows.translator(table)?;
    let mut rows = TableSet::of(&translator);
    if source.is_one_document() {
        let Some((answer, version)) = conditional::by_etag(&request, table)? else { return Ok(()) };
        let body = answer.json(&request)?;
        translator.translate(source.items(&body, &request.url)?, &mut rows)?;
        rows.finish()?;
        return version.keep();
    }
    // Where rows come from a list deep in the answer, pages are counted there too.
    for page in Pages::new(request, source.paging(table)?, source.rows.rows.clone()) {
        let page = page?;
        translator.translate(source.items(&page.body, &page.url)?, &mut rows)?;
    }
    rows.finish()
}

impl Source {
    /// The items in an answer; one without their list is an error. Null is an empty list.
    fn items<'a>(&self, body: &'a Json, url: &str) -> Result<Vec<&'a Json>> {
        self.rows.items_or_null(body).map_err(|found| {
            Error::Protocol(format!(
                "{} {}: {} in the answer is {found}, not a list",
                self.method(),
                url::without_query(url),
                self.rows.rows
            ))
        })
    }

    /// The request for the first page. The datasource's headers come before those that are usual.
    fn request(&self, base: &str, headers: &[(String, String)]) -> Request {
        let mut url = url::join(base, &self.path);
        for (name, value) in self.query() {
            url = url::with_query(&url, name, &value);
        }
        let mut request = Request::new(self.method(), &url).headers(headers);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("accept")) {
            request = request.header("accept", "application/json");
        }
        match &self.body {
            Some(body) => request.json(body),
            None => request,
        }
    }
}

congress_driver::export_driver!(HttpJson);

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(url: &str) -> Result<Vec<Table>> {
        let tables = r#"{"t": {"path": "x", "rows": "data[*]", "columns": ["name"]}}"#;
        let fields = [("url", url), ("tables", tables)];
        HttpJson::tables(&Config::new(fields.map(|(k, v)| (k.into(), v.into())).into()))
    }

    #[test]
    fn an_address_without_scheme_is_refused() {
        assert_eq!(tables("http://h:8080/api").unwrap().len(), 1);
        for url in ["h:8080/api", "cloud.example", ""] {
            let Err(Error::Config(text)) = tables(url) else { panic!("{url}") };
            let expected = "field 'url' must be an address that begins with http:// or https://";
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
