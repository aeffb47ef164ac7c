//! What a client is told when something fails.
//!
//! Two kinds of failures exist: *named* ones, with a number of the catalogue that clients know
//! from the original, and *plain* ones, whose number is the HTTP status. Either way the text is
//! written for the client: causes inside the server go to the log instead.

use serde::{Deserialize, Serialize};

/// The HTTP status of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// 400
    BadRequest,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 408
    Timeout,
    /// 409
    Conflict,
    /// 413
    TooLarge,
    /// 500
    Internal,
    /// 501
    NotImplemented,
    /// 503
    Unavailable,
}

impl Status {
    /// The number.
    pub fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Timeout => 408,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::Internal => 500,
            Self::NotImplemented => 501,
            Self::Unavailable => 503,
        }
    }

    /// The reason phrase, which leads plain messages.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad Request",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not Found",
            Self::Timeout => "Request Timeout",
            Self::Conflict => "Conflict",
            Self::TooLarge => "Request Entity Too Large",
            Self::Internal => "Internal Server Error",
            Self::NotImplemented => "Not Implemented",
            Self::Unavailable => "Service Unavailable",
        }
    }
}

macro_rules! catalogue {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $status:ident, $text:literal;)*) => {
        /// The named errors of the original, by the numbers that clients know.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Named {
            $($(#[$doc])* $name,)*
        }

        impl Named {
            /// Its number.
            pub fn number(self) -> u32 {
                match self { $(Self::$name => $number,)* }
            }

            /// Its HTTP status.
            pub fn status(self) -> Status {
                match self { $(Self::$name => Status::$status,)* }
            }

            /// Its description.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

catalogue! {
    /// Everything that the compiler refuses.
    RuleSyntax = 1002, BadRequest, "Syntax error for rule";
    /// More than one statement.
    MultipleRules = 1003, BadRequest, "Received string representing more than 1 rule";
    /// A simulation lacks one of its three texts.
    IncompleteSimulateArgs = 1004, BadRequest,
        "Simulate requires parameters: query, sequence, action_policy";
    /// A simulation that cannot be carried out.
    SimulateError = 1007, BadRequest, "Error in simulate procedure";
    /// The rule is there already.
    RuleAlreadyExists = 1008, Conflict, "Rule already exists";
    /// A policy without a name.
    PolicyNameMustBeProvided = 1010, BadRequest, "A name must be provided when creating a policy";
    /// A client chose a policy's id.
    PolicyIdMustNotBeProvided = 1015, BadRequest,
        "An ID may not be provided when creating a policy";
    /// An action could not be started.
    ExecuteError = 1016, BadRequest, "Error in execution procedure";
    /// An action to be executed is not named with its datasource.
    ServiceActionSyntax = 1017, BadRequest,
        "Incorrect action syntax. Requires: <service>:<action>";
    /// The arguments of an action are no object of the two known keys.
    ExecuteActionArgsSyntax = 1018, BadRequest,
        "Incorrect argument syntax. Requires: {'positional': [<args>], 'named': {<key>:<value>,}}";
    /// A rule for a datasource's policy.
    RuleNotPermitted = 1019, BadRequest, "Rules not permitted on non persisted policies.";
    /// Rules of an unknown policy.
    PolicyNotExist = 1020, NotFound, "The specified policy does not exist.";
    /// The abbreviation is too long, or no text.
    PolicyAbbreviationError = 1022, BadRequest,
        "The policy abbreviation must be a string and the length of the string must be equal to \
         or less than 5 characters.";
}

/// A failure as a client sees it.
#[derive(Clone, Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Failure {
    /// The HTTP status.
    pub status: Status,
    /// The catalogue's number, or that of the status.
    pub code: u32,
    /// For people.
    pub message: String,
    /// Further particulars, for programs.
    pub data: serde_json::Value,
}

/// The result of everything that a client asks for.
pub type Answer<T> = Result<T, Failure>;

impl Failure {
    /// A named failure with particulars.
    pub fn named(name: Named, particulars: impl std::fmt::Display) -> Self {
        Self {
            status: name.status(),
            code: name.number(),
            message: format!("{}::{particulars}", name.text()),
            data: serde_json::Value::Null,
        }
    }

    /// A named failure without particulars, which then repeats its name.
    pub fn bare(name: Named) -> Self {
        Self::named(name, format_args!("({}) {}", name.number(), name.text()))
    }

    /// A named failure whose message is its description alone.
    pub fn title(name: Named) -> Self {
        Self { message: name.text().to_owned(), ..Self::bare(name) }
    }

    /// A plain failure: `<reason phrase>::<text>`.
    pub fn plain(status: Status, text: impl std::fmt::Display) -> Self {
        Self::verbatim(status, format!("{}::{text}", status.phrase()))
    }

    /// A failure whose message has no lead.
    pub fn verbatim(status: Status, message: impl Into<String>) -> Self {
        Self {
            status,
            code: u32::from(status.code()),
            message: message.into(),
            data: serde_json::Value::Null,
        }
    }

    /// Adds particulars for programs.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<serde_json::Value>) -> Self {
        self.data = data.into();
        self
    }

    /// Something broke inside the server: the cause goes to the log, the client learns that.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::verbatim(Status::Internal, "Internal server error")
    }
}
