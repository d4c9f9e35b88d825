//! Installations whose services accept deliveries and never answer.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;

use crate::{
    api::Installed,
    instance::Instance,
    receivers::{Behavior, Receivers},
    time,
};

/// Deliveries that are under way when an installation is disabled end within `delivery.timeout`.
const PATIENCE_SECONDS: f64 = 60.0;
const LOOK: Duration = Duration::from_millis(20);

/// Such installations, all of one workspace.
pub(super) struct Hanging {
    services: Receivers,
    installed: Vec<Installed>,
}

impl Hanging {
    pub(super) async fn install(instance: &Instance, workspace: &str, count: usize) -> Result<Self> {
        let services = Receivers::start(count, Behavior::Hang)?;
        let mut installed = Vec::new();
        for number in 0..count {
            let (key, url) = (format!("hanging-{number}"), services.url(number));
            installed.push(instance.api.install(workspace, &key, &url).await?);
        }
        Ok(Self { services, installed })
    }

    /// Enables all of them, or disables them and waits until no delivery to them is under way.
    pub(super) async fn enable(&self, instance: &Instance, enabled: bool) -> Result<()> {
        for installed in &self.installed {
            instance
                .api
                .change(installed, &json!({"enabled": enabled}))
                .await?;
        }
        let start = time::nanos();
        while !enabled && self.services.tally().open_connections() > 0 {
            if time::seconds(start, time::nanos()) > PATIENCE_SECONDS {
                bail!("deliveries to disabled installations have not ended after {PATIENCE_SECONDS} s");
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Attempts so far: each hangs on a connection of its own.
    pub(super) fn attempts(&self) -> u64 {
        self.services.tally().accepted_connections()
    }
}
