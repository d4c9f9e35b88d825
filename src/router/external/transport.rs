//! How attempts leave the process.

#[cfg(test)]
use std::sync::Arc;

#[cfg(test)]
use futures_util::future::BoxFuture;

use super::{DeliveryTarget, ExternalClient, ExternalClientConfig, Turn};
use pointsman_clock::Clock;
use pointsman_domain::{attempt::AttemptResult, event::PlatformEvent, id::InstallationId};

/// What one installation's attempts go through.
#[derive(Debug)]
pub(in crate::router) enum Transport {
    Http(Box<ExternalClient>),
    #[cfg(test)]
    Simulated(Arc<dyn SimulatedService>),
}

/// A service that is called as a function.
#[cfg(test)]
pub(crate) trait SimulatedService: Send + Sync + std::fmt::Debug {
    fn attempt(&self, target: &DeliveryTarget, event: &PlatformEvent) -> BoxFuture<'static, AttemptResult>;
}

impl Transport {
    pub(in crate::router) fn new(config: &ExternalClientConfig, installation: InstallationId) -> Self {
        #[cfg(test)]
        if let Some(service) = &config.simulated {
            return Self::Simulated(Arc::clone(service));
        }
        Self::Http(Box::new(ExternalClient::new(config, installation)))
    }

    /// See [`ExternalClient::turn`]; what is simulated needs none.
    pub(in crate::router) async fn turn(&self) -> Option<Turn> {
        match self {
            Self::Http(client) => Some(client.turn().await),
            #[cfg(test)]
            Self::Simulated(_) => None,
        }
    }

    /// See [`ExternalClient::turn_of_tests`].
    pub(in crate::router) async fn turn_of_tests(&self) -> Option<Turn> {
        match self {
            Self::Http(client) => Some(client.turn_of_tests().await),
            #[cfg(test)]
            Self::Simulated(_) => None,
        }
    }

    /// See [`ExternalClient::attempt`].
    pub(in crate::router) async fn attempt(
        &self,
        target: &DeliveryTarget,
        event: &PlatformEvent,
        clock: Clock,
    ) -> AttemptResult {
        match self {
            Self::Http(client) => client.attempt(target, event, clock).await,
            #[cfg(test)]
            Self::Simulated(service) => service.attempt(target, event).await,
        }
    }
}
