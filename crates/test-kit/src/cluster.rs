//! A PostgreSQL server that a test may stop.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use pointsman_clock::Clock;

use super::eventually::eventually;

/// A running PostgreSQL server of its own. It is stopped and removed when dropped.
pub struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    postmaster: Child,
}

impl Cluster {
    /// With the default durability.
    pub async fn start() -> Self {
        let programs = programs();
        let folder = std::env::temp_dir().join(format!("pointsman-cluster-{}", Clock.new_uuid()));
        fs::create_dir(&folder).expect("a folder can be made for the cluster");
        if is_root() {
            run(Command::new("chown").arg(owner()).arg(&folder));
        }
        let mut initdb = as_owner(&programs.join("initdb"), &folder);
        run(initdb
            .args([
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
            ])
            .arg(folder.join("data")));
        let port = free_port();
        let postmaster = spawn(&programs, &folder, port);
        let cluster = Self {
            programs,
            folder,
            port,
            postmaster,
        };
        cluster.is_ready().await;
        cluster
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// SIGSTOP: all of it hangs.
    pub fn freeze(&self) {
        self.signal_all("STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal_all("CONT");
    }

    /// Ends it at once, without a checkpoint, and so as a crash does.
    pub fn crash(&mut self) {
        self.end("QUIT");
    }

    /// Ends it in order; transactions are rolled back.
    pub fn stop(&mut self) {
        self.end("INT");
    }

    fn end(&mut self, how: &str) {
        signal(how, &[self.postmaster.id()]);
        self.postmaster.wait().expect("a child can be waited for");
    }

    /// Starts it again on the same port, after [`Cluster::stop`] or [`Cluster::crash`].
    pub async fn start_again(&mut self) {
        self.postmaster = spawn(&self.programs, &self.folder, self.port);
        self.is_ready().await;
    }

    /// PostgreSQL writes into its pid file that it is ready.
    async fn is_ready(&self) {
        let file = self.folder.join("data/postmaster.pid");
        let pid = self.postmaster.id().to_string();
        eventually("PostgreSQL is ready", async || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            let is_ours = text.lines().next() == Some(pid.as_str());
            if is_ours && text.lines().any(|line| line.trim_end() == "ready") {
                Ok(())
            } else {
                Err(self.log())
            }
        })
        .await;
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Backends lead process groups of their own, so that they are signalled one by one.
    fn signal_all(&self, name: &str) {
        let postmaster = self.postmaster.id();
        let mut all = vec![postmaster];
        all.extend(children_of(postmaster));
        signal(name, &all);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.postmaster.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.thaw();
            signal("QUIT", &[self.postmaster.id()]);
            let _ = self.postmaster.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A program of PostgreSQL, such as `pg_dump`.
pub fn postgres_tool(name: &str) -> PathBuf {
    // What is on the PATH may be a link to one of them only.
    let initdb = programs().join("initdb").canonicalize();
    initdb.expect("PostgreSQL is installed").with_file_name(name)
}

/// The folder with `initdb` and `postgres`: of the PATH, else the newest that Debian has installed.
fn programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).find(|folder| folder.join("initdb").is_file());
    let newest = || {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
        let versions = versions.filter_map(Result::ok);
        let newest = versions.max_by_key(|version| {
            let name = version.file_name();
            name.to_string_lossy().parse::<u32>().unwrap_or(0)
        });
        Some(newest?.path().join("bin"))
    };
    on_path
        .or_else(newest)
        .expect("PostgreSQL is installed: run the suite by scripts/test")
}

/// Started in the folder, since the owner may not be able to enter the current one. PostgreSQL refuses to
/// run as root.
fn as_owner(program: &Path, folder: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        let owner = owner();
        command
            .args([format!("--reuid={owner}"), format!("--regid={}", group_of(owner))])
            .args(["--clear-groups", "--"])
            .arg(program);
        command
    } else {
        Command::new(program)
    };
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .expect("the cluster's folder is writable");
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file handle can be cloned"))
        .stderr(log);
    command
}

fn spawn(programs: &Path, folder: &Path, port: u16) -> Child {
    as_owner(&programs.join("postgres"), folder)
        .arg("-D")
        .arg(folder.join("data"))
        .args(["-p", &port.to_string()])
        .args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
        ])
        .spawn()
        .expect("PostgreSQL can be started")
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|of_process| of_process.uid() == 0)
}

/// The account that runs it, since PostgreSQL refuses root.
fn owner() -> &'static str {
    let known = Command::new("id").args(["-u", "postgres"]).output();
    if known.is_ok_and(|known| known.status.success()) {
        "postgres"
    } else {
        "nobody"
    }
}

fn group_of(owner: &str) -> String {
    let known = Command::new("id").args(["-g", owner]).output();
    let known = known.expect("`id` can be run");
    String::from_utf8_lossy(&known.stdout).trim().to_owned()
}

/// Another process may take the port before PostgreSQL does; then the test fails with that error.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a listener has an address").port()
}

fn children_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("there is a /proc");
    let ids = processes
        .filter_map(Result::ok)
        .filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| parent_of(*id) == Some(parent)).collect()
}

/// The second field after the name, which is in parentheses.
fn parent_of(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

/// Processes that have ended meanwhile are ignored.
fn signal(name: &str, processes: &[u32]) {
    let ids: Vec<String> = processes.iter().map(u32::to_string).collect();
    let _ = Command::new("sh")
        .args(["-c", &format!("kill -{name} {}", ids.join(" "))])
        .stderr(Stdio::null())
        .status();
}

#[track_caller]
fn run(command: &mut Command) {
    let status = command.status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "{command:?}: {status:?}"
    );
}
