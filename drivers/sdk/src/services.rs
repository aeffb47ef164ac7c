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
const UNREACHED: &str = "cannot connect to ";
/// The same of a name that has no address.
const UNRESOLVED: &str = " cannot be resolved";

/// What stands before that name.
const NAME: &str = "the name ";

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
    /// It has answered 401, and nothing else, to requests with this login of their own, or with that
    /// which the host adds.
    Refuses(Error, Option<String>),
}

/// Sends a request by `send`, unless its service is known to be away, or to refuse the login.
pub(crate) fn ask(
    request: &Request,
    send: impl FnOnce(&Request) -> Result<Response>,
) -> Result<Response> {
    if let Some(error) = SERVICES.with_borrow(|services| services.error(request)) {
        return Err(error);
    }
    let outcome = send(request);
    SERVICES.with_borrow_mut(|services| services.note(request, &outcome));
    outcome
}

impl Services {
    /// Why a service is not asked again.
    fn error(&self, request: &Request) -> Option<Error> {
        match self.0.get(url::origin(&request.url))? {
            Service::Away(error) => Some(error.clone()),
            Service::Refuses(error, login) if *login == own_login(request) => Some(error.clone()),
            Service::Answers | Service::Silent(_) | Service::Refuses(..) => None,
        }
    }

