//! The real binary as a child process.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    time::Duration,
};

use tokio::{sync::oneshot, task::spawn_blocking, time::timeout};

use super::{eventually::PATIENCE, settings::Settings};

const READY_LINE: &str = "Pointsman listens on http://";
/// How much of the log a failed test shows.
const SHOWN_LOG_LINES: usize = 60;

/// A running server. It is killed when dropped.
pub(crate) struct ServerProcess {
    child: Option<Child>,
    pub(crate) address: SocketAddr,
}

/// How a process that was run to its end ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl ServerProcess {
    /// Starts it in `folder`, and returns when it accepts requests.
    pub(crate) async fn start(folder: &Path, settings: &Settings) -> Self {
        let log = log_file(folder);
        let mut child = command(folder, settings)
            .stdout(Stdio::piped())
            .stderr(match settings.piped_log {
                true => Stdio::piped(),
                false => log.try_clone().expect("a file handle can be cloned").into(),
            })
            .spawn()
            .expect("the binary under test can be started");
        let stdout = child.stdout.take().expect("its output is piped");
        let (ready, address) = oneshot::channel();
        std::thread::spawn(move || copy_output(BufReader::new(stdout), log, ready));
        let mut process = Self {
            child: Some(child),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        match timeout(PATIENCE, address).await {
            Ok(Ok(address)) => process.address = address,
            Ok(Err(_)) => panic!("the server ended before it was ready:\n{}", log_tail(folder)),
            Err(_) => panic!("the server was not ready in time:\n{}", log_tail(folder)),
        }
        process
    }

    /// Resident memory now, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let id = self.child.as_ref().map(Child::id).expect("it runs");
        let status =
            std::fs::read_to_string(format!("/proc/{id}/status")).expect("a process that runs has a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.expect("the status tells the resident memory") * 1024
    }

    /// The other end of its log, where that is a pipe.
    pub(crate) fn piped_log(&mut self) -> ChildStderr {
        let log = self.child.as_mut().and_then(|child| child.stderr.take());
        log.expect("it runs, its log is piped, and is taken once")
    }

    /// Sends a signal such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.as_ref().map(Child::id).expect("it runs");
        // The standard library can only kill, and the suite has no other need of unsafe code.
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {id}")])
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "SIG{name} is sent to {id}"
        );
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let id = child.id();
        let waiting = spawn_blocking(move || child.wait());
        match timeout(PATIENCE, waiting).await {
            Ok(Ok(status)) => status.expect("a child can be waited for"),
            Ok(Err(error)) => panic!("waiting for process {id}: {error}"),
            Err(_) => {
                let _ = Command::new("sh")
                    .args(["-c", &format!("kill -KILL {id}")])
                    .status();
                panic!("process {id} did not end within {PATIENCE:?}");
            }
        }
    }

    /// SIGKILL: the process cannot react. Returns when it is gone.
    pub(crate) fn kill(mut self) {
        self.kill_now();
    }

    fn kill_now(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill_now();
    }
}

/// Runs the binary with these arguments until it ends by itself.
pub(crate) async fn run_to_end(folder: &Path, settings: &Settings, arguments: &[&str]) -> Ended {
    match run_for(folder, settings, arguments, PATIENCE).await {
        Some(ended) => ended,
        None => panic!("{arguments:?} did not end by itself"),
    }
}

/// Runs the binary with these arguments, and kills it after this time. None where that was so.
pub(crate) async fn run_for(
    folder: &Path,
    settings: &Settings,
    arguments: &[&str],
    time: Duration,
) -> Option<Ended> {
    let child = command(folder, settings)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary under test can be started");
    let id = child.id();
    let mut waiting = spawn_blocking(move || child.wait_with_output());
    let Ok(output) = timeout(time, &mut waiting).await else {
        let _ = Command::new("sh")
            .args(["-c", &format!("kill -KILL {id}")])
            .status();
        // Its files are closed only when it has ended.
        let _ = waiting.await;
        return None;
    };
    let output = output
        .expect("waiting does not panic")
        .expect("a child can be waited for");
    Some(Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// The binary with nothing from the environment of the tests but what it needs to run.
fn command(folder: &Path, settings: &Settings) -> Command {
    let mut command = Command::new(settings.program());
    command.current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("POINTSMAN") {
            command.env_remove(name);
        }
    }
    command.env("RUST_BACKTRACE", "1").envs(settings.environment());
    command
}

fn copy_output(stdout: impl BufRead, mut log: File, ready: oneshot::Sender<SocketAddr>) {
    let mut ready = Some(ready);
    for line in stdout.lines().map_while(Result::ok) {
        let _ = writeln!(log, "{line}");
        let address = line
            .strip_prefix(READY_LINE)
            .and_then(|address| address.parse().ok());
        if let Some(address) = address
            && let Some(ready) = ready.take()
        {
            let _ = ready.send(address);
        }
    }
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("server.log")
}

/// One file for all processes of a test, appended to.
fn log_file(folder: &Path) -> File {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log_path(folder))
        .expect("the test's folder is writable")
}

/// What the test's servers have said.
pub(crate) fn log(folder: &Path) -> String {
    std::fs::read_to_string(log_path(folder)).unwrap_or_default()
}

/// The end of what the test's servers have said.
pub(crate) fn log_tail(folder: &Path) -> String {
    let text = log(folder);
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(SHOWN_LOG_LINES);
    lines[skipped..].join("\n")
}
