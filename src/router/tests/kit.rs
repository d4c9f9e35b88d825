//! A router in this process, over a database of its own, with one service to deliver to.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};

use crate::{
    clock::Clock,
    domain::{
        event::NewEvent,
        event_key::EventKey,
        event_pattern::EventPattern,
        id::{EventId, InstallationId, SubscriptionId, WorkspaceId},
        installation::{DeliveryType, InstallationChange, NewInstallation},
        retry_schedule::RetrySchedule,
        signing::SigningSecret,
    },
    journal::scratch::Scratch,
    receive::{Receiver, ReceiverOptions},
    router::{EventRouter, RouterSettings, external::ExternalClientConfig},
};

pub(super) struct Running {
    scratch: Scratch,
    pub(super) router: EventRouter,
    pub(super) service: Receiver,
}

/// Two tests out of one, `name::on_sqlite` and `name::on_postgres`.
macro_rules! on_both_engines {
    (async fn $name:ident($running:ident: Running) $body:block) => {
        mod $name {
            use super::*;
            use crate::journal::scratch::Scratch;

            async fn run($running: Running) $body

            #[actix::test]
            async fn on_sqlite() {
                run(Running::over(Scratch::sqlite()).await).await;
            }

            #[actix::test]
            async fn on_postgres() {
                run(Running::over(Scratch::postgres().await).await).await;
            }
        }
    };
}
pub(super) use on_both_engines;

impl Running {
    pub(super) async fn over(scratch: Scratch) -> Self {
        let options = ReceiverOptions {
            recording: true,
            ..ReceiverOptions::default()
        };
        let service = Receiver::start_with(options).await.unwrap();
        let router = start(&scratch).await;
        Self {
            scratch,
            router,
            service,
        }
    }

    /// A router over the same database, after [`EventRouter::stop`].
    pub(super) async fn start_again(self) -> Self {
        let router = start(&self.scratch).await;
        Self { router, ..self }
    }

    pub(super) async fn installed(&self) -> (WorkspaceId, InstallationId) {
        let (workspace, installation) = (self.scratch.workspace(), InstallationId::new(Clock.new_uuid()));
        let new = NewInstallation {
            id: installation,
            key: "crm".to_owned(),
            name: "CRM".to_owned(),
            delivery_type: DeliveryType::ExternalService,
            service_base_url: Some(self.service.url()),
            signing_secret: SigningSecret::from_random([7; 32]).reveal(),
            headers: String::new(),
            enabled: true,
        };
        self.router.install(workspace, new).await.unwrap();
        let subscription_id = SubscriptionId::new(Clock.new_uuid());
        let pattern = EventPattern::parse("**").unwrap();
        let subscribe = InstallationChange::Subscribe {
            subscription_id,
            pattern,
        };
        self.router
            .change_installation(workspace, installation, subscribe)
            .await
            .unwrap();
        (workspace, installation)
    }

    /// Publishes that many events one after the other; each is acknowledged.
    pub(super) async fn publish(&self, workspace: WorkspaceId, count: usize) -> Vec<EventId> {
        let mut sent = Vec::new();
        for _ in 0..count {
            let id = EventId::new(Clock.new_uuid());
            let event = NewEvent {
                id,
                event_key: EventKey::parse("crm.deal.closed").unwrap(),
                schema_version: None,
                actor: None,
                payload: "{}".into(),
                occurred_at: Clock.now(),
                traceparent: None,
            };
            self.router.publish(workspace, event, None).await.unwrap();
            sent.push(id);
        }
        sent
    }

    /// Waits until each of these has arrived, some perhaps more than once.
    pub(super) async fn every_one_arrives(&self, sent: &[EventId]) {
        let sent: BTreeSet<String> = sent.iter().map(ToString::to_string).collect();
        let arrived = async {
            let mut count = sent.len() as u64;
            loop {
                let received = self.service.received(count).await;
                let ids: BTreeSet<String> = received
                    .iter()
                    .filter_map(|one| one.event_id().map(|id| id.to_string()))
                    .collect();
                if sent.is_subset(&ids) {
                    return;
                }
                count = received.len() as u64 + 1;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), arrived)
            .await
            .expect("every event arrives");
    }

    /// Waits until each of these is a dead letter, once.
    pub(super) async fn every_one_is_dead(&self, sent: &[EventId]) {
        use entity::dead_letter_event::{Column, Entity};
        let ids: Vec<_> = sent.iter().map(|id| id.uuid()).collect();
        let dead = async {
            loop {
                let query = Entity::find().filter(Column::EventId.is_in(ids.clone()));
                if query.count(self.router.reader()).await.unwrap() == sent.len() as u64 {
                    return;
                }
                // The service hears of every attempt; a letter follows it.
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), dead)
            .await
            .expect("every event is a dead letter");
    }

    pub(super) async fn stop(self) {
        self.router.stop(Duration::from_secs(20)).await;
        self.service.stop().await;
    }
}

async fn start(scratch: &Scratch) -> EventRouter {
    let timeout = Duration::from_secs(2);
    let allow: Vec<ipnet::IpNet> = vec!["127.0.0.0/8".parse().unwrap()];
    let settings = RouterSettings {
        max_delivery_connections: 256,
        threads: 2,
        max_in_flight: 1_000,
        window: 256,
        concurrency: 64,
        schedule: RetrySchedule::new(vec![Duration::from_millis(20); 3], 0.0),
        breaker_failures: 20,
        max_hold: Duration::from_secs(86_400),
        passivate_after: Duration::from_secs(300),
        attempt_timeout: timeout,
        client: ExternalClientConfig::new(timeout, allow.into(), Clock),
        open_secret: Arc::new(|sealed| Ok(sealed.to_owned())),
    };
    EventRouter::start(settings, scratch.settings(), Clock)
        .await
        .unwrap()
}
