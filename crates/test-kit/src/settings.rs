//! The settings of a test's server.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
    time::SystemTime,
};

/// The settings of one server, as `section.key` and value. They reach it through its environment.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    keys: Vec<(String, String)>,
    /// Variables that are no settings.
    variables: Vec<(String, String)>,
    /// Another program than the server's own.
    example: Option<&'static str>,
    /// Its log goes into a pipe, which only the test reads.
    pub(crate) piped_log: bool,
}

impl Settings {
    /// Sets `section.key`; a value that is set twice counts as it was set last. Lists are TOML arrays.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.keys.push((key.to_owned(), value.to_string()));
        self
    }

    /// Sets a variable of the process's environment that is no setting.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.push((name.to_owned(), value.to_string()));
        self
    }

    /// Runs this example, which is a server of its own, in the place of the server.
    #[must_use]
    pub fn example(mut self, name: &'static str) -> Self {
        self.example = Some(name);
        self
    }

    /// The log goes into a pipe that nobody reads until the test does, see `TestApp::piped_log`.
    #[must_use]
    pub fn with_piped_log(mut self) -> Self {
        self.piped_log = true;
        self
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.example.map_or_else(server_program, example)
    }

    /// The pauses between attempts, without jitter.
    #[must_use]
    pub fn retrying_after(self, pauses: &[&str]) -> Self {
        self.set("delivery.retry_schedule", format!("{pauses:?}"))
    }

    /// `POINTSMAN__SECTION__KEY` and its value, and the other variables.
    pub(crate) fn environment(&self) -> impl Iterator<Item = (String, &str)> {
        let keys = self.keys.iter().map(|(key, value)| {
            let name = key.to_uppercase().replace('.', "__");
            (format!("POINTSMAN__{name}"), value.as_str())
        });
        let variables = self.variables.iter();
        keys.chain(variables.map(|(name, value)| (name.clone(), value.as_str())))
    }
}

/// The server's own program, in the folder above that of the tests.
///
/// # Panics
/// Where it is not there, or older than its source: Cargo builds it with `cargo test --workspace`, and not where only
/// tests of this package are asked for.
pub fn server_program() -> PathBuf {
    static CHECKED: OnceLock<PathBuf> = OnceLock::new();
    CHECKED.get_or_init(checked_program).clone()
}

fn checked_program() -> PathBuf {
    let test = std::env::current_exe().expect("a process knows its program");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("tests stand in `deps`");
    let program = folder.join("pointsman");
    let built = program.metadata().and_then(|metadata| metadata.modified());
    let changed = LAYERS
        .iter()
        .filter_map(|layer| latest_change(&Path::new(ROOT).join(layer)))
        .max();
    assert!(
        built.is_ok_and(|built| changed.is_none_or(|changed| changed <= built)),
        "{} is not there or older than its source: cargo build --workspace --bin pointsman --examples",
        program.display()
    );
    program
}

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// What the server is made of.
const LAYERS: [&str; 19] = [
    "config",
    "src",
    "entity/src",
    "macros/src",
    "migration/src",
    "crates/auth/src",
    "crates/clock/src",
    "crates/config/src",
    "crates/domain/src",
    "crates/engine/src",
    "crates/extension/src",
    "crates/http-delivery/src",
    "crates/journal/src",
    "crates/journal-sql/src",
    "crates/panics/src",
    "crates/private-files/src",
    "crates/receive/src",
    "crates/router/src",
    "crates/store/src",
];

/// When a file below the folder was changed last that is no test.
fn latest_change(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let changes = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with("tests"));
    changes
        .filter_map(|entry| match entry.path() {
            path if path.is_dir() => latest_change(&path),
            path => path.metadata().and_then(|metadata| metadata.modified()).ok(),
        })
        .max()
}

/// The program of an example. They stand beside the server; `cargo test` builds them where it builds everything.
pub fn example(name: &str) -> PathBuf {
    let server = server_program();
    let example = server.with_file_name("examples").join(name);
    assert!(
        example.exists(),
        "run cargo build --examples first: there is no {}",
        example.display()
    );
    example
}
