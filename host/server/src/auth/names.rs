//! By which names policy files know what a request wants to do.

use std::borrow::Cow;

use http::Method;

/// What a request wants to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// Names of rules for this alone, the most specific first.
    pub(super) specific: Vec<Cow<'static, str>>,
    /// The name that the original has for it, which is the same for everything with this method.
    pub(super) general: &'static str,
}

impl Names {
    /// All names, the most specific first.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        self.specific.iter().map(AsRef::as_ref).chain([self.general])
    }
}

/// The names for a request to a route (`/v1/policies/{p}`) with the action of its query. None for
/// what anybody with a token may see: which versions there are, and how the API is described.
///
/// Made from the route's words, so that a new route has names without an entry here.
pub(super) fn of(method: &Method, route: &str, action: Option<&str>) -> Option<Names> {
    let (verb, general) = match *method {
        Method::GET | Method::HEAD => ("get", "get_v1"),
        Method::POST => ("create", "create_v1"),
        Method::DELETE => ("delete", "delete_v1"),
        // Methods that no route has are answered 501; as long as that is so nothing is lost.
        _ => ("update", "update_v1"),
    };
    let words = route.trim_start_matches("/v1").split('/').filter(|word| !word.is_empty());
    let words: Vec<_> = words.filter(|word| *word != "system").collect();
    let is_place = |word: &&str| word.starts_with('{');
    let fixed: Vec<_> = words.iter().copied().filter(|word| !is_place(word)).collect();
    let specific = match fixed.as_slice() {
        [] | ["openapi.json"] => return None,
        // An element that is asked to do something.
        [collection] if *method == Method::POST && words.last().is_some_and(is_place) => {
            acting(collection, action).into_iter().collect()
        }
        ["policies", "rules", ..] => vec![named(verb, "policy_rules")],
        ["policies", "tables"] => vec![named(verb, "policy_tables")],
        ["policies", "tables", ..] => vec![named(verb, "policy_rows")],
        ["policies", ..] => vec![named(verb, "policies")],
        ["librarypolicies", ..] => vec![named(verb, "library_policies")],
        ["data-sources", .., "webhook"] => vec!["post_webhook".into()],
        ["data-sources", "tables", "rows" | "events", ..] => {
            vec![named(verb, "data_source_rows"), named(verb, "data_sources")]
        }
        ["data-sources", ..] => vec![named(verb, "data_sources")],
        [collection, ..] => vec![named(verb, &collection.replace('-', "_"))],
    };
    Some(Names { specific, general })
}

fn named(verb: &str, what: &str) -> Cow<'static, str> {
    format!("{verb}_{what}").into()
}

/// The name of an element's action; none if that cannot be the name of one.
fn acting(collection: &str, action: Option<&str>) -> Option<Cow<'static, str>> {
    let element = match collection {
        "policies" => "policy",
        "data-sources" => "data_source",
        "librarypolicies" => "library_policy",
        "actions" => "action",
        _ => return None,
    };
    let action = action?.replace('-', "_");
    let is_name = !action.is_empty() && action.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_name.then(|| match (element, action.as_str()) {
        (_, "request_refresh") => "request_refresh".into(),
        (_, "execute") => format!("execute_{element}_action").into(),
        (_, action) => format!("{action}_{element}").into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(method: Method, route: &str, action: Option<&str>) -> String {
        of(&method, route, action)
            .map_or_else(String::new, |names| names.all().collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn every_route_has_names() {
        for (method, route, action, names) in [
            ("GET", "/v1", None, ""),
            ("GET", "/v1/", None, ""),
            ("GET", "/v1/openapi.json", None, ""),
            ("GET", "/v1/policies", None, "get_policies get_v1"),
            ("HEAD", "/v1/policies/{p}", None, "get_policies get_v1"),
            ("GET", "/v1/policies/{p}/status", None, "get_policies get_v1"),
            ("POST", "/v1/policies", None, "create_policies create_v1"),
            ("POST", "/v1/policies", Some("simulate"), "create_policies create_v1"),
            ("DELETE", "/v1/policies/{p}", None, "delete_policies delete_v1"),
            ("PUT", "/v1/policies/{p}", None, "update_policies update_v1"),
            ("PATCH", "/v1/policies/{p}", None, "update_policies update_v1"),
            ("POST", "/v1/policies/{p}", Some("simulate"), "simulate_policy create_v1"),
            ("POST", "/v1/policies/{p}", Some("execute"), "execute_policy_action create_v1"),
            ("POST", "/v1/policies/{p}", Some("x y"), "create_v1"),
            ("POST", "/v1/policies/{p}", None, "create_v1"),
            ("GET", "/v1/policies/{p}/rules", None, "get_policy_rules get_v1"),
            ("POST", "/v1/policies/{p}/rules", None, "create_policy_rules create_v1"),
            ("DELETE", "/v1/policies/{p}/rules/{r}", None, "delete_policy_rules delete_v1"),
            ("GET", "/v1/policies/{p}/tables", None, "get_policy_tables get_v1"),
            ("GET", "/v1/policies/{p}/tables/{t}", None, "get_policy_tables get_v1"),
            ("GET", "/v1/policies/{p}/tables/{t}/rows", None, "get_policy_rows get_v1"),
            ("GET", "/v1/librarypolicies/{l}", None, "get_library_policies get_v1"),
            ("PUT", "/v1/librarypolicies/{l}", None, "update_library_policies update_v1"),
            ("GET", "/v1/data-sources", None, "get_data_sources get_v1"),
            ("GET", "/v1/data-sources/{d}/status", None, "get_data_sources get_v1"),
            (
                "GET",
                "/v1/data-sources/{d}/tables/{t}/rows",
                None,
                "get_data_source_rows get_data_sources get_v1",
            ),
            (
                "PUT",
                "/v1/data-sources/{d}/tables/{t}/rows",
                None,
                "update_data_source_rows update_data_sources update_v1",
            ),
            (
                "GET",
                "/v1/data-sources/{d}/tables/{t}/events",
                None,
                "get_data_source_rows get_data_sources get_v1",
            ),
            ("GET", "/v1/policies/{p}/tables/{t}/explain", None, "get_policy_rows get_v1"),
            ("GET", "/v1/policies/{p}/tables/{t}/events", None, "get_policy_rows get_v1"),
            ("POST", "/v1/data-sources/{d}", Some("request-refresh"), "request_refresh create_v1"),
            (
                "POST",
                "/v1/data-sources/{d}",
                Some("execute"),
                "execute_data_source_action create_v1",
            ),
            ("POST", "/v1/data-sources/{d}/webhook", None, "post_webhook create_v1"),
            ("POST", "/v1/data-sources/{d}/tables/{t}/webhook", None, "post_webhook create_v1"),
            ("GET", "/v1/system/drivers", None, "get_drivers get_v1"),
            ("GET", "/v1/system/drivers/{d}", None, "get_drivers get_v1"),
            ("GET", "/v1/actions/{a}", None, "get_actions get_v1"),
            ("POST", "/v1/actions/{a}", Some("settle"), "settle_action create_v1"),
            ("GET", "/v1/new-things/{t}", None, "get_new_things get_v1"),
            ("PURGE", "/v1/policies", None, "update_policies update_v1"),
        ] {
            let method = method.parse().unwrap();
            assert_eq!(all(method, route, action), names, "{route}");
        }
    }
}
