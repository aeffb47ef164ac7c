//! Actions as a table: name, arguments, request.
//!
//! Most actions of a REST service are one request. [`Template`] says which; what it takes from the
//! arguments stands in braces.

mod check;
mod query;
mod text;

use serde_json::{Map, Value as Json};

use crate::session::Request;
use crate::{Action, Call, Error, Result, describe, json, pytext, url};

pub use check::check;
pub use text::parse;

/// An action that is one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Template {
    /// The action's name, commonly `things.verb`.
    pub name: &'static str,
    /// The arguments in positional order, separated by spaces: `name` must be given, `name?` may
    /// be, and `name=default` has a default, JSON or else text. One that begins with a dot,
    /// `.name?`, is taken but not listed; one like `!name` is listed and taken, but has no effect:
    /// what the original's client did with it by itself. `**` takes all other named ones: for the
    /// query, or for the places of `{**}` in the body.
    pub arguments: &'static str,
    /// Method and path below the service's address, as `DELETE servers/{server}`. Arguments are
    /// encoded as one segment (the method may be one, too); `{+name}` is put in as it is. In the
    /// query, `name={name}` is left out when the argument is not given. What a GET has no place for
    /// goes into its query.
    pub request: &'static str,
    /// The JSON body. A text (or key) that is just `{name}` becomes the argument, whatever type it
    /// has; members whose argument is not given are left out. A body that is `{name}` without
    /// quotes is the argument's plain text. `"{**}"` is an object of all other named arguments; as a
    /// member's key it adds them to its object, and `"{**name}"` the members of an argument.
    pub body: Option<&'static str>,
    /// What it does, for people.
    pub description: &'static str,
}

/// A template without body.
pub const fn bare(
    name: &'static str,
    arguments: &'static str,
    request: &'static str,
    description: &'static str,
) -> Template {
    Template { name, arguments, request, body: None, description }
}

/// A template with a JSON body.
pub const fn with_body(
    name: &'static str,
    arguments: &'static str,
    request: &'static str,
    body: &'static str,
    description: &'static str,
) -> Template {
    Template { name, arguments, request, body: Some(body), description }
}

/// The templates as the metadata shows them.
pub fn describe(templates: &[Template]) -> impl Iterator<Item = Action> + '_ {
    templates.iter().map(|template| {
        let action = describe::action(template.name, template.description);
        with_arguments(action, template.arguments)
    })
}

/// Adds the arguments to an action's description, in the words of [`Template::arguments`].
pub fn with_arguments(action: Action, arguments: &str) -> Action {
    let all_listed = parameters(arguments).all(|parameter| parameter.listed);
    let action = match all_listed && !takes_others(arguments) {
        true => action,
        false => action.with_others(),
    };
    let listed = parameters(arguments).filter(|parameter| parameter.listed);
    listed.fold(action, |action, parameter| match parameter.default {
        Default::Required => action.argument(parameter.name, ""),
        _ => action.optional(parameter.name, ""),
    })
}

fn takes_others(words: &str) -> bool {
    words.split_whitespace().any(|word| word == OTHERS)
}

/// Actions in the order of their names, as the API lists them.
pub fn sorted(actions: impl IntoIterator<Item = Action>) -> Vec<Action> {
    let mut actions: Vec<Action> = actions.into_iter().collect();
    actions.sort_by(|a, b| a.name.cmp(&b.name));
    actions
}

/// The request that a call makes at the service with that address. The error names what is wrong
/// with the arguments, or that there is no such action.
pub fn request(templates: &[Template], call: &Call, base: &str) -> Result<Request> {
    let template = templates.iter().find(|template| template.name == call.action);
    template.ok_or_else(|| unknown(call))?.request(call, base)
}

/// The error for an action that a driver does not have.
pub fn unknown(call: &Call) -> Error {
    Error::Unsupported(format!("there is no action '{}'", call.action))
}

/// The error for arguments that do not fit.
pub fn wrong(call: &Call, what: &str) -> Error {
    Error::Unsupported(format!("action '{}': {what}", call.action))
}

impl Template {
    fn request(&self, call: &Call, base: &str) -> Result<Request> {
        let arguments = Arguments::of(call, self.arguments)?;
        let (method, path) = self.request.split_once(' ').unwrap_or(("GET", self.request));
        let url = arguments.query(url::join(base, &arguments.path(path)?), self);
        let method = match placeholder(method).and_then(|name| arguments.get(name)) {
            Some(given) => pytext::text(given).to_ascii_uppercase(),
            None => method.to_owned(),
        };
        let request = Request::new(&method, &url).header("accept", "application/json");
        let Some(body) = self.body else { return Ok(request) };
        if let Some(name) = placeholder(body) {
            let Some(text) = arguments.get(name).map(pytext::text) else { return Ok(request) };
            let request = request.header("content-type", "text/plain");
            return Ok(Request { body: Some(text.into_bytes()), ..request });
        }
        // The templates are constants of the driver, tried by its tests.
        let body = serde_json::from_str(body)
            .map_err(|error| wrong(call, &format!("its template is not JSON: {error}")))?;
        Ok(match arguments.body(&body) {
            Some(body) => request.json(&body),
            None => request,
        })
    }
}

