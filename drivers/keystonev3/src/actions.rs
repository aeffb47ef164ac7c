//! What policies can do to users, projects, domains and roles.

use congress_driver::actions::{self, Arguments, Template, bare, with_body};
use congress_driver::openstack::Service;
use congress_driver::session::Request;
use congress_driver::{Action, Call, Result, url};

/// The first six are the client's own methods, which take a path below the service's address.
const TEMPLATES: &[Template] = &[
    bare("delete", "url", "DELETE {+url}", "Sends a DELETE for that path."),
    bare("get", "url", "GET {+url}", "Sends a GET for that path."),
    bare("head", "url", "HEAD {+url}", "Sends a HEAD for that path."),
    with_body("patch", "url json?", "PATCH {+url}", r#""{json}""#, "Sends a PATCH for that path."),
    with_body("post", "url json?", "POST {+url}", r#""{json}""#, "Sends a POST for that path."),
    with_body("put", "url json?", "PUT {+url}", r#""{json}""#, "Sends a PUT for that path."),
    bare("domains.delete", "domain", "DELETE domains/{domain}", "Deletes a domain."),
    with_body(
        "domains.update",
        "domain name? description? enabled?",
        "PATCH domains/{domain}",
        r#"{"domain": {"name": "{name}", "description": "{description}", "enabled": "{enabled}"}}"#,
        "Changes a domain.",
    ),
    bare("projects.add_tag", "project tag", "PUT projects/{project}/tags/{tag}", "Adds a tag."),
    bare("projects.delete", "project", "DELETE projects/{project}", "Deletes a project."),
    bare(
        "projects.delete_tag",
        "project tag",
        "DELETE projects/{project}/tags/{tag}",
        "Removes a tag.",
    ),
    with_body(
        "projects.update",
        "project name? domain? description? enabled?",
        "PATCH projects/{project}",
        r#"{"project": {"name": "{name}", "domain_id": "{domain}",
                        "description": "{description}", "enabled": "{enabled}"}}"#,
        "Changes a project.",
    ),
    bare("roles.delete", "role", "DELETE roles/{role}", "Deletes a role."),
    bare(
        "users.add_to_group",
        "user group",
        "PUT groups/{group}/users/{user}",
        "Adds a user to a group.",
    ),
    bare("users.delete", "user", "DELETE users/{user}", "Deletes a user."),
    bare(
        "users.remove_from_group",
        "user group",
        "DELETE groups/{group}/users/{user}",
        "Removes a user from a group.",
    ),
    with_body(
        "users.update",
        "user name? domain? project? password? email? description? enabled?",
        "PATCH users/{user}",
        r#"{"user": {"name": "{name}", "domain_id": "{domain}",
                     "default_project_id": "{project}", "password": "{password}",
                     "email": "{email}", "description": "{description}",
                     "enabled": "{enabled}"}}"#,
        "Changes a user.",
    ),
];

/// Grants and revocations differ from templates in that their path depends on what is given.
const ROLES: [Template; 2] = [
    bare("roles.grant", ROLE, "PUT", "Grants a role on a domain, a project or the system."),
    bare("roles.revoke", ROLE, "DELETE", "Revokes such a role."),
];
const ROLE: &str = "role user? group? system? domain? project?";

/// All actions, as the metadata shows them.
pub(crate) fn all() -> impl Iterator<Item = Action> {
    actions::describe(TEMPLATES).chain(actions::describe(&ROLES))
}

/// Runs an action.
pub(crate) fn execute(service: &Service, call: &Call) -> Result<()> {
    match ROLES.iter().find(|template| template.name == call.action) {
        Some(template) => {
            let url = url::join(service.base(), &assignment(call)?);
            service.send(Request::new(template.request, &url))
        }
        None => service.execute(TEMPLATES, call),
    }
}

/// The path of a role assignment.
fn assignment(call: &Call) -> Result<String> {
    let arguments = Arguments::of(call, ROLE)?;
    let given = |name: &str| arguments.get(name).is_some();
    let target = match (given("system"), given("domain"), given("project")) {
        (true, false, false) => "system",
        (false, true, false) => "domains/{domain}",
        (false, false, true) => "projects/{project}",
        _ => return Err(actions::wrong(call, "give one of 'system', 'domain' and 'project'")),
    };
    let actor = match (given("user"), given("group")) {
        (true, false) => "users/{user}",
        (false, true) => "groups/{group}",
        _ => return Err(actions::wrong(call, "give one of 'user' and 'group'")),
    };
    arguments.path(&format!("{target}/{actor}/roles/{{role}}"))
}

#[cfg(test)]
mod tests {
    use congress_driver::Error;
    use serde_json::{Value as Json, json};

    use super::*;

    fn call(action: &str, positional: &[Json], named: &[(&str, Json)]) -> Call {
        Call {
            action: action.into(),
            positional: positional.to_vec(),
            named: named.iter().map(|(k, v)| (k.to_string(), v.clone())).collect(),
        }
    }

    #[test]
    fn roles_are_granted_to_someone_on_something() {
        let path = |named: &[(&str, Json)]| assignment(&call("roles.grant", &[json!("r")], named));
        let user = ("user", json!("u"));
        let grant = path(&[user.clone(), ("project", json!("p"))]).unwrap();
        assert_eq!(grant, "projects/p/users/u/roles/r");
        let grant = path(&[("group", json!("g")), ("system", json!("all"))]).unwrap();
        assert_eq!(grant, "system/groups/g/roles/r");
        for incomplete in
            [&[user.clone()][..], &[user, ("group", json!("g")), ("domain", json!("d"))]]
        {
            assert!(matches!(path(incomplete), Err(Error::Unsupported(_))));
        }
    }

    #[test]
    fn templates_are_well_formed() {
        let disable = call("users.update", &[json!("u")], &[("enabled", json!(false))]);
        let request = actions::request(TEMPLATES, &disable, "http://k/v3").unwrap();
        assert_eq!(request.method, "PATCH");
        assert_eq!(request.body.unwrap(), br#"{"user":{"enabled":false}}"#);
        for template in TEMPLATES {
            let arguments: Vec<Json> =
                template.arguments.split(' ').map(|argument| json!(argument)).collect();
            let request =
                actions::request(TEMPLATES, &call(template.name, &arguments, &[]), "http://k/v3");
            assert!(!request.unwrap().url.contains('{'), "{}", template.name);
        }
    }
}
