//! What policies can do to images.

use congress_driver::actions::{self, Arguments, Template, bare};
use congress_driver::openstack::Service;
use congress_driver::session::Request;
use congress_driver::{Action, Call, Error, Result, json, pytext, url};
use serde_json::{Value as Json, json};

/// The actions that are one request.
const TEMPLATES: &str = include_str!("actions.txt");

/// The image that an action of [`OWN`] is about.
const IMAGE: &str = "v2/images/{image_id}";
/// How Glance calls a list of changes.
const PATCH: &str = "application/openstack-images-v2.1-json-patch";

/// Actions that begin with a look at the image, or send what is not JSON.
const OWN: [Template; 7] = [
    own(
        "images.add_location",
        "image_id url metadata validation_data?",
        "Add a new location entry to an image's list of locations.  It is an error to add a URL that \
         is already present in the list of locations.",
    ),
    own("images.data", "image_id !do_checksum !allow_md5_fallback", "Retrieve data of an image."),
    own(
        "images.delete_locations",
        "image_id url_set",
        "Remove one or more location entries of an image.",
    ),
    own(
        "images.image_import",
        "image_id method=glance-direct uri? backend? stores? allow_failure=true all_stores?",
        "Import Image via method.",
    ),
    own("images.stage", "image_id image_data !image_size", "Upload the data to image staging."),
    own("images.update", "image_id remove_props? **", "Update attributes of an image."),
    own(
        "images.update_location",
        "image_id url metadata",
        "Update an existing location entry in an image's list of locations.  The URL specified must \
         be already present in the image's list of locations.",
    ),
];

const fn own(name: &'static str, arguments: &'static str, description: &'static str) -> Template {
    bare(name, arguments, "GET v2/images/{image_id}", description)
}

/// All actions, as the metadata shows them.
pub(crate) fn all() -> Vec<Action> {
    let templates = actions::parse(TEMPLATES);
    actions::sorted(actions::describe(&templates).chain(actions::describe(&OWN)))
}

/// Runs an action.
pub(crate) fn execute(service: &Service, call: &Call) -> Result<()> {
    let Some(template) = OWN.iter().find(|template| template.name == call.action) else {
        return service.execute(&actions::parse(TEMPLATES), call);
    };
    let arguments = Arguments::of(call, template.arguments)?;
    let path = arguments.path(IMAGE)?;
    let at = |method: &str, ending: &str| {
        Request::new(method, &url::join(service.base(), &format!("{path}{ending}")))
    };
    let image = || service.get(&path).send_json().map(|(_, image)| image);
    let change = |changes: Json| service.send(patch(at("PATCH", ""), &changes));
    match template.name {
        "images.add_location" => {
            change(added_location(&arguments))?;
            image().map(drop)
        }
        "images.data" => {
            image()?;
            service.send(at("GET", "/file"))
        }
        "images.delete_locations" => change(without_locations(call, &arguments, &image()?)?),
        "images.update_location" => change(updated_location(call, &arguments, &image()?)?),
        "images.image_import" => {
            let request = at("POST", "/import").json(&import(&arguments));
            service.send(match arguments.get("backend") {
                Some(store) => request.header("x-image-meta-store", &pytext::text(store)),
                None => request,
            })
        }
        "images.stage" => {
            let data = arguments.get("image_data").map(pytext::text).unwrap_or_default();
            let request = at("PUT", "/stage").header("content-type", "application/octet-stream");
            service.send(Request { body: Some(data.into_bytes()), ..request })
        }
        _ => {
            change(updated(call, &arguments, &image()?)?)?;
            image().map(drop)
        }
    }
}

fn patch(request: Request, changes: &Json) -> Request {
    let request = request.header("content-type", PATCH);
    Request { body: Some(changes.to_string().into_bytes()), ..request }
}

fn added_location(arguments: &Arguments<'_>) -> Json {
    let mut location = json!({
        "url": arguments.get("url"), "metadata": arguments.get("metadata"),
    });
    if let Some(validation) = arguments.get("validation_data") {
        location["validation_data"] = validation.clone();
    }
    json!([{"op": "add", "path": "/locations/-", "value": location}])
}

/// The locations of an image, which a service may keep to itself.
fn locations<'a>(call: &Call, image: &'a Json) -> Result<&'a Vec<Json>> {
    image["locations"].as_array().ok_or_else(|| {
        actions::wrong(call, "the service does not show the locations of its images")
    })
}

/// The index of the location with that URL.
fn location(call: &Call, locations: &[Json], url: &Json) -> Result<usize> {
    let found = locations.iter().position(|location| &location["url"] == url);
    found.ok_or_else(|| {
        actions::wrong(call, &format!("the image has no location {}", pytext::repr(url)))
    })
}

fn without_locations(call: &Call, arguments: &Arguments<'_>, image: &Json) -> Result<Json> {
    let locations = locations(call, image)?;
    let urls = match arguments.get("url_set") {
        Some(Json::Array(urls)) => urls.clone(),
        url => url.cloned().into_iter().collect(),
    };
    let found: Result<Vec<usize>> = urls.iter().map(|url| location(call, locations, url)).collect();
    let mut found = found?;
    // From the end on, for each removal moves those behind it.
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.dedup();
    let remove = |index| json!({"op": "remove", "path": format!("/locations/{index}")});
    Ok(found.into_iter().map(remove).collect())
}

