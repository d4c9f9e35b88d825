//! The command line.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use pointsman::server::{
    Server,
    admin::{self, AcceptedKey},
    care, exit, logging,
};
use pointsman_clock::Clock;
use pointsman_config::Config;
use pointsman_domain::role::GlobalRole;
use pointsman_receive::{ReceiveArgs, run_receive};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An actor-model event router for extension platforms.
///
/// Without a command it starts the server with the embedded database `data/pointsman.db`. Every setting is
/// in config/default.toml; a file given by --config overrides it, and the environment overrides both, for
/// example POINTSMAN__SERVER__PORT=9090.
#[derive(Debug, Parser)]
#[command(version, about, long_about)]
struct CommandLine {
    /// A TOML file with the settings that differ from the defaults
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<CliCommand>,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Start the server (the default)
    Serve,
    /// Bring the database to this version's schema and exit
    Migrate,
    /// Accept another master key where the former is lost; the server must be stopped
    ///
    /// Signing secrets and headers that were sealed with the lost key stay unreadable until they are set anew: the
    /// extensions of a workspace name them as `unreadable`. All sessions end.
    AcceptKey,
    /// Copy the embedded database into FILE; the server may be running
    ///
    /// The copy is written as FILE.partial, looked through and renamed. It has every event that was acknowledged
    /// before. No publisher waits for it. The master key is not in it: keep that in another place.
    Backup {
        /// Where to write the backup; there must be no such file
        file: PathBuf,
    },
    /// Put a backup in the place of the embedded database; the server must be stopped
    Restore {
        /// What `pointsman backup` has written
        file: PathBuf,
        /// Where there is a database, move it aside; nothing is deleted
        #[arg(long)]
        replace: bool,
    },
    /// Say what is wrong with the database; nothing is written, and the server may be running
    ///
    /// Exit code 0: nothing is wrong. 1: something is, one line for each. 2: it could not be checked.
    Check {
        /// A backup to check, in the place of the configured database
        file: Option<PathBuf>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Manage users while the server is stopped
    #[command(subcommand)]
    User(UserCommand),
    /// Manage workspaces while the server is stopped
    #[command(subcommand)]
    Workspace(WorkspaceCommand),
    /// Receive events: a small external service for trying things out
    Receive(ReceiveArgs),
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add a user who can sign in
    Add(AddUser),
}

#[derive(Debug, Args)]
struct AddUser {
    /// Email address, the name to sign in with
    #[arg(long)]
    email: String,
    /// Password, 8 characters or more; better given by the environment than on the command line
    #[arg(long, env = "POINTSMAN_USER_PASSWORD", hide_env_values = true)]
    password: String,
    /// What the user may do outside of workspaces
    #[arg(long, value_enum, default_value = "user")]
    role: Role,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Role {
    /// May do everything
    Admin,
    /// May do what its workspaces allow their members
    User,
}

#[derive(Debug, Subcommand)]
enum WorkspaceCommand {
    /// Add a workspace
    Add {
        /// Name, 1 to 120 characters
        #[arg(long)]
        name: String,
    },
}

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    if let Some(CliCommand::Receive(args)) = command_line.command {
        if command_line.config.is_some() {
            return exit::cannot_start(&io::Error::other(
                "receive reads no configuration: leave --config out",
            ));
        }
        return exit::ended(actix_web::rt::System::new().block_on(run_receive(args)));
    }
    match Config::load(command_line.config.as_deref()) {
        Ok(config) => actix_web::rt::System::new()
            .block_on(run(command_line.command.unwrap_or(CliCommand::Serve), config)),
        Err(error) => exit::cannot_start(&error),
    }
}

async fn run(command: CliCommand, config: Config) -> ExitCode {
    logging::init(&config.log);
    let clock = Clock;
    match command {
        CliCommand::Serve => exit::run(async { Ok(Server::builder(config).start().await?) }).await,
        CliCommand::Migrate => done(
            admin::migrate(&config)
                .await
                .map(|()| "the schema is up to date".to_owned()),
        ),
        CliCommand::AcceptKey => done(admin::accept_key(&config).await.map(accepted)),
        CliCommand::Backup { file } => {
            let made = care::backup(&config, &file, clock).await;
            done(made.map(|backup| backed_up(&config, &file, &backup)))
        }
        CliCommand::Restore { file, replace } => {
            let restored = care::restore(&config, &file, replace, clock).await;
            done(restored.map(|restored| put_in_place(&config, &restored)))
        }
        CliCommand::Check { file, json } => checked(care::check(&config, file.as_deref()).await, json),
        CliCommand::User(UserCommand::Add(user)) => {
            let role = match user.role {
                Role::Admin => GlobalRole::Admin,
                Role::User => GlobalRole::User,
            };
            let added = admin::add_user(&config, &user.email, user.password, role, clock).await;
            done(added.map(|id| format!("user {id} added")))
        }
        CliCommand::Workspace(WorkspaceCommand::Add { name }) => {
            let added = admin::add_workspace(&config, name, clock).await;
            done(added.map(|id| format!("workspace {id} added")))
        }
        // Handled before the configuration is read: it needs none.
        CliCommand::Receive(args) => exit::ended(run_receive(args).await),
    }
}

/// The number and the word, in the plural where there is not one.
fn plural(count: u64, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

fn accepted(AcceptedKey { origin, unreadable }: AcceptedKey) -> String {
    match unreadable.extensions {
        0 => {
            format!("the master key of {origin} is accepted; it opens every secret and header that is stored")
        }
        extensions => format!(
            "the master key of {origin} is accepted. It does not open the secrets or headers of {} in {}. Set them \
             anew: POST …/extensions/{{id}}/rotate-secret, and PATCH with headers",
            plural(extensions as u64, "extension"),
            plural(unreadable.workspaces as u64, "workspace"),
        ),
    }
}

fn backed_up(config: &Config, file: &Path, backup: &care::BackedUp) -> String {
    format!(
        "{} is complete: {} in {:.1} s, for {:.1} s of which the write-ahead log was kept.\n\
         The master key is not in it: keep {} as well, in another place",
        file.display(),
        mebibytes(backup.bytes),
        backup.took.as_secs_f64(),
        backup.kept_log.as_secs_f64(),
        care::master_key_of(config),
    )
}

fn put_in_place(config: &Config, restored: &care::Restored) -> String {
    let former = restored.former.as_ref().map_or_else(String::new, |former| {
        format!("\nThe former database is {}", former.display())
    });
    let older = match restored.is_older {
        true => ", which brings its schema to this version",
        false => "",
    };
    format!(
        "{} is restored: {}{former}\n\
         Now put the master key of the backup at {}, and start the server{older}.\n\
         What was published after the backup is gone; what was delivered after it is delivered again",
        restored.database.display(),
        mebibytes(restored.bytes),
        care::master_key_of(config),
    )
}

fn mebibytes(bytes: u64) -> String {
    const TENTH: u64 = 1024 * 1024 / 10;
    let tenths = bytes.div_ceil(TENTH);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// Prints what a check has found. The exit code is 1 where something is wrong.
fn checked(checked: Result<care::Checked, admin::AdminError>, json: bool) -> ExitCode {
    let checked = match checked {
        Ok(checked) => checked,
        Err(error) => return exit::cannot_start(&error),
    };
    let text = match json {
        true => as_json(&checked),
        false => as_text(&checked),
    };
    match (done(Ok(text)), checked.wrong()) {
        (printed, 0) => printed,
        _ => ExitCode::FAILURE,
    }
}

fn as_text(checked: &care::Checked) -> String {
    let mut lines: Vec<String> = Vec::new();
    lines.extend(
        checked
            .findings
            .iter()
            .map(|finding| format!("{}: {}", finding.kind, finding.text)),
    );
    lines.extend(
        checked
            .left_out
            .iter()
            .map(|(kind, more)| format!("{kind}: {more} more")),
    );
    let [events, logs, installations] = [
        (checked.events, "event"),
        (checked.logs, "log"),
        (checked.installations, "installation"),
    ]
    .map(|(count, word)| plural(count, word));
    let seen = format!("looked at {events} in {logs}, and {installations}");
    lines.push(match checked.wrong() {
        0 => format!("nothing is wrong; {seen}"),
        wrong => format!("wrong: {}; {seen}", plural(wrong, "thing")),
    });
    lines.join("\n")
}

fn as_json(checked: &care::Checked) -> String {
    let findings = checked.findings.iter();
    let findings = findings.map(|finding| json!({"kind": finding.kind, "text": finding.text}));
    let left_out = checked.left_out.iter();
    let left_out = left_out.map(|(kind, more)| json!({"kind": kind, "more": more}));
    json!({
        "wrong": checked.wrong(),
        "findings": findings.collect::<Vec<_>>(),
        "leftOut": left_out.collect::<Vec<_>>(),
        "events": checked.events,
        "logs": checked.logs,
        "installations": checked.installations,
    })
    .to_string()
}

#[expect(
    clippy::print_stdout,
    reason = "the answer of a command is for the person at the terminal"
)]
fn done(result: Result<String, admin::AdminError>) -> ExitCode {
    match result {
        Ok(text) => {
            println!("{text}");
            logging::flush();
            ExitCode::SUCCESS
        }
        Err(error) => exit::cannot_start(&error),
    }
}
