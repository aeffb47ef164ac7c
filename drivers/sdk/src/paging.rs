//! The ways in which services cut long lists into pages.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use serde_json::Value as Json;

use crate::path::Path;
use crate::session::{self, Request, Response};
use crate::{Error, Result, json, url};

/// How many pages a list may have. One that has more has no end: a service that answers something
/// wherever one asks for more. By default a call may send twice as many requests, so that a list
/// without end leaves some for other tables.
const MOST_PAGES: u64 = 5_000;

/// How to find the page that follows.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Paging {
    /// There is only one page.
    #[default]
    None,
    /// The body holds the address of the next page here (`next`, `links.next`, `next_url`).
    Link(Path),
    /// The body holds a list of `{rel, href}` here, one of them with `rel` = `next`
    /// (`servers_links`, `links`).
    RelNext(Path),
    /// The answer's `Link` header, `<…>; rel="next"`.
    LinkHeader,
    /// The body holds a token here, which goes into a query parameter (`next_marker`,
    /// `metadata.continue`).
    Cursor {
        /// Where the token is.
        token: Path,
        /// The query parameter.
        parameter: String,
    },
    /// A member of the last item goes into a query parameter, until a page is empty.
    Marker {
        /// Where the marker is, in the item.
        member: Path,
        /// The query parameter.
        parameter: String,
    },
    /// The number of items read so far goes into a query parameter, until a page is empty or
    /// shorter than the limit.
    Offset {
        /// The query parameter.
        parameter: String,
        /// Items on a full page, if known.
        limit: Option<u64>,
    },
    /// The number of the page goes into a query parameter, until a page is empty or shorter than
    /// the limit.
    Page {
        /// The query parameter.
        parameter: String,
        /// The number of the first page.
        first: u64,
        /// Items on a full page, if known.
        limit: Option<u64>,
    },
}

impl Paging {
    /// The address of the next page is in `links.next`, as in Keystone and JSON:API.
    pub fn links_next() -> Self {
        Self::Link(Path::members(["links", "next"]))
    }

    /// What leads to the next page, for messages.
    fn means(&self) -> String {
        match self {
            Self::None | Self::Link(_) | Self::RelNext(_) | Self::LinkHeader => "links".into(),
            Self::Cursor { parameter, .. }
            | Self::Marker { parameter, .. }
            | Self::Offset { parameter, .. }
            | Self::Page { parameter, .. } => format!("'{parameter}'"),
        }
    }
}

/// One page.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its address.
    pub url: String,
    /// The whole body.
    pub body: Json,
    items: Path,
    null_is_empty: bool,
}

impl Page {
    /// The list on the page; an answer without it is an error.
    pub fn list(&self) -> Result<&[Json]> {
        match self.items.get(&self.body) {
            Some(Json::Array(items)) => Ok(items),
            Some(Json::Null) if self.null_is_empty => Ok(&[]),
            found => Err(Error::Protocol(format!(
                "GET {}: {} in the answer is {}, not a list",
                url::without_query(&self.url),
                self.items,
                found.map_or("missing", json::kind),
            ))),
        }
    }
}

/// The items at a path: the elements of the list there, or all that a path with `[*]` selects.
fn items_of<'a>(path: &Path, body: &'a Json) -> Vec<&'a Json> {
    if !path.is_single() {
        return path.all(body);
    }
    path.get(body).and_then(Json::as_array).map_or_else(Vec::new, |items| items.iter().collect())
}

/// Reads the pages of a list one after the other. Ends after the last one, after an error, and
/// where the next page's address is that of one that was read. A page that is the same again is an
/// error: what comes behind it could not be read.
#[derive(Debug)]
pub struct Pages {
    next: Option<Request>,
    paging: Paging,
    items: Path,
    same_address: bool,
    may_be_gone: bool,
    null_is_empty: bool,
    progress: Progress,
}

impl Pages {
    /// The pages from that request on; `items` is the path to the list in each page's body.
    pub fn new(first: Request, paging: Paging, items: Path) -> Self {
        Self {
            next: Some(first),
            paging,
            items,
            same_address: false,
            may_be_gone: false,
            null_is_empty: false,
            progress: Progress::default(),
        }
    }

    /// Takes only the query of a next link and keeps the address of the first request. Services
    /// behind a proxy often name themselves in links by an address that only they can reach.
    #[must_use]
    pub fn same_address(mut self) -> Self {
        self.same_address = true;
        self
    }

