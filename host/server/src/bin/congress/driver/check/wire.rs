//! The service that a checked driver talks to.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use congress_plugins::Wire;
use congress_server::fixture::{BASE, Fixture, Replayer};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

/// How requests are answered.
#[derive(Debug, Default)]
pub(super) enum Service {
    /// By whoever it is.
    #[default]
    Network,
    /// By a fixture.
    Fixture(Replayer),
    /// Always in this way; logins at Keystone succeed, so that a driver sees the rest.
    Always(StatusCode, &'static str, Bytes),
    /// Not at all: the reason.
    Never(&'static str),
}

impl Service {
    pub(super) fn fixture(fixture: &Fixture) -> Self {
        Self::Fixture(Replayer::new(fixture))
    }
}

/// A wire whose service changes from check to check.
#[derive(Debug, Default)]
pub(super) struct CheckWire(Mutex<Service>);

impl CheckWire {
    pub(super) fn become_service(&self, service: Service) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = service;
    }
}

impl Wire for CheckWire {
    fn answer(&self, request: &Request<Bytes>) -> Option<Result<Response<Bytes>, String>> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Service::Network => None,
            Service::Fixture(replayer) => replayer.answer(request),
            Service::Always(..) if is_login(request) => Some(Ok(token())),
            Service::Always(status, content_type, body) => {
                let mut response = response(*status, body.clone());
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
                Some(Ok(response))
            }
            Service::Never(reason) => Some(Err((*reason).to_owned())),
        }
    }

    fn saw(&self, _: &Request<Bytes>, _: &Response<Bytes>) {}
}

fn is_login(request: &Request<Bytes>) -> bool {
    request.method() == Method::POST && request.uri().path().ends_with("/auth/tokens")
}

/// Types of services that an OpenStack driver may look for in the catalogue.
const SERVICES: [&str; 22] = [
    "alarm",
    "alarming",
    "application-catalog",
    "application_catalog",
    "baremetal",
    "block-storage",
    "block-store",
    "compute",
    "identity",
    "image",
    "metering",
    "monitoring",
    "network",
    "nfv-orchestration",
    "object-store",
    "orchestration",
    "rca",
    "volume",
    "volumev2",
    "volumev3",
    "workflow",
    "workflowv2",
];

/// What Keystone answers to a login.
fn token() -> Response<Bytes> {
    let service = |kind: &&str| {
        let endpoints: Vec<Value> = ["public", "internal", "admin"]
            .iter()
            .map(|interface| json!({"interface": interface, "url": format!("{BASE}/{kind}")}))
            .collect();
        json!({"type": kind, "name": kind, "endpoints": endpoints})
    };
    let body = json!({"token": {
        "issued_at": "2026-01-01T00:00:00.000000Z",
        "expires_at": "2099-01-01T00:00:00.000000Z",
        "catalog": SERVICES.iter().map(service).collect::<Value>(),
    }});
    let mut response = response(StatusCode::CREATED, body.to_string().into());
    response.headers_mut().insert("x-subject-token", HeaderValue::from_static("a-token"));
    response
}

fn response(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
