//! What is in a catalogue, as objects with properties and relationships: the rows of all tables.

use std::collections::{BTreeMap, BTreeSet};

use congress_driver::types::DataType;
use congress_driver::{Result, Row, Value, json, rows};
use serde_json::{Map, Value as Json};

const OBJECT: &str = "io.murano.Object";
const APPLICATION: &str = "io.murano.Application";
const ENVIRONMENT: &str = "io.murano.Environment";

/// Classes and the class above each, up to `io.murano.Object`.
const CLASSES: &[(&str, &str)] = &[
    (APPLICATION, OBJECT),
    (ENVIRONMENT, OBJECT),
    ("io.murano.resources.Network", OBJECT),
    ("io.murano.resources.NeutronNetwork", "io.murano.resources.Network"),
    ("io.murano.resources.Instance", OBJECT),
    ("io.murano.resources.LinuxInstance", "io.murano.resources.Instance"),
    ("io.murano.resources.LinuxMuranoInstance", "io.murano.resources.LinuxInstance"),
    ("io.murano.resources.WindowsInstance", "io.murano.resources.Instance"),
];

/// Where applications are whose package the service does not show.
const APPLICATIONS: [&str; 2] = ["io.murano.apps", "io.murano.databases"];

/// All that was read.
#[derive(Debug, Default)]
pub(crate) struct Model {
    objects: Vec<Row>,
    properties: Vec<Row>,
    relationships: Vec<Row>,
    states: Vec<Row>,
    /// Objects and their classes.
    classes: Vec<(Value, String)>,
    /// Classes that packages of type `Application` define.
    applications: BTreeSet<String>,
    /// From the source of a relationship to its targets.
    links: BTreeMap<String, BTreeSet<String>>,
    /// From an owner to what it owns.
    owned: BTreeMap<String, BTreeSet<String>>,
}

impl Model {
    /// Adds a package.
    pub(crate) fn package(&mut self, package: &Json) {
        let application = package["type"] == "Application";
        if application {
            let classes = package["class_definitions"].as_array().into_iter().flatten();
            self.applications.extend(classes.filter_map(Json::as_str).map(String::from));
        }
        let id = json::cell(&package["id"]);
        let kind = if application { APPLICATION.into() } else { json::cell(&package["type"]) };
        self.object(&id, json::cell(&package["owner_id"]), kind);
        self.members(&id, package, &["id", "owner_id", "description"]);
    }

    /// Adds an environment, without what is in it.
    pub(crate) fn environment(&mut self, environment: &Json) {
        let id = json::cell(&environment["id"]);
        self.object(&id, json::cell(&environment["tenant_id"]), ENVIRONMENT.into());
        self.classes.push((id.clone(), ENVIRONMENT.into()));
        self.members(&id, environment, &["id", "tenant_id"]);
        self.states.push(vec![id, json::cell(&environment["status"])]);
    }

    /// Adds a service of an environment, with its instance.
    pub(crate) fn service(&mut self, environment: &str, service: &Json) {
        let Some(id) = self.typed(environment, service) else { return };
        self.relationship(&environment.into(), &id, "services");
        self.members(&id, service, &["?", "instance"]);
        self.references(&id, service, &["?", "instance"]);
        let Value::Text(owner) = &id else { return };
        let instance = &service["instance"];
        if let Some(instance_id) = self.typed(owner, instance) {
            self.relationship(&id, &instance_id, "instance");
            self.members(&instance_id, instance, &["?"]);
            self.references(&instance_id, instance, &["?", "image"]);
        }
    }

    /// Adds the network of an environment that a deployment describes.
    pub(crate) fn deployment(&mut self, environment: &str, deployment: &Json) {
        let networks = &deployment["description"]["defaultNetworks"];
        let network = &networks["environment"];
        let Some(id) = self.typed(environment, network) else { return };
        self.relationship(&environment.into(), &id, "defaultNetworks");
        self.members(&id, network, &["?"]);
        for (key, other) in networks.as_object().into_iter().flatten() {
            if key != "environment" {
                self.property(&id, &format!("defaultNetworks.{key}"), other);
            }
        }
    }

