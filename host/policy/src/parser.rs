//! From tokens to statements: recursive descent, one token ahead.
//!
//! Every rule is factored so that it fails at the first token with which no policy text could go
//! on. That is where the original's parser complains too, so positions agree with it. The grammar
//! does not nest (an event holds a rule, a rule holds atoms, an atom holds terms), so the depth of
//! the stack is fixed and only widths need a limit.

use std::collections::HashSet;
use std::sync::Arc;

use num_bigint::BigInt;

use crate::ast::{
    Aggregate, AggregateFunction, Atom, ColumnRef, Constant, Event, Modal, Rule, Span, Statement,
    Term,
};
use crate::diagnostics::did_you_mean;
pub use crate::lexer::{MAX_TEXT_BYTES, MAX_TOKENS};
use crate::lexer::{Token, TokenKind, text_value, tokenize};
use crate::print::Argument;
pub use crate::syntax_error::{Problem, Stage, SyntaxError};

/// The most statements that a text may have.
pub const MAX_STATEMENTS: usize = 500_000;
/// The most arguments that an atom may have.
pub const MAX_ARGUMENTS: usize = 1000;
/// The most literals that a head or a body may have.
pub const MAX_LITERALS: usize = 1000;
/// The most digits that a whole number may have in a text. (Reading them takes quadratic time.)
pub const MAX_DIGITS: usize = 10_000;
/// How many contradictions between arguments are listed.
const MAX_PROBLEMS: usize = 10;

/// How to read a text.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether the text before the first colon of a relation is a policy. If not, it is a part of
    /// the table's name.
    pub use_modules: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { use_modules: true }
    }
}

/// The statements of a policy text.
///
/// Only what the text alone tells is checked: statements that no policy accepts, such as events or
/// rules with two heads, are read all the same.
///
/// # Errors
///
/// The text does not follow the grammar, an atom gives a column twice, or a limit of this module
/// is exceeded.
pub fn parse(source: &str) -> Result<Vec<Statement>, SyntaxError> {
    parse_with(source, Options::default())
}

/// [`parse`], with options.
///
/// # Errors
///
/// As for [`parse`].
pub fn parse_with(source: &str, options: Options) -> Result<Vec<Statement>, SyntaxError> {
    let tokens = tokenize(source)?;
    let mut parser = Parser {
        source,
        tokens: &tokens,
        at: 0,
        options,
        names: HashSet::new(),
        problems: vec![],
        aggregate: None,
    };
    let mut statements = Vec::new();
    while parser.peek() != TokenKind::End {
        if statements.len() == MAX_STATEMENTS {
            return Err(parser.error(format!("more than {MAX_STATEMENTS} statements")));
        }
        statements.push(parser.statement()?);
    }
    if parser.problems.is_empty() {
        Ok(statements)
    } else {
        Err(SyntaxError { stage: Stage::Compile, problems: parser.problems })
    }
}

struct Parser<'a> {
    source: &'a str,
    /// Ends with [`TokenKind::End`].
    tokens: &'a [Token],
    at: usize,
    options: Options,
    /// Every name is stored once per text.
    names: HashSet<Arc<str>>,
    /// Contradictions between arguments, reported if nothing worse is found.
    problems: Vec<Problem>,
    /// Where the first aggregate of the statement begins its parentheses.
    aggregate: Option<Token>,
}

impl<'a> Parser<'a> {
    /// `formula [ ";" | "." ]`
    fn statement(&mut self) -> Result<Statement, SyntaxError> {
        let statement = self.formula()?;
        if matches!(self.peek(), TokenKind::Semicolon | TokenKind::Period) {
            self.advance();
        }
        Ok(statement)
    }

    /// `rule | fact | event`
    fn formula(&mut self) -> Result<Statement, SyntaxError> {
        let start = self.token().span.start;
        self.aggregate = None;
        let first = match self.peek() {
            // `insert[` begins an event or a head. What follows the first atom tells.
            TokenKind::Modal(modal @ (Modal::Insert | Modal::Delete)) => {
                self.advance();
                self.expect(TokenKind::LeftBracket, "'['")?;
                if self.peek() != TokenKind::Identifier {
                    let inner = self.token().span.start;
                    let head = self.literal()?;
                    return self.event(modal, start, inner, head);
                }
                let atom = self.atom()?;
                if matches!(self.peek(), TokenKind::Comma | TokenKind::Define) {
                    let inner = atom.span.start;
                    return self.event(modal, start, inner, atom);
                }
                self.expect(TokenKind::RightBracket, "']', ',' or ':-'")?;
                Atom { modal: Some(modal), span: self.span_from(start), ..atom }
            }
            _ => self.literal()?,
        };
        match self.peek() {
            TokenKind::Comma | TokenKind::Define => self.rule(start, first).map(Statement::Rule),
            _ if first.negated => Err(self.unexpected("':-': only in a body is a negation of use")),
            TokenKind::LeftBracket => {
                // Only a misspelled keyword stands in front of a bracket.
                let keywords = [Modal::Execute, Modal::Insert, Modal::Delete].map(Modal::as_str);
                let advice = did_you_mean(&first.table, keywords)
                    .map_or(String::new(), |keyword| format!("; did you mean '{keyword}['?"));
                Err(self.unexpected(&format!("'(', ':-' or a new statement{advice}")))
            }
            _ => {
                self.no_aggregates("a fact")?;
                Ok(Statement::Fact(first))
            }
        }
    }

