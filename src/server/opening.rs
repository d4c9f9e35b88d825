//! What clients are answered while the database is being opened.
//!
//! Usually that takes milliseconds, and whoever connects meanwhile waits. It takes long where a large database is
//! brought to the layout of this version. Then the process is alive and not ready, and says so: a service manager that
//! looks at `/healthz` does not kill it, and one that looks at `/readyz` sends it nothing yet.

use std::{io, net::TcpListener, pin::pin, sync::Arc, time::Duration};

use actix_web::{App, HttpServer, ResponseError as _, dev::Server, http::KeepAlive, web};
use tokio::time::sleep;

use super::{StartError, stop_signals::StopSignals};
use crate::http::{json, problem::Problem};
use pointsman_journal_sql::{MigrationProgress, OpenError};

/// How long clients wait before they are answered that the database is being opened. Longer than the wait for the claim
/// of a predecessor on PostgreSQL, so that a start that is refused answers nobody.
const PATIENCE: Duration = Duration::from_secs(3);
/// Connections at a time.
const MAX_CONNECTIONS: usize = 64;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the database. After [`PATIENCE`] clients are answered meanwhile, on the listener's socket.
///
/// # Errors
/// Those of `open`, and [`StartError::Stopped`] where a signal to stop comes first. What is migrated by then is kept.
pub(super) async fn answered<T>(
    open: impl Future<Output = Result<T, OpenError>>,
    listener: &TcpListener,
    progress: Arc<MigrationProgress>,
    stop_signals: &mut StopSignals,
) -> Result<T, StartError> {
    let mut open = pin!(open);
    tokio::select! {
        opened = &mut open => return Ok(opened?),
        () = stop_signals.received() => return Err(StartError::Stopped),
        () = sleep(PATIENCE) => {}
    }
    let answers = listener
        .try_clone()
        .and_then(|listener| answer_on(listener, progress));
    // Nobody is answered then, as while it is opened quickly.
    let answers =
        answers.inspect_err(|error| log::warn!(error:%; "nobody can be answered before the start is over"));
    let handle = answers.as_ref().ok().map(Server::handle);
    let task = answers.ok().map(actix_web::rt::spawn);
    let opened = tokio::select! {
        opened = open => opened.map_err(StartError::from),
        () = stop_signals.received() => Err(StartError::Stopped),
    };
    if let Some(handle) = handle {
        let graceful = false;
        handle.stop(graceful).await;
    }
    if let Some(task) = task {
        // It has been told to stop, and has no result.
        let _ = task.await;
    }
    opened
}

fn answer_on(listener: TcpListener, progress: Arc<MigrationProgress>) -> io::Result<Server> {
    let app = move || {
        let progress = Arc::clone(&progress);
        let not_ready = move || {
            let problem = not_ready(progress.events());
            async move { problem.error_response() }
        };
        App::new()
            .route("/healthz", web::get().to(|| async { json::success() }))
            .default_service(web::to(not_ready))
    };
    let server = HttpServer::new(app)
        .workers(1)
        .max_connections(MAX_CONNECTIONS)
        // The server that comes after has connections of its own.
        .keep_alive(KeepAlive::Disabled)
        .client_request_timeout(REQUEST_TIMEOUT)
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}

fn not_ready(events: Option<(u64, u64)>) -> Problem {
    Problem::StorageUnavailable(match events {
        None => "the database is being opened".into(),
        Some((moved, all)) => format!(
            "the database is being brought to the layout of this version: {moved} of {all} events are moved"
        )
        .into(),
    })
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
        sync::oneshot,
    };

    use super::*;

    async fn get(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[actix_web::test]
    async fn while_the_database_is_being_opened_the_process_is_alive_and_not_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (open, opened) = oneshot::channel();
        let progress = Arc::<MigrationProgress>::default();
        let mut stop_signals = StopSignals::listen().unwrap();
        let opening = async { Ok(opened.await.unwrap()) };
        let starting = answered(opening, &listener, Arc::clone(&progress), &mut stop_signals);
        let clients = async {
            let alive = get(address, "/healthz").await;
            assert!(alive.starts_with("HTTP/1.1 200"), "{alive}");
            for path in ["/readyz", "/api/workspaces"] {
                let answer = get(address, path).await;
                assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
                assert!(answer.contains("the database is being opened"), "{answer}");
            }
            open.send("opened").unwrap();
        };
        let (started, ()) = tokio::join!(starting, clients);
        assert_eq!(started.unwrap(), "opened");
        // Whoever connects now waits for the server.
        drop(listener);
        assert!(TcpStream::connect(address).await.is_err(), "nobody else listens");
    }
}