    /// Adds an object that says under `?` what it is, and answers its id.
    fn typed(&mut self, owner: &str, object: &Json) -> Option<Value> {
        let about = object.get("?").filter(|about| about.is_object())?;
        let id = json::cell(&about["id"]);
        self.object(&id, owner.into(), json::cell(&about["type"]));
        if let Some(class) = about["type"].as_str() {
            self.classes.push((id.clone(), class.into()));
        }
        Some(id)
    }

    fn object(&mut self, id: &Value, owner: Value, kind: Value) {
        if let (Value::Text(id), Value::Text(owner)) = (id, &owner) {
            self.owned.entry(owner.clone()).or_default().insert(id.clone());
        }
        self.objects.push(vec![id.clone(), owner, kind]);
    }

    fn relationship(&mut self, source: &Value, target: &Value, name: &str) {
        if let (Value::Text(source), Value::Text(target)) = (source, target) {
            self.links.entry(source.clone()).or_default().insert(target.clone());
        }
        self.relationships.push(vec![source.clone(), target.clone(), name.into()]);
    }

    fn members(&mut self, id: &Value, object: &Json, but: &[&str]) {
        for (name, value) in others(object, but) {
            self.property(id, name, value);
        }
    }

    /// A property; a list has a row for each item, an object one for each member.
    fn property(&mut self, id: &Value, name: &str, value: &Json) {
        match value {
            Json::Null => {}
            Json::String(text) if text.is_empty() => {}
            Json::Array(items) => {
                let rows = items.iter().map(|item| vec![id.clone(), name.into(), json::cell(item)]);
                self.properties.extend(rows);
            }
            Json::Object(members) => {
                for (member, value) in members {
                    self.property(id, &format!("{name}.{member}"), value);
                }
            }
            scalar => self.properties.push(vec![id.clone(), name.into(), json::cell(scalar)]),
        }
    }

    /// Properties that name other objects.
    fn references(&mut self, id: &Value, object: &Json, but: &[&str]) {
        for (name, value) in others(object, but) {
            let target = value.as_str().map(Value::from);
            if let Some(target) = target.filter(|text| DataType::Uuid.marshal(text.clone()).is_ok())
            {
                self.relationship(id, &target, name);
            }
        }
    }

    /// Sends the rows of all tables.
    pub(crate) fn send(self) -> Result<()> {
        rows::replace("parent_types", self.parent_types())?;
        rows::replace("connected", self.connected())?;
        rows::replace("objects", self.objects)?;
        rows::replace("properties", self.properties)?;
        rows::replace("relationships", self.relationships)?;
        rows::replace("states", self.states)
    }

    fn parent_types(&self) -> impl Iterator<Item = Row> {
        self.classes.iter().flat_map(|(id, class)| {
            self.ancestors(class).into_iter().map(|class| vec![id.clone(), class.into()])
        })
    }

    /// A class and those above it; nothing for one that nobody knows.
    fn ancestors<'a>(&'a self, class: &'a str) -> Vec<&'a str> {
        let above =
            |class: &str| CLASSES.iter().find(|(name, _)| *name == class).map(|(_, up)| *up);
        if class == OBJECT || above(class).is_some() {
            return std::iter::successors(Some(class), |class| above(class)).collect();
        }
        let named = || APPLICATIONS.iter().any(|prefix| class.contains(prefix));
        if self.applications.contains(class) || named() {
            return vec![class, APPLICATION, OBJECT];
        }
        Vec::new()
    }

    /// Each object with all that can be reached from it: over relationships, and from their targets
    /// to what those own.
    fn connected(&self) -> impl Iterator<Item = Row> {
        let steps = self.steps();
        let sources: Vec<String> = steps.keys().cloned().collect();
        sources.into_iter().flat_map(move |source| {
            let mut reached: BTreeSet<&str> = BTreeSet::new();
            let mut open = vec![source.as_str()];
            while let Some(at) = open.pop() {
                let targets = steps.get(at).into_iter().flatten();
                open.extend(targets.copied().filter(|target| reached.insert(target)));
            }
            let rows =
                reached.into_iter().map(|target| vec![source.as_str().into(), target.into()]);
            rows.collect::<Vec<Row>>()
        })
    }

