//! Changes of a table's rows as they happen: server-sent events. An extension.
//!
//! A stream holds one of a bounded number of places, and nothing that grows: who reads slowly gets
//! all rows anew instead of what was missed, and who does not read at all is cut off by the
//! connection's own limit.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use congress_bus::{Subscription, TableName, Update};
use congress_table::{Row, Value};
use futures_util::stream::{self, Stream};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::App;
use super::path::Path;
use crate::auth::GoodUntil;
use crate::engine::{Cell, Observation, RowsUpdate};
use crate::failure::{Answer, Failure, Status};

/// Streams open at a time.
const MAX_STREAMS: usize = 256;

/// The most rows of one event.
const ROWS: usize = 1000;

/// How often a stream says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What all streams of a node share. Clones are the same.
#[derive(Clone)]
pub struct Streams {
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Streams {
    /// Streams that end at `stop`.
    pub fn new(stop: CancellationToken) -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_STREAMS)), stop }
    }

    fn place(&self) -> Answer<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().map_err(|_| {
            let text = format!(
                "{MAX_STREAMS} streams are open on this node, and more are not served; ask another \
                 node, or again later"
            );
            Failure::plain(Status::Unavailable, text)
        })
    }
}

/// `GET /v1/policies/{p}/tables/{t}/events`
pub(super) async fn of_policy(
    State(app): State<App>,
    Path((policy, table)): Path<(String, String)>,
    until: Option<Extension<GoodUntil>>,
) -> Answer<Response> {
    let place = app.streams.place()?;
    let source = Source::Policy(app.engine.observe(&policy, &table).await?);
    Ok(answer(Client::new(source, app.streams, place, until)))
}

/// `GET /v1/data-sources/{d}/tables/{t}/events`
pub(super) async fn of_datasource(
    State(app): State<App>,
    Path((datasource, table)): Path<(String, String)>,
    until: Option<Extension<GoodUntil>>,
) -> Answer<Response> {
    let place = app.streams.place()?;
    let subscription = app.datasources.subscribe(&datasource, &table).await?;
    let table: TableName = table.into();
    let source = Source::Datasource { subscription, table, is_known: false };
    Ok(answer(Client::new(source, app.streams, place, until)))
}

/// Where updates come from.
enum Source {
    Policy(Observation),
    Datasource {
        subscription: Subscription,
        table: TableName,
        /// A snapshot has been sent, and nobody has gone since.
        is_known: bool,
    },
}

/// What a client is to be told.
enum News {
    Rows(RowsUpdate),
    /// Nobody publishes the table.
    Gone,
}

impl Source {
    /// What is next; none at the end. Safe to cancel.
    async fn next(&mut self) -> Option<News> {
        match self {
            Self::Policy(observation) => match observation.next().await {
                Ok(update) => Some(News::Rows(update)),
                Err(failure) => {
                    tracing::warn!(error = %failure.message, "a stream of rows ends");
                    None
                }
            },
            Self::Datasource { subscription, table, is_known } => loop {
                let news = match subscription.next().await? {
                    Update::Snapshot(snapshot) => {
                        let found = snapshot.tables.into_iter().find(|(name, _)| name == table);
                        match found {
                            Some((_, rows)) => {
                                *is_known = true;
                                News::Rows(RowsUpdate::Snapshot(cells(&rows)))
                            }
                            None if std::mem::take(is_known) => News::Gone,
                            None => continue,
                        }
                    }
                    Update::Change(_, change) => {
                        let found = change.tables.iter().find(|(name, _)| name == table);
                        let Some((_, delta)) = found else { continue };
                        let (added, removed) = (cells(&delta.added), cells(&delta.removed));
                        News::Rows(match std::mem::replace(is_known, true) {
                            true => RowsUpdate::Change { added, removed },
                            // The first that is heard of it.
                            false => RowsUpdate::Snapshot(added),
                        })
                    }
                    Update::Gone if std::mem::take(is_known) => News::Gone,
                    Update::Gone => continue,
                };
                return Some(news);
            },
        }
    }
}

fn cells(rows: &[Row]) -> Vec<Vec<Cell>> {
    let cell = |value: &Value| {
        use congress_policy::ast::Constant;
        Cell(match value {
            Value::Null => Constant::Text("None".into()),
            Value::Bool(true) => Constant::Text("True".into()),
            Value::Bool(false) => Constant::Text("False".into()),
            Value::Int(int) => Constant::Int((*int).into()),
            Value::Float(float) => Constant::Float(*float),
            Value::Text(text) => Constant::Text(text.clone().into()),
        })
    };
    rows.iter().map(|row| row.iter().map(cell).collect()).collect()
}

/// A stream of one client.
struct Client {
    source: Source,
    /// What of the last update is yet to be sent.
    rest: Option<Rest>,
    streams: Streams,
    /// When the client's token is good no longer, if there is one.
    until: Option<Instant>,
    /// Held as long as the stream lasts.
    _place: OwnedSemaphorePermit,
}

