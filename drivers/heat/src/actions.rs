//! What policies can do to stacks and their resources.

use congress_driver::actions::{self, Arguments, Template, with_body};
use congress_driver::openstack::Service;
use congress_driver::session::{Request, Response, send};
use congress_driver::{Action, Call, Error, Result, url};

use crate::stacks;

/// The actions that are one request.
const TEMPLATES: &str = include_str!("actions.txt");

/// Actions that need the stack's own address, below which their request goes.
const OF_STACK: [Template; 3] = [
    with_body(
        "resources.mark_unhealthy",
        "stack_id resource_name mark_unhealthy=true resource_status_reason?",
        "PATCH resources/{resource_name}",
        r#"{"mark_unhealthy": "{mark_unhealthy}",
            "resource_status_reason": "{resource_status_reason}"}"#,
        "Marks a resource for replacement by the next update.",
    ),
    with_body(
        "resources.signal",
        "stack_id resource_name data?",
        "POST resources/{resource_name}/signal",
        r#""{data}""#,
        "Signals a resource.",
    ),
    with_body("stacks.update", "stack_id **", "PUT ", r#""{**}""#, "Updates a stack."),
];

/// How many redirects are followed: one leads from a stack's id to its own address.
const REDIRECTS: usize = 3;

/// All actions, as the metadata shows them.
pub(crate) fn all() -> Vec<Action> {
    let templates = actions::parse(TEMPLATES);
    actions::sorted(actions::describe(&templates).chain(actions::describe(&OF_STACK)))
}

/// Runs an action.
pub(crate) fn execute(service: &Service, call: &Call) -> Result<()> {
    let Some(template) = OF_STACK.iter().find(|template| template.name == call.action) else {
        let request = actions::request(&actions::parse(TEMPLATES), call, service.base())?;
        return follow(service, request);
    };
    let arguments = Arguments::of(call, template.arguments)?;
    let (_, answer) = service.get(&arguments.path("stacks/{stack_id}")?).send_json()?;
    let stack = url::join(service.base(), &stacks::path(&answer["stack"])?);
    service.send(actions::request(&OF_STACK, call, &stack)?)
}

/// Sends a request where the service redirects it to, which for other methods than GET the host
/// leaves to the driver: Heat names a stack's own address when it is asked by its id.
fn follow(service: &Service, mut request: Request) -> Result<()> {
    for _ in 0..REDIRECTS {
        let response = send(&request)?;
        match redirected(service.base(), &response) {
            Some(url) => request.url = url,
            None => return response.success(&request).map(drop),
        }
    }
    let url = url::without_query(&request.url);
    Err(Error::Protocol(format!("{} {url}: too many redirects", request.method)))
}

/// The address that a service redirects to, at the address by which we know the service: behind
/// proxies it often does not know that itself.
fn redirected(base: &str, response: &Response) -> Option<String> {
    let location =
        matches!(response.status, 301 | 302 | 307 | 308).then(|| response.header("location"))??;
    let (_, path) = location.split_once("/stacks/")?;
    Some(url::join(base, &format!("stacks/{path}")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    #[test]
    fn templates_are_well_formed() {
        actions::check(TEMPLATES).unwrap();
        let call = |action: &str, positional: &[Json]| Call {
            action: action.into(),
            positional: positional.to_vec(),
            named: Vec::new(),
        };
        let request = |action: &str, positional: &[Json]| {
            let stack = "http://h/v1/p/stacks/n/i";
            actions::request(&OF_STACK, &call(action, positional), stack).unwrap()
        };
        let signal = request("resources.signal", &[json!("i"), json!("r")]);
        assert_eq!(signal.url, "http://h/v1/p/stacks/n/i/resources/r/signal");
        assert_eq!(signal.body, None);
        let mark = request("resources.mark_unhealthy", &[json!("i"), json!("r")]);
        assert_eq!(mark.body.unwrap(), br#"{"mark_unhealthy":true}"#);
        assert_eq!(request("stacks.update", &[json!("i")]).url, "http://h/v1/p/stacks/n/i");
    }

    #[test]
    fn redirects_stay_at_the_service() {
        let response = |status: u16, location: &str| Response {
            status,
            headers: vec![("location".into(), location.into())],
            body: Vec::new(),
        };
        let base = "https://public/v1/p";
        let found =
            redirected(base, &response(302, "http://10.0.0.1:8004/v1/p/stacks/n/i/actions"));
        assert_eq!(found.unwrap(), "https://public/v1/p/stacks/n/i/actions");
        assert_eq!(redirected(base, &response(302, "http://elsewhere/")), None);
        assert_eq!(redirected(base, &response(202, "http://h/stacks/n/i")), None);
    }
}
