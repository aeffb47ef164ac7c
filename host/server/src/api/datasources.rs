//! Datasources: their tables, what can be done to them, and how they fare.

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde_json::{Map, Value, json};

use super::App;
use super::action;
use super::answer::{Collection, Created, Element, Empty, Rows, method_not_supported};
use super::body::{ActionBody, Json, Patch};
use super::detail;
use super::page::Page;
use super::path::{Address, Path};
use super::rows;
use super::tables::{TableObject, not_found};
use crate::auth::Privileges;
use crate::datasources::{ConfigChange, DatasourcePatch, DatasourceRequest};
use crate::failure::{Answer, Failure, Named, Status};

pub(super) async fn list(State(app): State<App>, page: Page) -> Answer<Response> {
    page.list(app.datasources.list().await?)
}

pub(super) async fn create(
    State(app): State<App>,
    address: Address,
    Json(body): Json,
) -> Answer<Created<Value>> {
    let body = app.datasources.create(request(body)?).await?;
    let location = address.member(body["id"].as_str().unwrap_or_default());
    Ok(Created { location, body })
}

pub(super) async fn show(
    State(app): State<App>,
    Path(datasource): Path<String>,
    privileges: Option<Extension<Privileges>>,
) -> Answer<Element<Value>> {
    let secrets = privileges.is_some_and(|Extension(privileges)| privileges.secrets);
    match secrets {
        true => app.datasources.get_with_secrets(&datasource).await.map(Element),
        false => app.datasources.get(&datasource).await.map(Element),
    }
}

pub(super) async fn delete(
    State(app): State<App>,
    Path(datasource): Path<String>,
) -> Answer<Element<()>> {
    app.datasources.delete(&datasource).await.map(Element)
}

/// `?action=request-refresh` and `?action=execute`.
pub(super) async fn act(
    State(app): State<App>,
    Path(datasource): Path<String>,
    RawQuery(query): RawQuery,
    body: ActionBody,
) -> Answer<Response> {
    match action::name(query.as_deref())?.as_str() {
        "request_refresh" => {
            body.ignored()?;
            app.datasources.request_refresh(&datasource).await?;
            Ok(Element(()).into_response())
        }
        "execute" => {
            let (name, arguments) = execution(body.required()?)?;
            app.datasources.execute(&datasource, name, arguments).await?;
            Ok(Element(json!({})).into_response())
        }
        _ => Err(method_not_supported()),
    }
}

pub(super) async fn schema(
    State(app): State<App>,
    Path(datasource): Path<String>,
) -> Answer<Element<Value>> {
    app.datasources.schema(&datasource).await.map(Element)
}

/// What the original showed; with `?detail=true` what else is known, too.
pub(super) async fn status(
    State(app): State<App>,
    Path(datasource): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer<Element<Value>> {
    const PLAIN: [&str; 6] = [
        "last_updated",
        "last_error",
        "number_of_updates",
        "initialized",
        "subscriptions",
        "subscribers",
    ];
    let status = app.datasources.status(&datasource).await?;
    Ok(Element(detail::shown(status, query.as_deref(), &PLAIN)))
}

pub(super) async fn actions(
    State(app): State<App>,
    Path(datasource): Path<String>,
) -> Answer<Collection<Value>> {
    app.datasources.actions(&datasource).await.map(Collection)
}

pub(super) async fn tables(
    State(app): State<App>,
    Path(datasource): Path<String>,
    page: Page,
) -> Answer<Response> {
    let tables = app.datasources.tables(&datasource).await?;
    page.list(tables.into_iter().map(TableObject::from).collect())
}

pub(super) async fn table(
    State(app): State<App>,
    Path((datasource, table)): Path<(String, String)>,
) -> Answer<Element<TableObject>> {
    if app.datasources.tables(&datasource).await?.contains(&table) {
        Ok(Element(table.into()))
    } else {
        Err(not_found())
    }
}

pub(super) async fn table_spec(
    State(app): State<App>,
    Path((datasource, table)): Path<(String, String)>,
) -> Answer<Element<Value>> {
    app.datasources.table_spec(&datasource, &table).await.map(Element)
}

pub(super) async fn rows(
    State(app): State<App>,
    Path((datasource, table)): Path<(String, String)>,
    page: Page,
    headers: HeaderMap,
) -> Answer<Response> {
    let found = app.datasources.rows(&datasource, &table).await?;
    if page.is_plain() {
        let all = Rows { rows: found, trace: None, next_marker: None };
        return rows::answer(&headers, all).await;
    }
    let columns = app.datasources.columns(&datasource, &table).await?;
    let page = rows::page(page, rows::cells(found), Some(columns), None).await?;
    rows::answer(&headers, page).await
}

/// `PATCH`: what is given changes, the rest stays.
pub(super) async fn patch(
    State(app): State<App>,
    Path(datasource): Path<String>,
    patch: Patch,
) -> Answer<Element<Value>> {
    app.datasources.update(&datasource, changes(patch)?).await.map(Element)
}

/// Rows pushed from outside, which replace all of the table.
pub(super) async fn replace_rows(
    State(app): State<App>,
    Path((datasource, table)): Path<(String, String)>,
    Json(body): Json,
) -> Answer<Empty> {
    app.datasources.replace_rows(&datasource, &table, body).await.map(|()| Empty)
}

pub(super) async fn webhook(
    State(app): State<App>,
    Path(datasource): Path<String>,
    Json(payload): Json,
) -> Answer<Empty> {
    app.datasources.webhook(&datasource, payload).await.map(|()| Empty)
}

/// The changes of a datasource that a body asks for.
fn changes(Patch { body, merges }: Patch) -> Answer<DatasourcePatch> {
    let Value::Object(body) = body else {
        return Err(refused("The body must be an object of what is to change."));
    };
    let mut patch = DatasourcePatch::default();
    for (key, value) in body {
        match (key.as_str(), value) {
            ("description", Value::Null) => patch.description = Some(None),
            ("description", Value::String(text)) => patch.description = Some(Some(text)),
            ("enabled", Value::Bool(enabled)) => patch.enabled = Some(enabled),
            ("config", Value::Object(config)) => {
                patch.config = Some(match merges {
                    true => ConfigChange::Merge(config),
                    false => ConfigChange::Replace(config),
                });
            }
            ("description", _) => return Err(refused("The description must be a string or null.")),
            ("enabled", _) => return Err(refused("'enabled' must be a boolean.")),
            ("config", _) => return Err(refused("The config must be an object.")),
            (other, _) => {
                return Err(refused(format_args!(
                    "A datasource's {other} cannot change; description, enabled and config can."
                )));
            }
        }
    }
    Ok(patch)
}

/// Null and absent are the same, unknown keys and `type` are ignored.
fn request(body: Value) -> Answer<DatasourceRequest> {
    let Value::Object(mut body) = body else {
        return Err(refused("The body must be an object that describes a datasource."));
    };
    body.retain(|_, value| !value.is_null());
    let mut text = |key: &str| match body.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(refused(format_args!("The datasource's {key} must be a string."))),
    };
    let (id, name, driver) = (text("id")?, text("name")?, text("driver")?);
    let description = text("description")?;
    let enabled = match body.remove("enabled") {
        None => true,
        Some(Value::Bool(enabled)) => enabled,
        Some(_) => return Err(refused("The datasource's key 'enabled' must be a boolean.")),
    };
    let config = match body.remove("config") {
        None => None,
        Some(Value::Object(config)) => Some(config),
        Some(_) => return Err(refused("The datasource's config must be an object.")),
    };
    Ok(DatasourceRequest { id, name, driver, description, enabled, config })
}

