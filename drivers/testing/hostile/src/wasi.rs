//! Requests through `wasi:http`, which any component may import.

use congress_driver::prelude::*;

/// GET of a URL; the status, or what the host refused it with, goes into `report`.
pub(crate) fn fetch(url: &str) -> Result<()> {
    let (key, value) = match get(url) {
        Ok(status) => ("status", i64::from(status).into()),
        Err(refusal) => ("refusal", refusal.into()),
    };
    rows::replace("report", [vec![key.into(), value]])
}

/// Opens so many requests at once and reads none of their answers; the first refusal is the error.
pub(crate) fn connections(url: &str, count: i64) -> Result<()> {
    let opened: Vec<_> = (0..count).map(|_| guest::open(url)).collect();
    let mut answers = Vec::new();
    for request in opened {
        let answer = request.and_then(guest::answer);
        answers.push(answer.map_err(Error::Connection)?);
    }
    rows::replace("report", [vec!["answers".into(), (answers.len() as i64).into()]])
}

/// Takes an answer and waits for ever without reading it.
pub(crate) fn never_read(url: &str) -> Result<()> {
    let answer = guest::open(url).and_then(guest::answer).map_err(Error::Connection)?;
    std::thread::sleep(std::time::Duration::from_secs(3600));
    drop(answer);
    Ok(())
}

fn get(url: &str) -> std::result::Result<u16, String> {
    guest::open(url).and_then(guest::answer).map(|answer| guest::status(&answer))
}

#[cfg(target_arch = "wasm32")]
mod guest {
    use wasip2::http::outgoing_handler::handle;
    use wasip2::http::types::{
        ErrorCode, Fields, FutureIncomingResponse, IncomingResponse, OutgoingRequest, Scheme,
    };

    /// Begins a GET.
    pub(super) fn open(url: &str) -> Result<FutureIncomingResponse, String> {
        let (scheme, rest) = url.split_once("://").ok_or("not an absolute URL")?;
        let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let request = OutgoingRequest::new(Fields::new());
        let refused = |what: &str| format!("the host refused the {what}");
        request.set_scheme(Some(&scheme)).map_err(|()| refused("scheme"))?;
        request.set_authority(Some(authority)).map_err(|()| refused("authority"))?;
        request.set_path_with_query(Some(path)).map_err(|()| refused("path"))?;
        handle(request, None).map_err(text)
    }

    /// Waits for the answer's head.
    pub(super) fn answer(request: FutureIncomingResponse) -> Result<IncomingResponse, String> {
        request.subscribe().block();
        let answer = request.get().ok_or("no answer")?.map_err(|()| "answer taken twice")?;
        answer.map_err(text)
    }

    pub(super) fn status(answer: &IncomingResponse) -> u16 {
        answer.status()
    }

    fn text(code: ErrorCode) -> String {
        match code {
            ErrorCode::InternalError(Some(text)) => text,
            other => format!("{other:?}"),
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod guest {
    pub(super) fn open(_: &str) -> Result<(), String> {
        Err("there is no WASI here".into())
    }

    pub(super) fn answer(request: ()) -> Result<(), String> {
        Ok(request)
    }

    pub(super) fn status(_: &()) -> u16 {
        0
    }
}
