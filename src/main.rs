//! The command line.

use std::{io, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};
use pointsman::server::{
    Server,
    admin::{self, AcceptedKey},
    exit, logging,
};
use pointsman_clock::Clock;
use pointsman_config::Config;
use pointsman_domain::role::GlobalRole;
use pointsman_receive::{ReceiveArgs, run_receive};

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

fn accepted(AcceptedKey { origin, unreadable }: AcceptedKey) -> String {
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    match unreadable.extensions {
        0 => {
            format!("the master key of {origin} is accepted; it opens every secret and header that is stored")
        }
        extensions => format!(
            "the master key of {origin} is accepted. It does not open the secrets or headers of {} in {}. Set them \
             anew: POST …/extensions/{{id}}/rotate-secret, and PATCH with headers",
            plural(extensions, "extension"),
            plural(unreadable.workspaces, "workspace"),
        ),
    }
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
