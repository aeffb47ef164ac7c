//! The grammar of checks: texts such as `role:admin or (rule:owner and not '1':%(x)s)`, and the
//! older lists of lists.
//!
//! `not` binds closest, then `and`, then `or`. Words are divided by spaces; parentheses may touch
//! the words that they enclose.

use serde_json::Value;

use super::check::Check;
use super::template::Template;

/// How deep parentheses and `not` may nest.
const DEPTH: usize = 100;

/// Reads a rule. The error says what is wrong with it.
pub(super) fn rule(value: &Value) -> Result<Check, String> {
    match value {
        // As the original: what demands nothing is always true.
        Value::Null => Ok(Check::Always),
        Value::String(text) => self::text(text),
        Value::Array(alternatives) => list(alternatives),
        _ => Err("is neither a text nor a list".to_owned()),
    }
}

/// Reads the text of a rule.
pub(super) fn text(text: &str) -> Result<Check, String> {
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        return Ok(Check::Always);
    }
    let mut parser = Parser { tokens, position: 0, depth: 0 };
    let check = parser.any()?;
    match parser.next() {
        None => Ok(check),
        Some(Token::Close) => Err("has a ) without its (".to_owned()),
        Some(token) => Err(format!("needs 'and' or 'or' before {token}")),
    }
}

/// The older form: each item is an alternative, one check or a list of checks that must all hold.
fn list(alternatives: &[Value]) -> Result<Check, String> {
    if alternatives.is_empty() {
        return Ok(Check::Always);
    }
    let wrong = || "is a list whose items are neither texts nor lists of texts".to_owned();
    let mut any = Vec::new();
    for alternative in alternatives {
        match alternative {
            // Python takes both for false, and the original leaves them out.
            Value::Null => {}
            Value::String(text) if text.is_empty() => {}
            Value::String(text) => any.push(single(text)?),
            Value::Array(checks) if checks.is_empty() => {}
            Value::Array(checks) => {
                let checks = checks.iter().map(|check| single(check.as_str().ok_or_else(wrong)?));
                any.push(joined(checks.collect::<Result<_, _>>()?, Check::All));
            }
            _ => return Err(wrong()),
        }
    }
    Ok(if any.is_empty() { Check::Never } else { joined(any, Check::Any) })
}

fn joined(mut checks: Vec<Check>, join: fn(Vec<Check>) -> Check) -> Check {
    match (checks.len(), checks.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            checks.extend(last);
            join(checks)
        }
    }
}

/// One check: `@`, `!`, or `kind:match`.
fn single(text: &str) -> Result<Check, String> {
    match text {
        "!" => return Ok(Check::Never),
        "@" => return Ok(Check::Always),
        _ => {}
    }
    let (kind, expected) = text.split_once(':').ok_or_else(|| {
        format!("has {text:?}, which is no check: one has the form kind:match, as role:admin")
    })?;
    let template = || Template::parse(expected).map_err(|problem| format!("{text:?} {problem}"));
    match kind {
        "" => Err(format!("has {text:?}, which has nothing before the colon")),
        "role" => Ok(Check::Role(template()?)),
        "rule" => Ok(Check::Rule(expected.to_owned())),
        "is_admin" => Ok(Check::IsAdmin(expected.eq_ignore_ascii_case("true"))),
        "http" | "https" => Err(format!(
            "has {text:?}: checks that ask another server are not supported; say it with roles, \
             user_id or project_id"
        )),
        _ => match literal(kind) {
            Some(literal) => Ok(Check::Literal(literal, template()?)),
            None => {
                let path = kind.split('.').map(str::to_owned).collect();
                Ok(Check::Attribute(path, template()?))
            }
        },
    }
}

/// The text of a literal of Python: a text in quotes, a number, `True`, `False`, `None`.
fn literal(kind: &str) -> Option<String> {
    for quote in ['"', '\''] {
        if let Some(inner) = kind.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return Some(inner.to_owned());
        }
    }
    if matches!(kind, "True" | "False" | "None") {
        return Some(kind.to_owned());
    }
    kind.parse::<i64>().ok().map(|number| number.to_string())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Open,
    Close,
    And,
    Or,
    Not,
    Check(&'a str),
}

