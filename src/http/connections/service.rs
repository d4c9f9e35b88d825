//! From an accepted socket to the application.

use std::{
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use actix_http::{Extensions, HttpService, KeepAlive, Protocol, error::DispatchError};
use actix_service::{IntoServiceFactory as _, Service, ServiceFactory, ServiceFactoryExt as _, map_config};
use actix_web::{Error, dev::AppConfig, web};
use futures_util::future::{Either, LocalBoxFuture};
use tokio::net::TcpStream;

use super::{Connections, refuse::refuse, stream::ClientStream};
use crate::http::{app::app, state::AppState};

/// How long a connection whose request was not read to its end stays open, so that the client gets to read
/// the answer.
const LINGER: Duration = Duration::from_secs(1);

/// The service of an HTTP worker: each accepted socket gets a permit and is served by the application, or is refused.
/// Call it once per worker.
pub fn client_service(
    state: web::Data<AppState>,
    connections: Connections,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()> {
    let app = app(state)
        .into_factory()
        .map_err(|error: Error| error.error_response());
    let http = HttpService::build()
        // The stream enforces these times.
        .keep_alive(KeepAlive::Os)
        .client_request_timeout(Duration::ZERO)
        .client_disconnect_timeout(LINGER)
        .on_connect_ext(|stream: &ClientStream, data: &mut Extensions| {
            data.insert(stream.exchange());
        })
        .finish(map_config(app, |()| AppConfig::default()));
    ClientServiceFactory { http, connections }
}

struct ClientServiceFactory<F> {
    http: F,
    connections: Connections,
}

/// Admits or refuses connections. This is done here and not in the accepting thread, which could only let clients wait.
struct ClientService<S> {
    http: S,
    connections: Connections,
}

/// What `actix-http` takes.
type Connected = (ClientStream, Protocol, Option<SocketAddr>);

impl<F> ServiceFactory<TcpStream> for ClientServiceFactory<F>
where
    F: ServiceFactory<Connected, Config = (), Response = (), Error = DispatchError, InitError = ()>,
    F::Future: 'static,
    F::Service: 'static,
{
    type Response = ();
    type Error = DispatchError;
    type Config = ();
    type Service = ClientService<F::Service>;
    type InitError = ();
    type Future = LocalBoxFuture<'static, Result<Self::Service, ()>>;

    fn new_service(&self, (): ()) -> Self::Future {
        let (http, connections) = (self.http.new_service(()), self.connections.clone());
        Box::pin(async move {
            Ok(ClientService {
                http: http.await?,
                connections,
            })
        })
    }
}

impl<S> Service<TcpStream> for ClientService<S>
where
    S: Service<Connected, Response = (), Error = DispatchError>,
{
    type Response = ();
    type Error = DispatchError;
    type Future = Either<S::Future, LocalBoxFuture<'static, Result<(), DispatchError>>>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), DispatchError>> {
        self.http.poll_ready(cx)
    }

    fn call(&self, io: TcpStream) -> Self::Future {
        // Answers are written in one go, so waiting for more bytes would only delay them. An error means that the
        // client has closed the connection, which the next read reports.
        let _ = io.set_nodelay(true);
        let peer = io.peer_addr().ok();
        match self.connections.admit() {
            Some(permit) => {
                let stream = ClientStream::new(io, permit);
                Either::Left(self.http.call((stream, Protocol::Http1, peer)))
            }
            None => {
                let refused = refuse(io, self.connections.clone());
                Either::Right(Box::pin(async move {
                    refused.await;
                    Ok(())
                }))
            }
        }
    }
}
