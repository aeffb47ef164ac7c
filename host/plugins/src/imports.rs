//! The host's side of the contract: what a guest's imports do.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use wasmtime::Result;
use wasmtime::component::{HasData, Linker};

use crate::bindings::files::{FileError, FileInfo};
use crate::bindings::logging::Level;
use crate::bindings::session::{EndpointError, EndpointInterface, Request, Response};
use crate::bindings::sink::{ColumnData, SinkError, Test};
use crate::bindings::types::{DriverError as WitError, Row};
use crate::bindings::{Datasource, files, logging, schedule, session, sink, state, types};
use crate::call::Guest;
use crate::files::{Files, blocking};
use crate::net::SendError;
use crate::session::{Interface, SessionError};
use crate::text::clean;
use crate::{DriverError, Limits};

/// A batch, which the sink may refuse.
type Refusable = std::result::Result<(), SinkError>;

struct HasGuest;

impl HasData for HasGuest {
    type Data<'a> = &'a mut Guest;
}

/// Everything that a driver may import: the contract, and WASI 0.2.
pub(crate) fn add_to(linker: &mut Linker<Guest>) -> Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    Datasource::add_to_linker::<Guest, HasGuest>(linker, |guest| guest)
}

impl types::Host for Guest {}

impl sink::Host for Guest {
    fn replace(&mut self, table: String, rows: Vec<Row>) -> Result<Result<(), SinkError>> {
        let outcome = self.sink.replace(&table, rows);
        self.batch(outcome)
    }

    fn replace_columns(
        &mut self,
        table: String,
        columns: Vec<ColumnData>,
    ) -> Result<Result<(), SinkError>> {
        let outcome = self.sink.replace_columns(&table, columns);
        self.batch(outcome)
    }

    fn patch(
        &mut self,
        table: String,
        added: Vec<Row>,
        removed: Vec<Row>,
    ) -> Result<Result<(), SinkError>> {
        let outcome = self.sink.patch(&table, added, removed);
        self.batch(outcome)
    }

    fn find(
        &mut self,
        table: String,
        column: String,
        test: Test,
    ) -> Result<std::result::Result<Vec<Row>, SinkError>> {
        Ok(self.sink.find(&table, &column, &test))
    }

    fn failed(&mut self, table: String, error: WitError) -> Result<()> {
        let error = self.lift_error(error);
        if !self.sink.fail(&table, error) {
            let table = clean(&table, 255);
            self.context.log.log(Level::Warn, &format!("'{table}' is no root table to fail"));
        }
        Ok(())
    }
}

impl state::Host for Guest {
    fn get(&mut self, key: String) -> Result<Option<String>> {
        Ok(self.state.get(&key).map(str::to_owned))
    }

    fn set(&mut self, key: String, value: Option<String>) -> Result<Result<(), String>> {
        Ok(self.state.set(key, value))
    }
}

impl schedule::Host for Guest {
    fn upkeep_after(&mut self, seconds: u32) -> Result<()> {
        self.upkeep_after = Some(Duration::from_secs(seconds.into()));
        Ok(())
    }
}

impl logging::Host for Guest {
    fn log(&mut self, level: Level, message: String) -> Result<()> {
        self.log_lines += 1;
        let limit = self.context.limits.log_lines_per_call;
        if self.log_lines > limit {
            return Err(self.exceed(format!(
                "the driver logged more than {limit} lines in one call, the limit \
                 `log_lines_per_call`; report it to the driver's author"
            )));
        }
        self.context.log.log(level, &message);
        Ok(())
    }
}

impl session::Host for Guest {
    async fn endpoint(
        &mut self,
        service_type: String,
        interface: EndpointInterface,
    ) -> Result<Result<String, EndpointError>> {
        let interface = match interface {
            EndpointInterface::Public => Interface::Public,
            EndpointInterface::Internal => Interface::Internal,
            EndpointInterface::Admin => Interface::Admin,
        };
        let session = self.context.session.clone();
        let endpoint = session.endpoint(&service_type, interface, &self.budget).await;
        Ok(endpoint.map_err(|error| match error {
            SessionError::Missing(text) => {
                EndpointError::Missing(self.context.scrubber.scrub(&text).into_owned())
            }
            error => EndpointError::NoCatalogue(self.lower_session_error(error)),
        }))
    }

