//! All routes, and what is said of them. The router and the description of the API both come of
//! this one table.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{self, MethodRouter, any};

use super::answer::method_not_supported;
use super::openapi::{self, Doc, doc};
use super::{
    App, action, actions, datasources, drivers, events, explain, library, policies, rules, tables,
    versions,
};

/// One resource: its address, and what can be done with it.
pub(super) struct Resource {
    /// As the router has it, with `{names}` for what varies.
    pub(super) path: &'static str,
    pub(super) operations: Vec<openapi::Operation>,
    methods: MethodRouter<App>,
    /// A single thing: `POST` asks for an action, and learns that there is none.
    is_element: bool,
}

fn at(path: &'static str) -> Resource {
    Resource { path, operations: Vec::new(), methods: MethodRouter::new(), is_element: false }
}

impl Resource {
    fn element(mut self) -> Self {
        self.is_element = true;
        self
    }

    fn get<H: Handler<T, App>, T: 'static>(self, handler: H, doc: Doc) -> Self {
        self.with("get", routing::get(handler), doc)
    }

    fn post<H: Handler<T, App>, T: 'static>(self, handler: H, doc: Doc) -> Self {
        self.with("post", routing::post(handler), doc)
    }

    fn put<H: Handler<T, App>, T: 'static>(self, handler: H, doc: Doc) -> Self {
        self.with("put", routing::put(handler), doc)
    }

    fn patch<H: Handler<T, App>, T: 'static>(self, handler: H, doc: Doc) -> Self {
        self.with("patch", routing::patch(handler), doc)
    }

    fn delete<H: Handler<T, App>, T: 'static>(self, handler: H, doc: Doc) -> Self {
        self.with("delete", routing::delete(handler), doc)
    }

    fn with(mut self, method: &'static str, handler: MethodRouter<App>, doc: Doc) -> Self {
        self.methods = self.methods.merge(handler);
        self.operations.push(openapi::Operation { method, doc });
        self
    }

    fn methods(self) -> MethodRouter<App> {
        match self.is_element {
            true => self.methods.post(action::none),
            false => self.methods,
        }
    }
}

/// All that the API answers, besides the questions of supervisors and balancers.
pub(super) fn routes() -> Router<App> {
    let mut router = Router::new()
        .route("/", any(versions::list))
        .route("/v1", any(versions::show))
        .route("/v1/", any(versions::show));
    for resource in resources() {
        router = router.route(resource.path, resource.methods());
    }
    router
        .fallback(versions::elsewhere)
        .method_not_allowed_fallback(async || method_not_supported())
}

/// All resources below `/v1`.
pub(super) fn resources() -> Vec<Resource> {
    let mut all = policy_resources();
    all.extend(table_resources());
    all.extend(library_resources());
    all.extend(datasource_resources());
    all.extend(other_resources());
    all
}

/// A request that the API has an answer for.
pub(crate) struct Operation {
    /// In upper case.
    pub(crate) method: String,
    /// As the router has it.
    pub(crate) path: &'static str,
    /// The value of `action`, if it needs one.
    pub(crate) action: Option<&'static str>,
    /// What it is for.
    pub(crate) summary: &'static str,
}

/// All requests below `/v1`, in the order of the table.
pub(crate) fn operations() -> Vec<Operation> {
    let mut all = Vec::new();
    for Resource { path, operations, .. } in resources() {
        for openapi::Operation { method, doc } in operations {
            let (method, summary) = (method.to_uppercase(), doc.summary());
            let actions = doc.actions().iter().map(|action| Some(*action));
            let none = doc.actions().is_empty().then_some(None);
            for action in none.into_iter().chain(actions) {
                all.push(Operation { method: method.clone(), path, action, summary });
            }
        }
    }
    all
}

