//! Actions that rules asked for. An extension: the original had no such resource.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};

use super::App;
use super::action::{self, parameter};
use super::answer::{Collection, Element, method_not_supported};
use super::body::ActionBody;
use super::path::Path;
use crate::actions::{ActionView, Wanted};
use crate::failure::{Answer, Failure, Status};

/// `?state=`, `datasource=`, `policy=`, `action=`, `present=`, `limit=`, `marker=`
pub(super) async fn list(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Answer<Collection<Vec<ActionView>>> {
    let wanted = wanted(query.as_deref())?;
    app.datasources.ledger().list(wanted).await.map(Collection)
}

pub(super) async fn show(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Answer<Element<ActionView>> {
    app.datasources.ledger().get(&id).await.map(Element)
}

/// `?action=repeat` and `?action=settle`
pub(super) async fn act(
    State(app): State<App>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    body: ActionBody,
) -> Answer<Response> {
    let ledger = app.datasources.ledger();
    match action::name(query.as_deref())?.as_str() {
        "repeat" => {
            body.ignored()?;
            let ActionView { id, .. } = &ledger.get(&id).await?;
            app.datasources.repeat_action(id).await?;
            ledger.get(id).await.map(|view| Element(view).into_response())
        }
        "settle" => {
            body.ignored()?;
            ledger.settle(&id).await.map(|view| Element(view).into_response())
        }
        _ => Err(method_not_supported()),
    }
}

fn wanted(query: Option<&str>) -> Answer<Wanted> {
    let bad = |text: String| Failure::plain(Status::BadRequest, text);
    let text = |name: &str| parameter(query, name).next();
    let present = match text("present").map(|text| text.to_ascii_lowercase()).as_deref() {
        None => None,
        Some("true" | "1") => Some(true),
        Some("false" | "0") => Some(false),
        Some(other) => return Err(bad(format!("present must be true or false, not '{other}'"))),
    };
    let limit = match text("limit") {
        None => None,
        Some(limit) => match limit.parse() {
            Ok(limit) if limit > 0 => Some(limit),
            _ => return Err(bad(format!("limit must be a number above 0, not '{limit}'"))),
        },
    };
    Ok(Wanted {
        state: text("state"),
        datasource: text("datasource"),
        policy: text("policy"),
        action: text("action"),
        present,
        limit,
        marker: text("marker"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        assert_eq!(wanted(None), Ok(Wanted::default()));
        let some = wanted(Some("state=unknown&datasource=nova&present=True&limit=5")).unwrap();
        assert_eq!(
            (some.state.as_deref(), some.datasource.as_deref()),
            (Some("unknown"), Some("nova"))
        );
        assert_eq!((some.present, some.limit), (Some(true), Some(5)));
        for bad in ["present=maybe", "limit=0", "limit=x"] {
            assert_eq!(wanted(Some(bad)).unwrap_err().code, 400, "{bad}");
        }
    }
}
