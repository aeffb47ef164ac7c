//! Templates written as text, one action per line: for services with hundreds of them.

use super::Template;

/// The templates in a text: per line `name | arguments | METHOD path [body] | description`, each
/// part as in [`Template`]. Empty lines and lines that begin with `#` are skipped, and so are lines
/// without those four parts: the text is a constant of the driver, tried with
/// [`check`](super::check) by its tests.
///
/// ```
/// let templates = congress_driver::actions::parse(
///     "servers.delete | server | DELETE servers/{server} | Deletes a server.
///      servers.lock | server reason? | POST servers/{server}/action {\"lock\": \"{reason}\"} | Locks it.",
/// );
/// assert_eq!(templates[0].request, "DELETE servers/{server}");
/// assert_eq!(templates[1].body, Some("{\"lock\": \"{reason}\"}"));
/// ```
pub fn parse(text: &'static str) -> Vec<Template> {
    lines(text).filter_map(template).collect()
}

/// The lines that are templates.
pub(super) fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// A line as a template; none if a part is missing.
pub(super) fn template(line: &'static str) -> Option<Template> {
    let mut parts = line.splitn(4, '|').map(str::trim);
    let (name, arguments, request) = (parts.next()?, parts.next()?, parts.next()?);
    let description = parts.next()?;
    let path = request.find(' ')? + 1;
    let end = request[path..].find(' ').map_or(request.len(), |space| path + space);
    let body = Some(request[end..].trim()).filter(|body| !body.is_empty());
    Some(Template { name, arguments, request: &request[..end], body, description })
}

#[cfg(test)]
mod tests {
    use super::super::{bare, with_body};
    use super::*;

    #[test]
    fn lines_become_templates() {
        let text = "# things\n\n a | x y? | GET a/{x} | Gets, or | not.\nb||PUT b {t}|\n";
        let expected = [
            bare("a", "x y?", "GET a/{x}", "Gets, or | not."),
            with_body("b", "", "PUT b", "{t}", ""),
        ];
        assert_eq!(parse(text), expected);
        assert_eq!(parse("a | x | GET"), []);
    }
}
