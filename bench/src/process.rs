//! A server as a child process.

use std::{
    fs::{File, OpenOptions},
    io::{BufReader, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use tokio::{sync::mpsc, time::timeout};

/// The text before the address, in the line that the server prints when it listens.
const READY: &str = "listens on http://";
/// How long a server may take to start or to stop, also with a long backlog.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many lines of its log are shown when a server does not start.
const SHOWN_LOG_LINES: usize = 40;

/// How to start a server.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// The working folder of the server, with its log.
    pub(crate) folder: PathBuf,
}

/// A running server. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    folder: PathBuf,
    input: Option<ChildStdin>,
    lines: mpsc::UnboundedReceiver<String>,
    pub(crate) address: SocketAddr,
}

impl ServerProcess {
    /// Starts a server. Returns when it accepts requests.
    ///
    /// # Errors
    /// If the server does not start; the error has the end of its log.
    pub(crate) async fn start(program: &Program) -> Result<Self> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log_path(&program.folder))?;
        let mut child = spawn(program, &log)?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = BufReader::new(output.context("its output is piped")?);
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || copy_lines(output, log, &sender));
        let mut process = Self {
            child,
            folder: program.folder.clone(),
            input,
            lines,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        process.address = process.ready().await?;
        Ok(process)
    }

    async fn ready(&mut self) -> Result<SocketAddr> {
        loop {
            let line = self.next_line().await?;
            if let Some((_, address)) = line.split_once(READY) {
                return address.trim().parse().with_context(|| line.clone());
            }
        }
    }

    /// The next line that it prints to standard output.
    pub(crate) async fn next_line(&mut self) -> Result<String> {
        match timeout(PATIENCE, self.lines.recv()).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => bail!("the server has ended:\n{}", log_tail(&self.folder)),
            Err(_) => bail!(
                "the server has printed nothing for 120 s:\n{}",
                log_tail(&self.folder)
            ),
        }
    }

    /// Writes a line to its standard input.
    pub(crate) fn tell(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("its input is piped")?;
        writeln!(input, "{line}").context("the server has ended")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops the server in order.
    pub(crate) async fn stop(mut self) -> Result<()> {
        // The standard library can send only SIGKILL.
        let id = self.id();
        let told = Command::new("sh")
            .args(["-c", &format!("kill -TERM {id}")])
            .status()?;
        if !told.success() {
            bail!("SIGTERM cannot be sent to {id}");
        }
        // The output ends when the process ends.
        let ended = async { while self.lines.recv().await.is_some() {} };
        if timeout(PATIENCE, ended).await.is_err() {
            bail!(
                "the server has not stopped after 120 s:\n{}",
                log_tail(&self.folder)
            );
        }
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the server ended with {status}:\n{}", log_tail(&self.folder));
        }
        Ok(())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// With `setpriv`, the system kills the server when this process is killed. Without it, the server may outlive a kill.
fn spawn(program: &Program, log: &File) -> Result<Child> {
    let mut leashed = Command::new("setpriv");
    leashed.args(["--pdeathsig", "KILL", "--"]).arg(&program.path);
    let spawned = set_up(&mut leashed, program, log)?.spawn();
    if let Err(error) = &spawned
        && error.kind() == std::io::ErrorKind::NotFound
    {
        let mut alone = Command::new(&program.path);
        let spawned = set_up(&mut alone, program, log)?.spawn();
        return spawned.with_context(|| program.path.display().to_string());
    }
    spawned.with_context(|| program.path.display().to_string())
}

/// Sets the arguments, the environment, the folder and the output. Settings of Pointsman in the environment of the
/// bench are not handed on.
fn set_up<'a>(command: &'a mut Command, program: &Program, log: &File) -> Result<&'a mut Command> {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("POINTSMAN") {
            command.env_remove(name);
        }
    }
    command
        .args(&program.arguments)
        .envs(program.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(&program.folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log.try_clone()?);
    Ok(command)
}

fn copy_lines(output: impl std::io::BufRead, mut log: File, lines: &mpsc::UnboundedSender<String>) {
    for line in output.lines().map_while(Result::ok) {
        let _ = writeln!(log, "{line}");
        let _ = lines.send(line);
    }
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("server.log")
}

fn log_tail(folder: &Path) -> String {
    let text = std::fs::read_to_string(log_path(folder)).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LOG_LINES)..].join("\n")
}
