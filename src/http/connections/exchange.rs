//! The phase of a connection: it waits for a request, receives a head, or the server is answering.

use std::{cell::Cell, rc::Rc, time::Instant};

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::ConnectionType,
    middleware::Next,
};

use super::Connections;

/// Shared by a connection's stream and its requests.
#[derive(Debug)]
pub(in crate::http) struct Exchange {
    phase: Cell<Phase>,
    connections: Connections,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No request has begun. The client may begin one until this time.
    Idle { until: Instant },
    /// A request has begun; its head must be complete at this time.
    Head { until: Instant },
    /// The server is answering. The time for the request's body is limited where the body is read.
    Answering,
}

impl Exchange {
    /// A new connection. Its first request must begin within the time for a head: a client that connects is expected
    /// to send at once.
    pub(super) fn begin(connections: Connections) -> Rc<Self> {
        let until = connections.0.clock.instant() + connections.0.settings.client_timeout;
        Rc::new(Self {
            phase: Cell::new(Phase::Idle { until }),
            connections,
        })
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Something came from the client.
    pub(super) fn bytes_arrived(&self) {
        if matches!(self.phase.get(), Phase::Idle { .. }) {
            let now = self.connections.0.clock.instant();
            let until = now + self.connections.0.settings.client_timeout;
            self.phase.set(Phase::Head { until });
        }
    }

    fn answered(&self) {
        let until = self.connections.0.clock.instant() + self.connections.keep_alive();
        self.phase.set(Phase::Idle { until });
    }
}

/// The connection is in [`Phase::Answering`] while this lives.
struct AnswerGuard(Rc<Exchange>);

impl AnswerGuard {
    fn begin(exchange: &Rc<Exchange>) -> Self {
        exchange.phase.set(Phase::Answering);
        Self(Rc::clone(exchange))
    }
}

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        self.0.answered();
    }
}

/// Marks the connection as answering. While the server stops, the answer says that the connection ends with it.
pub(in crate::http) async fn layer<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    // A test of the application alone has no connection.
    let Some(exchange) = request.conn_data::<Rc<Exchange>>().cloned() else {
        return next.call(request).await;
    };
    let _answering = AnswerGuard::begin(&exchange);
    let mut response = next.call(request).await?;
    if exchange.connections.is_stopping() {
        response
            .response_mut()
            .head_mut()
            .set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}
