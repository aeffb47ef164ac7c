//! Logging in at the cloud's login server, as the command-line client does. The host's sessions do
//! not know this login, so that the driver sees the password.

use congress_driver::session::{Request, Response, send};
use congress_driver::{Config, Error, Result, clock, logging, state, url};
use serde_json::{Value as Json, json};

/// The client `cf`, which has no secret.
const CLIENT: &str = "Basic Y2Y6";
/// Where a token is kept between polls.
const TOKEN: &str = "token";
/// A token is renewed this many seconds before it expires.
const MARGIN: i64 = 60;

/// A login and where to do it.
pub(crate) struct Login<'a> {
    base: &'a str,
    login_url: Option<&'a str>,
    username: &'a str,
    password: &'a str,
}

impl<'a> Login<'a> {
    pub(crate) fn of(config: &'a Config) -> Result<Self> {
        Ok(Self {
            base: config.text("auth_url")?,
            login_url: config.get("login_url").filter(|url| !url.is_empty()),
            username: config.text("username")?,
            password: config.text("password")?,
        })
    }

    /// The API's address.
    pub(crate) fn base(&self) -> &'a str {
        self.base
    }

    /// The token of an earlier poll, if it is good for a while.
    pub(crate) fn remembered(&self) -> Option<String> {
        let kept: Json = state::get_as(TOKEN)?;
        good(&kept, clock::now())
    }

    /// A new token.
    pub(crate) fn log_in(&self) -> Result<String> {
        let url = url::join(&self.server()?, "oauth/token");
        let form = format!(
            "grant_type=password&username={}&password={}",
            url::encode(self.username),
            url::encode(self.password)
        );
        let request = Request {
            body: Some(form.into_bytes()),
            ..Request::new("POST", &url)
                .header("accept", "application/json")
                .header("content-type", "application/x-www-form-urlencoded")
                .header("authorization", CLIENT)
        };
        let answer = accepted(send(&request)?, &request)?.json(&request)?;
        let Some(token) = answer["access_token"].as_str() else {
            return Err(Error::Protocol(format!("POST {url} answered without a token")));
        };
        let expires = clock::now().saturating_add(answer["expires_in"].as_i64().unwrap_or(0));
        if let Err(error) = state::set(TOKEN, json!({"token": token, "expires": expires})) {
            logging::debug(&format!("the next poll logs in again: {error}"));
        }
        Ok(token.to_owned())
    }

    /// The login server: the configured one, or the one that the API names.
    fn server(&self) -> Result<String> {
        if let Some(url) = self.login_url {
            return Ok(url.to_owned());
        }
        let request = Request::get(&url::join(self.base, "v2/info"));
        let (_, info) = request.send_json()?;
        let named = ["authorization_endpoint", "token_endpoint"].map(|name| info[name].as_str());
        let named = named.into_iter().flatten().find(|url| !url.is_empty());
        Ok(url::resolve(
            &request.url,
            named.ok_or_else(|| {
                Error::Protocol(format!(
                    "GET {} names no login server; set 'login_url'",
                    url::without_query(&request.url)
                ))
            })?,
        ))
    }
}

/// The login's answer; a refusal is about the credentials, also where the server calls it a bad
/// request.
fn accepted(response: Response, request: &Request) -> Result<Response> {
    let refused = response.status == 400;
    response.success(request).map_err(|error| match error {
        Error::Protocol(text) if refused => Error::Auth(text),
        error => error,
    })
}

/// The token in what was kept, if it is good for a while.
fn good(kept: &Json, now: i64) -> Option<String> {
    let expires = kept["expires"].as_i64()?;
    (expires > now.saturating_add(MARGIN)).then(|| kept["token"].as_str().map(str::to_owned))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_good_until_a_while_before_they_expire() {
        let kept = json!({"token": "t", "expires": 1000});
        assert_eq!(good(&kept, 939), Some("t".into()));
        assert_eq!(good(&kept, 940), None);
        assert_eq!(good(&json!({"expires": 1000}), 0), None);
        assert_eq!(good(&json!(null), 0), None);
    }

    #[test]
    fn a_refused_login_is_about_the_credentials() {
        let answer = |status| Response { status, headers: Vec::new(), body: b"no".to_vec() };
        let request = Request::new("POST", "http://uaa/oauth/token");
        for status in [400, 401] {
            assert!(matches!(accepted(answer(status), &request), Err(Error::Auth(_))), "{status}");
        }
        assert!(matches!(accepted(answer(500), &request), Err(Error::Protocol(_))));
        assert!(accepted(answer(200), &request).is_ok());
    }
}
