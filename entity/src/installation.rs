//! An installation of the domain, from its row and back.

use pointsman_domain::{
    id::{InstallationId, WorkspaceId},
    installation::{DeliveryType, Installation, PreviousSecret},
    seq::Seq,
    timestamp::Timestamp,
};

use crate::ext_installation::Model;

impl From<Model> for Installation {
    fn from(row: Model) -> Self {
        let previous = row.previous_secret.zip(row.previous_secret_until);
        Self {
            id: InstallationId::new(row.id),
            workspace_id: WorkspaceId::new(row.workspace_id),
            key: row.key,
            name: row.name,
            delivery_type: if row.delivery_type == DeliveryType::InProcess.as_str() {
                DeliveryType::InProcess
            } else {
                DeliveryType::ExternalService
            },
            service_base_url: row.service_base_url,
            signing_secret: row.signing_secret,
            previous_secret: previous.map(|(sealed, until)| PreviousSecret {
                sealed,
                until: Timestamp::from_millis(until),
            }),
            headers: row.headers,
            enabled: row.enabled,
            paused: row.paused,
            concurrency: row.concurrency.and_then(|limit| u32::try_from(limit).ok()),
            ordered: row.ordered,
            rate_limit: row.rate_limit.and_then(|limit| u32::try_from(limit).ok()),
            available: row.available,
            held_since: row.held_since.map(Timestamp::from_millis),
            revision: row.revision,
            installed_at: Timestamp::from_millis(row.installed_at),
            installed_seq: Seq::new(row.installed_seq),
            uninstalled_at: row.uninstalled_at.map(Timestamp::from_millis),
            uninstalled_seq: row.uninstalled_seq.map(Seq::new),
            closed: row.closed,
        }
    }
}

impl From<Installation> for Model {
    fn from(installation: Installation) -> Self {
        let (previous_secret, previous_secret_until) = installation
            .previous_secret
            .map(|previous| (previous.sealed, previous.until.millis()))
            .unzip();
        Self {
            id: installation.id.uuid(),
            workspace_id: installation.workspace_id.uuid(),
            key: installation.key,
            name: installation.name,
            delivery_type: installation.delivery_type.as_str().to_owned(),
            service_base_url: installation.service_base_url,
            signing_secret: installation.signing_secret,
            previous_secret,
            previous_secret_until,
            headers: installation.headers,
            enabled: installation.enabled,
            paused: installation.paused,
            concurrency: installation.concurrency.map(column),
            ordered: installation.ordered,
            rate_limit: installation.rate_limit.map(column),
            available: installation.available,
            held_since: installation.held_since.map(Timestamp::millis),
            revision: installation.revision,
            installed_at: installation.installed_at.millis(),
            installed_seq: installation.installed_seq.get(),
            uninstalled_at: installation.uninstalled_at.map(Timestamp::millis),
            uninstalled_seq: installation.uninstalled_seq.map(Seq::get),
            closed: installation.closed,
        }
    }
}

/// Limits are checked where they come in, and fit.
fn column(limit: u32) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}
