//! A place to listen in between the host and the network, or to answer instead of it.

use std::fmt;

use bytes::Bytes;
use http::{Request, Response};

/// Sees each request that has passed the grants, credentials included, and may answer it itself.
/// For tools that record and replay services; a server has none.
///
/// Called on the host's threads: implementations answer at once. With a wire, bodies of
/// `wasi:http` are read as a whole before the guest sees them.
pub trait Wire: fmt::Debug + Send + Sync {
    /// Answers a request, or says in words why the service cannot be reached. None lets it out
    /// into the network, where the address is judged.
    fn answer(&self, request: &Request<Bytes>) -> Option<Result<Response<Bytes>, String>>;

    /// A request went out, and this came back.
    fn saw(&self, request: &Request<Bytes>, response: &Response<Bytes>);
}