    /// From each object to those one step away.
    fn steps(&self) -> BTreeMap<String, BTreeSet<&str>> {
        let mut steps: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for (source, targets) in &self.links {
            for target in targets {
                steps.entry(source.clone()).or_default().insert(target);
                for owned in self.owned.get(target).into_iter().flatten() {
                    steps.entry(source.clone()).or_default().insert(owned);
                    steps.entry(target.clone()).or_default().insert(owned);
                }
            }
        }
        steps
    }
}

fn others<'a>(object: &'a Json, but: &[&str]) -> impl Iterator<Item = (&'a String, &'a Json)> {
    let members: Option<&Map<String, Json>> = object.as_object();
    members.into_iter().flatten().filter(|(name, _)| !but.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SERVICE: &str = "6a107b75-677f-4cbd-8c22-af58be6521cc";
    const PEER: &str = "8c7e134f-5dfb-43d1-ac4a-3698aa2ca1af";

    fn texts(rows: impl IntoIterator<Item = Row>) -> Vec<String> {
        let mut texts: Vec<String> = rows
            .into_iter()
            .map(|row| {
                let cells = row.into_iter().map(|cell| match cell {
                    Value::Text(text) => text,
                    other => format!("{other:?}"),
                });
                cells.collect::<Vec<_>>().join(" ")
            })
            .collect();
        texts.sort();
        texts
    }

    #[test]
    fn a_service_has_properties_relationships_and_an_instance() {
        let mut model = Model::default();
        model.service(
            "env",
            &json!({
                "?": {"id": SERVICE, "type": "com.example.App"}, "peer": PEER, "none": null,
                "empty": "", "ports": [80, 443], "nest": {"a": {"b": true}, "c": []},
                "instance": {"?": {"id": "i", "type": "io.murano.resources.LinuxInstance"},
                             "image": PEER, "name": "vm"}
            }),
        );
        assert_eq!(
            texts(model.properties.clone()),
            [
                format!("{SERVICE} nest.a.b Value::Boolean(true)"),
                format!("{SERVICE} peer {PEER}"),
                format!("{SERVICE} ports Value::Integer(443)"),
                format!("{SERVICE} ports Value::Integer(80)"),
                format!("i image {PEER}"),
                "i name vm".into(),
            ]
        );
        assert_eq!(
            texts(model.relationships.clone()),
            [
                format!("{SERVICE} {PEER} peer"),
                format!("{SERVICE} i instance"),
                format!("env {SERVICE} services"),
            ]
        );
        assert_eq!(
            texts(model.connected()),
            [
                format!("{SERVICE} {PEER}"),
                format!("{SERVICE} i"),
                format!("env {SERVICE}"),
                format!("env {PEER}"),
                "env i".into(),
            ]
        );
        assert_eq!(
            texts(model.parent_types()),
            [
                "i io.murano.Object",
                "i io.murano.resources.Instance",
                "i io.murano.resources.LinuxInstance",
            ],
            "nobody knows com.example.App"
        );
        model.package(&json!({"type": "Application", "class_definitions": ["com.example.App"]}));
        assert_eq!(texts(model.parent_types()).len(), 6);
    }

    #[test]
    fn circles_end() {
        let mut model = Model::default();
        model.relationship(&"a".into(), &"b".into(), "r");
        model.relationship(&"b".into(), &"a".into(), "r");
        assert_eq!(texts(model.connected()), ["a a", "a b", "b a", "b b"]);
    }

    #[test]
    fn odd_objects_are_passed_over() {
        let mut model = Model::default();
        for odd in [json!(null), json!("text"), json!({"?": null}), json!({"name": "x"})] {
            model.service("env", &odd);
            model.deployment("env", &json!({"description": {"defaultNetworks": odd}}));
            model.deployment("env", &odd);
        }
        model.environment(&json!({}));
        assert_eq!(model.objects.len(), 1);
    }
}
