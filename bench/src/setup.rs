//! The setup of most scenarios: a server, a workspace, and one service that it delivers to.

use std::sync::Arc;

use anyhow::Result;

use crate::{
    bench::Bench,
    database::Engine,
    event::Request,
    instance::Instance,
    measure::Subject,
    receivers::{Behavior, Receivers},
};

/// The key of the events, unless a scenario has keys of its own.
pub(crate) const KEY: &str = "crm.deal.closed";

#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) instance: Instance,
    pub(crate) receivers: Receivers,
    pub(crate) workspace: String,
}

impl Setup {
    /// Pointsman with a workspace in which nothing is installed yet.
    pub(crate) async fn bare(bench: &Bench, engine: Engine) -> Result<Self> {
        Self::bare_with(bench, engine, &[]).await
    }

    /// Such a server with these settings; see [`Instance::pointsman_with`].
    pub(crate) async fn bare_with(bench: &Bench, engine: Engine, changed: &[(&str, String)]) -> Result<Self> {
        let instance = Instance::pointsman_with(bench, engine, changed).await?;
        Ok(Self {
            workspace: instance.api.workspace("bench").await?,
            receivers: Receivers::start(1, Behavior::Accept)?,
            instance,
        })
    }

    /// Pointsman with a service that is subscribed.
    pub(crate) async fn pointsman(bench: &Bench, engine: Engine) -> Result<Self> {
        let setup = Self::bare(bench, engine).await?;
        setup.subscribe().await?;
        Ok(setup)
    }

    /// The ceiling, with requests as long as those of Pointsman in `beside`.
    pub(crate) async fn ceiling(bench: &Bench, engine: Engine, beside: &Self) -> Result<Self> {
        let receivers = Receivers::start(1, Behavior::Accept)?;
        Ok(Self {
            instance: Instance::ceiling(bench, engine, &receivers.url(0), &beside.instance).await?,
            receivers,
            workspace: beside.workspace.clone(),
        })
    }

    pub(crate) async fn subscribe(&self) -> Result<()> {
        let url = self.receivers.url(0);
        self.instance
            .api
            .install(&self.workspace, "receiver", &url)
            .await?;
        Ok(())
    }

    pub(crate) fn request(&self) -> Result<Request> {
        self.instance.request(&self.workspace, KEY)
    }

    /// Publishes for the server that runs now: a server that is started again has another port.
    pub(crate) fn requests(&self) -> Result<Arc<Vec<Request>>> {
        Ok(Arc::new(vec![self.request()?]))
    }

    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject {
            instance: &self.instance,
            receivers: Some((&self.receivers, 1)),
        }
    }
}