impl std::fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open => f.write_str("'('"),
            Self::Close => f.write_str("')'"),
            Self::And => f.write_str("'and'"),
            Self::Or => f.write_str("'or'"),
            Self::Not => f.write_str("'not'"),
            Self::Check(text) => write!(f, "{text:?}"),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    for word in text.split_whitespace() {
        let opened = word.trim_start_matches('(');
        tokens.extend(std::iter::repeat_n(Token::Open, word.len() - opened.len()));
        // Templates end in a letter, so these close what was opened.
        let inner = opened.trim_end_matches(')');
        match inner.to_ascii_lowercase().as_str() {
            "" => {}
            "and" => tokens.push(Token::And),
            "or" => tokens.push(Token::Or),
            "not" => tokens.push(Token::Not),
            _ if ['"', '\''].iter().any(|q| inner.starts_with(*q) && inner.ends_with(*q)) => {
                return Err(format!("has {inner}, a text in quotes, where a check must stand"));
            }
            _ => tokens.push(Token::Check(inner)),
        }
        tokens.extend(std::iter::repeat_n(Token::Close, opened.len() - inner.len()));
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    position: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.tokens.get(self.position).copied();
        self.position += 1;
        token
    }

    /// Takes the next token if it is this one.
    fn takes(&mut self, token: Token<'_>) -> bool {
        let found = self.tokens.get(self.position) == Some(&token);
        self.position += usize::from(found);
        found
    }

    fn any(&mut self) -> Result<Check, String> {
        let mut checks = vec![self.all()?];
        while self.takes(Token::Or) {
            checks.push(self.all()?);
        }
        Ok(joined(checks, Check::Any))
    }

    fn all(&mut self) -> Result<Check, String> {
        let mut checks = vec![self.unary()?];
        while self.takes(Token::And) {
            checks.push(self.unary()?);
        }
        Ok(joined(checks, Check::All))
    }

    fn unary(&mut self) -> Result<Check, String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(format!("nests deeper than {DEPTH} levels"));
        }
        let check = match self.next() {
            Some(Token::Not) => Check::Not(Box::new(self.unary()?)),
            Some(Token::Open) => {
                let check = self.any()?;
                if !self.takes(Token::Close) {
                    return Err("has a ( without its )".to_owned());
                }
                check
            }
            Some(Token::Check(text)) => single(text)?,
            Some(token) => return Err(format!("has {token} where a check must stand")),
            None => return Err("ends where a check must stand".to_owned()),
        };
        self.depth -= 1;
        Ok(check)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A check as a text of its own, with all parentheses.
    fn shown(check: &Check) -> String {
        let join = |checks: &[Check], word: &str| {
            format!("({})", checks.iter().map(shown).collect::<Vec<_>>().join(word))
        };
        match check {
            Check::Always => "@".to_owned(),
            Check::Never => "!".to_owned(),
            Check::All(checks) => join(checks, " and "),
            Check::Any(checks) => join(checks, " or "),
            Check::Not(check) => format!("not {}", shown(check)),
            Check::Role(_) => "role".to_owned(),
            Check::Rule(name) => name.clone(),
            Check::IsAdmin(expected) => format!("admin={expected}"),
            Check::Literal(literal, _) => format!("{literal:?}"),
            Check::Attribute(path, _) => path.join("/"),
        }
    }

    fn read(text: &str) -> String {
        match super::text(text) {
            Ok(check) => shown(&check),
            Err(problem) => format!("error: {problem}"),
        }
    }

    #[test]
    fn precedence() {
        assert_eq!(read("rule:a or rule:b and rule:c"), "(a or (b and c))");
        assert_eq!(read("rule:a and rule:b or rule:c and rule:d"), "((a and b) or (c and d))");
        assert_eq!(read("(rule:a or rule:b) and not rule:c"), "((a or b) and not c)");
        assert_eq!(read("not (rule:a OR Not rule:b)"), "not (a or not b)");
        assert_eq!(read("((rule:a))"), "a");
        assert_eq!(read("( rule:a )"), "a");
    }

    #[test]
    fn single_checks() {
        assert_eq!(read(""), "@");
        assert_eq!(read("  "), "@");
        assert_eq!(read("@"), "@");
        assert_eq!(read("!"), "!");
        assert_eq!(read("is_admin:True or is_admin:0"), "(admin=true or admin=false)");
        assert_eq!(read("(project_id:%(project_id)s)"), "project_id");
        assert_eq!(read("token.project.id:%(project_id)s"), "token/project/id");
        assert_eq!(read("'member':%(role)s and \"x\":%(y)s"), "(\"member\" and \"x\")");
        assert_eq!(
            read("True:%(x)s or 007:%(x)s or None:%(x)s"),
            "(\"True\" or \"7\" or \"None\")"
        );
        assert_eq!(
            super::text("role:compute:admin").unwrap(),
            Check::Role(Template::parse("compute:admin").unwrap())
        );
    }

    #[test]
    fn what_is_refused() {
        for (text, part) in [
            ("rule:a rule:b", "needs 'and' or 'or' before \"rule:b\""),
            ("rule:a and", "ends where a check must stand"),
            ("and rule:a", "has 'and' where"),
            ("(rule:a", "( without its )"),
            ("rule:a)", ") without its ("),
            ("()", "has ')' where"),
            ("admin", "\"admin\", which is no check"),
            (":admin", "nothing before the colon"),
            ("'ab'", "where a check must stand"),
            ("role:%(x)d", "\"role:%(x)d\" has a %"),
            ("http://server/check", "ask another server"),
            ("rule:a or https://server/%(x)s", "ask another server"),
            ("not", "ends where"),
        ] {
            let problem = super::text(text).unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("{}rule:a{}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(super::text(&deep).unwrap_err().contains("nests deeper"));
        assert!(super::text(&"not ".repeat(100_000)).unwrap_err().contains("nests deeper"));
        let wide = vec!["rule:a"; 10_000].join(" and ");
        assert!(super::text(&wide).is_ok());
    }

    #[test]
    fn lists_of_lists() {
        let read = |value| rule(&value).map(|check| shown(&check));
        assert_eq!(read(json!([])).unwrap(), "@");
        assert_eq!(read(json!([["rule:a", "rule:b"], ["rule:c"]])).unwrap(), "((a and b) or c)");
        assert_eq!(read(json!([["rule:a"]])).unwrap(), "a");
        assert_eq!(read(json!(["rule:a", "rule:b"])).unwrap(), "(a or b)");
        assert_eq!(read(json!([[], ""])).unwrap(), "!");
        assert_eq!(read(json!([["@"]])).unwrap(), "@");
        assert_eq!(read(json!(null)).unwrap(), "@");
        assert!(read(json!([[["rule:a"]]])).is_err());
        assert!(read(json!(7)).is_err());
        assert!(read(json!({"a": 1})).is_err());
    }
}
