//! Requests to the service, sent by the host with the datasource's credentials.

use serde_json::Value as Json;

use crate::bindings::congress::datasource::session;
pub use crate::bindings::congress::datasource::session::{
    EndpointError, EndpointInterface, Request, Response, endpoint,
};
use crate::{Error, Result, json, services};

/// How much of an answer's body an error quotes.
const QUOTED_CHARS: usize = 200;

/// Sends a request and waits for the answer, of whatever status. A service that could not be
/// reached, let two requests wait, or refused the login (a 401 is an answer, and counts as that), and
/// that has answered nothing else before, is not asked again in the same call: every further request
/// to it has an error at once. One with another `authorization` header of its own is sent.
pub fn send(request: &Request) -> Result<Response> {
    services::ask(request, session::send)
}

impl Request {
    /// A request without body.
    pub fn new(method: &str, url: &str) -> Self {
        Self { method: method.into(), url: url.into(), headers: Vec::new(), body: None }
    }

    /// A GET that asks for JSON.
    pub fn get(url: &str) -> Self {
        Self::new("GET", url).header("accept", "application/json")
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds headers.
    #[must_use]
    pub fn headers<'a>(mut self, headers: impl IntoIterator<Item = &'a (String, String)>) -> Self {
        self.headers.extend(headers.into_iter().cloned());
        self
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json(mut self, body: &Json) -> Self {
        self.body = Some(body.to_string().into_bytes());
        self.header("content-type", "application/json")
    }

    /// Sends it and refuses any answer but a 2xx.
    pub fn send(&self) -> Result<Response> {
        send(self)?.success(self)
    }

    /// Sends it and reads a 2xx answer as JSON.
    pub fn send_json(&self) -> Result<(Response, Json)> {
        let response = self.send()?;
        let json = response.json(self)?;
        Ok((response, json))
    }
}

impl Response {
    /// The value of a header, whose name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The answer itself if it is a 2xx, else an error that says what was asked and answered.
    pub fn success(self, request: &Request) -> Result<Self> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let text = format!(
            "{} answered {}{}",
            described(request),
            self.status,
            quoted(&self.body).map(|body| format!(": {body}")).unwrap_or_default(),
        );
        let reads = matches!(request.method.as_str(), "GET" | "HEAD");
        Err(match self.status {
            401 => Error::Auth(text), // 403 is about this one address, not about the login
            // Nobody knows whether it was done, and it may be tried again.
            429 | 502..=504 if !reads => Error::Connection(text),
            _ => Error::Protocol(text),
        })
    }

    /// The body as JSON.
    pub fn json(&self, request: &Request) -> Result<Json> {
        json::parse(&self.body).map_err(|error| {
            Error::Protocol(format!(
                "{} answered something that is not JSON ({error}){}",
                described(request),
                quoted(&self.body).map(|body| format!(": {body}")).unwrap_or_default(),
            ))
        })
    }
}

impl From<EndpointError> for Error {
    /// A catalogue may come to have what it lacks now, so that nothing of it is final.
    fn from(error: EndpointError) -> Self {
        match error {
            EndpointError::Missing(text) => Self::Connection(text),
            EndpointError::NoCatalogue(error) => error,
        }
    }
}

/// Method and URL without its query, which may hold what does not belong into a status.
fn described(request: &Request) -> String {
    let url = request.url.split(['?', '#']).next().unwrap_or_default();
    format!("{} {url}", request.method)
}

/// The beginning of a body on one line, if there is one and it is text.
fn quoted(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let line: Vec<&str> = text.split_whitespace().collect();
    let line = line.join(" ");
    if line.is_empty() {
        return None;
    }
    let mut quoted: String = line.chars().take(QUOTED_CHARS).collect();
    if quoted.len() < line.len() {
        quoted.push('…');
    }
    Some(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: &str) -> Response {
        Response {
            status,
            headers: vec![("etag".into(), "\"7\"".into())],
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_refused_answer_names_request_status_and_body() {
        let request = Request::get("http://nova/servers?key=hidden");
        let error = response(404, "no\n  such thing").success(&request).unwrap_err();
        assert_eq!(
            error,
            Error::Protocol("GET http://nova/servers answered 404: no such thing".into())
        );
        assert!(matches!(response(401, "").success(&request), Err(Error::Auth(_))));
        for status in [429, 500, 503] {
            assert!(matches!(response(status, "").success(&request), Err(Error::Protocol(_))));
        }
        let post = Request::new("POST", "http://nova/servers");
        assert!(matches!(response(503, "").success(&post), Err(Error::Connection(_))));
        assert!(matches!(response(500, "").success(&post), Err(Error::Protocol(_))));
        assert_eq!(response(204, "").success(&request).unwrap().header("etag"), Some("\"7\""));
    }

    #[test]
    fn what_is_not_json_is_quoted_in_part() {
        let request = Request::get("http://nova/");
        let error = response(200, &"<html> é".repeat(100)).json(&request).unwrap_err().to_string();
        assert!(error.contains("GET http://nova/ answered something that is not JSON"), "{error}");
        assert!(error.contains("<html>") && error.contains('…'), "{error}");
        assert_eq!(response(200, "[1.0]").json(&request).unwrap()[0].to_string(), "1.0");
        assert_eq!(response(200, "\u{feff}[1]").json(&request).unwrap()[0], 1);
    }
}