    /// What has come of a request. A service that has answered one is asked the others as well, but
    /// for an answer that refuses the login: each further one might count as an attempt to guess it.
    fn note(&mut self, request: &Request, outcome: &Result<Response>) {
        let origin = url::origin(&request.url);
        let silences = match self.0.get(origin) {
            None | Some(Service::Refuses(..)) => 0,
            Some(Service::Silent(silences)) => *silences,
            Some(Service::Answers | Service::Away(_)) => return,
        };
        let now = match outcome {
            Ok(answer) if answer.status == 401 => {
                let text = format!("{} answered 401", url::without_query(&request.url));
                Service::Refuses(Error::Auth(text), own_login(request))
            }
            Ok(_) => Service::Answers,
            Err(error @ Error::Auth(_)) => Service::Away(error.clone()),
            Err(error @ Error::Connection(text)) => {
                let is_silent = is_silence_of(text, origin);
                if is_silent && silences + 1 < SILENCES {
                    Service::Silent(silences + 1)
                } else if is_silent || is_away(text, origin) {
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

/// The login that a driver has put into a request, if it does not leave that to the host.
fn own_login(request: &Request) -> Option<String> {
    let mut headers = request.headers.iter();
    let login = headers.find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    login.map(|(_, value)| value.clone())
}

/// Whether an error says that this very service cannot be reached. The host follows redirects: the
/// error may be about where one leads to, and the service has answered then.
fn is_away(text: &str, origin: &str) -> bool {
    let origin = full(origin);
    if let Some((_, behind)) = text.split_once(UNREACHED) {
        return behind.split_whitespace().next().is_some_and(|named| full(named) == origin);
    }
    let Some((before, _)) = text.split_once(UNRESOLVED) else { return false };
    let named = before.rsplit_once(NAME).map_or(before, |(_, named)| named);
    let host = origin.split_once("://").map_or(&*origin, |(_, host)| host);
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    named.trim_end_matches('.').eq_ignore_ascii_case(host.trim_end_matches('.'))
}

/// Whether an error says that this very service was silent.
fn is_silence_of(text: &str, origin: &str) -> bool {
    let named = text.split_once(SILENT).and_then(|(before, _)| before.split_whitespace().last());
    named.is_some_and(|named| full(named) == full(origin))
}

/// An origin as the host writes it: in lower case, and with its port.
fn full(origin: &str) -> String {
    let origin = origin.trim_end_matches(':').to_ascii_lowercase();
    let (scheme, host) = origin.split_once("://").unwrap_or_default();
    // An IPv6 address has colons too, in brackets.
    let has_port = host.rsplit(']').next().is_some_and(|behind| behind.contains(':'));
    match scheme {
        "https" if !has_port => format!("{origin}:443"),
        "http" if !has_port => format!("{origin}:80"),
        _ => origin,
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
    fn an_answer_that_refuses_the_login_is_the_last() {
        let refused = Error::Auth("http://h:1/b answered 401".into());
        let mut urls = SAME;
        urls.swap(0, 1);
        assert_eq!(asked(&urls[..1], &Ok(answer(401))), (1, Ok(401)));
        assert_eq!(asked(&urls, &Ok(answer(401))), (1, Err(refused)));
        assert_eq!(asked(&["http://h:1", "http://h:2"], &Ok(answer(401))), (2, Ok(401)));
        assert_eq!(asked(&SAME, &Ok(answer(403))), (4, Ok(403)));
        // One that takes the login may refuse it at some address.
        let mut services = Services::default();
        let request = Request::get("http://h/a");
        services.note(&request, &Ok(answer(200)));
        services.note(&request, &Ok(answer(401)));
        assert_eq!(services.error(&request), None);
        // Nor does a silence make up for the refusal behind it.
        let mut services = Services::default();
        let silence = Error::Connection("http://h:80 did not answer within 60 s".into());
        services.note(&request, &Err(silence));
        services.note(&request, &Ok(answer(401)));
        assert!(services.error(&request).is_some());
    }

    #[test]
    fn another_login_of_a_drivers_own_may_be_taken() {
        let with = |login: &str| Request::get("http://h/a").header("Authorization", login);
        let mut services = Services::default();
        services.note(&with("Bearer old"), &Ok(answer(401)));
        assert!(services.error(&with("Bearer old")).is_some());
        assert_eq!(services.error(&with("Bearer new")), None);
        assert_eq!(services.error(&Request::get("http://h/info")), None);
        services.note(&with("Bearer new"), &Ok(answer(401)));
        assert!(services.error(&with("Bearer new")).is_some());
        services.note(&Request::get("http://h/info"), &Ok(answer(200)));
        assert_eq!(services.error(&with("Bearer new")), None);
    }

    #[test]
    fn an_error_about_where_a_redirect_leads_is_about_no_other_service() {
        for text in [
            "cannot connect to http://mirror:80: refused",
            "cannot connect to http://h:10: refused",
            "cannot connect to https://h:1: refused",
            "the name mirror cannot be resolved: unknown",
            "the name another.h cannot be resolved: unknown",
            "http://mirror:80 did not answer within 60 s",
        ] {
            let error = Error::Connection(text.into());
            assert_eq!(asked(&SAME, &Err(error.clone())), (4, Err(error)));
        }
    }

    #[test]
    fn origins_are_compared_as_the_host_writes_them() {
        for (origin, named) in [
            ("http://h", "http://h:80"),
            ("https://H.example", "https://h.example:443"),
            ("http://[::1]", "http://[::1]:80"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert!(is_away(&format!("cannot connect to {named}"), origin));
            assert!(is_away(&format!("cannot connect to {named}: refused"), origin));
            assert!(is_silence_of(&format!("{named} did not answer within 1 s"), origin));
        }
        assert!(is_away("the name h.example cannot be resolved: unknown", "https://H.example:1"));
        assert!(!is_away("cannot connect to http://h:443", "https://h"));
    }

    #[test]
    fn one_silence_may_be_one_requests_fault() {
        let error = Error::Connection("http://h:1 did not answer within 60 s".into());
        assert_eq!(asked(&SAME, &Err(error.clone())), (2, Err(error.clone())));
        let mut services = Services::default();
        let request = Request::get("http://h:1");
        services.note(&request, &Err(error.clone()));
        services.note(&request, &Ok(answer(200)));
        services.note(&request, &Err(error));
        assert_eq!(services.error(&request), None);
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
        let request = Request::get("http://h");
        services.note(&request, &Ok(answer(503)));
        services.note(&request, &Err(Error::Connection("cannot connect to http://h".into())));
        assert_eq!(services.error(&request), None);
    }
}