/// An action's name and its arguments.
pub(super) fn execution(body: Value) -> Answer<(String, Value)> {
    let mut body = match body {
        Value::Object(body) => body,
        _ => Map::new(),
    };
    let name = match body.remove("name") {
        Some(Value::String(name)) if !name.is_empty() => name,
        _ => return Err(Failure::named(Named::ExecuteError, "Action not found")),
    };
    match body.remove("args") {
        None => Ok((name, json!({}))),
        Some(arguments) if well_formed(&arguments) => Ok((name, arguments)),
        Some(_) => Err(Failure::title(Named::ExecuteActionArgsSyntax)),
    }
}

fn well_formed(arguments: &Value) -> bool {
    arguments.as_object().is_some_and(|arguments| {
        arguments.get("positional").is_none_or(Value::is_array)
            && arguments.get("named").is_none_or(Value::is_object)
    })
}

fn refused(text: impl std::fmt::Display) -> Failure {
    Failure::plain(Status::BadRequest, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let full = json!({"id": "i", "name": "n", "driver": "d", "description": "x",
                          "enabled": false, "config": {"a": 1}, "type": 7, "colour": "red"});
        let request = super::request(full).unwrap();
        assert_eq!((request.id.as_deref(), request.name.as_deref()), (Some("i"), Some("n")));
        assert!(!request.enabled && request.config.unwrap().contains_key("a"));

        let sparse = json!({"config": null, "description": null});
        let request = super::request(sparse).unwrap();
        assert!(request.enabled && request.name.is_none() && request.driver.is_none());
        assert!(request.config.is_none());

        let message = |body| super::request(body).map(|_| ()).unwrap_err().message;
        for (key, value) in [
            ("name", json!(1)),
            ("driver", json!([])),
            ("config", json!("x")),
            ("enabled", json!("no")),
            ("id", json!({})),
        ] {
            assert!(message(json!({ key: value })).contains(key), "{key}");
        }
        assert!(message(json!([])).contains("object"));
    }

    #[test]
    fn what_may_change() {
        let changes = |body, merges| super::changes(Patch { body, merges });
        let patch = changes(json!({"description": null, "enabled": false}), false).unwrap();
        assert_eq!((patch.description, patch.enabled), (Some(None), Some(false)));
        assert!(patch.config.is_none());
        let of = |merges| changes(json!({"config": {"a": null}}), merges).unwrap().config.unwrap();
        assert!(matches!(of(false), ConfigChange::Replace(all) if all.contains_key("a")));
        assert!(matches!(of(true), ConfigChange::Merge(some) if some.contains_key("a")));
        let message = |body| changes(body, true).map(|_| ()).unwrap_err().message;
        assert!(message(json!({"name": "x"})).contains("name"));
        assert!(message(json!({"config": null})).contains("config"));
        assert!(message(json!({"enabled": 1})).contains("enabled"));
        assert!(message(json!(7)).contains("object"));
    }

    #[test]
    fn executions() {
        let code = |body| execution(body).unwrap_err().code;
        assert_eq!(code(json!({"args": {}})), 1016);
        assert_eq!(code(json!(7)), 1016);
        for bad in [json!([]), json!(null), json!({"positional": 1}), json!({"named": []})] {
            assert_eq!(code(json!({"name": "a", "args": bad})), 1018);
        }
        assert_eq!(execution(json!({"name": "a"})), Ok(("a".to_owned(), json!({}))));
    }
}
