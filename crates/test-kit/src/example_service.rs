//! The external services among the examples, as processes of their own.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use tokio::{sync::mpsc, time::timeout};

use super::{client::Caller, eventually::PATIENCE};

const READY_LINE: &str = "Receiving events at http://";
const SERVER_LINE: &str = "Pointsman listens on http://";

/// A running example. It is killed when dropped.
pub struct ExampleService {
    child: Child,
    address: SocketAddr,
    lines: mpsc::UnboundedReceiver<String>,
}

impl ExampleService {
    /// Starts the command, and returns when it says where it listens.
    pub async fn start(command: &mut Command) -> Self {
        let mut service = Self::spawn(command);
        let ready = service.printed().await;
        let address = ready
            .strip_prefix(READY_LINE)
            .and_then(|rest| rest.split_once("/events"))
            .and_then(|(address, _)| address.parse().ok());
        service.address = address.unwrap_or_else(|| panic!("it says {ready:?}"));
        service
    }

    /// Starts a server, and returns when it says where it listens, with all that it has said by then.
    pub async fn start_server(command: &mut Command) -> (Self, Vec<String>) {
        let mut server = Self::spawn(command);
        let mut printed = Vec::new();
        loop {
            let line = server.printed().await;
            let address = line
                .strip_prefix(SERVER_LINE)
                .and_then(|address| address.parse().ok());
            printed.push(line);
            if let Some(address) = address {
                server.address = address;
                return (server, printed);
            }
        }
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = child.stdout.take().expect("its output is piped");
        let (line, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for printed in BufReader::new(stdout).lines().map_while(Result::ok) {
                // The test may be over.
                let _ = line.send(printed);
            }
        });
        Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            lines,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client of the example.
    pub fn caller(&self) -> Caller {
        Caller::at(self.address)
    }

    /// The next line that it prints.
    pub async fn printed(&mut self) -> String {
        let line = timeout(PATIENCE, self.lines.recv()).await;
        line.expect("it prints in time").expect("it runs")
    }
}

impl Drop for ExampleService {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
