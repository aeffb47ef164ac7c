//! Words for what a driver is: metadata, tables, columns, configuration fields, actions.
//!
//! Thin constructors over the records of the contract, so that a driver reads as a declaration.

use crate::Table;
use crate::bindings::congress::datasource::types::{Column, ColumnType};
use crate::bindings::exports::congress::datasource::driver::{
    Action, Argument, ConfigField, Feed, FieldType, Metadata, SessionKind,
};

/// A polled driver without login, tables, configuration or grants; add them with `with_…`.
pub fn metadata(id: &str, version: &str, description: &str) -> Metadata {
    Metadata {
        id: id.into(),
        version: version.into(),
        description: description.into(),
        config: Vec::new(),
        tables: Vec::new(),
        actions: Vec::new(),
        feed: Feed::Poll,
        session: SessionKind::None,
        hosts: Vec::new(),
        files: Vec::new(),
    }
}

impl Metadata {
    /// Adds configuration fields.
    #[must_use]
    pub fn with_config(mut self, fields: impl IntoIterator<Item = ConfigField>) -> Self {
        self.config.extend(fields);
        self
    }

    /// Adds tables that every datasource of this driver has.
    #[must_use]
    pub fn with_tables(mut self, tables: impl IntoIterator<Item = Table>) -> Self {
        self.tables.extend(tables);
        self
    }

    /// Adds actions.
    #[must_use]
    pub fn with_actions(mut self, actions: impl IntoIterator<Item = Action>) -> Self {
        self.actions.extend(actions);
        self
    }

    /// Says how rows come.
    #[must_use]
    pub fn with_feed(mut self, feed: Feed) -> Self {
        self.feed = feed;
        self
    }

    /// Says who logs in.
    #[must_use]
    pub fn with_session(mut self, session: SessionKind) -> Self {
        self.session = session;
        self
    }

    /// Adds addresses that the driver wants to reach, as `{field}` or as URLs.
    #[must_use]
    pub fn with_hosts<'a>(mut self, hosts: impl IntoIterator<Item = &'a str>) -> Self {
        self.hosts.extend(hosts.into_iter().map(String::from));
        self
    }

    /// Adds files and folders that the driver wants to read, as `{field}` or as paths.
    #[must_use]
    pub fn with_files<'a>(mut self, files: impl IntoIterator<Item = &'a str>) -> Self {
        self.files.extend(files.into_iter().map(String::from));
        self
    }
}

/// A root table. Without columns it takes rows of any width.
pub fn table(name: &str, columns: impl IntoIterator<Item = Column>) -> Table {
    Table { name: name.into(), columns: columns.into_iter().collect(), root: None }
}

impl Table {
    /// Makes it a table that is fetched together with the root table of that name.
    #[must_use]
    pub fn fetched_with(mut self, root: &str) -> Self {
        self.root = Some(root.into());
        self
    }
}

/// A nullable column of that type.
pub fn column(name: &str, column_type: ColumnType) -> Column {
    Column { name: name.into(), description: None, type_: column_type, nullable: true }
}

/// A nullable column of text.
pub fn text(name: &str) -> Column {
    column(name, ColumnType::Text)
}

/// A nullable column of integers.
pub fn integer(name: &str) -> Column {
    column(name, ColumnType::Integer)
}

/// A nullable column of booleans.
pub fn boolean(name: &str) -> Column {
    column(name, ColumnType::Boolean)
}

impl Column {
    /// Says what the column holds.
    #[must_use]
    pub fn describe(mut self, description: &str) -> Self {
        self.description = Some(description.into());
        self
    }
}

/// An optional configuration field that holds text.
pub fn field(name: &str, description: &str) -> ConfigField {
    ConfigField {
        name: name.into(),
        description: description.into(),
        type_: FieldType::Text,
        required: false,
        secret: false,
        default: None,
    }
}

impl ConfigField {
    /// The field must be given.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The field is stored encrypted and never shown.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The field holds something else than text.
    #[must_use]
    pub fn of(mut self, field_type: FieldType) -> Self {
        self.type_ = field_type;
        self
    }

    /// The value when none is given.
    #[must_use]
    pub fn or(mut self, default: &str) -> Self {
        self.default = Some(default.into());
        self
    }
}

/// How often the host polls; every polled driver has this field.
pub fn poll_time() -> ConfigField {
    field("poll_time", "Seconds between polls; 0 polls only on request.").of(FieldType::Integer)
}

/// Which tables are read only once a policy uses them; every polled driver has this field.
pub fn lazy_tables() -> ConfigField {
    field("lazy_tables", "Root tables to read only once a policy uses them (a list).")
        .of(FieldType::Json)
}

/// The fields of a login at a service that is none of OpenStack's, for
/// [`SessionKind::Configured`]; `auth` is the way to log in when none is chosen. Whose certificates
/// are accepted the host asks by itself (`cacert`, `insecure`).
pub fn login(auth: &str) -> [ConfigField; 5] {
    [
        field("auth", "How to log in: none, basic, bearer or header.").or(auth),
        field("username", "For basic."),
        field("password", "For basic.").secret(),
        field("token", "For bearer and header.").secret(),
        field("auth_header", "For header: the name of the header that carries the token."),
    ]
}

/// An action without arguments.
pub fn action(name: &str, description: &str) -> Action {
    Action {
        name: name.into(),
        description: description.into(),
        arguments: Vec::new(),
        takes_others: false,
    }
}

impl Action {
    /// Adds an argument that must be given.
    #[must_use]
    pub fn argument(mut self, name: &str, description: &str) -> Self {
        self.arguments.push(Argument {
            name: name.into(),
            description: description.into(),
            required: true,
        });
        self
    }

    /// Takes arguments besides those that are listed.
    #[must_use]
    pub fn with_others(mut self) -> Self {
        self.takes_others = true;
        self
    }

    /// Adds an argument that may be given.
    #[must_use]
    pub fn optional(mut self, name: &str, description: &str) -> Self {
        self.arguments.push(Argument {
            name: name.into(),
            description: description.into(),
            required: false,
        });
        self
    }
}
