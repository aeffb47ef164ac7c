//! A vCenter with recorded hosts and machines, which speaks as much SOAP as reading them takes.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Objects in one answer: few, so that all cases have several pages.
const PAGE: usize = 2;

const COOKIE: &str = "vmware_soap_session=recorded";

/// A running service; stopped when dropped.
pub(crate) struct VCenter {
    url: String,
    task: JoinHandle<()>,
}

impl VCenter {
    pub(crate) async fn start(objects: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let app = Router::new().fallback(answer).with_state(Arc::new(objects));
        let task = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("a server");
        });
        Self { url, task }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for VCenter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(objects): State<Arc<Value>>,
    headers: HeaderMap,
    request: String,
) -> Response {
    let asks = |method: &str| request.contains(&format!("<{method} xmlns=\"urn:vim25\">"));
    let is_logged_in = headers.get("cookie").is_some_and(|cookie| cookie == COOKIE);
    if asks("RetrieveServiceContent") {
        return envelope(
            "<returnval><rootFolder type=\"Folder\">group-d1</rootFolder>\
             <propertyCollector type=\"PropertyCollector\">collector</propertyCollector>\
             <viewManager type=\"ViewManager\">views</viewManager>\
             <sessionManager type=\"SessionManager\">sessions</sessionManager></returnval>",
        );
    }
    if asks("Login") {
        let answer = envelope("<returnval><key>k</key></returnval>");
        let cookie = format!("{COOKIE}; Path=/; HttpOnly; Secure");
        return ([("set-cookie", cookie)], answer).into_response();
    }
    if !is_logged_in {
        return fault("The session is not authenticated.", "NotAuthenticatedFault");
    }
    if asks("CreateContainerView") {
        return envelope("<returnval type=\"ContainerView\">view</returnval>");
    }
    if asks("RetrievePropertiesEx") {
        let hosts = request.contains("<propSet><type>HostSystem</type>");
        return page(&objects, if hosts { "hosts" } else { "vms" }, 0);
    }
    if asks("ContinueRetrievePropertiesEx") {
        let token = request.split("<token>").nth(1).and_then(|rest| rest.split('<').next());
        if let Some((list, from)) = token.and_then(|token| token.split_once('-')) {
            return page(&objects, list, from.parse().unwrap_or_default());
        }
    }
    if ["DestroyView", "CancelRetrievePropertiesEx", "Logout"].into_iter().any(asks) {
        return envelope("");
    }
    fault("Unable to resolve the method.", "RuntimeFaultFault")
}

fn page(objects: &Value, list: &str, from: usize) -> Response {
    let all = objects[list].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut body = String::from("<returnval>");
    if all.len() > from + PAGE {
        let _ = write!(body, "<token>{list}-{}</token>", from + PAGE);
    }
    for object in all.iter().skip(from).take(PAGE) {
        let _ = write!(body, "<objects><obj>{}</obj>", escape(&text(&object["ref"])));
        for property in object["props"].as_array().into_iter().flatten() {
            if !property[1].is_null() {
                let _ = write!(body, "<propSet><name>{}</name>", text(&property[0]));
                element(&mut body, "val", &property[1], true);
                body.push_str("</propSet>");
            }
        }
        body.push_str("</objects>");
    }
    envelope(&(body + "</returnval>"))
}

/// Only a property itself says its type.
fn element(body: &mut String, name: &str, value: &Value, typed: bool) {
    let of = match value {
        Value::Array(items) if items.iter().all(Value::is_string) => "ArrayOfString",
        Value::Array(_) => "ArrayOfAny",
        Value::Object(_) => "Any",
        Value::Number(_) => "xsd:long",
        Value::Bool(_) => "xsd:boolean",
        _ => "xsd:string",
    };
    match typed {
        true => _ = write!(body, "<{name} xsi:type=\"{of}\">"),
        false => _ = write!(body, "<{name}>"),
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| element(body, "item", item, false)),
        Value::Object(members) => {
            let given = members.iter().filter(|(_, value)| !value.is_null());
            given.for_each(|(name, value)| element(body, name, value, false));
        }
        other => body.push_str(&escape(&text(other))),
    }
    let _ = write!(body, "</{name}>");
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn envelope(body: &str) -> Response {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope \
         xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body><Answer \
         xmlns=\"urn:vim25\">{body}</Answer></soapenv:Body></soapenv:Envelope>"
    );
    ([("content-type", "text/xml; charset=utf-8")], xml).into_response()
}

fn fault(said: &str, of: &str) -> Response {
    let body = format!("<Fault><faultstring>{said}</faultstring><detail><{of}/></detail></Fault>");
    (StatusCode::INTERNAL_SERVER_ERROR, envelope(&body)).into_response()
}
