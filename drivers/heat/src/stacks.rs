//! What belongs to stacks, and is read stack by stack.

use std::cell::OnceCell;

use congress_driver::openstack::Service;
use congress_driver::paging::{Pages, Paging};
use congress_driver::path::Path;
use congress_driver::tables::TableSet;
use congress_driver::translate::Translator;
use congress_driver::{Error, Result, url};
use serde_json::Value as Json;

/// The stacks of a service, read once when they are needed.
pub(crate) struct Stacks<'a> {
    service: &'a Service,
    stacks: OnceCell<Result<Vec<Stack>>>,
}

struct Stack {
    id: Json,
    /// Its own address below the service's; by its id alone the service would only redirect to it.
    path: String,
}

impl<'a> Stacks<'a> {
    pub(crate) fn of(service: &'a Service) -> Self {
        Self { service, stacks: OnceCell::new() }
    }

    /// Reads the list of that name of every stack. Stacks that have gone meanwhile have none.
    pub(crate) fn read(&self, list: &str, translator: &Translator) -> Result<()> {
        let stacks = self.stacks.get_or_init(|| find(self.service));
        let mut rows = TableSet::of(translator);
        for stack in stacks.as_ref().map_err(Clone::clone)? {
            let first = self.service.get(&format!("{}/{list}", stack.path));
            let pages = Pages::new(first, Paging::None, Path::member(list)).may_be_gone();
            for page in pages {
                let page = page?;
                let items = page.list()?.iter().map(|item| of_stack(item, &stack.id));
                let items: Vec<Json> = items.collect();
                translator.translate(&items, &mut rows)?;
            }
        }
        rows.finish()
    }
}

fn find(service: &Service) -> Result<Vec<Stack>> {
    let mut stacks = Vec::new();
    for page in Pages::new(service.get("stacks"), Paging::None, Path::member("stacks")) {
        for stack in page?.list()? {
            stacks.push(Stack { id: stack["id"].clone(), path: path(stack)? });
        }
    }
    Ok(stacks)
}

/// The path of a stack, by name and id.
pub(crate) fn path(stack: &Json) -> Result<String> {
    match (&stack["stack_name"], &stack["id"]) {
        (Json::String(name), Json::String(id)) if !name.is_empty() && !id.is_empty() => {
            Ok(format!("stacks/{}/{}", url::encode(name), url::encode(id)))
        }
        _ => Err(Error::Protocol("a stack has no name or no id".into())),
    }
}

/// An item with the id of its stack.
fn of_stack(item: &Json, stack: &Json) -> Json {
    let mut item = item.clone();
    if let Json::Object(members) = &mut item {
        members.insert("stack_id".into(), stack.clone());
    }
    item
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stacks_have_an_address_by_name_and_id() {
        assert_eq!(path(&json!({"stack_name": "a b", "id": "i"})).unwrap(), "stacks/a%20b/i");
        assert!(path(&json!({"stack_name": "a", "id": null})).is_err());
        assert!(path(&json!([])).is_err());
    }

    #[test]
    fn items_know_their_stack() {
        let item = json!({"stack_id": "wrong", "x": 1});
        assert_eq!(of_stack(&item, &json!("s")), json!({"stack_id": "s", "x": 1}));
        assert_eq!(of_stack(&json!(1), &json!("s")), json!(1));
    }
}
