//! A server that cannot start says why in one line that names the file, the port or the setting, and its
//! exit code is 2. On the files of the embedded database; [`super::claim`] has what holds for both.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use pointsman_clock::Clock;
use tokio::{task::spawn_blocking, time::timeout};

use pointsman_test_kit::{PATIENCE, server_program};

/// A folder of the test's own, with all permissions for all accounts. A failed test leaves it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("pointsman-start-{}", Clock.new_uuid()));
        fs::create_dir(&path).expect("a folder can be made for the test");
        let folder = Self(path);
        folder.set_mode("", 0o777);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).expect("a file can be made in the test's folder");
    }

    fn make(&self, name: &str) {
        fs::create_dir_all(self.path(name)).expect("a folder can be made in the test's folder");
    }

    fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode))
            .expect("the owner may change the mode");
    }

    /// Starts a server on this database under an account that is bound by permissions, to its end.
    async fn start_on(&self, database: &str) -> Output {
        let url = format!("sqlite://{}", self.path(database).display());
        self.run(&[("POINTSMAN__DATABASE__URL", &url)], &["serve"]).await
    }

    async fn run(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
        let mut command = self.command();
        command.args(arguments).env("POINTSMAN__SERVER__PORT", "0");
        for (name, value) in environment {
            command.env(name, value);
        }
        let child = command.spawn().expect("the binary under test can be started");
        let ended = timeout(PATIENCE, spawn_blocking(move || child.wait_with_output())).await;
        let ended = ended.expect("a server that cannot start ends by itself");
        ended
            .expect("waiting does not panic")
            .expect("a child can be waited for")
    }

    /// The binary, run by an unprivileged account where the tests are run by root.
    fn command(&self) -> Command {
        let binary = &*server_program();
        let is_root = fs::metadata(&self.0).expect("the folder is there").uid() == 0;
        let mut command = if is_root {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
                .arg(self.reachable(binary));
            command
        } else {
            Command::new(binary)
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("POINTSMAN") {
                command.env_remove(name);
            }
        }
        command
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A name of the binary below which everybody may look: the sources may be at home.
    fn reachable(&self, binary: &Path) -> PathBuf {
        let everybody_may = |folder: &Path| fs::metadata(folder).is_ok_and(|data| data.mode() & 0o001 != 0);
        if binary.ancestors().skip(1).all(everybody_may) {
            return binary.to_owned();
        }
        let copy = self.path("pointsman");
        if fs::hard_link(binary, &copy).is_err() {
            fs::copy(binary, &copy).expect("the binary can be copied");
        }
        copy
    }

    fn remove(self) {
        fs::remove_dir_all(&self.0).expect("the test's folder can be removed");
    }
}

#[track_caller]
fn refused(output: &Output, expected: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("pointsman: "), "{stderr}");
    for part in expected {
        assert!(stderr.contains(part), "{part} in {stderr}");
    }
}

#[actix_web::test]
async fn a_database_that_is_no_file_or_no_database_is_named() {
    let folder = Folder::new();
    folder.make("folder.db");
    folder.write("text.db", b"this is no database at all");
    folder.set_mode("text.db", 0o666);
    folder.write("file", b"");
    for (database, named, why) in [
        ("folder.db", "/folder.db:", "directory"),
        ("text.db", "/text.db:", "no SQLite database"),
        ("file/x.db", "/file:", "not a directory"),
    ] {
        let ended = folder.start_on(database).await;
        refused(&ended, &[named, why]);
    }
    folder.remove();
}

