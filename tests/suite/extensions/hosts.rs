//! A host with extensions of its own, whose `main` is the one of the README.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use pointsman_clock::Clock;
use tokio::task::spawn_blocking;

use pointsman_test_kit::{Engine, ExampleService, TestApp, example, on_both_engines, server_program};

on_both_engines! {
    a_host_logs_as_the_server_does,
}

async fn a_host_logs_as_the_server_does(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.example("test_host")).await;
    let log = app.log();
    assert!(
        log.contains("INFO  pointsman::server::limits] file handles"),
        "{log}"
    );
    app.finish().await;
}

/// The folder of a server without any settings but its port.
fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("pointsman-host-{}", Clock.new_uuid()));
    fs::create_dir(&folder).expect("a folder can be made for the test");
    folder
}

fn server(program: PathBuf, folder: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("POINTSMAN") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder).env("POINTSMAN__SERVER__PORT", "0");
    command
}

/// The password that is printed before the server says where it listens.
async fn start_and_sign_in(mut command: Command) {
    let (server, printed) = ExampleService::start_server(&mut command).await;
    let password = printed
        .iter()
        .find_map(|line| line.strip_prefix("Its password, shown this once:"))
        .unwrap_or_else(|| panic!("no password in {printed:#?}"));
    server
        .caller()
        .login("admin@pointsman.local", password.trim())
        .await;
}

#[actix_web::test]
async fn a_host_prints_the_password_that_it_makes() {
    let folder = folder();
    start_and_sign_in(server(example("test_host"), &folder)).await;
    fs::remove_dir_all(folder).expect("the test's folder can be removed");
}

#[actix_web::test]
async fn no_admin_is_made_whose_password_cannot_be_printed() {
    let folder = folder();
    for program in [server_program(), example("test_host")] {
        // A disk that is full.
        let full = File::options()
            .write(true)
            .open("/dev/full")
            .expect("there is one");
        let child = server(program, &folder)
            .stdin(Stdio::null())
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn()
            .expect("it can be started");
        let ended = spawn_blocking(move || child.wait_with_output());
        let ended = ended.await.expect("waiting does not panic").expect("it ends");
        let error = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(2), "{error}");
        let last = error.lines().last().unwrap_or_default();
        assert!(last.starts_with("pointsman: "), "{error}");
        assert!(last.contains("No space left on device"), "{error}");
    }
    start_and_sign_in(server(server_program(), &folder)).await;
    fs::remove_dir_all(folder).expect("the test's folder can be removed");
}

#[actix_web::test]
async fn a_host_that_does_it_itself_prints_the_password_alone() {
    let folder = folder();
    let mut command = server(example("test_host"), &folder);
    let mut child = command
        .env("TEST_QUIET", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it can be started");
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let ended = spawn_blocking(move || {
        let mut printed = String::new();
        while !printed.contains("shown this once") {
            assert!(
                stdout.read_line(&mut printed).expect("it is text") > 0,
                "{printed}"
            );
        }
        // Kept until it runs, so that whatever it prints before is there at its end.
        let id = child.id();
        let told = Command::new("sh")
            .args(["-c", &format!("kill -TERM {id}")])
            .status();
        assert!(told.is_ok_and(|status| status.success()));
        stdout.read_to_string(&mut printed).expect("it is text");
        (printed, child.wait_with_output().expect("it ends"))
    });
    let (printed, ended) = ended.await.expect("waiting does not panic");
    assert!(ended.status.success(), "{ended:?}");
    assert!(!printed.contains("Pointsman listens"), "{printed}");
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    fs::remove_dir_all(folder).expect("the test's folder can be removed");
}
