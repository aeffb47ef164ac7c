//! What is wrong with a text that does not parse.

use std::fmt;

use crate::ast::Span;
use crate::diagnostics::{self, Position};

/// Why a text is not a policy text: at least one problem, the first one first.
///
/// Its `Display` is the form that clients of the original know: a line that names the stage, then
/// one line per problem, `line:1,col:8  unexpected …`. [`SyntaxError::render`] shows the source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SyntaxError {
    /// The stage that refused the text.
    pub stage: Stage,
    /// What is wrong, in the order of the text. Not empty, and bounded.
    pub problems: Vec<Problem>,
}

/// Which stage refused a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Characters that make no token.
    Lex,
    /// Tokens that make no statement.
    Parse,
    /// Atoms whose arguments contradict each other.
    Compile,
}

/// One thing that is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, in bytes.
    pub span: Span,
    /// Where it begins, for people.
    pub position: Position,
    /// What, and what to do about it.
    pub message: String,
}

impl SyntaxError {
    /// An error with one problem.
    pub(crate) fn new(stage: Stage, source: &str, span: Span, message: impl Into<String>) -> Self {
        Self { stage, problems: vec![Problem::new(source, span, message)] }
    }

    /// Every problem with its source line and carets under the place. `source` is the text that
    /// was parsed.
    pub fn render(&self, source: &str) -> String {
        let shown: Vec<String> = self
            .problems
            .iter()
            .map(|problem| diagnostics::render(source, problem.span, &problem.message))
            .collect();
        shown.join("\n")
    }
}

impl Problem {
    /// A problem at `span` of `source`.
    pub(crate) fn new(source: &str, span: Span, message: impl Into<String>) -> Self {
        Self { span, position: Position::of(source, span.start), message: message.into() }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The last one is followed by its texts on the same line; that is its recorded shape.
        f.write_str(match self.stage {
            Stage::Lex => "Lex failure.",
            Stage::Parse => "Parse failure.",
            Stage::Compile => "Compiler found errors:",
        })?;
        for (index, Problem { position, message, .. }) in self.problems.iter().enumerate() {
            match self.stage {
                Stage::Compile if index == 0 => f.write_str(message)?,
                Stage::Compile => write!(f, "\n{message}")?,
                Stage::Lex | Stage::Parse => write!(f, "\n{position}  {message}")?,
            }
        }
        Ok(())
    }
}
