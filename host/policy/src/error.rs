//! What can go wrong, in the words of the language's error catalogue.
//!
//! The message of an [`Error`] is the catalogue's text and nothing else, because clients compare
//! it; the place in the source and the suggestion are kept beside it and joined by
//! [`Error::render`].

use std::fmt;
use std::sync::Arc;

use crate::ast::Span;
use crate::diagnostics;
use crate::parser::{Stage, SyntaxError};

/// What kind of refusal an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text does not follow the grammar.
    Syntax,
    /// Named arguments that contradict each other or the positional ones.
    NamedArguments,
    /// No policy, an unknown one, or none chosen where several exist.
    Target,
    /// A policy name, kind, abbreviation or rename that cannot be.
    Policy,
    /// A statement of a shape that the target does not take: several heads, a negated head, a
    /// rule in a database policy, an event.
    Shape,
    /// A fact that is not ground or names a policy, or a head that names one.
    Head,
    /// A modal other than `execute` in a head, or any in a body.
    Modal,
    /// A head named like a builtin.
    Builtin,
    /// A head variable that the body lacks, or a body that has no safe order.
    Safety,
    /// A literal whose width or table contradicts a schema.
    Schema,
    /// A column reference whose schema is not known.
    IncompleteSchema,
    /// The rules would be recursive.
    Recursion,
    /// A query that cannot be answered.
    Query,
    /// A sequence that cannot be simulated.
    Simulation,
    /// A query that was stopped or grew larger than it may, or too many waiting statements.
    Limit,
    /// A policy, table or datasource that does not exist.
    NotFound,
    /// A name that is taken.
    InUse,
    /// A deletion that would leave references dangling.
    DanglingReference,
    /// Something that this build of the engine cannot do yet.
    Unsupported,
}

/// One refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Arc<str>>,
    spans: Vec<Span>,
    suggestion: Option<String>,
}

impl Error {
    /// A refusal with a text of the catalogue.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, spans: Vec::new(), suggestion: None }
    }

    /// Something that does not exist.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// A text that does not parse.
    pub(crate) fn syntax(error: &SyntaxError, source: &Arc<str>) -> Self {
        let kind = match error.stage {
            Stage::Lex | Stage::Parse => ErrorKind::Syntax,
            Stage::Compile => ErrorKind::NamedArguments,
        };
        Self {
            spans: error.problems.iter().map(|problem| problem.span).collect(),
            ..Self::new(kind, error.to_string())
        }
        .in_source(source)
    }

    /// Adds a place in the source.
    pub(crate) fn at(mut self, span: Span) -> Self {
        self.spans.push(span);
        self
    }

    /// Adds the text that the spans index, unless one is there already.
    pub(crate) fn in_source(mut self, source: &Arc<str>) -> Self {
        self.source.get_or_insert_with(|| source.clone());
        self
    }

    /// Adds a suggestion.
    pub(crate) fn suggest(mut self, suggestion: Option<String>) -> Self {
        self.suggestion = suggestion.or(self.suggestion);
        self
    }

    /// What kind of refusal it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The catalogue's text, without place and suggestion.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The places that the refusal is about, in bytes of [`Error::source_text`].
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The text that the refused statement came from, where it came from text.
    pub fn source_text(&self) -> Option<&Arc<str>> {
        self.source.as_ref()
    }

    /// What was perhaps meant.
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }

    /// The message, the source line with carets under the place, and the suggestion.
    pub fn render(&self) -> String {
        let mut text = match (&self.source, self.spans.first()) {
            (Some(source), Some(span)) => diagnostics::render(source, *span, &self.message),
            _ => self.message.clone(),
        };
        if let Some(suggestion) = &self.suggestion {
            text.push('\n');
            text.push_str(suggestion);
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// All refusals of a batch: at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Errors(pub(crate) Vec<Error>);

impl Errors {
    /// The single refusals.
    pub fn iter(&self) -> std::slice::Iter<'_, Error> {
        self.0.iter()
    }

    /// The messages joined by `;`, as the rule API reports them.
    pub fn joined(&self) -> String {
        self.0.iter().map(Error::message).collect::<Vec<_>>().join(";")
    }
}

impl<'a> IntoIterator for &'a Errors {
    type Item = &'a Error;
    type IntoIter = std::slice::Iter<'a, Error>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.joined())
    }
}

impl std::error::Error for Errors {}
