//! The vSphere Web Services API, as much of it as reading properties of objects takes: a login, a
//! view of all objects of a type, and their properties, page by page.

use congress_driver::session::{Request, Response, send};
use congress_driver::{Error, Result, logging};
use roxmltree::{Document, Node};
use serde_json::{Map, Value as Json};

const SCHEMA: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// The oldest version that has all that is asked for; newer services answer as of that version.
const ACTION: &str = "\"urn:vim25/5.5\"";
/// Objects in one answer.
const PAGE: usize = 100;

/// An object of the service.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) id: String,
    pub(crate) properties: Map<String, Json>,
}

impl Object {
    /// A property; null if the object does not have it.
    pub(crate) fn property(&self, name: &str) -> &Json {
        self.properties.get(name).unwrap_or(&Json::Null)
    }
}

/// A login.
pub(crate) struct Client {
    url: String,
    /// Says who asks.
    cookie: String,
    collector: String,
    views: String,
    folder: String,
    sessions: String,
}

impl Client {
    /// Logs in. The address is a host or a URL.
    pub(crate) fn login(address: &str, user: &str, password: &str) -> Result<Self> {
        let base = address.trim().trim_end_matches('/');
        let base = match base.contains("://") {
            true => base.to_owned(),
            false => format!("https://{base}"),
        };
        let mut client = Self {
            url: format!("{base}/sdk"),
            cookie: String::new(),
            collector: String::new(),
            views: String::new(),
            folder: String::new(),
            sessions: String::new(),
        };
        let service = reference("_this", "ServiceInstance", "ServiceInstance");
        let content = client.call("RetrieveServiceContent", &service)?;
        let answer = parse(&content)?;
        let find = |name: &str| {
            let found = answer.descendants().find(|node| node.is_named(name));
            found.map(text).ok_or_else(|| {
                Error::Protocol(format!("{}: the service's content lacks '{name}'", client.url))
            })
        };
        let (collector, views) = (find("propertyCollector")?, find("viewManager")?);
        let (folder, sessions) = (find("rootFolder")?, find("sessionManager")?);
        drop(answer);
        (client.collector, client.views) = (collector, views);
        (client.folder, client.sessions) = (folder, sessions);
        let arguments = reference("_this", "SessionManager", &client.sessions)
            + &element("userName", user)
            + &element("password", password);
        let answer = client.send("Login", &arguments)?;
        let cookie = answer.header("set-cookie").and_then(|cookie| cookie.split(';').next());
        client.cookie = cookie.unwrap_or_default().to_owned();
        Ok(client)
    }

    /// Logs out. That it fails changes nothing: the service ends idle sessions by itself.
    pub(crate) fn logout(&self) {
        let arguments = reference("_this", "SessionManager", &self.sessions);
        if let Err(error) = self.call("Logout", &arguments) {
            logging::debug(&format!("logout: {error}"));
        }
    }