/// One word of [`Template::arguments`].
#[derive(Clone, Copy)]
struct Parameter<'a> {
    name: &'a str,
    default: Default<'a>,
    listed: bool,
    /// Whether a place for it is wanted.
    has_effect: bool,
}

#[derive(Clone, Copy)]
enum Default<'a> {
    Required,
    Absent,
    Text(&'a str),
}

fn parameters(words: &str) -> impl Iterator<Item = Parameter<'_>> {
    words.split_whitespace().filter(|word| *word != OTHERS).map(|word| {
        let (word, listed) = word.strip_prefix('.').map_or((word, true), |word| (word, false));
        let (name, default, has_effect) =
            match (word.strip_prefix('!'), word.split_once('='), word.strip_suffix('?')) {
                (Some(name), ..) => (name, Default::Absent, false),
                (_, Some((name, text)), _) => (name, Default::Text(text), true),
                (.., Some(name)) => (name, Default::Absent, true),
                _ => (word, Default::Required, true),
            };
        Parameter { name, default, listed, has_effect }
    })
}

/// The word for all other named arguments.
const OTHERS: &str = "**";

/// The arguments of a call by name, for actions that a [`Template`] cannot say.
#[derive(Clone, Debug)]
pub struct Arguments<'a> {
    call: &'a Call,
    values: Vec<(&'a str, Json)>,
    others: Vec<&'a (String, Json)>,
}

impl<'a> Arguments<'a> {
    /// The arguments of a call to an action that takes `parameters`, in the words of
    /// [`Template::arguments`]. Null stands for one that is not given.
    pub fn of(call: &'a Call, parameters: &'a str) -> Result<Self> {
        let mut positional = call.positional.iter();
        let mut named: Vec<&(String, Json)> = call.named.iter().collect();
        let mut values = Vec::new();
        for Parameter { name, default, has_effect, .. } in self::parameters(parameters) {
            let by_name =
                named.iter().position(|(n, _)| n == name).map(|i| &named.swap_remove(i).1);
            let value = match (positional.next(), by_name) {
                (Some(_), Some(_)) => {
                    return Err(wrong(call, &format!("argument '{name}' is given twice")));
                }
                (by_position, by_name) => by_position.or(by_name).filter(|value| !value.is_null()),
            };
            match (value, default) {
                _ if !has_effect => {}
                (Some(value), _) => values.push((name, value.clone())),
                (None, Default::Absent) => {}
                (None, Default::Text(text)) => {
                    values.push((name, serde_json::from_str(text).unwrap_or_else(|_| text.into())));
                }
                (None, Default::Required) => {
                    return Err(wrong(call, &format!("argument '{name}' is missing")));
                }
            }
        }
        if positional.next().is_some() {
            let takes = if parameters.is_empty() { "none" } else { parameters };
            let takes = takes.replace(" .", " ");
            let takes = takes.trim_start_matches('.');
            return Err(wrong(call, &format!("too many arguments; it takes: {takes}")));
        }
        match named.first() {
            Some((name, _)) if !takes_others(parameters) => {
                Err(wrong(call, &format!("there is no argument '{name}'")))
            }
            _ => Ok(Self { call, values, others: named }),
        }
    }

