//! Where the client sent its request, as the proxy before this server says it: for links.
//!
//! Only with `[oslo_middleware] enable_proxy_headers_parsing`: without a proxy, clients could make
//! these headers up.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http::header::{FORWARDED, HOST};
use http::uri::Authority;

/// Scheme, host and path before the API's own, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base(pub(super) String);

/// The layer that makes a [`Base`] of the headers, if they say anything.
pub(super) async fn wrap(mut request: Request, next: Next) -> Response {
    if let Some(base) = base(request.headers()) {
        request.extensions_mut().insert(base);
    }
    next.run(request).await
}

/// What the headers say, the first proxy's word first. Values that cannot be right are ignored.
fn base(headers: &HeaderMap) -> Option<Base> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let first = |name: &str| Some(text(name)?.split(',').next()?.trim());
    let (scheme, host) = match text(FORWARDED.as_str()) {
        Some(forwarded) => {
            let proxy = forwarded.split(',').next().unwrap_or_default();
            let parameter = |wanted: &str| {
                let mut parameters = proxy.split(';').filter_map(|part| part.split_once('='));
                parameters
                    .find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))
                    .map(|(_, value)| value.trim().trim_matches('"'))
            };
            (parameter("proto"), parameter("host"))
        }
        None => (first("x-forwarded-proto"), first("x-forwarded-host")),
    };
    let scheme = scheme.map(str::to_ascii_lowercase);
    let scheme = scheme.filter(|scheme| matches!(scheme.as_str(), "http" | "https"));
    let host = host.filter(|host| host.parse::<Authority>().is_ok());
    let prefix = first("x-forwarded-prefix").map(|prefix| prefix.trim_matches('/'));
    let prefix = prefix.filter(|prefix| !prefix.is_empty() && is_path(prefix));
    if scheme.is_none() && host.is_none() && prefix.is_none() {
        return None;
    }
    let host = host.or_else(|| text(HOST.as_str()))?;
    let scheme = scheme.unwrap_or_else(|| "http".to_owned());
    let prefix = prefix.map(|prefix| format!("/{prefix}")).unwrap_or_default();
    Some(Base(format!("{scheme}://{host}{prefix}")))
}

fn is_path(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/%".contains(&b))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn said(headers: &[(&'static str, &'static str)]) -> Option<String> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        base(&headers.collect()).map(|base| base.0)
    }

    #[test]
    fn what_proxies_say() {
        assert_eq!(said(&[("host", "h:1")]), None);
        assert_eq!(
            said(&[("host", "h:1"), ("x-forwarded-proto", "https")]).as_deref(),
            Some("https://h:1")
        );
        let old = [
            ("host", "h:1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "cloud.example, inner"),
            ("x-forwarded-prefix", "/policy/"),
        ];
        assert_eq!(said(&old).as_deref(), Some("https://cloud.example/policy"));
        let new = [
            ("host", "h:1"),
            ("forwarded", "for=192.0.2.60;Proto=https;host=\"cloud.example:8443\", for=x"),
            ("x-forwarded-host", "ignored"),
        ];
        assert_eq!(said(&new).as_deref(), Some("https://cloud.example:8443"));
        let bad = [
            ("host", "h:1"),
            ("x-forwarded-proto", "javascript"),
            ("x-forwarded-host", "a b"),
            ("x-forwarded-prefix", "\"><script>"),
        ];
        assert_eq!(said(&bad), None);
    }
}