    /// All objects of a type, but no more than `most`, with some of their properties.
    pub(crate) fn objects(&self, of: &str, names: &[&str], most: usize) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        if most == 0 {
            return Ok(objects);
        }
        let view = self.view(of)?;
        let collector = reference("_this", "PropertyCollector", &self.collector);
        let paths: String = names.iter().map(|name| element("pathSet", name)).collect();
        let filter = format!(
            "{collector}<specSet><propSet><type>{of}</type>{paths}</propSet><objectSet>{}\
             <skip>true</skip><selectSet xsi:type=\"TraversalSpec\"><name>view</name>\
             <type>ContainerView</type><path>view</path><skip>false</skip></selectSet></objectSet>\
             </specSet><options><maxObjects>{}</maxObjects></options>",
            reference("obj", "ContainerView", &view),
            most.min(PAGE),
        );
        let mut answer = self.call("RetrievePropertiesEx", &filter)?;
        loop {
            let before = objects.len();
            let token = page(&answer, &mut objects)?;
            if objects.len() >= most {
                if let Some(token) = token {
                    // What is not read is given up, for the service keeps it for us.
                    let rest = format!("{collector}{}", element("token", &token));
                    self.call("CancelRetrievePropertiesEx", &rest)?;
                }
                objects.truncate(most);
                break;
            }
            let Some(token) = next_page(token, objects.len() - before, of)? else { break };
            let next = format!("{collector}{}", element("token", &token));
            answer = self.call("ContinueRetrievePropertiesEx", &next)?;
        }
        self.call("DestroyView", &reference("_this", "ContainerView", &view))?;
        Ok(objects)
    }

    /// A view of all objects of a type.
    fn view(&self, of: &str) -> Result<String> {
        let arguments = format!(
            "{}{}{}<recursive>true</recursive>",
            reference("_this", "ViewManager", &self.views),
            reference("container", "Folder", &self.folder),
            element("type", of),
        );
        let answer = self.call("CreateContainerView", &arguments)?;
        let answer = parse(&answer)?;
        let view = answer.descendants().find(|node| node.is_named("returnval")).map(text);
        view.ok_or_else(|| Error::Protocol(format!("{}: no view of {of}", self.url)))
    }

    fn call(&self, method: &str, arguments: &str) -> Result<String> {
        let answer = self.send(method, arguments)?;
        String::from_utf8(answer.body)
            .map_err(|_| Error::Protocol(format!("{}: {method}: not UTF-8", self.url)))
    }

    /// Sends a request. A fault in the answer is an error.
    fn send(&self, method: &str, arguments: &str) -> Result<Response> {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope \
             xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:xsi=\"{SCHEMA}\">\
             <soapenv:Body><{method} xmlns=\"urn:vim25\">{arguments}</{method}></soapenv:Body>\
             </soapenv:Envelope>"
        );
        let mut request = Request::new("POST", &self.url)
            .header("content-type", "text/xml; charset=utf-8")
            .header("soapaction", ACTION);
        if !self.cookie.is_empty() {
            request = request.header("cookie", &self.cookie);
        }
        request.body = Some(body.into_bytes());
        let answer = send(&request)?;
        match fault(method, &answer.body) {
            Some(error) => Err(error),
            None => answer.success(&request),
        }
    }
}

/// The fault in an answer, if there is one.
fn fault(method: &str, body: &[u8]) -> Option<Error> {
    let body = std::str::from_utf8(body).ok()?;
    let document = Document::parse(body).ok()?;
    let fault = document.descendants().find(|node| node.is_named("Fault"))?;
    let said = fault.children().find(|node| node.is_named("faultstring")).map(text);
    let said = format!("{method}: {}", said.unwrap_or_default());
    let is_login = ["InvalidLoginFault", "NotAuthenticatedFault", "NoPermissionFault"];
    let refused = fault.descendants().any(|node| is_login.contains(&node.tag_name().name()));
    Some(if refused { Error::Auth(said) } else { Error::Protocol(said) })
}

/// Adds the objects of a page; the token with which to ask for the next one, if there is one.
fn page(answer: &str, objects: &mut Vec<Object>) -> Result<Option<String>> {
    let document = parse(answer)?;
    let Some(page) = document.descendants().find(|node| node.is_named("returnval")) else {
        return Ok(None);
    };
    for object in page.children().filter(|node| node.is_named("objects")) {
        let child = |node: Node<'_, '_>, name: &str| {
            node.children().find(|node| node.is_named(name)).map(text)
        };
        let properties = object.children().filter(|node| node.is_named("propSet"));
        let property = |set: Node<'_, '_>| {
            let value = set.children().find(|node| node.is_named("val"))?;
            Some((child(set, "name")?, json(value)))
        };
        objects.push(Object {
            id: child(object, "obj").unwrap_or_default(),
            properties: properties.filter_map(property).collect(),
        });
    }
    Ok(page.children().find(|node| node.is_named("token")).map(text))
}

/// The token of the page to ask for next. A page of no objects that has one would lead from page to
/// page without end.
fn next_page(token: Option<String>, objects: usize, of: &str) -> Result<Option<String>> {
    match token {
        Some(_) if objects == 0 => Err(Error::Protocol(format!(
            "RetrievePropertiesEx: a page of {of} objects has none, and says that there are more"
        ))),
        token => Ok(token),
    }
}