#[actix_web::test]
async fn what_may_not_be_read_or_written_is_named() {
    let folder = Folder::new();
    let denied = "Permission denied";
    // A folder in which nothing can be made: neither the key, nor another folder.
    folder.make("read-only");
    folder.set_mode("read-only", 0o555);
    refused(
        &folder.start_on("read-only/x.db").await,
        &["/read-only/cookie.key:", denied],
    );
    refused(
        &folder.start_on("read-only/below/x.db").await,
        &["/read-only/below:", denied],
    );
    // A read-only folder in which everything else is there already.
    folder.make("claimless");
    folder.write("claimless/x.db", b"");
    folder.write("claimless/cookie.key", &[7; 64]);
    folder.set_mode("claimless/x.db", 0o666);
    folder.set_mode("claimless", 0o555);
    refused(
        &folder.start_on("claimless/x.db").await,
        &["/claimless/x.db.lock:", denied],
    );
    // A file that the server may not read, and one that it may not write.
    for (name, mode) in [("unreadable.db", 0o000), ("read-only.db", 0o444)] {
        folder.write(name, b"");
        folder.set_mode(name, mode);
        refused(&folder.start_on(name).await, &[name, denied]);
    }
    folder.make("key");
    folder.set_mode("key", 0o777);
    folder.write("key/cookie.key", &[7; 64]);
    folder.set_mode("key/cookie.key", 0o000);
    refused(&folder.start_on("key/x.db").await, &["/key/cookie.key:", denied]);
    folder.set_mode("read-only", 0o777);
    folder.set_mode("claimless", 0o777);
    folder.remove();
}

#[actix_web::test]
async fn a_key_file_that_is_none_is_not_replaced() {
    let folder = Folder::new();
    folder.write("cookie.key", b"too short");
    folder.set_mode("cookie.key", 0o644);
    refused(&folder.start_on("x.db").await, &["/cookie.key:", "has 9"]);
    assert_eq!(
        fs::read(folder.path("cookie.key")).expect("it is there"),
        b"too short"
    );
    folder.remove();
}

#[actix_web::test]
async fn a_port_that_is_taken_or_an_address_that_is_not_ours_is_named() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port can be taken");
    let port = taken.local_addr().expect("it has an address").port().to_string();
    let ended = folder
        .run(&[("POINTSMAN__SERVER__PORT", &port)], &["serve"])
        .await;
    refused(&ended, &[&format!("127.0.0.1:{port}"), "Address already in use"]);
    // TEST-NET-1, which no machine has.
    let ended = folder
        .run(&[("POINTSMAN__SERVER__HOST", "192.0.2.1")], &["serve"])
        .await;
    refused(&ended, &["192.0.2.1:", "Cannot assign requested address"]);
    folder.remove();
}

#[actix_web::test]
async fn other_commands_name_the_file_too() {
    let folder = Folder::new();
    folder.make("folder.db");
    let url = format!("sqlite://{}", folder.path("folder.db").display());
    for arguments in [&["migrate"][..], &["workspace", "add", "--name", "acme"]] {
        let ended = folder.run(&[("POINTSMAN__DATABASE__URL", &url)], arguments).await;
        refused(&ended, &["/folder.db:", "directory"]);
    }
    folder.write("settings.toml", b"");
    folder.set_mode("settings.toml", 0o000);
    let ended = folder.run(&[], &["--config", "settings.toml"]).await;
    refused(&ended, &["settings.toml", "Permission denied"]);
    folder.remove();
}

#[actix_web::test]
async fn more_connections_than_files_may_be_open_are_refused_with_the_number_that_may_be() {
    let folder = Folder::new();
    let environment = [("POINTSMAN__SERVER__MAX_CONNECTIONS", "1000000")];
    let mut limited = folder.command();
    // The shell's limit binds its children.
    let binary = limited.get_program().to_owned();
    let arguments: Vec<_> = limited.get_args().map(ToOwned::to_owned).collect();
    limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -n 1024 && exec \"$0\" \"$@\""])
        .arg(binary)
        .args(arguments)
        .current_dir(&folder.0)
        .envs(environment)
        .stdin(Stdio::null());
    let ended = spawn_blocking(move || limited.output()).await;
    let ended = ended.expect("waiting does not panic").expect("the shell runs");
    refused(&ended, &["server.max_connections = 1000000", "1024 open files"]);
    folder.remove();
}
