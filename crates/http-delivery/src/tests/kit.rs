//! An installation, its client, and assertions about results.

pub(super) use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

pub(super) use bytes::Bytes;
pub(super) use standardwebhooks::Webhook;

pub(super) use crate::{
    BoundedResolver, ConnectionBudget, DeliveryTarget, ExternalClient, ExternalClientConfig, Share,
    tls_config_with,
};
pub(super) use pointsman_clock::Clock;
pub(super) use pointsman_domain::{
    attempt::{AttemptOutcome, AttemptResult, DeadLetterReason, Verdict},
    event::{Cause, NewEvent, PlatformEvent},
    event_key::EventKey,
    id::{EventId, InstallationId, WorkspaceId},
    seq::Seq,
    signing::{SigningKeys, SigningSecret},
};
pub(super) use pointsman_receive::{Behavior, RawAnswer, RawReceiver, Receiver, SignatureCheck};

pub(super) const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
pub(super) const PAYLOAD: &str =
    r#"{ "dealId":"deal-123",  "amount": 5000.00, "note":"Grüße \u00e4" , "amount": 1e2 }"#;
pub(super) const RETRY: Verdict = Verdict::Retry { retry_after: None };

/// An installation and the client that delivers to it.
pub(super) struct Delivery {
    pub(super) config: ExternalClientConfig,
    pub(super) client: ExternalClient,
}

impl Delivery {
    pub(super) fn allowing(networks: &[&str]) -> Self {
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        Self::with(ExternalClientConfig::new(
            Duration::from_secs(15),
            networks,
            Clock,
        ))
    }

    pub(super) fn to_loopback() -> Self {
        Self::allowing(&["127.0.0.0/8"])
    }

    pub(super) fn timing_out_after(timeout: Duration) -> Self {
        Self::with(ExternalClientConfig {
            timeout,
            ..Self::to_loopback().config
        })
    }

    pub(super) fn resolving(
        lookup: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        let resolver = Arc::new(BoundedResolver::with_lookup(Clock, Arc::new(lookup)));
        Self::with(ExternalClientConfig {
            resolver,
            ..Self::to_loopback().config
        })
    }

    pub(super) fn with(config: ExternalClientConfig) -> Self {
        Self {
            client: ExternalClient::new(&config, InstallationId::new(Clock.new_uuid())),
            config,
        }
    }

    /// Trusts the authorities in the PEM file, and takes every name for this machine.
    pub(super) fn trusting(extra_ca_file: &Path) -> Self {
        Self::with(ExternalClientConfig {
            tls: tls_config_with(extra_ca_file).unwrap(),
            ..Self::resolving(|_| Ok(vec![Ipv4Addr::LOCALHOST.into()])).config
        })
    }

    pub(super) async fn attempt(&self, base: &str) -> AttemptResult {
        self.client.attempt(&target(base), &event(), Clock).await
    }
}

pub(super) fn secret() -> SigningSecret {
    SigningSecret::from_random([9; 32])
}

pub(super) fn target(base: &str) -> DeliveryTarget {
    let keys = SigningKeys::new(&secret(), None);
    DeliveryTarget::new(
        base,
        keys,
        [("authorization", "Bearer token"), ("x-tenant", "blue")],
    )
    .unwrap()
}

pub(super) fn event() -> PlatformEvent {
    let new = NewEvent {
        id: EventId::new(Clock.new_uuid()),
        event_key: EventKey::parse("crm.deal.closed").unwrap(),
        schema_version: Some("1.0".into()),
        actor: None,
        payload: PAYLOAD.into(),
        occurred_at: Clock.now(),
        traceparent: Some(TRACEPARENT.to_owned()),
        cause: None,
    };
    PlatformEvent::record(WorkspaceId::new(Clock.new_uuid()), Seq::new(1), new)
}

pub(super) fn bytes(text: &'static str) -> RawAnswer {
    RawAnswer::Bytes(Bytes::from_static(text.as_bytes()))
}

pub(super) async fn answering(answers: impl Into<Vec<RawAnswer>>) -> RawReceiver {
    RawReceiver::start(answers.into()).await.unwrap()
}

#[track_caller]
pub(super) fn assert_retried(result: &AttemptResult, outcome: AttemptOutcome) {
    assert_eq!((result.outcome, &result.verdict), (outcome, &RETRY), "{result:?}");
    assert!(result.error.is_some());
}

#[track_caller]
pub(super) fn assert_delivered(result: &AttemptResult) {
    assert_eq!(
        (result.outcome, &result.verdict),
        (AttemptOutcome::Delivered, &Verdict::Delivered),
        "{result:?}"
    );
    assert_eq!(result.error, None);
}
