//! A server, one service that it delivers to, and what is published to it.

use std::sync::Arc;

use anyhow::Result;

use crate::{
    bench::Bench,
    database::Engine,
    event::Request,
    measure::Subject,
    receivers::{Manner, Receivers},
    site::Site,
};

/// The key of what is published, unless a scenario has keys of its own.
pub(crate) const KEY: &str = "crm.deal.closed";

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) site: Site,
    pub(crate) receivers: Receivers,
    pub(crate) workspace: String,
}

impl Stage {
    /// Pointsman with a workspace in which nothing is installed yet.
    pub(crate) async fn bare(bench: &Bench, engine: Engine) -> Result<Self> {
        Self::bare_with(bench, engine, &[]).await
    }

    /// The same with these settings, as [`Site::pointsman_with`] takes them.
    pub(crate) async fn bare_with(bench: &Bench, engine: Engine, changed: &[(&str, String)]) -> Result<Self> {
        let site = Site::pointsman_with(bench, engine, changed).await?;
        Ok(Self {
            workspace: site.api.workspace("bench").await?,
            receivers: Receivers::start(1, Manner::Take)?,
            site,
        })
    }

    /// Pointsman with a service that is subscribed.
    pub(crate) async fn pointsman(bench: &Bench, engine: Engine) -> Result<Self> {
        let stage = Self::bare(bench, engine).await?;
        stage.subscribe().await?;
        Ok(stage)
    }

    /// The ceiling, with requests as long as those of the other.
    pub(crate) async fn ceiling(bench: &Bench, engine: Engine, beside: &Self) -> Result<Self> {
        let receivers = Receivers::start(1, Manner::Take)?;
        Ok(Self {
            site: Site::ceiling(bench, engine, &receivers.url(0), &beside.site).await?,
            receivers,
            workspace: beside.workspace.clone(),
        })
    }

    pub(crate) async fn subscribe(&self) -> Result<()> {
        let url = self.receivers.url(0);
        self.site.api.install(&self.workspace, "receiver", &url).await?;
        Ok(())
    }

    pub(crate) fn request(&self) -> Result<Request> {
        self.site.request(&self.workspace, KEY)
    }

    /// Of the server as it is now: one that is started again is at another port.
    pub(crate) fn requests(&self) -> Result<Arc<Vec<Request>>> {
        Ok(Arc::new(vec![self.request()?]))
    }

    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject {
            site: &self.site,
            receivers: Some((&self.receivers, 1)),
        }
    }
}
