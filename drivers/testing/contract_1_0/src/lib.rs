//! A driver that uses every function and every case of the contract 1.0.0, made from the frozen file
//! alone: whatever the SDK becomes, components of 1.0.0 are like this one. Every later host must
//! pass the test that loads it (`host/plugins/tests/host/contract.rs`).

#![expect(unsafe_code, missing_docs, reason = "generated bindings")]

wit_bindgen::generate!({
    path: "../../../wit/datasource.wit",
    world: "datasource",
    generate_unused_types: true,
});

use congress::datasource::files;
use congress::datasource::logging::{Level, log};
use congress::datasource::schedule::upkeep_after;
use congress::datasource::session::{EndpointError, EndpointInterface, Request, endpoint, send};
use congress::datasource::sink::{
    self, Cells, ColumnData, SinkError, Test, TextCells, failed, find, patch,
};
use congress::datasource::state;
use congress::datasource::types::{Column, ColumnType, DriverError, Row, Table, Value};
use exports::congress::datasource::driver::{
    Action, Argument, ConfigField, Feed, FieldType, Guest, Metadata, Push, SessionKind,
};

struct Contract;

type Result<T> = std::result::Result<T, DriverError>;
type Config = Vec<(String, String)>;

impl Guest for Contract {
    fn describe() -> Metadata {
        let field = |name: &str, type_, default: Option<&str>| ConfigField {
            name: name.into(),
            description: "A field.".into(),
            type_,
            required: name == "url",
            secret: name == "token",
            default: default.map(Into::into),
        };
        Metadata {
            id: "contract_1_0".into(),
            version: "1".into(),
            description: "Uses all of the contract 1.0.0.".into(),
            config: vec![
                field("url", FieldType::Text, None),
                field("folder", FieldType::Text, None),
                field("auth", FieldType::Text, Some("bearer")),
                field("token", FieldType::Text, None),
                field("poll_time", FieldType::Integer, Some("10")),
                field("float", FieldType::Float, Some("0.5")),
                field("persist_data", FieldType::Boolean, Some("true")),
                field("lazy_tables", FieldType::Json, Some("[\"broken\"]")),
            ],
            tables: Vec::new(),
            actions: vec![Action {
                name: "note.it".into(),
                description: "Puts its arguments into `calls`.".into(),
                arguments: vec![Argument {
                    name: "text".into(),
                    description: "Anything.".into(),
                    required: true,
                }],
                takes_others: true,
            }],
            feed: Feed::PollAndPush,
            session: SessionKind::Configured,
            hosts: vec!["{url}".into()],
            files: vec!["{folder}".into()],
        }
    }

    fn tables(config: Config) -> Result<Vec<Table>> {
        if config.iter().any(|(name, _)| name == "token") {
            return Err(DriverError::Config("the token is not the driver's".into()));
        }
        let column = |name: &str, type_| Column {
            name: name.into(),
            description: Some("A column.".into()),
            type_,
            nullable: true,
        };
        let table = |name: &str, columns, root: Option<&str>| Table {
            name: name.into(),
            columns,
            root: root.map(Into::into),
        };
        let types = [
            ("boolean", ColumnType::Boolean),
            ("integer", ColumnType::Integer),
            ("float", ColumnType::Float),
            ("text", ColumnType::Text),
            ("any", ColumnType::Any),
            ("uuid", ColumnType::Uuid),
            ("ip", ColumnType::IpAddress),
            ("network", ColumnType::IpNetwork),
        ];
        Ok(vec![
            table(
                "calls",
                vec![column("name", ColumnType::Text), column("said", ColumnType::Any)],
                None,
            ),
            table(
                "calls.types",
                types.map(|(name, type_)| column(name, type_)).into(),
                Some("calls"),
            ),
            table("open", Vec::new(), None),
            table("broken", vec![column("a", ColumnType::Any)], None),
        ])
    }

