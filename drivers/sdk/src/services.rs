//! Which services have answered in this call. One that is away is waited for once or twice, not once
//! for every table that is read from it.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::session::{Request, Response};
use crate::{Error, Result, url};

thread_local! {
    /// Each call has memory of its own, so that this is about one call.
    static SERVICES: RefCell<Services> = RefCell::default();
}

/// What the host says of a service that cannot be reached. An answer that broke off has the same case
/// of the contract, so that only words tell them apart. Other words than these cost time at worst, for
/// each table then finds out for itself.
const AWAY: [&str; 2] = ["cannot connect to ", " cannot be resolved"];

/// The same of one that took the request and was silent: that may be the fault of this one request.
const SILENT: &str = " did not answer within ";

/// How many silences, and no answer, show that it is the service's fault.
const SILENCES: u32 = 2;

/// Services by their origin.
#[derive(Debug, Default)]
struct Services(HashMap<String, Service>);

#[derive(Debug)]
enum Service {
    /// It has answered, whatever it was.
    Answers,
    /// It has let so many requests wait, and answered none.
    Silent(u32),
    /// It need not be asked again, for this reason.
    Away(Error),
}

/// Sends a request by `send`, unless its service is known to be away, or to refuse the login.
pub(crate) fn ask(
    request: &Request,
    send: impl FnOnce(&Request) -> Result<Response>,
) -> Result<Response> {
    let origin = url::origin(&request.url);
    if let Some(error) = SERVICES.with_borrow(|services| services.error(origin)) {
        return Err(error);
    }
    let outcome = send(request);
    SERVICES.with_borrow_mut(|services| services.note(origin, &outcome));
    outcome
}

impl Services {
    /// Why a service is not asked again.
    fn error(&self, origin: &str) -> Option<Error> {
        match self.0.get(origin)? {
            Service::Away(error) => Some(error.clone()),
            Service::Answers | Service::Silent(_) => None,
        }
    }

    /// What has come of a request. A service that has answered one is asked the others as well.
    fn note(&mut self, origin: &str, outcome: &Result<Response>) {
        let silences = match self.0.get(origin) {
            None => 0,
            Some(Service::Silent(silences)) => *silences,
            Some(Service::Answers | Service::Away(_)) => return,
        };
        let now = match outcome {
            Ok(_) => Service::Answers,
            Err(error @ Error::Auth(_)) => Service::Away(error.clone()),
            Err(error @ Error::Connection(text)) => {
                let is_silent = text.contains(SILENT);
                if is_silent && silences + 1 < SILENCES {
                    Service::Silent(silences + 1)
                } else if is_silent || AWAY.iter().any(|words| text.contains(words)) {
                    Service::Away(error.clone())
                } else {
                    return;
                }
            }
            Err(_) => return,
        };
        self.0.insert(origin.to_owned(), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of these requests are sent, and what comes of the last one.
    fn asked(urls: &[&str], outcome: &Result<Response>) -> (usize, Result<u16>) {
        SERVICES.take();
        let mut sent = 0;
        let mut last = Ok(0);
        for url in urls {
            last = ask(&Request::get(url), |_| {
                sent += 1;
                outcome.clone()
            })
            .map(|response| response.status);
        }
        (sent, last)
    }

    fn answer(status: u16) -> Response {
        Response { status, headers: Vec::new(), body: Vec::new() }
    }

    const SAME: [&str; 4] = ["http://h:1/a", "http://h:1/b?c", "http://h:1", "http://h:1/d"];

    #[test]
    fn a_service_that_is_away_is_asked_once() {
        for error in [
            Error::Connection("cannot connect to http://h:1: refused".into()),
            Error::Connection("the name h cannot be resolved: unknown".into()),
            Error::Auth("no such user".into()),
        ] {
            assert_eq!(asked(&SAME, &Err(error.clone())), (1, Err(error.clone())));
            let others = ["http://h:1/a", "http://h:2/a", "https://h:1/a"];
            assert_eq!(asked(&others, &Err(error.clone())), (3, Err(error)));
        }
    }

    #[test]
    fn one_silence_may_be_one_requests_fault() {
        let error = Error::Connection("http://h:1 did not answer within 60 s".into());
        assert_eq!(asked(&SAME, &Err(error.clone())), (2, Err(error.clone())));
        let mut services = Services::default();
        services.note("http://h:1", &Err(error.clone()));
        services.note("http://h:1", &Ok(answer(200)));
        services.note("http://h:1", &Err(error));
        assert_eq!(services.error("http://h:1"), None);
    }

    #[test]
    fn what_concerns_one_request_keeps_none_from_being_sent() {
        for error in [
            Error::Connection("the answer broke off from http://h:1".into()),
            Error::Protocol("the answer of http://h:1 is longer than 9 bytes, the limit".into()),
            Error::Protocol("http://h:1 is not granted".into()),
        ] {
            assert_eq!(asked(&SAME, &Err(error.clone())), (4, Err(error)));
        }
    }

    #[test]
    fn a_service_that_has_answered_is_asked_again() {
        assert_eq!(asked(&SAME, &Ok(answer(503))), (4, Ok(503)));
        let mut services = Services::default();
        services.note("http://h", &Ok(answer(503)));
        services.note("http://h", &Err(Error::Connection("cannot connect to http://h".into())));
        assert_eq!(services.error("http://h"), None);
    }
}