fn updated_location(call: &Call, arguments: &Arguments<'_>, image: &Json) -> Result<Json> {
    let mut locations = locations(call, image)?.clone();
    let url = arguments.get("url").cloned().unwrap_or_default();
    let index = location(call, &locations, &url)?;
    locations[index]["metadata"] = arguments.get("metadata").cloned().unwrap_or_default();
    Ok(json!([
        {"op": "replace", "path": "/locations", "value": []},
        {"op": "replace", "path": "/locations", "value": locations},
    ]))
}

fn import(arguments: &Arguments<'_>) -> Json {
    let mut method = json!({"name": arguments.get("method")});
    if let Some(uri) = arguments.get("uri") {
        method["uri"] = uri.clone();
    }
    let mut body = json!({"method": method});
    for several in ["stores", "all_stores"] {
        let Some(value) = arguments.get(several) else { continue };
        body[several] = value.clone();
        if arguments.get("allow_failure") == Some(&json!(true)) {
            body["all_stores_must_succeed"] = json!(false);
        }
    }
    body
}

/// The changes that give an image the named arguments as members, and take others from it.
fn updated(call: &Call, arguments: &Arguments<'_>, image: &Json) -> Result<Json> {
    let Json::Object(image) = image else {
        return Err(Error::Protocol(format!("the image is {}, not an object", json::kind(image))));
    };
    let path = |name: &str| format!("/{}", name.replace('~', "~0").replace('/', "~1"));
    let mut changes = Vec::new();
    for (name, value) in arguments.others() {
        let op = match image.get(name) {
            Some(old) if old == value => continue,
            Some(_) => "replace",
            None => "add",
        };
        changes.push(json!({"op": op, "path": path(name), "value": value}));
    }
    let removed = match arguments.get("remove_props") {
        None => Vec::new(),
        Some(Json::Array(names)) => names.clone(),
        Some(name @ Json::String(_)) => vec![name.clone()],
        Some(_) => return Err(actions::wrong(call, "argument 'remove_props' must be a list")),
    };
    for name in removed.iter().filter_map(Json::as_str).filter(|name| image.contains_key(*name)) {
        changes.push(json!({"op": "remove", "path": path(name)}));
    }
    Ok(Json::Array(changes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(action: &str, positional: &[Json], named: &[(&str, Json)]) -> Call {
        Call {
            action: action.into(),
            positional: positional.to_vec(),
            named: named.iter().map(|(name, value)| ((*name).into(), value.clone())).collect(),
        }
    }

    /// A call of one of [`OWN`].
    fn with<T>(call: &Call, run: impl Fn(&Call, &Arguments<'_>) -> T) -> T {
        let template = OWN.iter().find(|template| template.name == call.action).unwrap();
        run(call, &Arguments::of(call, template.arguments).unwrap())
    }

    #[test]
    fn templates_are_well_formed() {
        actions::check(TEMPLATES).unwrap();
        for template in &OWN {
            template.check().unwrap();
        }
    }

    #[test]
    fn updates_name_what_differs() {
        let image = json!({"name": "a", "min_ram": 1, "os/x": "y"});
        let named = [("name", json!("b")), ("min_ram", json!(1)), ("new", json!("n"))];
        let call = call("images.update", &[json!("i"), json!(["os/x", "gone"])], &named);
        let changes = with(&call, |call, arguments| updated(call, arguments, &image)).unwrap();
        assert_eq!(
            changes,
            json!([
                {"op": "replace", "path": "/name", "value": "b"},
                {"op": "add", "path": "/new", "value": "n"},
                {"op": "remove", "path": "/os~1x"},
            ])
        );
    }

    #[test]
    fn locations_are_changed() {
        let image = json!({"locations": [
            {"url": "u0", "metadata": {}}, {"url": "u1", "metadata": {}}, {"url": "u2"},
        ]});
        let urls = |urls: Json| {
            let call = call("images.delete_locations", &[json!("i"), urls], &[]);
            with(&call, |call, arguments| without_locations(call, arguments, &image))
        };
        let remove = |index: u8| json!({"op": "remove", "path": format!("/locations/{index}")});
        assert_eq!(urls(json!(["u0", "u2"])).unwrap(), json!([remove(2), remove(0)]));
        assert_eq!(urls(json!("u1")).unwrap(), json!([remove(1)]));
        assert!(urls(json!("u3")).is_err());

        let update =
            call("images.update_location", &[json!("i"), json!("u1"), json!({"k": 1})], &[]);
        let changes =
            with(&update, |call, arguments| updated_location(call, arguments, &image)).unwrap();
        assert_eq!(changes[1]["value"][1], json!({"url": "u1", "metadata": {"k": 1}}));
        assert!(
            with(&update, |call, arguments| updated_location(call, arguments, &json!({}))).is_err()
        );
    }

    #[test]
    fn imports_name_method_and_stores() {
        let import = |positional: &[Json], named: &[(&str, Json)]| {
            with(&call("images.image_import", positional, named), |_, arguments| import(arguments))
        };
        assert_eq!(import(&[json!("i")], &[]), json!({"method": {"name": "glance-direct"}}));
        let download = [json!("i"), json!("web-download"), json!("http://x")];
        assert_eq!(
            import(&download, &[("all_stores", json!(true))]),
            json!({
                "method": {"name": "web-download", "uri": "http://x"},
                "all_stores": true, "all_stores_must_succeed": false
            })
        );
    }
}