    async fn send(&mut self, request: Request) -> Result<Result<Response, WitError>> {
        let headers = match headers(request.headers) {
            Ok(headers) => headers,
            Err(error) => return Ok(Err(self.lower_session_error(error.into()))),
        };
        let session = self.context.session.clone();
        let body = request.body.unwrap_or_default();
        let answer = session.send(&request.method, &request.url, headers, body, &self.budget).await;
        Ok(match answer {
            Ok(answer) => Ok(Response {
                status: answer.status.as_u16(),
                headers: answer
                    .headers
                    .iter()
                    .map(|(k, v)| {
                        (k.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned())
                    })
                    .collect(),
                body: answer.body.into(),
            }),
            Err(error) => Err(self.lower_session_error(error)),
        })
    }
}

impl files::Host for Guest {
    async fn info(&mut self, path: String) -> Result<Result<FileInfo, FileError>> {
        let context = Arc::clone(&self.context);
        let info = move |files: &Files, _: &mut _| files.info(&path);
        Ok(blocking(&context.io, &context.files, &mut self.opened, info).await)
    }

    async fn read(
        &mut self,
        path: String,
        offset: u64,
        length: u32,
    ) -> Result<Result<Vec<u8>, FileError>> {
        let context = Arc::clone(&self.context);
        let read = move |files: &Files, opened: &mut _| files.read(opened, &path, offset, length);
        Ok(blocking(&context.io, &context.files, &mut self.opened, read).await)
    }

    async fn list(&mut self, path: String) -> Result<Result<Vec<String>, FileError>> {
        let context = Arc::clone(&self.context);
        let list = move |files: &Files, _: &mut _| files.list(&path);
        Ok(blocking(&context.io, &context.files, &mut self.opened, list).await)
    }
}

impl Guest {
    /// What a guest hears of a batch.
    fn batch(&mut self, outcome: Refusable) -> Result<Refusable> {
        match outcome.as_ref().err().and_then(|error| self.sink.refused(error)) {
            Some(limit) => Err(self.exceed(limit)),
            None => Ok(outcome),
        }
    }

    /// A guest's error, fit for people.
    pub(crate) fn lift_error(&self, error: WitError) -> DriverError {
        let Limits { error_bytes, .. } = self.context.limits;
        // Scrubbed before it is cut, lest half a secret stay.
        let text = |text: String| clean(&self.context.scrubber.scrub(&text), error_bytes);
        match error {
            WitError::Config(t) => DriverError::Config(text(t)),
            WitError::Auth(t) => DriverError::Auth(text(t)),
            WitError::Connection(t) => DriverError::Connection(text(t)),
            WitError::Protocol(t) => DriverError::Protocol(text(t)),
            WitError::Unsupported(t) => DriverError::Unsupported(text(t)),
        }
    }

    /// A session's error, for a guest: it may come from a service that repeats what it was sent.
    fn lower_session_error(&self, error: SessionError) -> WitError {
        let text = |text: String| self.context.scrubber.scrub(&text).into_owned();
        match DriverError::from(error) {
            DriverError::Config(t) => WitError::Config(text(t)),
            DriverError::Auth(t) => WitError::Auth(text(t)),
            DriverError::Connection(t) => WitError::Connection(text(t)),
            DriverError::Protocol(t) => WitError::Protocol(text(t)),
            DriverError::Unsupported(t) => WitError::Unsupported(text(t)),
        }
    }
}

fn headers(list: Vec<(String, String)>) -> Result<HeaderMap, SendError> {
    let refused = |name: &str| {
        SendError::Refused(format!("the header '{}' cannot be sent", clean(name, 100)))
    };
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused(&name))?;
        let value = HeaderValue::from_str(&value).map_err(|_| refused(&name))?;
        headers.try_append(key, value).map_err(|_| refused(&name))?;
    }
    Ok(headers)
}
