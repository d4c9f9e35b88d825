//! Whose turn it is on a connection: the client's, to send a request, or ours, to answer.

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
    turn: Cell<Turn>,
    connections: Connections,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The client may begin a request, or not.
    Idle { until: Instant },
    /// The client has begun a request.
    Head { until: Instant },
    /// We answer. The request's body is the business of whoever reads it.
    Ours,
}

impl Exchange {
    /// A new connection: somebody who connects wants something at once.
    pub(super) fn begin(connections: Connections) -> Rc<Self> {
        let until = connections.0.clock.instant() + connections.0.settings.client_timeout;
        Rc::new(Self {
            turn: Cell::new(Turn::Idle { until }),
            connections,
        })
    }

    pub(super) fn turn(&self) -> Turn {
        self.turn.get()
    }

    /// Something came from the client.
    pub(super) fn bytes_arrived(&self) {
        if matches!(self.turn.get(), Turn::Idle { .. }) {
            let now = self.connections.0.clock.instant();
            let until = now + self.connections.0.settings.client_timeout;
            self.turn.set(Turn::Head { until });
        }
    }

    fn answered(&self) {
        let until = self.connections.0.clock.instant() + self.connections.keep_alive();
        self.turn.set(Turn::Idle { until });
    }
}

/// Our turn, as long as it lives.
struct OurTurn(Rc<Exchange>);

impl OurTurn {
    fn begin(exchange: &Rc<Exchange>) -> Self {
        exchange.turn.set(Turn::Ours);
        Self(Rc::clone(exchange))
    }
}

impl Drop for OurTurn {
    fn drop(&mut self) {
        self.0.answered();
    }
}

/// Tells the connection that a request is being answered, and a client that the connection ends with this
/// answer because the server stops.
pub(in crate::http) async fn layer<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    // A test of the application alone has no connection.
    let Some(exchange) = request.conn_data::<Rc<Exchange>>().cloned() else {
        return next.call(request).await;
    };
    let _ours = OurTurn::begin(&exchange);
    let mut response = next.call(request).await?;
    if exchange.connections.is_stopping() {
        response
            .response_mut()
            .head_mut()
            .set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}
