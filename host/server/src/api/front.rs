//! What a node serves over HTTP: the questions of supervisors and balancers from its first moment
//! on, and the API once it is loaded.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use super::cors::{self, Cors};
use super::envelope::{self, Gate};
use super::forwarded;
use super::revision::{self, Revisions};
use super::{ApiOptions, App, routes};
use crate::auth::{self, Guard};
use crate::engine::EngineHandle;
use crate::failure::{Failure, Status};
use crate::health::{self, Health};

/// Where the API comes once it is loaded. Clones are the same place.
#[derive(Clone, Default)]
pub struct Slot(Arc<OnceLock<Api>>);

struct Api {
    service: TowerToHyperService<Router>,
    engine: EngineHandle,
}

impl Slot {
    /// Serves the API from now on: to whom the guard lets pass, or to everybody without one.
    pub fn fill(&self, app: App, guard: Option<Arc<Guard>>) {
        let engine = app.engine.clone();
        let revisions = Revisions { engine: engine.clone(), within: app.revision_timeout };
        let api = routes::routes()
            .with_state(app)
            // The envelope has bounded the body.
            .layer(DefaultBodyLimit::disable())
            .layer(middleware::from_fn_with_state(revisions, revision::wrap));
        let api = match guard {
            Some(guard) => api.layer(middleware::from_fn_with_state(guard, auth::wrap)),
            None => api,
        };
        let service = TowerToHyperService::new(api);
        if self.0.set(Api { service, engine }).is_err() {
            tracing::error!("the API is loaded already");
        }
    }

    /// The revision of the database that the node has, once the API is loaded.
    pub(super) fn revision(&self) -> Option<u64> {
        self.0.get().map(|api| api.engine.revision())
    }
}

/// What is served: `/healthcheck` and `/readyz`, and the API if this node has one.
pub fn front(health: Health, options: ApiOptions, cors: Option<Cors>, api: Option<Slot>) -> Router {
    let questions = health::router(health);
    let gate = Gate::new(options, api.clone());
    let inner = match api {
        Some(slot) => questions.fallback_service(Router::new().fallback(enter).with_state(slot)),
        None => questions.fallback(nothing),
    };
    // The envelope is around a router of its own, for it may change the path before routing.
    let mut front = Router::new()
        .fallback_service(inner)
        .layer(middleware::from_fn_with_state(gate, envelope::wrap));
    if options.proxy_headers {
        front = front.layer(middleware::from_fn(forwarded::wrap));
    }
    if let Some(cors) = cors {
        front = front.layer(middleware::from_fn_with_state(Arc::new(cors), cors::wrap));
    }
    front
}

async fn enter(State(slot): State<Slot>, request: Request) -> Response {
    match slot.0.get() {
        Some(api) => match api.service.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        None => Failure::plain(Status::Unavailable, "the node is starting; try again later")
            .into_response(),
    }
}

async fn nothing() -> Failure {
    Failure::plain(Status::NotFound, "this node has no API, only /healthcheck and /readyz")
}
