//! What can go wrong, in the words of the language's error catalogue.
//!
//! The message of an [`Error`] is the catalogue's text and nothing else, because clients compare
//! it; the places in the source and the suggestion are kept beside it and joined by
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
    /// A head named like a builtin, or a builtin with a wrong number of arguments.
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
}

/// One refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Arc<str>>,
    places: Vec<Place>,
    suggestion: Option<String>,
}

/// A place that a refusal is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where, in bytes of [`Error::source_text`].
    pub span: Span,
    /// What is wrong just there; empty if the message says it all.
    pub note: String,
}

/// The most places that [`Error::render`] shows.
const MAX_PLACES: usize = 10;

impl Error {
    /// A refusal with a text of the catalogue.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, places: Vec::new(), suggestion: None }
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
        let places = error.problems.iter();
        let places =
            places.map(|problem| Place { span: problem.span, note: problem.message.clone() });
        Self { places: places.collect(), ..Self::new(kind, error.to_string()) }.in_source(source)
    }

    /// Adds a place in the source.
    pub(crate) fn at(self, span: Span) -> Self {
        self.noted(span, String::new())
    }

    /// Adds a place in the source, with what is wrong there.
    pub(crate) fn noted(mut self, span: Span, note: impl Into<String>) -> Self {
        self.places.push(Place { span, note: note.into() });
        self
    }

    /// Adds the text that the places index, unless one is there already.
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

    /// The places that the refusal is about, the most telling one first.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The text that the refused statement came from, where it came from text.
    pub fn source_text(&self) -> Option<&Arc<str>> {
        self.source.as_ref()
    }

    /// What was perhaps meant.
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }

    /// All of it for people: the message, for each place the source line with carets under it, and
    /// the suggestion.
    pub fn render(&self) -> String {
        let mut text = match self.kind {
            // The lines that follow the first one are in the notes of the places.
            ErrorKind::Syntax if self.source.is_some() => {
                self.message.lines().next().unwrap_or_default().to_owned()
            }
            ErrorKind::NamedArguments if self.source.is_some() => {
                "Compiler found errors:".to_owned()
            }
            _ => self.message.clone(),
        };
        if let Some(source) = &self.source {
            for place in self.places.iter().take(MAX_PLACES) {
                text.push('\n');
                text.push_str(&diagnostics::picture(source, place.span, &place.note));
            }
        }
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
