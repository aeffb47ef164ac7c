//! What a statement says that its author perhaps did not mean.
//!
//! A statement with warnings is taken all the same, because the original takes it. They are data,
//! for whoever talks to the author to show.

use crate::ast::{Atom, Span, Statement, Term};
use crate::builtins;
use crate::depgraph;
use crate::diagnostics::{self, did_you_mean};
use crate::snapshot::Snapshot;

/// Something that was perhaps not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What, in one sentence.
    pub message: String,
    /// Where, in bytes of the statement's source.
    pub span: Span,
    /// What to write instead, if that is known.
    pub suggestion: Option<String>,
}

impl Warning {
    /// The message, the line of `source` with carets under the place, and the suggestion.
    pub fn render(&self, source: &str) -> String {
        let mut text = diagnostics::render(source, self.span, &self.message);
        if let Some(suggestion) = &self.suggestion {
            text.push('\n');
            text.push_str(suggestion);
        }
        text
    }
}

/// The warnings for a statement as it stands, in the order of its literals. What there is to read is
/// not looked at: [`Snapshot::warnings`] does.
///
/// * A builtin without the prefix `builtin:`: that is deprecated.
/// * A table that looks like a builtin: its name, with other arguments or in another policy.
/// * A name after `builtin:` that no builtin has: the literal finds nothing.
/// * `_` in several places: it is one variable, and all of them must be equal.
pub fn warnings(statement: &Statement) -> Vec<Warning> {
    let (heads, body): (&[Atom], &[Atom]) = match statement {
        Statement::Fact(atom) => (std::slice::from_ref(atom), &[]),
        Statement::Rule(rule) => (&rule.heads, &rule.body),
        Statement::Event(event) => (&event.rule.heads, &event.rule.body),
    };
    let mut warnings: Vec<Warning> = body.iter().filter_map(name).collect();
    warnings.extend(repeated_wildcard(heads, body));
    warnings
}

impl Snapshot {
    /// The [`warnings`] for a statement, and those that depend on what there is: a body literal
    /// whose datasource has no such table finds nothing, and so does one whose policy is not there.
    pub fn warnings(&self, statement: &Statement) -> Vec<Warning> {
        let body: &[Atom] = match statement {
            Statement::Rule(rule) => &rule.body,
            Statement::Fact(_) | Statement::Event(_) => &[],
        };
        let mut all = warnings(statement);
        all.extend(body.iter().filter_map(|literal| self.missing(literal)));
        all
    }

    /// What a body literal reads that is not there.
    fn missing(&self, literal: &Atom) -> Option<Warning> {
        let policy = literal.policy.as_deref()?;
        if literal.modal.is_some() || depgraph::is_computed(literal) || policy == builtins::PREFIX {
            return None;
        }
        let (message, suggestion) = match self.state.policies.get(policy) {
            None => (
                format!("there is no policy or datasource '{policy}' so far"),
                self.state.suggest_policy(policy),
            ),
            Some(owner) => {
                let schema = &owner.schema;
                if !schema.is_declared() || schema.columns(&literal.table).is_some() {
                    return None;
                }
                let text = format!("datasource '{policy}' has no table '{}'", literal.table);
                (text, schema.suggest_table(&literal.table, policy))
            }
        };
        let message = format!("{message}, so nothing is found there");
        Some(Warning { message, span: literal.span, suggestion })
    }
}