fn policy_resources() -> Vec<Resource> {
    vec![
        at("/v1/policies")
            .get(policies::list, doc("list_policies", "All policies, oldest first").lists("Policy"))
            .post(
                policies::create,
                doc("create_policy", "Creates a policy: empty, with rules, or one of the library")
                    .asks("library_policy", "Id or name of a policy of the library; the body is {}")
                    .takes("NewPolicy")
                    .creates("Policy")
                    .fails(&[400, 404, 409]),
            ),
        at("/v1/policies/{p}")
            .get(policies::show, doc("show_policy", "A policy").answers("Policy").fails(&[404]))
            .patch(
                policies::patch,
                doc("update_policy", "Changes a policy's description or abbreviation")
                    .takes("PolicyChanges")
                    .answers("Policy")
                    .fails(&[400, 404, 501]),
            )
            .delete(
                policies::delete,
                doc("delete_policy", "Deletes a policy and its rules")
                    .answers("Policy")
                    .fails(&[404]),
            )
            .post(
                policies::act,
                doc("act_on_policy", "Simulates a sequence of changes, or executes an action")
                    .acts(&["simulate", "execute"])
                    .asks("delta", "Of simulate: tell what came and went instead of what there is")
                    .asks("trace", "Of simulate: tell how")
                    .takes("PolicyAction")
                    .answers("Simulated")
                    .fails(&[400, 404, 501]),
            ),
        at("/v1/policies/{p}/status").element().get(
            policies::status,
            doc("show_policy_status", "The status of a policy, of datasources too")
                .answers("PolicyStatus")
                .fails(&[404]),
        ),
        at("/v1/policies/{p}/rules")
            .get(
                rules::list,
                doc("list_rules", "The rules of a policy, as posted").lists("Rule").fails(&[404]),
            )
            .post(
                rules::create,
                doc("create_rules", "Inserts a rule, or several: all or none")
                    .takes("NewRules")
                    .creates("RuleOrRules")
                    .fails(&[400, 404, 409]),
            ),
        at("/v1/policies/{p}/rules/{r}")
            .element()
            .get(rules::show, doc("show_rule", "A rule, as posted").answers("Rule").fails(&[404]))
            .patch(
                rules::patch,
                doc("update_rule", "Changes a rule; its id stays")
                    .takes("RuleChanges")
                    .answers("Rule")
                    .fails(&[400, 404, 409]),
            )
            .delete(
                rules::delete,
                doc("delete_rule", "Deletes a rule").answers("Rule").fails(&[404]),
            ),
        at("/v1/policies/{p}/rules/{r}/status").element().get(
            rules::status,
            doc("show_rule_status", "A rule and, if it has no effect, why")
                .asks("detail", "`true` tells what was perhaps not meant, too")
                .answers("RuleStatus")
                .fails(&[404]),
        ),
    ]
}

fn table_resources() -> Vec<Resource> {
    vec![
        at("/v1/policies/{p}/tables").get(
            tables::list,
            doc("list_policy_tables", "The tables of a policy").lists("Table").fails(&[404]),
        ),
        at("/v1/policies/{p}/tables/{t}").element().get(
            tables::show,
            doc("show_policy_table", "A table of a policy").answers("Table").fails(&[404]),
        ),
        at("/v1/policies/{p}/tables/{t}/rows")
            .get(
                tables::rows,
                doc("list_policy_rows", "The rows of a policy's table, derived ones included")
                    .asks("trace", "Tell how they were found")
                    .gives_rows()
                    .fails(&[400, 404]),
            )
            .put(
                tables::replace_rows,
                doc("replace_policy_rows", "Refused: rows of policies come from rules alone")
                    .takes("Rows")
                    .fails(&[400]),
            ),
        at("/v1/policies/{p}/tables/{t}/rows/{row}").element(),
        at("/v1/policies/{p}/tables/{t}/explain").element().get(
            explain::explain,
            doc("explain_policy_row", "Why a row is there, or why it is not")
                .asks("row", "A JSON array with a value for each column; null for any value")
                .asks("depth", "The most rules between the row and what it follows from")
                .asks("steps", "The most rows that are told of")
                .asks("near_misses", "The most near misses that are told of each rule")
                .answers("Explanation")
                .fails(&[400, 404]),
        ),
        at("/v1/policies/{p}/tables/{t}/events").element().get(
            events::of_policy,
            doc("follow_policy_rows", "Changes of a table's rows, as server-sent events")
                .streams()
                .fails(&[400, 404]),
        ),
    ]
}

fn library_resources() -> Vec<Resource> {
    vec![
        at("/v1/librarypolicies")
            .get(
                library::list,
                doc("list_library_policies", "The policy library, by name")
                    .asks("name", "Only the policy of this name")
                    .asks("include_rules", "`false` leaves the rules out")
                    .lists("LibraryPolicy"),
            )
            .post(
                library::create,
                doc(
                    "create_library_policy",
                    "Adds a policy to the library; its rules are not checked",
                )
                .takes("NewLibraryPolicy")
                .creates("LibraryPolicy")
                .fails(&[400, 409]),
            ),
        at("/v1/librarypolicies/{l}")
            .element()
            .get(
                library::show,
                doc("show_library_policy", "A policy of the library")
                    .asks("include_rules", "`false` leaves the rules out")
                    .answers("LibraryPolicy")
                    .fails(&[404]),
            )
            .put(
                library::replace,
                doc("replace_library_policy", "Replaces a policy of the library")
                    .takes("NewLibraryPolicy")
                    .answers("LibraryPolicy")
                    .fails(&[400, 404, 409]),
            )
            .delete(
                library::delete,
                doc("delete_library_policy", "Deletes a policy from the library")
                    .answers("LibraryPolicy")
                    .fails(&[404]),
            ),
    ]
}

