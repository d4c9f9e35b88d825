//! Refusing a connection beyond the limit.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::Connections;
use crate::http::problem::Problem;

/// How many connections are refused with an answer at the same time; further ones are closed without one.
const MOST_AT_A_TIME: usize = 64;
/// How long such an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers 503 `OVERLOADED` without waiting for a request, and closes the connection.
pub(super) async fn refuse(mut io: TcpStream, connections: Connections) {
    let before = connections.0.refused.fetch_add(1, Ordering::SeqCst);
    let _refused = Refused(connections.clone());
    if before < MOST_AT_A_TIME {
        // A client that does not read even this answer gets none.
        let _ = timeout(PATIENCE, tell(&mut io, &answer(&connections))).await;
    }
}

struct Refused(Connections);

impl Drop for Refused {
    fn drop(&mut self) {
        self.0.0.refused.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn tell(io: &mut TcpStream, answer: &str) -> std::io::Result<()> {
    io.write_all(answer.as_bytes()).await?;
    io.shutdown().await?;
    // Closing a socket with unread bytes resets the connection, and the client would lose the answer.
    let mut unread = [0; 4096];
    while io.read(&mut unread).await? > 0 {}
    Ok(())
}

fn answer(connections: &Connections) -> String {
    let body = Problem::too_many_connections().to_json();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
         x-request-id: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        connections.0.clock.new_uuid(),
        body.len(),
    )
}
