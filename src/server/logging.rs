//! The log on standard error: lines for people, or JSON for machines.

mod standard_error;

use std::{
    io::{self, Stderr, Write},
    sync::OnceLock,
    time::Duration,
};

use env_logger::{Builder, Target, WriteStyle};
use log::{
    LevelFilter, Record,
    kv::{Key, Value, VisitSource},
};

use self::standard_error::PatientWriter;
use pointsman_config::{Log, LogFormat};

/// How long the end of the process waits for somebody to read the last lines.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

static WRITER: OnceLock<PatientWriter<Stderr>> = OnceLock::new();

/// Sets the process's logger. A logger that is set already is kept.
///
/// It holds nobody up where standard error is a pipe that nobody reads: up to 1 MiB waits, and how many lines are
/// missing after that is told by a line. [`flush`] at the end of the process writes what still waits.
///
/// ```
/// use pointsman::{config::Config, server::logging};
///
/// # fn main() -> Result<(), pointsman::config::ConfigError> {
/// let config = Config::from_sources(Some("[log]\nlevel = \"warn\"\nformat = \"json\""), [])?;
/// logging::init(&config.log);
/// log::warn!(disk = "/dev/sda1"; "the disk is nearly full");
/// # Ok(())
/// # }
/// ```
pub fn init(config: &Log) {
    let mut builder = Builder::new();
    builder
        .filter_level(config.level.into())
        .target(Target::Pipe(Box::new(writer().clone())))
        .write_style(WriteStyle::Never);
    // The database drivers log every statement, at levels of their own.
    builder
        .filter_module("sqlx", LevelFilter::Warn)
        .filter_module("sea_orm_migration", LevelFilter::Warn);
    // The errors of clients are in the answers to them.
    if LevelFilter::from(config.level) < LevelFilter::Debug {
        builder.filter_module("actix_http", LevelFilter::Off);
    }
    if matches!(config.format, LogFormat::Json) {
        builder.format(|buffer, record| writeln!(buffer, "{}", json_line(record, buffer.timestamp_millis())));
    } else {
        builder.format_timestamp_millis();
    }
    // A test that starts two servers in one process keeps the first logger.
    let _ = builder.try_init();
}

fn writer() -> &'static PatientWriter<Stderr> {
    WRITER.get_or_init(|| PatientWriter::new(io::stderr()))
}

/// Writes a line that is no record of the log, and all that waits before it: the last words of a process.
pub(super) fn say_last(line: &str) {
    // Writing to it cannot fail.
    let _ = writer().clone().write_all(format!("{line}\n").as_bytes());
    flush();
}

/// Waits up to one second until the lines that were logged so far are written. [`exit`](super::exit) does so at the end
/// of the process.
///
/// ```
/// use pointsman::server::logging;
///
/// log::info!("the import is done");
/// logging::flush(); // nobody has to wait for a line that is written
/// ```
pub fn flush() {
    if let Some(writer) = WRITER.get() {
        writer.drain(LAST_PATIENCE);
    }
}

/// One record as a JSON object: `time`, `level`, `target`, `message`, and the record's own fields.
fn json_line(record: &Record<'_>, time: impl std::fmt::Display) -> serde_json::Value {
    let mut line = serde_json::Map::new();
    // The record's fields first, so that none of them can replace one of ours.
    let _ = record.key_values().visit(&mut Fields(&mut line));
    line.insert("time".to_owned(), time.to_string().into());
    line.insert("level".to_owned(), record.level().as_str().into());
    line.insert("target".to_owned(), record.target().into());
    line.insert("message".to_owned(), record.args().to_string().into());
    line.into()
}

struct Fields<'a>(&'a mut serde_json::Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
        let value = value
            .to_i64()
            .map_or_else(|| value.to_string().into(), serde_json::Value::from);
        self.0.insert(key.as_str().to_owned(), value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_line_holds_the_record_and_its_fields() {
        let fields: &[(&str, Value<'_>)] = &[("workspace", Value::from("w-1")), ("deaths", Value::from(3))];
        let record = Record::builder()
            .args(format_args!("it \"died\""))
            .level(log::Level::Error)
            .target("pointsman_router")
            .key_values(&fields)
            .build();
        assert_eq!(
            json_line(&record, "2026-01-31T12:00:00.000Z"),
            serde_json::json!({
                "time": "2026-01-31T12:00:00.000Z", "level": "ERROR", "target": "pointsman_router",
                "message": "it \"died\"", "workspace": "w-1", "deaths": 3,
            })
        );
    }
}
