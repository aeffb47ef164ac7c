//! Requests from pages of other origins: what browsers ask before they send them, and what they
//! must be told so that a page may read the answer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// Headers that every page may send.
const SIMPLE: [&str; 8] = [
    "Accept",
    "Accept-Language",
    "Content-Type",
    "Cache-Control",
    "Content-Language",
    "Expires",
    "Last-Modified",
    "Pragma",
];

/// `[cors]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// Origins whose pages may use the API; `*` for all.
    pub origins: Vec<String>,
    /// Whether they may send cookies and the like.
    pub credentials: bool,
    /// Headers that they may read.
    pub exposed: Vec<String>,
    /// For how many seconds browsers may remember what they were told.
    pub max_age: Option<u32>,
    /// Methods that they may use.
    pub methods: Vec<String>,
    /// Headers that they may send.
    pub headers: Vec<String>,
}

/// The outermost layer, so that refusals can be read too.
pub(super) async fn wrap(State(cors): State<Arc<Cors>>, request: Request, next: Next) -> Response {
    let headers = if request.method() == Method::OPTIONS {
        cors.preflight(request.headers())
    } else {
        cors.answer(request.headers())
    };
    let mut response = next.run(request).await;
    for (name, value) in headers.unwrap_or_default() {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

type Headers = Vec<(HeaderName, String)>;

impl Cors {
    /// The headers for what a page has sent; none for pages that may not.
    fn answer(&self, request: &HeaderMap) -> Option<Headers> {
        let mut headers = self.origin(request)?;
        if !self.exposed.is_empty() {
            headers.push((ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed.join(",")));
        }
        Some(headers)
    }

    /// The headers for a browser that asks whether a page may send something; none if not.
    fn preflight(&self, request: &HeaderMap) -> Option<Headers> {
        let mut headers = self.origin(request)?;
        let method = request.get(ACCESS_CONTROL_REQUEST_METHOD)?.to_str().ok()?;
        if !self.methods.iter().any(|allowed| allowed == method) {
            return None;
        }
        let asked = match request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            Some(asked) => asked.to_str().ok()?,
            None => "",
        };
        let asked = asked.split(',').map(str::trim).filter(|name| !name.is_empty());
        let asked: Vec<_> = asked.collect();
        let allowed = |name: &&str| {
            let own = self.headers.iter().map(String::as_str);
            own.chain(SIMPLE).any(|allowed| allowed.eq_ignore_ascii_case(name))
        };
        if !asked.iter().all(allowed) {
            return None;
        }
        if let Some(seconds) = self.max_age {
            headers.push((ACCESS_CONTROL_MAX_AGE, seconds.to_string()));
        }
        headers.push((ACCESS_CONTROL_ALLOW_METHODS, method.to_owned()));
        if !asked.is_empty() {
            headers.push((ACCESS_CONTROL_ALLOW_HEADERS, asked.join(",")));
        }
        Some(headers)
    }

    /// What allows an origin; none for others.
    fn origin(&self, request: &HeaderMap) -> Option<Headers> {
        let origin = request.get(ORIGIN)?.to_str().ok()?;
        let has = |wanted: &str| self.origins.iter().any(|allowed| allowed == wanted);
        let origin = if has(origin) { origin } else { has("*").then_some("*")? };
        let mut headers =
            vec![(VARY, "Origin".to_owned()), (ACCESS_CONTROL_ALLOW_ORIGIN, origin.to_owned())];
        if self.credentials {
            headers.push((ACCESS_CONTROL_ALLOW_CREDENTIALS, "true".to_owned()));
        }
        Some(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors() -> Cors {
        Cors {
            origins: vec!["https://horizon.example".to_owned()],
            credentials: true,
            exposed: vec!["X-Auth-Token".to_owned(), "X-Subject-Token".to_owned()],
            max_age: Some(3600),
            methods: vec!["GET".to_owned(), "PUT".to_owned()],
            headers: vec!["X-Auth-Token".to_owned()],
        }
    }

    fn request(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        headers.collect()
    }

    fn shown(headers: Option<Headers>) -> String {
        let headers = headers.into_iter().flatten();
        headers.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    const ORIGIN: (&str, &str) = ("origin", "https://horizon.example");

    #[test]
    fn answers() {
        assert_eq!(
            shown(cors().answer(&request(&[ORIGIN]))),
            "vary=Origin access-control-allow-origin=https://horizon.example \
             access-control-allow-credentials=true \
             access-control-expose-headers=X-Auth-Token,X-Subject-Token"
        );
        assert_eq!(cors().answer(&request(&[("origin", "https://evil.example")])), None);
        assert_eq!(cors().answer(&request(&[])), None);
        let all = Cors { origins: vec!["*".to_owned()], ..Cors::default() };
        assert_eq!(
            shown(all.answer(&request(&[("origin", "https://any.example")]))),
            "vary=Origin access-control-allow-origin=*"
        );
    }

    #[test]
    fn preflights() {
        let asks = |method, headers| {
            let asked = [
                ORIGIN,
                ("access-control-request-method", method),
                ("access-control-request-headers", headers),
            ];
            shown(cors().preflight(&request(&asked)))
        };
        assert_eq!(
            asks("PUT", "x-auth-token, content-type"),
            "vary=Origin access-control-allow-origin=https://horizon.example \
             access-control-allow-credentials=true access-control-max-age=3600 \
             access-control-allow-methods=PUT \
             access-control-allow-headers=x-auth-token,content-type"
        );
        assert_eq!(asks("DELETE", ""), "");
        assert_eq!(asks("GET", "x-other"), "");
        assert_eq!(cors().preflight(&request(&[ORIGIN])), None);
    }
}