    fn poll(config: Config, wanted: Vec<String>) -> Result<()> {
        for level in [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error] {
            log(level, "polled");
        }
        let polls = state::get("polls").and_then(|n| n.parse().ok()).unwrap_or(0) + 1;
        state::set("polls", Some(&polls.to_string())).map_err(DriverError::Protocol)?;
        state::set("gone", None).map_err(DriverError::Protocol)?;
        upkeep_after(60);

        let url = field(&config, "url")?;
        let request = Request {
            method: "POST".into(),
            url: url.into(),
            headers: vec![("x-own".into(), "1".into())],
            body: Some(b"body".to_vec()),
        };
        let answer = send(&request)?;
        let is_json = answer.headers.iter().any(|(name, _)| name == "content-type");
        let no_catalogue = match endpoint("compute", EndpointInterface::Internal) {
            Err(EndpointError::NoCatalogue(DriverError::Unsupported(text))) => text,
            other => format!("{other:?}"),
        };
        let folder = field(&config, "folder")?;
        let names = files::list(folder).map_err(of_file)?;
        let path = format!("{folder}/{}", names.first().map_or("", String::as_str));
        let info = files::info(&path).map_err(of_file)?;
        let content = files::read(&path, 1, 2).map_err(of_file)?;
        let denied = matches!(files::info("/etc/passwd"), Err(files::FileError::Denied(_)));

        let row = |name: &str, said: Value| -> Row { vec![Value::Text(name.into()), said] };
        sink::replace(
            "calls",
            &[
                row("polls", Value::Integer(polls)),
                row("wanted", Value::Text(wanted.join(" "))),
                row("status", Value::Integer(answer.status.into())),
                row("body", Value::Text(String::from_utf8_lossy(&answer.body).into())),
                row("has a type", Value::Boolean(is_json)),
                row("endpoint", Value::Text(no_catalogue)),
                row("size", Value::Integer(info.size as i64)),
                row("is a folder", Value::Boolean(info.is_folder)),
                row("is old", Value::Boolean(info.modified < 1_000_000_000)),
                row("content", Value::Text(String::from_utf8_lossy(&content).into())),
                row("denied", Value::Boolean(denied)),
                row("nothing", Value::Null),
                row("half", Value::Float(0.5)),
            ],
        )
        .map_err(of_sink)?;
        let column = |cells, nulls: &[u32]| ColumnData { cells, nulls: nulls.into() };
        let texts = |text: &str| Cells::Texts(TextCells { heap: text.into(), ends: vec![1, 2] });
        let columns = [
            column(Cells::Booleans(vec![true, false]), &[]),
            column(Cells::Integers(vec![1, 2]), &[1]),
            column(Cells::Floats(vec![0.5, 1.5]), &[0]),
            column(texts("ab"), &[]),
            column(Cells::Values(vec![Value::Null, Value::Text("x".into())]), &[]),
            column(texts("uu"), &[]),
            column(texts("ii"), &[]),
            column(texts("nn"), &[0, 1]),
        ];
        sink::replace_columns("calls.types", &columns).map_err(of_sink)?;
        let open = |width: i64| -> Row { (0..width).map(Value::Integer).collect() };
        sink::replace("open", &[open(0), open(1), open(3)]).map_err(of_sink)?;
        failed("broken", &DriverError::Connection("it is away".into()));
        match sink::replace("nowhere", &[]) {
            Err(SinkError::UnknownTable(_)) => Ok(()),
            other => Err(DriverError::Protocol(format!("{other:?}"))),
        }
    }

    fn receive(_: Config, push: Push) -> Result<()> {
        let (name, said) = match push {
            Push::Rows((table, body)) => (table, body),
            Push::Webhook(body) => ("webhook".into(), body),
        };
        let this = Value::Text(name);
        let old = find("calls", "name", &Test::AnyOf(vec![this.clone()])).map_err(of_sink)?;
        patch("calls", &[vec![this, Value::Text(said)]], &old).map_err(of_sink)
    }

    fn upkeep(_: Config) -> Result<()> {
        let most = Test::AtMost(Value::Text("m".into()));
        let old = find("calls", "name", &most).map_err(of_sink)?;
        patch("calls", &[], &old).map_err(of_sink)
    }

    fn execute(
        _: Config,
        action: String,
        positional: Vec<String>,
        named: Vec<(String, String)>,
    ) -> Result<()> {
        if action != "note.it" {
            return Err(DriverError::Unsupported(format!("there is no action '{action}'")));
        }
        let said = format!("{positional:?} {named:?}");
        patch("calls", &[vec![Value::Text(action), Value::Text(said)]], &[]).map_err(of_sink)
    }
}

fn field<'a>(config: &'a Config, name: &str) -> Result<&'a str> {
    let found = config.iter().find(|(field, _)| field == name);
    found.map(|(_, value)| value.as_str()).ok_or_else(|| DriverError::Config(name.into()))
}

fn of_sink(error: SinkError) -> DriverError {
    let (SinkError::UnknownTable(text) | SinkError::BadRow(text) | SinkError::Limit(text)) = error;
    DriverError::Protocol(text)
}

fn of_file(error: files::FileError) -> DriverError {
    let (files::FileError::NotFound(text)
    | files::FileError::Denied(text)
    | files::FileError::Other(text)) = error;
    DriverError::Config(text)
}

export!(Contract);