    /// Takes a 404 for the end of the list: the lists of things that vanish while they are read
    /// one by one.
    #[must_use]
    pub fn may_be_gone(mut self) -> Self {
        self.may_be_gone = true;
        self
    }

    /// Takes null for an empty list, where [`Page::list`] finds it: services in Go write such lists
    /// so.
    #[must_use]
    pub fn null_is_empty(mut self) -> Self {
        self.null_is_empty = true;
        self
    }

    fn read(&mut self, request: Request) -> Result<Option<Page>> {
        self.progress.within_bounds(&request)?;
        let response = session::send(&request)?;
        self.page(request, response)
    }

    /// The page that was answered, if there is one, and what to ask for next.
    fn page(&mut self, request: Request, response: Response) -> Result<Option<Page>> {
        if self.may_be_gone && response.status == 404 {
            return Ok(None);
        }
        let response = response.success(&request)?;
        let body = response.json(&request)?;
        self.progress.is_another(&self.paging, &request, &response.body)?;
        let items = items_of(&self.items, &body);
        let next = self.progress.next(&self.paging, &request.url, &response, &body, &items);
        self.next = next
            .map(|next| if self.same_address { keep_address(&request.url, &next) } else { next })
            .filter(|next| self.progress.is_new(&request.url, next))
            .map(|next| Request { url: next, ..request.clone() });
        let (items, null_is_empty) = (self.items.clone(), self.null_is_empty);
        Ok(Some(Page { url: request.url, body, items, null_is_empty }))
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Result<Page>> {
        let request = self.next.take()?;
        self.read(request).transpose()
    }
}

/// The query of `link` at the address of `url`.
fn keep_address(url: &str, link: &str) -> String {
    match link.split_once('?') {
        Some((_, query)) => format!("{}?{query}", url::without_query(url)),
        None => link.to_owned(),
    }
}

/// How far the reading has come.
#[derive(Debug, Default)]
struct Progress {
    items: u64,
    pages: u64,
    seen: HashSet<String>,
    last_body: Option<u64>,
    hasher: RandomState,
}

impl Progress {
    /// Refuses a page more than there can be.
    fn within_bounds(&self, request: &Request) -> Result<()> {
        if self.pages < MOST_PAGES {
            return Ok(());
        }
        Err(Error::Protocol(format!(
            "{} {}: the list has no end; {MOST_PAGES} pages were read",
            request.method,
            url::without_query(&request.url),
        )))
    }

    /// Refuses a body that is that of the page before: a service that ignores the parameter.
    fn is_another(&mut self, paging: &Paging, request: &Request, body: &[u8]) -> Result<()> {
        let hash = self.hasher.hash_one(body);
        let before = self.last_body.replace(hash);
        if before != Some(hash) || self.items == 0 {
            return Ok(());
        }
        Err(Error::Protocol(format!(
            "{} {}: the service answers the same page again; it may not know paging by {}",
            request.method,
            url::without_query(&request.url),
            paging.means(),
        )))
    }

    /// Whether a page has not been asked for yet.
    fn is_new(&mut self, current: &str, next: &str) -> bool {
        self.seen.insert(current.to_owned());
        !self.seen.contains(next)
    }

