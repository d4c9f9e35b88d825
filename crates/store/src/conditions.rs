//! SQL that grows by a condition at a time, with its values.

use pointsman_domain::event_pattern::EventPattern;
use sea_orm::{DbBackend, Statement, Value};

/// A statement that is being written.
#[derive(Debug)]
pub(crate) struct Sql {
    backend: DbBackend,
    text: String,
    values: Vec<Value>,
}

impl Sql {
    pub(crate) fn new(backend: DbBackend, text: &str) -> Self {
        Self {
            backend,
            text: text.to_owned(),
            values: Vec::new(),
        }
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.backend == DbBackend::Sqlite
    }

    /// Adds SQL as it is.
    pub(crate) fn push(&mut self, sql: &str) -> &mut Self {
        self.text.push_str(sql);
        self
    }

    /// Adds SQL in which each `?` stands for the value.
    pub(crate) fn with(&mut self, sql: &str, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        let place = format!("${}", self.values.len());
        self.text.push_str(&sql.replace('?', &place));
        self
    }

    /// As [`Self::with`], where there is a value.
    pub(crate) fn with_some(&mut self, sql: &str, value: Option<impl Into<Value>>) -> &mut Self {
        match value {
            Some(value) => self.with(sql, value),
            None => self,
        }
    }

    pub(crate) fn statement(self) -> Statement {
        Statement::from_sql_and_values(self.backend, self.text, self.values)
    }
}

/// The pattern for `GLOB` of SQLite. A wildcard of the databases stands for dots as well, so that it lets more keys
/// through than [`EventPattern::matches`]. Keys consist of letters, digits, `_`, `-` and dots.
pub(crate) fn glob_of(pattern: &EventPattern) -> String {
    pattern.as_str().replace("**", "*")
}

/// As [`glob_of`], for `LIKE` of PostgreSQL.
pub(crate) fn like_of(pattern: &EventPattern) -> String {
    glob_of(pattern).replace('_', "\\_").replace('*', "%")
}
