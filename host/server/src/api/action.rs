//! Actions of elements: `POST <element>?action=<name>`.

use axum::extract::RawQuery;

use super::answer::method_not_supported;
use crate::failure::{Answer, Failure, Status};

/// The values of a query parameter, decoded.
pub(super) fn parameter(query: Option<&str>, name: &str) -> impl Iterator<Item = String> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .filter(move |(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// The one action of a request, with `_` for `-`.
pub(super) fn name(query: Option<&str>) -> Answer<String> {
    let mut names = parameter(query, "action");
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(name.replace('-', "_")),
        (None, _) => {
            Err(Failure::verbatim(Status::BadRequest, "Missing required action parameter."))
        }
        (Some(_), Some(_)) => Err(Failure::verbatim(
            Status::BadRequest,
            "Action parameter may not be provided multiple times.",
        )),
    }
}

/// Answers actions of elements that have none.
pub(super) async fn none(RawQuery(query): RawQuery) -> Failure {
    name(query.as_deref()).err().unwrap_or_else(method_not_supported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(name(Some("x=1&action=request-refresh")), Ok("request_refresh".to_owned()));
        assert_eq!(name(Some("action=a%2Db")), Ok("a_b".to_owned()));
        let message = |query| name(query).unwrap_err().message;
        assert_eq!(message(None), "Missing required action parameter.");
        assert_eq!(message(Some("Action=x")), "Missing required action parameter.");
        assert_eq!(
            message(Some("action=x&action=x")),
            "Action parameter may not be provided multiple times."
        );
    }
}
