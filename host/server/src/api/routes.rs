//! All routes.

use axum::Router;
use axum::routing::{MethodRouter, any, get, post, put};

use super::answer::method_not_supported;
use super::{App, action, actions, datasources, drivers, policies, rules, tables, versions};

/// All that the API answers, besides the questions of supervisors and balancers.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/", any(versions::list))
        .route("/v1", any(versions::show))
        .route("/v1/", any(versions::show))
        // Policies
        .route("/v1/policies", get(policies::list).post(policies::create))
        .route("/v1/policies/{p}", get(policies::show).delete(policies::delete).post(policies::act))
        .route("/v1/policies/{p}/status", element(get(policies::status)))
        .route("/v1/policies/{p}/rules", get(rules::list).post(rules::create))
        .route(
            "/v1/policies/{p}/rules/{r}",
            element(get(rules::show).patch(rules::patch).delete(rules::delete)),
        )
        .route("/v1/policies/{p}/rules/{r}/status", element(get(rules::status)))
        .route("/v1/policies/{p}/tables", get(tables::list))
        .route("/v1/policies/{p}/tables/{t}", element(get(tables::show)))
        .route("/v1/policies/{p}/tables/{t}/rows", get(tables::rows).put(tables::replace_rows))
        .route("/v1/policies/{p}/tables/{t}/rows/{row}", element(MethodRouter::new()))
        // Datasources
        .route("/v1/data-sources", get(datasources::list).post(datasources::create))
        .route(
            "/v1/data-sources/{d}",
            get(datasources::show).delete(datasources::delete).post(datasources::act),
        )
        .route("/v1/data-sources/{d}/schema", element(get(datasources::schema)))
        .route("/v1/data-sources/{d}/status", element(get(datasources::status)))
        .route("/v1/data-sources/{d}/actions", get(datasources::actions))
        .route("/v1/data-sources/{d}/webhook", post(datasources::webhook))
        .route("/v1/data-sources/{d}/tables", get(datasources::tables))
        .route("/v1/data-sources/{d}/tables/{t}", element(get(datasources::table)))
        .route("/v1/data-sources/{d}/tables/{t}/spec", element(get(datasources::table_spec)))
        .route(
            "/v1/data-sources/{d}/tables/{t}/rows",
            get(datasources::rows).merge(put(datasources::replace_rows)),
        )
        .route("/v1/data-sources/{d}/tables/{t}/rows/{row}", element(MethodRouter::new()))
        // Actions that rules asked for
        .route("/v1/actions", get(actions::list))
        .route("/v1/actions/{a}", get(actions::show).post(actions::act))
        // Drivers
        .route("/v1/system/drivers", get(drivers::list))
        .route("/v1/system/drivers/{d}", element(get(drivers::show)))
        .fallback(versions::elsewhere)
        .method_not_allowed_fallback(async || method_not_supported())
}

/// One resource without actions: `POST` asks for an action and learns that there is none.
fn element(methods: MethodRouter<App>) -> MethodRouter<App> {
    methods.post(action::none)
}