    /// Refuses the aggregates read so far: they stand in heads only, and what was read is none.
    fn no_aggregates(&self, place: &str) -> Result<(), SyntaxError> {
        let Some(token) = self.aggregate else {
            return Ok(());
        };
        let message =
            format!("unexpected '(': aggregates stand in the head of a rule, not in {place}");
        Err(SyntaxError::new(Stage::Parse, self.source, token.span, message))
    }

    /// What follows the first head of an event.
    fn event(
        &mut self,
        modal: Modal,
        start: u32,
        inner: u32,
        head: Atom,
    ) -> Result<Statement, SyntaxError> {
        let rule = self.rule(inner, head)?;
        let mut policy = None;
        if matches!(self.peek(), TokenKind::Semicolon | TokenKind::Period) {
            self.advance();
            let token = self.expect(TokenKind::Text, "the policy's name in quotes")?;
            let text = text_value(self.text(token));
            policy = Some(self.name(text));
        }
        self.expect(TokenKind::RightBracket, "',' or ']'")?;
        let insert = modal == Modal::Insert;
        Ok(Statement::Event(Event { insert, rule, policy, span: self.span_from(start) }))
    }

    /// What follows the first head of a rule.
    fn rule(&mut self, start: u32, head: Atom) -> Result<Rule, SyntaxError> {
        let heads = self.literals(head)?;
        self.expect(TokenKind::Define, "',' or ':-'")?;
        self.aggregate = None;
        let first = self.literal()?;
        let body = self.literals(first)?;
        self.no_aggregates("its body")?;
        Ok(Rule { heads, body, span: self.span_from(start) })
    }

    /// `{ "," literal }`, after a first one.
    fn literals(&mut self, first: Atom) -> Result<Vec<Atom>, SyntaxError> {
        let mut literals = vec![first];
        while self.peek() == TokenKind::Comma {
            self.advance();
            if literals.len() == MAX_LITERALS {
                return Err(self.error(format!("more than {MAX_LITERALS} literals in a row")));
            }
            literals.push(self.literal()?);
        }
        Ok(literals)
    }

    /// `[ negation ] ( atom | modal "[" atom "]" )`
    fn literal(&mut self) -> Result<Atom, SyntaxError> {
        let start = self.token().span.start;
        let negated = self.peek() == TokenKind::Not;
        if negated {
            self.advance();
        }
        let (modal, atom) = if let TokenKind::Modal(modal) = self.peek() {
            self.advance();
            self.expect(TokenKind::LeftBracket, "'['")?;
            let atom = self.atom()?;
            self.expect(TokenKind::RightBracket, "']'")?;
            (Some(modal), atom)
        } else {
            (None, self.atom()?)
        };
        Ok(Atom { modal, negated, span: self.span_from(start), ..atom })
    }

    /// `relation [ "(" [ parameter { "," parameter } ] ")" ]`
    fn atom(&mut self) -> Result<Atom, SyntaxError> {
        let start = self.token().span.start;
        let (policy, table) = self.relation()?;
        let mut atom = Atom {
            modal: None,
            negated: false,
            policy,
            table,
            args: Vec::new(),
            named: Vec::new(),
            span: Span::default(),
        };
        if self.peek() == TokenKind::LeftParen {
            self.advance();
            if self.peek() == TokenKind::RightParen {
                self.advance();
            } else {
                self.parameters(&mut atom)?;
            }
        }
        atom.span = self.span_from(start);
        Ok(atom)
    }