/// An element as JSON: an array as a list, one with elements inside as an object, one without as a
/// number if its type says so (or it has none and looks so), else as text.
fn json(node: Node<'_, '_>) -> Json {
    let of = node.attribute((SCHEMA, "type")).unwrap_or_default();
    let of = of.split_once(':').map_or(of, |(_, name)| name);
    let mut elements = node.children().filter(Node::is_element).peekable();
    if of.starts_with("ArrayOf") {
        return elements.map(json).collect();
    }
    if elements.peek().is_none() {
        let text = text(node);
        let is_number = matches!(of, "int" | "long" | "short" | "byte")
            // Members of objects come without their type; those read here are texts where their
            // names say so.
            || of.is_empty() && NUMBERS.contains(&node.tag_name().name());
        return match text.parse::<i64>() {
            Ok(number) if is_number => number.into(),
            _ if of == "boolean" => (text == "true" || text == "1").into(),
            _ => text.into(),
        };
    }
    let mut object = Map::new();
    for element in elements {
        object.insert(element.tag_name().name().to_owned(), json(element));
    }
    object.into()
}

/// Members of objects that are numbers.
const NUMBERS: [&str; 5] =
    ["guestMemoryUsage", "overallCpuDemand", "overallCpuUsage", "committed", "uncommitted"];

fn parse(text: &str) -> Result<Document<'_>> {
    Document::parse(text)
        .map_err(|error| Error::Protocol(format!("the answer is no XML that can be read: {error}")))
}

fn text(node: Node<'_, '_>) -> String {
    node.children().filter_map(|node| node.is_text().then(|| node.text()).flatten()).collect()
}

fn element(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escape(text))
}

/// A reference to an object of the service.
fn reference(name: &str, of: &str, id: &str) -> String {
    format!("<{name} type=\"{of}\">{}</{name}>", escape(id))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Names of elements whatever their namespace: services differ in that.
trait Named {
    fn is_named(&self, name: &str) -> bool;
}

impl Named for Node<'_, '_> {
    fn is_named(&self, name: &str) -> bool {
        self.is_element() && self.tag_name().name() == name
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn properties_become_json() {
        let mut objects = Vec::new();
        let answer = r#"<e xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
            xmlns:xsd="http://www.w3.org/2001/XMLSchema"><returnval><token>7</token><objects>
            <obj type="HostSystem">host-1</obj>
            <propSet><name>name</name><val xsi:type="xsd:string">a &amp; 1</val></propSet>
            <propSet><name>size</name><val xsi:type="xsd:int">4096</val></propSet>
            <propSet><name>dns</name><val xsi:type="ArrayOfString"><string>10.0.0.1</string></val></propSet>
            <propSet><name>none</name><val xsi:type="ArrayOfString"/></propSet>
            <propSet><name>stats</name><val xsi:type="S"><overallCpuUsage>5</overallCpuUsage><x>5</x></val></propSet>
            </objects></returnval></e>"#;
        assert_eq!(page(answer, &mut objects).unwrap().as_deref(), Some("7"));
        assert_eq!(objects[0].id, "host-1");
        let expected = json!({"name": "a & 1", "size": 4096, "dns": ["10.0.0.1"], "none": [],
                              "stats": {"overallCpuUsage": 5, "x": "5"}});
        assert_eq!(Json::Object(objects[0].properties.clone()), expected);
    }

    #[test]
    fn a_page_without_objects_that_is_not_the_last_is_an_error() {
        let pages = "<e><returnval><token>7</token></returnval></e>";
        let token = page(pages, &mut Vec::new()).unwrap();
        assert_eq!(next_page(token.clone(), 1, "HostSystem").unwrap().as_deref(), Some("7"));
        let error = next_page(token, 0, "HostSystem").unwrap_err().to_string();
        assert!(error.contains("a page of HostSystem objects has none"), "{error}");
        assert_eq!(next_page(None, 0, "HostSystem").unwrap(), None);
    }

    #[test]
    fn faults_are_errors() {
        let fault = |detail: &str| {
            let body = format!(
                "<E><Fault><faultstring>No.</faultstring><detail><{detail}/></detail></Fault></E>"
            );
            super::fault("Login", body.as_bytes()).unwrap()
        };
        assert_eq!(fault("InvalidLoginFault"), Error::Auth("Login: No.".into()));
        assert_eq!(fault("RuntimeFaultFault"), Error::Protocol("Login: No.".into()));
        assert!(super::fault("Login", b"<E/>").is_none());
    }

    #[test]
    fn what_is_no_xml_is_an_error() {
        assert!(page("<a>", &mut Vec::new()).is_err());
        assert_eq!(escape("a<b>&c"), "a&lt;b&gt;&amp;c");
    }
}
