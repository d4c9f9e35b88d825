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

/// What a server's line about its address has in it.
const READY: &str = "listens on http://";
/// How long a server may take to start or to stop; one with a long backlog, too.
const PATIENCE: Duration = Duration::from_secs(120);
/// How much of its log is shown of a server that does not start.
const SHOWN_LOG_LINES: usize = 40;

/// How to start a server.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// It runs there, and its log is there.
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
    /// Returns when it accepts requests.
    ///
    /// # Errors
    /// With the end of its log, when it does not.
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
            Err(_) => bail!("the server says nothing:\n{}", log_tail(&self.folder)),
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

    /// Has it stop in order.
    pub(crate) async fn stop(mut self) -> Result<()> {
        // The standard library can only kill.
        let id = self.id();
        let told = Command::new("sh")
            .args(["-c", &format!("kill -TERM {id}")])
            .status()?;
        if !told.success() {
            bail!("SIGTERM cannot be sent to {id}");
        }
        // Its output ends when it does.
        let ended = async { while self.lines.recv().await.is_some() {} };
        if timeout(PATIENCE, ended).await.is_err() {
            bail!("the server does not stop:\n{}", log_tail(&self.folder));
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

/// By `setpriv`, where there is one, the system kills the server when this process is killed.
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

/// With nothing of our own environment that is a setting of Pointsman.
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