    /// `ID { ":" ID } [ "+" | "-" ]`
    fn relation(&mut self) -> Result<(Option<Arc<str>>, Arc<str>), SyntaxError> {
        if self.peek() != TokenKind::Identifier {
            return Err(self.unexpected(&format!("a table{}", self.advice_on_tables())));
        }
        let first = self.expect(TokenKind::Identifier, "a table")?;
        let mut parts = vec![self.text(first)];
        while self.peek() == TokenKind::Colon {
            self.advance();
            let part = self.expect(TokenKind::Identifier, "a table")?;
            parts.push(self.text(part));
        }
        let sign = match self.peek() {
            TokenKind::Plus => "+",
            TokenKind::Minus => "-",
            _ => "",
        };
        if !sign.is_empty() {
            self.advance();
        }
        let (policy, table) = match parts.as_slice() {
            [policy, table @ ..] if self.options.use_modules && !table.is_empty() => {
                (Some(*policy), table)
            }
            table => (None, table),
        };
        let table = match (table, sign) {
            ([table], "") => self.name(table),
            _ => self.name(&(table.join(":") + sign)),
        };
        Ok((policy.map(|policy| self.name(policy)), table))
    }

    /// What was perhaps meant by what stands in a table's place.
    fn advice_on_tables(&self) -> &'static str {
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        match self.peek() {
            TokenKind::Equal => "; equality is written builtin:equal(x, y)",
            TokenKind::Colon => "; a rule is written head :- body",
            TokenKind::LeftParen if before.is_some_and(|token| token.kind == TokenKind::Not) => {
                "; a negation is written not p(x)"
            }
            TokenKind::Integer | TokenKind::Float => "; names begin with a letter or _",
            TokenKind::Not | TokenKind::Modal(_) => "; this is a keyword",
            _ => "",
        }
    }

    /// `parameter { "," parameter } ")"`
    fn parameters(&mut self, atom: &mut Atom) -> Result<(), SyntaxError> {
        let mut spans = Vec::new();
        let (mut leading, mut late) = (0, None);
        loop {
            let token = self.token();
            if atom.args.len() + atom.named.len() == MAX_ARGUMENTS {
                return Err(self.error(format!("more than {MAX_ARGUMENTS} arguments")));
            }
            let term = self.term("an argument")?;
            let names_column = matches!(
                (token.kind, &term),
                (TokenKind::Identifier, Term::Variable(_)) | (TokenKind::Integer, _)
            );
            if names_column && self.peek() == TokenKind::Equal {
                let column = self.column(token)?;
                self.advance();
                atom.named.push((column, self.term("a variable or a value")?));
                spans.push(self.span_from(token.span.start));
            } else {
                if atom.named.is_empty() {
                    leading += 1;
                } else {
                    late.get_or_insert(token.span);
                }
                atom.args.push(term);
            }
            match self.peek() {
                TokenKind::Comma => self.advance(),
                TokenKind::RightParen => break,
                TokenKind::LeftParen => {
                    let advice = self.advice_on_functions();
                    return Err(self.unexpected(&format!("',' or ')'{advice}")));
                }
                _ => return Err(self.unexpected("',' or ')'")),
            }
        }
        self.advance();
        if !atom.named.is_empty() {
            self.check_columns(atom, &spans, leading, late);
        }
        Ok(())
    }

    /// Notes columns that are given more than once. `spans` are those of the named arguments,
    /// `leading` is how many positional ones stand before them, `late` the first one behind.
    fn check_columns(&mut self, atom: &Atom, spans: &[Span], leading: usize, late: Option<Span>) {
        // The original shows the named arguments only, in the order in which they were written.
        let arguments: Vec<String> =
            atom.named.iter().map(|(column, term)| Argument(column, term).to_string()).collect();
        let policy = atom.policy.as_ref().map_or(String::new(), |policy| format!("{policy}:"));
        let shown = format!("{policy}{}({})", atom.table, arguments.join(","));

        if let Some(span) = late {
            let message =
                format!("Atom {shown} has a positional parameter after a reference parameter");
            self.contradiction(span, message);
        }
        let mut seen = HashSet::new();
        for ((column, _), span) in atom.named.iter().zip(spans) {
            let message = match column {
                ColumnRef::Name(name) if !seen.insert(column) => {
                    format!("In atom {shown} multiple values for column name {name} were provided")
                }
                ColumnRef::Number(number) if !seen.insert(column) => format!(
                    "In atom {shown} multiple values for column number {number} were provided."
                ),
                ColumnRef::Number(number) if (*number as usize) < leading => format!(
                    "In atom {shown} column number {number} is already provided by position \
                     arguments."
                ),
                _ => continue,
            };
            self.contradiction(*span, message);
        }
    }

    fn contradiction(&mut self, span: Span, message: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem::new(self.source, span, message));
        }
    }

    /// The column that a token names.
    fn column(&mut self, token: Token) -> Result<ColumnRef, SyntaxError> {
        let text = self.text(token);
        if token.kind == TokenKind::Identifier {
            return Ok(ColumnRef::Name(self.name(text)));
        }
        text.parse().map(ColumnRef::Number).map_err(|_| {
            let message = format!("a column number is at most {}", u32::MAX);
            SyntaxError::new(Stage::Parse, self.source, token.span, message)
        })
    }

    /// What to say of a name with parentheses among arguments.
    fn advice_on_functions(&self) -> String {
        let names = AggregateFunction::ALL.map(AggregateFunction::as_str);
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        let Some(name) = before.filter(|token| token.kind == TokenKind::Identifier) else {
            return String::new();
        };
        match did_you_mean(self.text(*name), names) {
            Some(near) => format!("; did you mean {near}(...)?"),
            None => format!("; the functions of heads are {}", names.join(", ")),
        }
    }

    /// `"(" ID ")"`, after the name of a function.
    fn aggregate(&mut self, function: AggregateFunction) -> Result<Term, SyntaxError> {
        self.aggregate.get_or_insert(self.token());
        self.advance();
        let token = self.expect(TokenKind::Identifier, "one variable")?;
        let variable = self.name(self.text(token));
        let name = function.as_str();
        self.expect(TokenKind::RightParen, &format!("')': {name} takes one variable"))?;
        Ok(Term::Aggregate(Aggregate { function, variable }))
    }

    /// `INT | FLOAT | STRING | ID [ "(" ID ")" ]`
    fn term(&mut self, expected: &str) -> Result<Term, SyntaxError> {
        let token = self.token();
        let text = self.text(token);
        let term = match token.kind {
            TokenKind::Identifier => {
                let next = self.tokens.get(self.at + 1).map(|token| token.kind);
                let mut functions = AggregateFunction::ALL.into_iter();
                if next == Some(TokenKind::LeftParen)
                    && let Some(function) = functions.find(|function| function.as_str() == text)
                {
                    self.advance();
                    return self.aggregate(function);
                }
                Term::Variable(self.name(text))
            }
            TokenKind::Text => Term::Constant(Constant::Text(self.name(text_value(text)))),
            TokenKind::Integer => Term::Constant(Constant::Int(self.integer(text)?)),
            TokenKind::Float => {
                let value = text.parse().map_err(|_| self.unexpected(expected))?;
                Term::Constant(Constant::Float(value))
            }
            TokenKind::Plus | TokenKind::Minus => {
                let advice =
                    "; numbers have no sign, use builtin:minus(0, 1, x) for a negative one";
                return Err(self.unexpected(&format!("{expected}{advice}")));
            }
            TokenKind::Not | TokenKind::Modal(_) => {
                let advice = format!("; '{text}' is a keyword");
                return Err(self.unexpected(&format!("{expected}{advice}")));
            }
            _ => return Err(self.unexpected(expected)),
        };
        self.advance();
        Ok(term)
    }

    fn integer(&self, text: &str) -> Result<BigInt, SyntaxError> {
        if let Ok(small) = text.parse::<u64>() {
            return Ok(BigInt::from(small));
        }
        if text.len() > MAX_DIGITS {
            return Err(self.error(format!("a whole number has at most {MAX_DIGITS} digits")));
        }
        text.parse().map_err(|_| self.unexpected("a number"))
    }

    /// A shared copy of a name or a string value.
    fn name(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.names.get(text) {
            return Arc::clone(known);
        }
        let name: Arc<str> = text.into();
        self.names.insert(Arc::clone(&name));
        name
    }

    fn token(&self) -> Token {
        self.tokens
            .get(self.at)
            .or(self.tokens.last())
            .copied()
            .unwrap_or(Token { kind: TokenKind::End, span: Span::default() })
    }

    fn peek(&self) -> TokenKind {
        self.token().kind
    }

    fn advance(&mut self) {
        self.at += 1;
    }

    fn expect(&mut self, kind: TokenKind, expected: &str) -> Result<Token, SyntaxError> {
        let token = self.token();
        if token.kind != kind {
            return Err(self.unexpected(expected));
        }
        self.advance();
        Ok(token)
    }

    fn text(&self, token: Token) -> &'a str {
        self.source.get(token.span.start as usize..token.span.end as usize).unwrap_or_default()
    }

    /// From `start` to the end of the token before this one.
    fn span_from(&self, start: u32) -> Span {
        let last = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        Span { start, end: last.map_or(start, |token| token.span.end) }
    }

    fn unexpected(&self, expected: &str) -> SyntaxError {
        const LONGEST: usize = 40;
        let token = self.token();
        let text = self.text(token);
        if token.kind == TokenKind::End {
            return self.error(format!("unexpected end of the text, expected {expected}"));
        }
        let shown = text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c });
        let shown: String = shown.collect();
        let cut = if text.chars().nth(LONGEST).is_some() { "…" } else { "" };
        self.error(format!("unexpected '{shown}{cut}', expected {expected}"))
    }

    fn error(&self, message: String) -> SyntaxError {
        SyntaxError::new(Stage::Parse, self.source, self.token().span, message)
    }
}

#[cfg(test)]
mod tests;