fn answer(client: Client) -> Response {
    let mut response = Response::new(Body::from_stream(events(client)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies of the nginx kind keep what they think is a page until it is whole.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn events(client: Client) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(client, |mut client| async move {
        let event = client.event().await?;
        Some((Ok(event), client))
    })
}

impl Client {
    fn new(
        source: Source,
        streams: Streams,
        place: OwnedSemaphorePermit,
        until: Option<Extension<GoodUntil>>,
    ) -> Self {
        let until = until.and_then(|Extension(GoodUntil(until))| {
            let left = Duration::try_from(until.duration_since(Timestamp::now()));
            // One that is beyond all clocks is no end.
            Instant::now().checked_add(left.unwrap_or_default())
        });
        Self { source, rest: None, streams, until, _place: place }
    }

    /// The next event or heartbeat; none at the end.
    async fn event(&mut self) -> Option<Bytes> {
        loop {
            if let Some(rest) = &mut self.rest {
                if let Some(event) = rest.next() {
                    return Some(event);
                }
                self.rest = None;
            }
            let news = tokio::select! {
                biased;
                () = self.streams.stop.cancelled() => return None,
                () = ended(self.until) => return None,
                news = self.source.next() => news?,
                () = tokio::time::sleep(HEARTBEAT) => {
                    return Some(Bytes::from_static(b": heartbeat\n\n"));
                }
            };
            match news {
                News::Rows(update) => self.rest = Some(Rest::new(update)),
                News::Gone => return Some(Bytes::from_static(b"event: gone\ndata: {}\n\n")),
            }
        }
    }
}

/// Waits for the end of a token; for ever if there is none.
async fn ended(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// An update that is sent in pieces.
struct Rest {
    is_snapshot: bool,
    begun: bool,
    added: std::vec::IntoIter<Vec<Cell>>,
    removed: std::vec::IntoIter<Vec<Cell>>,
}

#[derive(Serialize)]
struct Data {
    data: Vec<Cell>,
}

#[derive(Serialize)]
struct SnapshotEvent {
    results: Vec<Data>,
    first: bool,
    last: bool,
}

#[derive(Serialize)]
struct ChangeEvent {
    added: Vec<Data>,
    removed: Vec<Data>,
}

impl Rest {
    fn new(update: RowsUpdate) -> Self {
        let (is_snapshot, added, removed) = match update {
            RowsUpdate::Snapshot(rows) => (true, rows, Vec::new()),
            RowsUpdate::Change { added, removed } => (false, added, removed),
        };
        Self { is_snapshot, begun: false, added: added.into_iter(), removed: removed.into_iter() }
    }
}

impl Iterator for Rest {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let first = !std::mem::replace(&mut self.begun, true);
        let is_empty = self.added.len() + self.removed.len() == 0;
        // A snapshot without rows says something; a change without, nothing.
        if is_empty && !(first && self.is_snapshot) {
            return None;
        }
        let take = |rows: &mut std::vec::IntoIter<Vec<Cell>>, most: usize| -> Vec<Data> {
            rows.take(most).map(|data| Data { data }).collect()
        };
        let removed = take(&mut self.removed, ROWS);
        let added = take(&mut self.added, ROWS - removed.len());
        let (name, data) = if self.is_snapshot {
            let last = self.added.len() == 0;
            ("snapshot", serde_json::to_string(&SnapshotEvent { results: added, first, last }))
        } else {
            ("change", serde_json::to_string(&ChangeEvent { added, removed }))
        };
        // JSON on one line has no line break that would end the event.
        match data {
            Ok(data) => Some(Bytes::from(format!("event: {name}\ndata: {data}\n\n"))),
            Err(error) => {
                tracing::error!(%error, "an event could not be written");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use congress_bus::Bus as _;
    use congress_policy::ast::Constant;
    use serde_json::{Value, json};

    use super::*;

    fn rows(numbers: std::ops::Range<i64>) -> Vec<Vec<Cell>> {
        numbers.map(|n| vec![Cell(Constant::Int(n.into()))]).collect()
    }

    fn sent(update: RowsUpdate) -> Vec<(String, Value)> {
        let event = |bytes: Bytes| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            let (name, data) =
                text.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
            let data = data.strip_suffix("\n\n").unwrap();
            assert!(!data.contains('\n'));
            (name.to_owned(), serde_json::from_str(data).unwrap())
        };
        Rest::new(update).map(event).collect()
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_token() {
        let streams = Streams::new(CancellationToken::new());
        let bus = congress_bus::InProcessBus::new("node", "instance");
        let stream = |until: Option<Duration>| {
            let subscription = bus.subscribe("test", "nobody", ["t".into()].into());
            let source = Source::Datasource { subscription, table: "t".into(), is_known: false };
            let until = until.map(|left| Extension(GoodUntil(Timestamp::now() + left)));
            Client::new(source, streams.clone(), streams.place().unwrap(), until)
        };
        // Each would be told something every fifteen seconds else.
        for left in [Duration::ZERO, Duration::from_millis(50)] {
            assert!(stream(Some(left)).event().await.is_none());
        }
        let long = [None, Some(Duration::from_secs(3600))];
        for mut stream in long.map(stream) {
            let event = tokio::time::timeout(Duration::from_millis(50), stream.event());
            assert!(event.await.is_err());
        }
    }

    #[test]
    fn an_empty_snapshot_is_told_and_an_empty_change_is_not() {
        let expected = json!({"results": [], "first": true, "last": true});
        assert_eq!(sent(RowsUpdate::Snapshot(vec![])), [("snapshot".to_owned(), expected)]);
        assert!(sent(RowsUpdate::Change { added: vec![], removed: vec![] }).is_empty());
    }

    #[test]
    fn long_updates_come_in_pieces() {
        let pieces = sent(RowsUpdate::Snapshot(rows(0..2500)));
        let flags: Vec<_> =
            pieces.iter().map(|(_, data)| (&data["first"], &data["last"])).collect();
        assert_eq!(
            flags,
            [
                (&json!(true), &json!(false)),
                (&json!(false), &json!(false)),
                (&json!(false), &json!(true))
            ]
        );
        let count = |key: &str, data: &Value| data[key].as_array().unwrap().len();
        let pieces = sent(RowsUpdate::Change { added: rows(0..1500), removed: rows(0..700) });
        let counts: Vec<_> =
            pieces.iter().map(|(_, data)| (count("removed", data), count("added", data))).collect();
        assert_eq!(counts, [(700, 300), (0, 1000), (0, 200)]);
    }
}
