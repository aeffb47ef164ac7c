//! Drivers of OpenStack services: configuration, endpoint, collections.

use crate::actions::{self, Template};
use crate::describe::{field, lazy_tables, metadata, poll_time};
use crate::paging::{Pages, Paging};
use crate::path::Path;
use crate::session::{EndpointError, EndpointInterface, Request, endpoint};
use crate::tables::TableSet;
use crate::translate::Translator;
use crate::{Call, Config, ConfigField, Error, Metadata, Result, SessionKind, Table, Wanted, url};

/// Metadata of an OpenStack driver: the host logs in at Keystone. `own` are the driver's own
/// fields; they stand where the original has them.
pub fn openstack(
    id: &str,
    version: &str,
    description: &str,
    own: impl IntoIterator<Item = ConfigField>,
) -> Metadata {
    metadata(id, version, description)
        .with_session(SessionKind::Keystone)
        .with_hosts(["{auth_url}", "{endpoint}"])
        .with_config([
            field("auth_url", "Keystone's address.").required(),
            field("endpoint", "The service's address, in place of that in the catalogue."),
            field("region", "The region whose endpoint to use."),
            field("username", "The user to log in as.").required(),
            field("password", "The user's password.").required().secret(),
            field("user_domain_name", "The user's domain; Default if it is not given."),
            field("project_domain_name", "The project's domain; Default if it is not given."),
            field("tenant_name", "Old name of project_name."),
            field("project_name", "The project to log in to.").required(),
            poll_time(),
        ])
        .with_config(own)
        .with_config([lazy_tables()])
}

/// A list that the service offers, and what becomes of its items.
#[derive(Debug)]
pub struct Collection {
    path: String,
    list: Path,
    paging: Paging,
    null_is_empty: bool,
    translator: Translator,
}

impl Collection {
    /// The list `list` in the answer to `GET path`, on one page.
    pub fn new(path: impl Into<String>, list: &str, translator: Translator) -> Self {
        Self {
            path: path.into(),
            list: Path::member(list),
            paging: Paging::None,
            null_is_empty: false,
            translator,
        }
    }

    /// The list is elsewhere in the answer.
    #[must_use]
    pub fn at(mut self, list: Path) -> Self {
        self.list = list;
        self
    }

    /// Null in place of the list is an empty one.
    #[must_use]
    pub fn null_is_empty(mut self) -> Self {
        self.null_is_empty = true;
        self
    }

    /// What becomes of the items.
    pub fn translator(&self) -> &Translator {
        &self.translator
    }

    /// Further pages are found so.
    #[must_use]
    pub fn paged(mut self, paging: Paging) -> Self {
        self.paging = paging;
        self
    }

    /// The name of its root table.
    pub fn table(&self) -> &str {
        self.translator.table()
    }

    /// Further pages are found in `<list>_links`, as in Nova, Neutron and Cinder.
    #[must_use]
    pub fn with_links(self) -> Self {
        let links = self.list.beside("_links");
        self.paged(Paging::RelNext(links))
    }
}

/// The tables of all collections.
pub fn tables(collections: &[Collection]) -> Vec<Table> {
    collections.iter().flat_map(|collection| collection.translator.tables()).collect()
}

/// A service of the cloud.
#[derive(Debug)]
pub struct Service {
    base: String,
    headers: Vec<(String, String)>,
}

impl Service {
    /// The service of that type in the catalogue, or at the address that field `endpoint` names.
    pub fn find(config: &Config, service_type: &str, interface: EndpointInterface) -> Result<Self> {
        Self::find_first(config, &[service_type], interface)
    }

    /// The service under the first of several types that the catalogue has. Clouds list the same
    /// service under the name of a version, or under another name than they did.
    pub fn find_first(
        config: &Config,
        service_types: &[&str],
        interface: EndpointInterface,
    ) -> Result<Self> {
        if let Some(address) = config.get("endpoint").filter(|address| !address.is_empty()) {
            return Ok(Self::at(address));
        }
        let mut missing = None;
        for service_type in service_types {
            match endpoint(service_type, interface) {
                Ok(address) => return Ok(Self::at(&address)),
                Err(error @ EndpointError::Missing(_)) => missing = missing.or(Some(error)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(missing.map_or_else(|| Error::Config("no type of service is named".into()), Into::into))
    }

    /// The service at that address.
    pub fn at(base: &str) -> Self {
        Self { base: base.trim_end_matches('/').into(), headers: Vec::new() }
    }

    /// The service at its root: without the version that its address may end with, as `/v2.1`.
    /// Catalogues name the same service with or without it.
    #[must_use]
    pub fn without_version(mut self) -> Self {
        self.base.truncate(version_at(&self.base).unwrap_or(self.base.len()));
        self
    }

    /// Adds headers to every request.
    #[must_use]
    pub fn with_headers(mut self, headers: impl IntoIterator<Item = (String, String)>) -> Self {
        self.headers.extend(headers);
        self
    }

    /// The service's address, without slash at its end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A GET for a path below the service's address.
    pub fn get(&self, path: &str) -> Request {
        Request::get(&url::join(&self.base, path)).headers(&self.headers)
    }

    /// Reads the collections whose root tables are wanted.
    pub fn poll(&self, collections: &[Collection], wanted: &Wanted) -> Result<()> {
        wanted.each(collections.iter().map(Collection::table), |root| {
            let mut of_root = collections.iter().filter(|c| c.table() == root);
            of_root.try_for_each(|collection| self.read(collection))
        })
    }

    /// Runs an action of the table.
    pub fn execute(&self, templates: &[Template], call: &Call) -> Result<()> {
        self.send(actions::request(templates, call, &self.base)?)
    }

    /// Sends a request with the service's headers; any 2xx is fine.
    pub fn send(&self, request: Request) -> Result<()> {
        request.headers(&self.headers).send().map(drop)
    }

    /// Reads a collection, whether it is wanted or not.
    pub fn read(&self, collection: &Collection) -> Result<()> {
        let Collection { path, list, paging, null_is_empty, translator } = collection;
        let mut pages = Pages::new(self.get(path), paging.clone(), list.clone()).same_address();
        if *null_is_empty {
            pages = pages.null_is_empty();
        }
        let mut rows = TableSet::of(translator);
        for page in pages {
            translator.translate(page?.list()?, &mut rows)?;
        }
        rows.finish()
    }
}

/// Where the version begins that an address ends with.
fn version_at(base: &str) -> Option<usize> {
    let slash = base.rfind('/').filter(|slash| !base[..*slash].ends_with('/'))?;
    let version = base[slash..].strip_prefix("/v")?;
    let is_version = version.starts_with(|c: char| c.is_ascii_digit())
        && version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    is_version.then_some(slash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_left_out() {
        for (address, root) in [
            ("http://h:9292/v2/", "http://h:9292"),
            ("http://h/image/v2.1", "http://h/image"),
            ("http://h/image", "http://h/image"),
            ("http://h/vol", "http://h/vol"),
            ("http://h/v2/project", "http://h/v2/project"),
            ("http://v2", "http://v2"),
        ] {
            assert_eq!(Service::at(address).without_version().base(), root);
        }
    }
}