/// What is odd about the table of a body literal.
fn name(literal: &Atom) -> Option<Warning> {
    if literal.modal.is_some() || !literal.named.is_empty() {
        return None;
    }
    let (table, given) = (&*literal.table, literal.args.len());
    let warning = |message: String, suggestion: Option<String>| {
        Some(Warning { message, span: literal.span, suggestion })
    };
    match literal.policy.as_deref() {
        None => {
            // A table of that name is refused, so a literal of another width is a slip.
            let builtin = builtins::find(table).filter(|_| builtins::is_builtin_name(table))?;
            if builtin.arity() == given {
                let text = format!("'{table}' without the prefix 'builtin:' is deprecated");
                warning(text, Some(format!("write builtin:{table}")))
            } else {
                let text = format!(
                    "with {given} arguments, '{table}' is an ordinary table and not the builtin"
                );
                warning(text, Some(format!("the builtin is {}", builtin.signature())))
            }
        }
        Some(builtins::PREFIX) if builtins::find(table).is_none() => {
            let near = did_you_mean(table, builtins::all().map(|builtin| builtin.name));
            let text = format!("there is no builtin '{table}', so nothing is found");
            warning(text, near.map(|near| format!("did you mean builtin:{near}?")))
        }
        Some(builtins::PREFIX) => None,
        Some(policy) => {
            builtins::lookup(table, given)?;
            let text =
                format!("'{policy}:{table}' is a table of policy '{policy}' and not the builtin");
            warning(text, Some(format!("the builtin is builtin:{table}")))
        }
    }
}

fn repeated_wildcard(heads: &[Atom], body: &[Atom]) -> Option<Warning> {
    let is_wildcard = |term: &Term| matches!(term, Term::Variable(name) if &**name == "_");
    let count = |atom: &Atom| {
        let named = atom.named.iter().map(|(_, term)| term);
        atom.args.iter().chain(named).filter(|term| is_wildcard(term)).count()
    };
    let in_heads: usize = heads.iter().map(count).sum();
    let in_body: usize = body.iter().map(count).sum();
    // One in a head and one in the body are meant to be the same.
    if in_body.max(in_heads) < 2 {
        return None;
    }
    let last = body.iter().chain(heads).rev().find(|atom| count(atom) > 0)?;
    Some(Warning {
        message: "'_' is an ordinary variable, the same one wherever it stands in the statement"
            .to_owned(),
        span: last.span,
        suggestion: Some("use names of their own for values that may differ".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::parse;

    fn of(source: &str) -> Vec<String> {
        let statements = parse(source).unwrap();
        let warnings = statements.iter().flat_map(warnings);
        warnings.map(|w| format!("{}; {}", w.message, w.suggestion.unwrap_or_default())).collect()
    }

    #[test]
    fn ordinary_statements_have_none() {
        for source in [
            "p(1)",
            "p(x) :- q(x, _), builtin:plus(x, 1, y), not r(y)",
            "p(_) :- q(_)",
            "p(x) :- prefix(x, y), nova:contains(x, y), and(x, y)",
            "p(x) :- nova:servers(id=x)",
        ] {
            assert_eq!(of(source), Vec::<String>::new(), "{source}");
        }
    }

    #[test]
    fn names_of_builtins() {
        for (source, wanted) in [
            (
                "p(x) :- plus(1, 2, x)",
                "'plus' without the prefix 'builtin:' is deprecated; write builtin:plus",
            ),
            (
                "p(x) :- plus(1, x)",
                "with 2 arguments, 'plus' is an ordinary table and not the builtin; \
                 the builtin is builtin:plus(x, y → z)",
            ),
            (
                "p(x) :- builtin:plsu(1, 2, x)",
                "there is no builtin 'plsu', so nothing is found; did you mean builtin:plus?",
            ),
            ("p(x) :- builtin:network(x)", "there is no builtin 'network', so nothing is found; "),
            (
                "p(x) :- not nova:lt(x, 1), q(x)",
                "'nova:lt' is a table of policy 'nova' and not the builtin; \
                 the builtin is builtin:lt",
            ),
        ] {
            assert_eq!(of(source), [wanted], "{source}");
        }
    }

    #[test]
    fn wildcards() {
        assert_eq!(of("p(x) :- q(x, _), r(_)").len(), 1);
        assert_eq!(of("p(x) :- q(x, _, 2=_)").len(), 1);
    }

    #[test]
    fn a_warning_shows_its_place() {
        let source = "p(x) :- q(x),\n  lt(x, 1)";
        let warning = &warnings(&parse(source).unwrap()[0])[0];
        assert_eq!(
            warning.render(source),
            "'lt' without the prefix 'builtin:' is deprecated\n --> line 2, column 2\n  |\n\
             2 |   lt(x, 1)\n  |   ^^^^^^^^\nwrite builtin:lt"
        );
    }
}
