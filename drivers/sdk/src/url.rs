//! The few things that drivers do with URLs.

use std::fmt::Write;

/// Percent-encodes a text for one segment of a path or one part of a query.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            // Writing to a String cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// Adds a path below a base address, with one slash between them.
pub fn join(base: &str, path: &str) -> String {
    let path = path.trim_start_matches('/');
    let base = base.trim_end_matches('/');
    if path.is_empty() || path.starts_with('?') {
        return format!("{base}{path}");
    }
    format!("{base}/{path}")
}

/// The value of a query parameter as it stands in the URL, still encoded.
pub fn query<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    let name = encode(name);
    parameters(url).find_map(|parameter| match parameter.split_once('=') {
        Some((n, value)) if n == name => Some(value),
        None if parameter == name => Some(""),
        _ => None,
    })
}

/// Sets a query parameter, in place of one of that name or at the end.
pub fn with_query(url: &str, name: &str, value: &str) -> String {
    let name = encode(name);
    let ours = format!("{name}={}", encode(value));
    let mut found = false;
    let mut parts: Vec<&str> = Vec::new();
    for parameter in parameters(url) {
        if parameter.split('=').next() != Some(&name) {
            parts.push(parameter);
        } else if !found {
            found = true;
            parts.push(&ours);
        }
    }
    if !found {
        parts.push(&ours);
    }
    format!("{}?{}", without_query(url), parts.join("&"))
}

/// Scheme, host and port of a URL.
pub fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |colon| colon + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |end| host + end);
    &url[..end]
}

/// The URL without query and fragment.
pub fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

fn parameters(url: &str) -> impl Iterator<Item = &str> {
    let query = url.split('#').next().and_then(|url| url.split_once('?')).map_or("", |(_, q)| q);
    query.split('&').filter(|parameter| !parameter.is_empty())
}

/// Where a link points that was found in the answer to a request to `base`.
pub fn resolve(base: &str, link: &str) -> String {
    let (scheme, rest) = base.split_once("://").unwrap_or(("http", base));
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..authority_end];
    if link.contains("://") && !link.starts_with(['/', '?']) {
        return link.to_owned();
    }
    if let Some(rest) = link.strip_prefix("//") {
        return format!("{scheme}://{rest}");
    }
    let origin = format!("{scheme}://{authority}");
    if link.starts_with('/') {
        return format!("{origin}{link}");
    }
    let path = without_query(&rest[authority_end..]);
    if link.is_empty() || link.starts_with('?') {
        return format!("{origin}{path}{link}");
    }
    let folder = path.rfind('/').map_or("/", |slash| &path[..=slash]);
    format!("{origin}{folder}{link}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_and_encodes() {
        assert_eq!(join("http://h/v2/", "/servers"), "http://h/v2/servers");
        assert_eq!(join("http://h/v2", "?a=1"), "http://h/v2?a=1");
        assert_eq!(join("http://h/v2/", ""), "http://h/v2");
        assert_eq!(encode("a/b c?é~"), "a%2Fb%20c%3F%C3%A9~");
    }

    #[test]
    fn origins() {
        for url in ["http://h:80", "http://h:80/", "http://h:80/a/b", "http://h:80?a=/"] {
            assert_eq!(origin(url), "http://h:80");
        }
        assert_eq!(origin("h/a"), "h");
    }

    #[test]
    fn queries() {
        let url = "http://h/p?marker=a%20b&limit=2#x";
        assert_eq!(query(url, "marker"), Some("a%20b"));
        assert_eq!(query(url, "mark"), None);
        assert_eq!(with_query(url, "marker", "c&d"), "http://h/p?marker=c%26d&limit=2");
        assert_eq!(with_query("http://h/p", "a", "1"), "http://h/p?a=1");
        assert_eq!(with_query("http://h/p?", "a", "1"), "http://h/p?a=1");
        assert_eq!(with_query("http://h/p?a=1&b=2&a=3", "a", "4"), "http://h/p?a=4&b=2");
    }

    #[test]
    fn resolves_links() {
        let base = "https://h:8774/v2/servers/detail?x=1";
        for (link, url) in [
            ("http://other/v2?y", "http://other/v2?y"),
            ("//other/v2", "https://other/v2"),
            ("/v2/next?to=http://x/", "https://h:8774/v2/next?to=http://x/"),
            ("?marker=2", "https://h:8774/v2/servers/detail?marker=2"),
            ("more", "https://h:8774/v2/servers/more"),
        ] {
            assert_eq!(resolve(base, link), url);
        }
        assert_eq!(resolve("http://h", "/x"), "http://h/x");
        assert_eq!(resolve("http://h", "x"), "http://h/x");
    }
}