fn datasource_resources() -> Vec<Resource> {
    vec![
        at("/v1/data-sources")
            .get(datasources::list, doc("list_datasources", "All datasources").lists("Datasource"))
            .post(
                datasources::create,
                doc("create_datasource", "Creates a datasource and starts it")
                    .takes("NewDatasource")
                    .creates("Datasource")
                    .fails(&[400, 409]),
            ),
        at("/v1/data-sources/{d}")
            .get(
                datasources::show,
                doc("show_datasource", "A datasource").answers("Datasource").fails(&[404]),
            )
            .patch(
                datasources::patch,
                doc("update_datasource", "Changes a datasource, which runs so then")
                    .takes("DatasourceChanges")
                    .answers("Datasource")
                    .fails(&[400, 404]),
            )
            .delete(
                datasources::delete,
                doc("delete_datasource", "Deletes a datasource with its rows")
                    .answers("Null")
                    .fails(&[404]),
            )
            .post(
                datasources::act,
                doc("act_on_datasource", "Asks for a poll, or executes an action")
                    .acts(&["request-refresh", "execute"])
                    .takes("DatasourceAction")
                    .answers("NullOrEmpty")
                    .fails(&[400, 404, 501]),
            ),
        at("/v1/data-sources/{d}/schema").element().get(
            datasources::schema,
            doc("show_datasource_schema", "The tables of a datasource with their columns")
                .answers("Schema")
                .fails(&[404]),
        ),
        at("/v1/data-sources/{d}/status").element().get(
            datasources::status,
            doc("show_datasource_status", "How a datasource fares")
                .asks("detail", "`true` tells more than the original did")
                .answers("DatasourceStatus")
                .fails(&[404]),
        ),
        at("/v1/data-sources/{d}/actions").get(
            datasources::actions,
            doc("list_datasource_actions", "What a datasource can be told to do")
                .gives("ActionDescription")
                .fails(&[404]),
        ),
        at("/v1/data-sources/{d}/webhook").post(
            datasources::webhook,
            doc("post_webhook", "Hands a payload to the datasource's driver")
                .takes("Anything")
                .answers_nothing()
                .fails(&[400, 404]),
        ),
        at("/v1/data-sources/{d}/tables").get(
            datasources::tables,
            doc("list_datasource_tables", "The tables of a datasource")
                .lists("Table")
                .fails(&[404]),
        ),
        at("/v1/data-sources/{d}/tables/{t}").element().get(
            datasources::table,
            doc("show_datasource_table", "A table of a datasource").answers("Table").fails(&[404]),
        ),
        at("/v1/data-sources/{d}/tables/{t}/spec").element().get(
            datasources::table_spec,
            doc("show_datasource_table_schema", "A table with its columns")
                .answers("TableSchema")
                .fails(&[404]),
        ),
        at("/v1/data-sources/{d}/tables/{t}/rows")
            .get(
                datasources::rows,
                doc("list_datasource_rows", "The rows of a datasource's table")
                    .gives_rows()
                    .fails(&[400, 404]),
            )
            .put(
                datasources::replace_rows,
                doc("replace_datasource_rows", "Replaces the rows of a table by those pushed")
                    .takes("Anything")
                    .answers_nothing()
                    .fails(&[400, 404]),
            ),
        at("/v1/data-sources/{d}/tables/{t}/rows/{row}").element(),
        at("/v1/data-sources/{d}/tables/{t}/events").element().get(
            events::of_datasource,
            doc("follow_datasource_rows", "Changes of a table's rows, as server-sent events")
                .streams()
                .fails(&[404]),
        ),
    ]
}

fn other_resources() -> Vec<Resource> {
    vec![
        // Actions that rules asked for
        at("/v1/actions").get(
            actions::list,
            doc("list_actions", "The actions that rules asked for")
                .asks("state", "Only those in this state")
                .asks("datasource", "Only those of this datasource")
                .asks("policy", "Only those of this policy")
                .asks("action", "Only those of this name")
                .asks("present", "Whether rules ask for them still")
                .asks("limit", "So many at most")
                .asks("marker", "Those after the one of this id")
                .gives("Action")
                .fails(&[400]),
        ),
        at("/v1/actions/{a}")
            .get(
                actions::show,
                doc("show_action", "An action that a rule asked for")
                    .answers("Action")
                    .fails(&[404]),
            )
            .post(
                actions::act,
                doc("act_on_action", "Repeats an action that failed, or settles it")
                    .acts(&["repeat", "settle"])
                    .answers("Action")
                    .fails(&[400, 404, 409, 501]),
            ),
        // Drivers
        at("/v1/system/drivers")
            .get(drivers::list, doc("list_drivers", "All drivers").lists("Driver")),
        at("/v1/system/drivers/{driver}").element().get(
            drivers::show,
            doc("show_driver", "A driver with its options and tables")
                .asks("detail", "`true` tells more than the original did")
                .answers("DriverDetails")
                .fails(&[404]),
        ),
        at("/v1/openapi.json")
            .get(openapi::serve, doc("show_openapi", "This description").answers("Anything")),
    ]
}