    /// The address of the page after the one with these items.
    fn next(
        &mut self,
        paging: &Paging,
        url: &str,
        response: &Response,
        body: &Json,
        items: &[&Json],
    ) -> Option<String> {
        self.items += items.len() as u64;
        self.pages += 1;
        let more = |limit: &Option<u64>| {
            !items.is_empty() && limit.is_none_or(|limit| items.len() as u64 >= limit)
        };
        match paging {
            Paging::None => None,
            Paging::Link(path) => {
                // Some services write null as text.
                let no_link = |link: &&str| matches!(*link, "" | "null");
                let link = path.get(body)?.as_str().filter(|link| !no_link(link))?;
                Some(url::resolve(url, link))
            }
            Paging::RelNext(path) => {
                let links = path.get(body)?.as_array()?;
                let next = links.iter().find(|link| link["rel"] == "next")?;
                Some(url::resolve(url, next["href"].as_str()?))
            }
            Paging::LinkHeader => {
                let mut headers = response.headers.iter().filter(|(name, _)| name == "link");
                headers.find_map(|(_, value)| next_link(value)).map(|link| url::resolve(url, link))
            }
            Paging::Cursor { token, parameter } => {
                let token = plain_text(token.get(body)?)?;
                Some(url::with_query(url, parameter, &token))
            }
            Paging::Marker { member, parameter } => {
                let marker = plain_text(member.get(items.last()?)?)?;
                Some(url::with_query(url, parameter, &marker))
            }
            Paging::Offset { parameter, limit } => {
                more(limit).then(|| url::with_query(url, parameter, &self.items.to_string()))
            }
            Paging::Page { parameter, first, limit } => {
                let number = first + self.pages;
                more(limit).then(|| url::with_query(url, parameter, &number.to_string()))
            }
        }
    }
}

/// A token's text: a text that is not empty, or a number.
fn plain_text(json: &Json) -> Option<String> {
    match json {
        Json::String(text) if !text.is_empty() => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The target of the link with `rel` = `next` in a `Link` header.
fn next_link(header: &str) -> Option<&str> {
    // Targets may hold commas and semicolons, so the header is read from bracket to bracket.
    let mut rest = header;
    while let Some((_, behind)) = rest.split_once('<') {
        let (target, behind) = behind.split_once('>')?;
        let parameters = behind.split('<').next().unwrap_or_default();
        let is_next = parameters.split([';', ',']).any(|parameter| {
            parameter.split_once('=').is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("rel")
                    && value.trim().trim_matches('"').split(' ').any(|rel| rel == "next")
            })
        });
        if is_next {
            return Some(target);
        }
        rest = behind;
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const URL: &str = "http://h/v2/things?limit=2";

    fn next(paging: Paging, body: Json) -> Option<String> {
        next_after(&mut Progress::default(), &paging, URL, &body, &[])
    }

    fn next_after(
        progress: &mut Progress,
        paging: &Paging,
        url: &str,
        body: &Json,
        headers: &[(&str, &str)],
    ) -> Option<String> {
        let response = Response {
            status: 200,
            headers: headers.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            body: Vec::new(),
        };
        let items = items_of(&Path::member("things"), body);
        progress.next(paging, url, &response, body, &items)
    }

    fn path(path: &str) -> Path {
        path.parse().unwrap()
    }

    #[test]
    fn links_in_the_body() {
        let link = Paging::Link(path("links.next"));
        let body = json!({"links": {"next": "/v2/things?marker=b"}});
        assert_eq!(next(link.clone(), body).unwrap(), "http://h/v2/things?marker=b");
        for last in [json!(null), json!(""), json!("null")] {
            assert_eq!(next(link.clone(), json!({"links": {"next": last}})), None);
        }
        assert_eq!(next(link, json!([])), None);
        let rel = Paging::RelNext(path("things_links"));
        let body =
            json!({"things_links": [{"rel": "previous"}, {"rel": "next", "href": "http://h/x"}]});
        assert_eq!(next(rel.clone(), body).unwrap(), "http://h/x");
        assert_eq!(next(rel, json!({"things_links": []})), None);
    }

    #[test]
    fn links_in_the_header() {
        let headers =
            [("x", "y"), ("link", r#"<http://h/a?x=1,2>; rel="prev", <?page=3>; rel="next""#)];
        let body = json!({});
        let mut progress = Progress::default();
        let found = next_after(&mut progress, &Paging::LinkHeader, URL, &body, &headers);
        assert_eq!(found.unwrap(), "http://h/v2/things?page=3");
        assert_eq!(next_link("<a>; rel=last"), None);
        assert_eq!(next_link("no link"), None);
        assert_eq!(next_link("<a>; rel=\"prev\", <b>; title=\"x\"; rel=\"next last\""), Some("b"));
    }

    #[test]
    fn tokens_and_markers() {
        let cursor = Paging::Cursor { token: path("meta.continue"), parameter: "continue".into() };
        let body = json!({"meta": {"continue": "a b"}});
        assert_eq!(
            next(cursor.clone(), body).unwrap(),
            "http://h/v2/things?limit=2&continue=a%20b"
        );
        assert_eq!(next(cursor, json!({"meta": {"continue": ""}})), None);
        let marker = Paging::Marker { member: path("name"), parameter: "marker".into() };
        let body = json!({"things": [{"name": "a"}, {"name": "b"}]});
        assert_eq!(next(marker.clone(), body).unwrap(), "http://h/v2/things?limit=2&marker=b");
        assert_eq!(next(marker, json!({"things": []})), None);
    }

    #[test]
    fn offsets_and_pages_count() {
        let mut progress = Progress::default();
        let offset = Paging::Offset { parameter: "offset".into(), limit: None };
        let two = json!({"things": [1, 2]});
        let url = next_after(&mut progress, &offset, URL, &two, &[]).unwrap();
        assert_eq!(url, "http://h/v2/things?limit=2&offset=2");
        let url = next_after(&mut progress, &offset, &url, &two, &[]).unwrap();
        assert_eq!(url, "http://h/v2/things?limit=2&offset=4");
        assert_eq!(next_after(&mut progress, &offset, &url, &json!({"things": []}), &[]), None);

        let mut progress = Progress::default();
        let page = Paging::Page { parameter: "page".into(), first: 1, limit: Some(2) };
        let url = next_after(&mut progress, &page, URL, &two, &[]).unwrap();
        assert_eq!(url, "http://h/v2/things?limit=2&page=2");
        assert_eq!(next_after(&mut progress, &page, &url, &json!({"things": [3]}), &[]), None);
    }

    #[test]
    fn a_page_without_its_list_is_an_error() {
        let page = |body: Json| Page {
            url: URL.into(),
            body,
            items: Path::member("things"),
            null_is_empty: false,
        };
        assert_eq!(page(json!({"things": [1]})).list().unwrap(), [json!(1)]);
        let error = page(json!({"things": {}})).list().unwrap_err().to_string();
        assert!(error.contains("GET http://h/v2/things: $.things in the answer is an object"));
        let null = page(json!({"things": null}));
        assert!(null.list().is_err());
        assert!(Page { null_is_empty: true, ..null }.list().unwrap().is_empty());
        assert!(Page { null_is_empty: true, ..page(json!({})) }.list().is_err());
        let whole = Page { items: Path::default(), ..page(json!([1])) };
        assert_eq!(whole.list().unwrap().len(), 1);
    }

    #[test]
    fn repetition_is_noticed() {
        let offset = Paging::Offset { parameter: "offset".into(), limit: None };
        let request = Request::get("http://h/1?offset=2");
        let mut progress = Progress::default();
        let mut read = |body: &[u8], items| {
            progress.items += items;
            progress.is_another(&offset, &request, body).map_err(|error| error.to_string())
        };
        assert_eq!(read(b"{}", 0), Ok(()));
        assert_eq!(read(b"{}", 0), Ok(()));
        assert_eq!(read(b"a", 1), Ok(()));
        let error = read(b"a", 1).unwrap_err();
        let text = "GET http://h/1: the service answers the same page again; it may not know \
                    paging by 'offset'";
        assert!(error.contains(text), "{error}");
        assert_eq!(read(b"b", 1), Ok(()));
    }

    #[test]
    fn what_has_gone_meanwhile_is_an_empty_list() {
        let answer = |status| Response { status, headers: Vec::new(), body: b"{}".to_vec() };
        let pages = || Pages::new(Request::get(URL), Paging::None, Path::member("things"));
        let read = |mut pages: Pages, status| pages.page(Request::get(URL), answer(status));
        assert!(read(pages().may_be_gone(), 404).unwrap().is_none());
        assert!(read(pages(), 404).is_err() && read(pages().may_be_gone(), 500).is_err());
        assert!(read(pages(), 200).unwrap().unwrap().list().is_err());
    }

    #[test]
    fn lists_have_an_end() {
        let request = Request::get("http://h/1?page=5001");
        let mut progress = Progress { pages: MOST_PAGES - 1, ..Progress::default() };
        progress.within_bounds(&request).unwrap();
        progress.pages += 1;
        let error = progress.within_bounds(&request).unwrap_err().to_string();
        assert!(error.contains("GET http://h/1: the list has no end; 5000 pages were read"));
    }

    #[test]
    fn addresses_that_were_read_are_known() {
        let mut progress = Progress::default();
        assert!(progress.is_new("http://h/1", "http://h/2"));
        assert!(!progress.is_new("http://h/2", "http://h/1"));
        assert!(!progress.is_new("http://h/3", "http://h/3"));
    }

    #[test]
    fn the_address_can_be_kept() {
        let kept =
            keep_address("https://public/v2/things?x=1", "http://internal:8774/v2/things?marker=b");
        assert_eq!(kept, "https://public/v2/things?marker=b");
    }
}