    /// An argument, if it is given.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.values.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// The named arguments that only `**` takes.
    pub fn others(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.others.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// A path with arguments in the places of `{name}`. What policies put into it must not lead
    /// elsewhere: an empty id would address the whole collection, dots another one. A parameter of
    /// the query is left out if its argument is not given.
    pub fn path(&self, template: &str) -> Result<String> {
        let (template, query) = template.split_once('?').unwrap_or((template, ""));
        let mut path = String::new();
        let mut rest = template;
        while let Some((before, behind)) = rest.split_once('{') {
            let Some((name, behind)) = behind.split_once('}') else { break };
            let (name, raw) = name.strip_prefix('+').map_or((name, false), |name| (name, true));
            let value = self.segment(name, raw)?;
            path.push_str(before);
            path.push_str(&if raw { value } else { url::encode(&value) });
            rest = behind;
        }
        path.push_str(rest);
        let parameters = query.split('&').filter_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            let Some(name) = placeholder(value) else { return Some(parameter.to_owned()) };
            Some(format!("{key}={}", url::encode(&pytext::text(self.get(name)?))))
        });
        for parameter in parameters {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(&parameter);
        }
        Ok(path)
    }

    /// The URL with what the template has no place for in its query.
    fn query(&self, url: String, template: &Template) -> String {
        let reads = template.request.starts_with("GET ");
        let unplaced =
            self.values.iter().filter(|(name, _)| reads && !has_place(template.request, name));
        let url = query::with(url, unplaced.map(|(name, value)| (*name, value)));
        match template.body {
            Some(body) if has_place(body, OTHERS) => url,
            _ => query::with(url, self.others()),
        }
    }

    fn segment(&self, name: &str, raw: bool) -> Result<String> {
        let value = match self.get(name) {
            Some(value @ (Json::String(_) | Json::Number(_) | Json::Bool(_))) => {
                pytext::text(value)
            }
            other => {
                let kind = other.map_or("missing", json::kind);
                let what = format!("argument '{name}' must be a text or a number, it is {kind}");
                return Err(wrong(self.call, &what));
            }
        };
        let leads_elsewhere = |segment| matches!(segment, "" | "." | "..");
        let path = value.split(['?', '#']).next().unwrap_or_default();
        let path = if raw { path.strip_prefix('/').unwrap_or(path) } else { path };
        if path.split('/').any(leads_elsewhere) {
            let what =
                format!("argument '{name}' is '{value}', which would address something else");
            return Err(wrong(self.call, &what));
        }
        Ok(value)
    }

    /// A body with arguments in the places of `"{name}"`; none if it is nothing but the place of
    /// an argument that is not given.
    pub fn body(&self, template: &Json) -> Option<Json> {
        Some(match template {
            Json::String(text) => match placeholder(text) {
                Some(OTHERS) => Json::Object(owned(self.others()).collect()),
                Some(name) => self.get(name)?.clone(),
                None => template.clone(),
            },
            Json::Array(items) => {
                Json::Array(items.iter().filter_map(|item| self.body(item)).collect())
            }
            Json::Object(members) => {
                let mut filled = Map::new();
                for (key, value) in members {
                    match placeholder(key) {
                        Some(OTHERS) => filled.extend(owned(self.others())),
                        Some(place) if place.starts_with(OTHERS) => {
                            let object = self.get(name_of(place)).and_then(Json::as_object);
                            let members = object.into_iter().flatten();
                            filled.extend(owned(members.map(|(name, value)| (&**name, value))));
                        }
                        Some(name) => {
                            let Some(key) = self.get(name).map(pytext::text) else { continue };
                            filled.extend(self.body(value).map(|value| (key, value)));
                        }
                        None => filled.extend(self.body(value).map(|value| (key.clone(), value))),
                    }
                }
                Json::Object(filled)
            }
            other => other.clone(),
        })
    }
}

fn owned<'a>(
    members: impl Iterator<Item = (&'a str, &'a Json)>,
) -> impl Iterator<Item = (String, Json)> {
    members.map(|(name, value)| (name.to_owned(), value.clone()))
}

/// Whether a template has the place of an argument.
fn has_place(template: &str, name: &str) -> bool {
    let mut places = template.split('{').skip(1).filter_map(|place| place.split('}').next());
    places.any(|place| name_of(place) == name)
}

/// The argument that belongs into a place.
fn name_of(place: &str) -> &str {
    match place.strip_prefix(OTHERS) {
        Some("") => OTHERS,
        Some(name) => name,
        None => place.strip_prefix('+').unwrap_or(place),
    }
}

