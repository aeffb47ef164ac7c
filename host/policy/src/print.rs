//! Syntax trees as text.
//!
//! `Display` gives the one spelling that answers, listings and messages use. Strings are printed
//! as they are, between double quotes and with no escaping, so a text with quotes in it does not
//! parse back; clients have always seen it so. [`pretty`] is the layout in which the API returns a
//! rule, which keeps its author's spelling.

use std::fmt::{self, Display, Formatter};

use crate::ast::{Aggregate, Atom, ColumnRef, Constant, Event, Rule, Span, Statement, Term};
use crate::lexer;
use crate::parser::{self, SyntaxError};

/// The text of a rule as the API lays it out: a rule as `head :-`, then each literal of the body
/// on a line of its own, indented by two blanks; a fact on one line.
///
/// Literals keep the spelling of `source` (quotes, missing parentheses, blanks within a line);
/// comments are dropped. Of several statements each begins on a line of its own.
///
/// # Errors
///
/// `source` does not parse.
pub fn pretty(source: &str) -> Result<String, SyntaxError> {
    let statements = parser::parse(source)?;
    let spelling = |span: Span| {
        let text = source.get(span.start as usize..span.end as usize).unwrap_or_default();
        lexer::on_one_line(text)
    };
    let spellings = |literals: &[Atom], separator: &str| {
        literals.iter().map(|atom| spelling(atom.span)).collect::<Vec<_>>().join(separator)
    };
    let laid_out: Vec<String> = statements
        .iter()
        .map(|statement| match statement {
            Statement::Fact(atom) => spelling(atom.span),
            Statement::Event(event) => spelling(event.span),
            Statement::Rule(rule) => {
                let (heads, body) = (spellings(&rule.heads, ", "), spellings(&rule.body, ",\n  "));
                format!("{heads} :-\n  {body}")
            }
        })
        .collect();
    Ok(laid_out.join("\n"))
}

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fact(atom) => atom.fmt(f),
            Self::Rule(rule) => rule.fmt(f),
            Self::Event(event) => event.fmt(f),
        }
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        separated(f, &self.heads)?;
        f.write_str(" :- ")?;
        separated(f, &self.body)
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let modal = if self.insert { "insert" } else { "delete" };
        write!(f, "{modal}[{}]", self.rule)?;
        match &self.policy {
            Some(policy) => write!(f, " for {policy}"),
            None => Ok(()),
        }
    }
}

impl Display for Atom {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.negated {
            f.write_str("not ")?;
        }
        if let Some(modal) = self.modal {
            write!(f, "{}[", modal.as_str())?;
        }
        if let Some(policy) = &self.policy {
            write!(f, "{policy}:")?;
        }
        write!(f, "{}(", self.table)?;
        separated(f, &self.args)?;
        if !self.named.is_empty() {
            if !self.args.is_empty() {
                f.write_str(",")?;
            }
            let mut named: Vec<&(ColumnRef, Term)> = self.named.iter().collect();
            named.sort_by(|(a, _), (b, _)| a.cmp(b));
            separated(f, named.into_iter().map(|(column, term)| Argument(column, term)))?;
        }
        f.write_str(if self.modal.is_some() { ")]" } else { ")" })
    }
}

/// A named argument.
pub(crate) struct Argument<'a>(pub(crate) &'a ColumnRef, pub(crate) &'a Term);

impl Display for Argument<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.0, self.1)
    }
}

impl Display for ColumnRef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Display for Term {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::Constant(constant) => constant.fmt(f),
            Self::Aggregate(aggregate) => aggregate.fmt(f),
        }
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.function.as_str(), self.variable)
    }
}

impl Display for Constant {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => FloatText(*value).fmt(f),
            Self::Text(text) => write!(f, "\"{text}\""),
        }
    }
}

/// A float as policies print it: the shortest digits that read back as the same number, with `.0`
/// when it is whole, with an exponent below 1e-4 and from 1e16 (`1e+16`, `1e-07`), and `inf`,
/// `-inf`, `nan`.
#[derive(Clone, Copy, Debug)]
pub struct FloatText(pub f64);

impl Display for FloatText {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let value = self.0;
        if value.is_nan() {
            return f.write_str("nan");
        }
        if value.is_infinite() {
            return f.write_str(if value > 0.0 { "inf" } else { "-inf" });
        }
        let size = value.abs();
        if size == 0.0 || (1e-4..1e16).contains(&size) {
            return write!(f, "{value:?}");
        }
        let scientific = format!("{value:e}");
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        write!(f, "{digits}e{sign}{exponent:0>2}")
    }
}

/// Items with a comma and a blank between them.
fn separated<T: Display>(f: &mut Formatter<'_>, items: impl IntoIterator<Item = T>) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(source: &str) -> String {
        let statements = parser::parse(source).unwrap();
        statements.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn statements_have_one_spelling() {
        for (source, wanted) in [
            ("p", "p()"),
            ("nova : p + ( x,1 ,'a' )", "nova:p+(x, 1, \"a\")"),
            ("a:b:c(x)", "a:b:c(x)"),
            ("p(y,id=x,z=1,10=a,2=b)", "p(y,2=b, 10=a, id=x, z=1)"),
            ("p(z=1)", "p(z=1)"),
            ("p(x):-q(x),!r", "p(x) :- q(x), not r()"),
            ("p(x,count( y ),n=max(z)):-q(x,y,z)", "p(x, count(y),n=max(z)) :- q(x, y, z)"),
            ("p,execute[s:q(x)]:-NOT insert[r(x)]", "p(), execute[s:q(x)] :- not insert[r(x)]"),
            ("insert[p(x):-q(x);'t']", "insert[p(x) :- q(x)] for t"),
            ("delete[p(x):-q(x)]", "delete[p(x) :- q(x)]"),
            ("p('say \"hi\"')", "p(\"say \"hi\"\")"),
        ] {
            assert_eq!(printed(source), wanted, "{source}");
        }
    }

    #[test]
    fn floats_print_shortest() {
        for (value, wanted) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-2.5, "-2.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (1.25e100, "1.25e+100"),
            (-1e-300, "-1e-300"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(FloatText(value).to_string(), wanted);
        }
    }

    #[test]
    fn the_layout_of_the_api_keeps_literals_as_written() {
        for (source, wanted) in [
            ("  p( 1,'a' )  ", "p( 1,'a' )"),
            ("p(x) :- q(x), true", "p(x) :-\n  q(x),\n  true"),
            ("p(x):-q(x),!r(x) , s.", "p(x) :-\n  q(x),\n  !r(x),\n  s."),
            ("p(\"a:-b)\", x) :- q(x, ')#//');", "p(\"a:-b)\", x) :-\n  q(x, ')#//')"),
            ("p(x) :- // why\n q(x, /* no */ \n y), r(x)", "p(x) :-\n  q(x, y),\n  r(x)"),
            ("p(x) :- q(x /*,*/, 'a\"b')", "p(x) :-\n  q(x , 'a\"b')"),
            ("p(\nx,\r\n\ty)", "p( x, y)"),
            ("p, q :- execute[nova:r(id=x)]", "p, q :-\n  execute[nova:r(id=x)]"),
            ("p(1) q(2)", "p(1)\nq(2)"),
        ] {
            assert_eq!(pretty(source).unwrap(), wanted, "{source}");
        }
        assert!(pretty("p(").is_err());
    }
}
