//! A request through `wasi:http`, which any component may import.

use congress_driver::prelude::*;

/// GET of a URL; the status, or what the host refused it with, goes into `report`.
pub(crate) fn fetch(url: &str) -> Result<()> {
    let (key, value) = match get(url) {
        Ok(status) => ("status", i64::from(status).into()),
        Err(refusal) => ("refusal", refusal.into()),
    };
    rows::replace("report", [vec![key.into(), value]])
}

#[cfg(target_arch = "wasm32")]
fn get(url: &str) -> std::result::Result<u16, String> {
    use wasip2::http::outgoing_handler::handle;
    use wasip2::http::types::{Fields, OutgoingRequest, Scheme};

    let (scheme, rest) = url.split_once("://").ok_or("not an absolute URL")?;
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let request = OutgoingRequest::new(Fields::new());
    let refused = |what: &str| format!("the host refused the {what}");
    request.set_scheme(Some(&scheme)).map_err(|()| refused("scheme"))?;
    request.set_authority(Some(authority)).map_err(|()| refused("authority"))?;
    request.set_path_with_query(Some(path)).map_err(|()| refused("path"))?;
    let future = handle(request, None).map_err(|code| format!("{code:?}"))?;
    future.subscribe().block();
    let response = future.get().ok_or("no answer")?.map_err(|()| "answer taken twice")?;
    response.map(|response| response.status()).map_err(|code| format!("{code:?}"))
}

#[cfg(not(target_arch = "wasm32"))]
fn get(_: &str) -> std::result::Result<u16, String> {
    Err("there is no WASI here".into())
}