fn placeholder(text: &str) -> Option<&str> {
    let name = text.strip_prefix('{')?.strip_suffix('}')?;
    let is_name = |c: char| c.is_alphanumeric() || "_-.*".contains(c);
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEMPLATES: &[Template] = &[
        bare("things.delete", "thing", "DELETE things/{thing}", "Deletes."),
        bare("raw", "url", "GET {+url}", "Gets."),
        with_body(
            "define",
            "text .scope=private ns?",
            "PUT defs?scope={scope}&ns={ns}",
            "{text}",
            "",
        ),
        bare("things.list", ".all? !wait **", "GET things?detail=1", "Lists."),
        with_body("things.create", "**", "POST things", r#""{**}""#, "Creates."),
        with_body(
            "things.add",
            "id? more? **",
            "PUT things",
            r#"{"id": "{id}", "{**more}": 0, "{**}": 0}"#,
            "Adds.",
        ),
        with_body(
            "things.change",
            "thing size=1 kind=SOFT name? key?",
            "POST things/{thing}/action",
            r#"{"change": {"size": "{size}", "kind": "{kind}", "name": "{name}", "{key}": null},
                "list": ["{name}", 1]}"#,
            "Changes.",
        ),
    ];

    fn call(action: &str, positional: &[Json], named: &[(&str, Json)]) -> Result<Request> {
        let call = Call {
            action: action.into(),
            positional: positional.to_vec(),
            named: named.iter().map(|(k, v)| (k.to_string(), v.clone())).collect(),
        };
        request(TEMPLATES, &call, "http://h/v2/")
    }

    fn body(request: Request) -> Json {
        serde_json::from_slice(&request.body.unwrap()).unwrap()
    }

    #[test]
    fn arguments_go_into_path_and_body() {
        let request = call("things.delete", &[json!("a/b c")], &[]).unwrap();
        assert_eq!(
            (request.method.as_str(), request.url.as_str()),
            ("DELETE", "http://h/v2/things/a%2Fb%20c")
        );
        assert_eq!(request.body, None);

        let request = call("things.change", &[json!("t")], &[]).unwrap();
        assert_eq!(body(request), json!({"change": {"size": 1, "kind": "SOFT"}, "list": [1]}));
        let named = [("name", json!(["n"])), ("key", json!("k"))];
        let request = call("things.change", &[json!(7), json!("2")], &named).unwrap();
        assert_eq!(request.url, "http://h/v2/things/7/action");
        assert_eq!(
            body(request),
            json!({"change": {"size": "2", "kind": "SOFT", "name": ["n"], "k": null}, "list": [["n"], 1]})
        );
        assert_eq!(call("raw", &[json!("users?a=1")], &[]).unwrap().url, "http://h/v2/users?a=1");
        assert_eq!(call("raw", &[json!("/users")], &[]).unwrap().url, "http://h/v2/users");
    }

    #[test]
    fn arguments_go_into_the_query_and_plain_bodies() {
        let request = call("define", &[json!("a: é")], &[]).unwrap();
        assert_eq!(request.url, "http://h/v2/defs?scope=private");
        assert_eq!(request.body.unwrap(), "a: é".as_bytes());
        assert!(request.headers.contains(&("content-type".into(), "text/plain".into())));
        let request = call("define", &[json!("x"), json!("all"), json!("")], &[]).unwrap();
        assert_eq!(request.url, "http://h/v2/defs?scope=all&ns=");
        let all = [json!(true), json!(9)];
        let request = call("things.list", &all, &[("name", json!("a b"))]).unwrap();
        assert_eq!(request.url, "http://h/v2/things?detail=1&all=True&name=a%20b");
    }

    #[test]
    fn other_arguments_go_into_the_body() {
        assert_eq!(body(call("things.create", &[], &[]).unwrap()), json!({}));
        let named = [("size", json!(1)), ("id", json!("i"))];
        let request = call("things.create", &[], &named).unwrap();
        assert_eq!(request.url, "http://h/v2/things");
        assert_eq!(body(request), json!({"size": 1, "id": "i"}));
        assert_eq!(body(call("things.add", &[], &named).unwrap()), json!({"id": "i", "size": 1}));
        assert_eq!(body(call("things.add", &[], &[]).unwrap()), json!({}));
        let more = [json!("i"), json!({"a": null, "id": "j"})];
        assert_eq!(body(call("things.add", &more, &[]).unwrap()), json!({"id": "j", "a": null}));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let error = |result: Result<Request>| match result.unwrap_err() {
            Error::Unsupported(text) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(error(call("nothing", &[], &[])), "there is no action 'nothing'");
        let delete = |positional: &[Json], named: &[(&str, Json)]| {
            error(call("things.delete", positional, named))
        };
        assert!(delete(&[], &[]).ends_with("argument 'thing' is missing"));
        assert!(
            delete(&[json!("a"), json!("b")], &[]).ends_with("too many arguments; it takes: thing")
        );
        assert!(delete(&[json!("a")], &[("x", json!(1))]).ends_with("there is no argument 'x'"));
        assert!(delete(&[json!("a")], &[("thing", json!(1))]).ends_with("is given twice"));
        assert!(delete(&[json!(["a"])], &[]).contains("must be a text or a number, it is a list"));
        for elsewhere in ["", "..", ".", "../x", "a//b"] {
            assert!(delete(&[json!(elsewhere)], &[]).contains("would address something else"));
        }
        assert!(
            error(call("raw", &[json!("a/../b")], &[])).contains("would address something else")
        );
    }

    #[test]
    fn metadata_shows_what_may_be_left_out() {
        let actions: Vec<Action> = describe(TEMPLATES).collect();
        let required: Vec<bool> = actions[6].arguments.iter().map(|a| a.required).collect();
        assert_eq!(required, [true, false, false, false, false]);
        assert_eq!(actions[6].arguments[2].name, "kind");
        let names: Vec<&str> = actions[2].arguments.iter().map(|a| a.name.as_str()).collect();
        assert_eq!(names, ["text", "ns"], "what begins with a dot is not listed");
        assert_eq!(actions[3].arguments.len(), 1, "what has no effect is listed");
    }
}
