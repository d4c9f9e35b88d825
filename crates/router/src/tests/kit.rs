//! A router in this process, over a database of its own, with one service to deliver to.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::poison::Poisonable;
use crate::{
    EventRouter, Notices, RouterSettings,
    mail::{delivery::DeliveryAddress, workspace::Purpose},
};
use pointsman_clock::Clock;
use pointsman_domain::{
    event::NewEvent,
    event_key::EventKey,
    event_pattern::EventPattern,
    id::{DeadLetterId, EventId, InstallationId, SubscriptionId, WorkspaceId},
    installation::{DeliveryType, InstallationChange, NewInstallation},
    retry_schedule::RetrySchedule,
    signing::SigningSecret,
};
use pointsman_http_delivery::ExternalClientConfig;
use pointsman_journal_sql::{DatabaseUrl, JournalSettings, Reader, RetentionSettings};
use pointsman_receive::{Receiver, ReceiverOptions};
use pointsman_test_databases::ScratchDatabase;

/// So long that no test depends on the speed of its machine.
const EFFECT_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct Running {
    database: ScratchDatabase,
    effect_timeout: Duration,
    reader: Reader,
    change: fn(&mut RouterSettings),
    pub(super) router: EventRouter,
    pub(super) service: Receiver,
}

/// Two tests out of one, `name::on_sqlite` and `name::on_postgres`.
macro_rules! on_both_engines {
    (async fn $name:ident($running:ident: Running $(,)?) $body:block) => {
        on_both_engines!(async fn $name($running: Running with |_| {}) $body);
    };
    (async fn $name:ident($running:ident: Running with $change:expr $(,)?) $body:block) => {
        mod $name {
            use super::*;
            use pointsman_test_databases::ScratchDatabase;

            async fn run($running: Running) $body

            #[actix::test]
            async fn on_sqlite() {
                run(Running::with(ScratchDatabase::sqlite(), $change).await).await;
            }

            #[actix::test]
            async fn on_postgres() {
                run(Running::with(ScratchDatabase::postgres().await, $change).await).await;
            }
        }
    };
}
pub(super) use on_both_engines;

impl Running {
    /// The pool for reads.
    pub(super) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// With settings that differ from the usual ones by `change`.
    pub(super) async fn with(database: ScratchDatabase, change: fn(&mut RouterSettings)) -> Self {
        let options = ReceiverOptions {
            recording: true,
            ..ReceiverOptions::default()
        };
        let service = Receiver::start_with(options).await.unwrap();
        let (router, reader) = start(&database, EFFECT_TIMEOUT, change).await;
        Self {
            database,
            effect_timeout: EFFECT_TIMEOUT,
            reader,
            change,
            router,
            service,
        }
    }

    /// A router over the same database, after [`EventRouter::stop`].
    pub(super) async fn start_again(self) -> Self {
        let change = self.change;
        self.start_again_with(change).await
    }

    /// Likewise, with other settings.
    pub(super) async fn start_again_with(self, change: fn(&mut RouterSettings)) -> Self {
        let (router, reader) = start(&self.database, self.effect_timeout, change).await;
        Self {
            router,
            reader,
            change,
            ..self
        }
    }

    /// Stops, and starts again with this limit for effects.
    pub(super) async fn with_effect_timeout(mut self, limit: Duration) -> Self {
        self.router.stop(Duration::from_secs(20)).await;
        self.effect_timeout = limit;
        self.start_again().await
    }

    pub(super) fn workspace(&self) -> WorkspaceId {
        WorkspaceId::new(Clock.new_uuid())
    }

    /// A workspace of its own with the service installed and subscribed to everything.
    pub(super) async fn installed(&self) -> (WorkspaceId, InstallationId) {
        let workspace = WorkspaceId::new(Clock.new_uuid());
        (workspace, self.install(workspace, "crm", "**").await)
    }

    pub(super) async fn install(&self, workspace: WorkspaceId, key: &str, pattern: &str) -> InstallationId {
        let installation = InstallationId::new(Clock.new_uuid());
        let new = NewInstallation {
            id: installation,
            key: key.to_owned(),
            name: key.to_uppercase(),
            delivery_type: DeliveryType::ExternalService,
            service_base_url: Some(self.service.url()),
            signing_secret: SigningSecret::from_random([7; 32]).reveal(),
            headers: String::new(),
            enabled: true,
            subscriptions: Vec::new(),
        };
        self.router.install(workspace, new).await.unwrap();
        let subscribe = InstallationChange::Subscribe {
            subscription_id: SubscriptionId::new(Clock.new_uuid()),
            pattern: EventPattern::parse(pattern).unwrap(),
        };
        self.change(workspace, installation, subscribe).await;
        installation
    }

    pub(super) async fn change(
        &self,
        workspace: WorkspaceId,
        installation: InstallationId,
        change: InstallationChange,
    ) {
        let changed = self.router.change_installation(workspace, installation, change);
        changed.await.unwrap();
    }

    /// The actor of the installation, started where there is none.
    pub(super) async fn child(
        &self,
        workspace: WorkspaceId,
        installation: InstallationId,
    ) -> DeliveryAddress {
        let started = self.router.started_child(workspace, installation, Purpose::Start);
        started.await.unwrap()
    }

    /// Publishes that many events one after the other; each is acknowledged.
    pub(super) async fn publish(&self, workspace: WorkspaceId, count: usize) -> Vec<EventId> {
        let mut sent = Vec::new();
        for _ in 0..count {
            let event = new_event();
            sent.push(event.id);
            self.router.publish(workspace, event, None).await.unwrap();
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
        self.eventually("every event is a dead letter", async || {
            self.letters(sent).await.len() == sent.len()
        })
        .await;
    }

    /// The reasons of the letters about these events.
    pub(super) async fn letters(&self, events: &[EventId]) -> Vec<String> {
        use entity::dead_letter_event::{Column, Entity};
        let ids: Vec<_> = events.iter().map(|id| id.uuid()).collect();
        let letters = Entity::find().filter(Column::EventId.is_in(ids));
        let letters = letters.all(self.reader()).await.unwrap();
        letters.into_iter().map(|letter| letter.reason).collect()
    }

    /// The letter about this event.
    pub(super) async fn letter_of(&self, event: EventId) -> DeadLetterId {
        use entity::dead_letter_event::{Column, Entity};
        let letter = Entity::find().filter(Column::EventId.eq(event.uuid()));
        let letter = letter.one(self.reader()).await.unwrap();
        DeadLetterId::new(letter.unwrap().id)
    }

    /// Polls the condition until it holds. For conditions without a signal.
    pub(super) async fn eventually(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let looking = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(5));
            while !is_so().await {
                ticks.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), looking)
            .await
            .expect(what);
    }

    /// Waits until no workspace has an actor.
    pub(super) async fn nobody_is_active(&self) {
        self.eventually("no workspace is active", async || {
            self.router.shared.directory.len() == 0
        })
        .await;
    }

    pub(super) async fn stop(self) {
        self.router.stop(Duration::from_secs(20)).await;
        self.service.stop().await;
    }
}

pub(super) fn new_event() -> NewEvent {
    NewEvent {
        id: EventId::new(Clock.new_uuid()),
        event_key: EventKey::parse("crm.deal.closed").unwrap(),
        schema_version: None,
        actor: None,
        payload: "{}".into(),
        occurred_at: Clock.now(),
        traceparent: None,
        cause: None,
    }
}

async fn start(
    database: &ScratchDatabase,
    effect_timeout: Duration,
    change: fn(&mut RouterSettings),
) -> (EventRouter, Reader) {
    let timeout = Duration::from_secs(2);
    let allow: Vec<ipnet::IpNet> = vec!["127.0.0.0/8".parse().unwrap()];
    let mut settings = RouterSettings {
        threads: 2,
        max_in_flight: 1_000,
        window: 256,
        concurrency: 64,
        schedule: RetrySchedule::new(vec![Duration::from_millis(20); 3], 0.0),
        breaker_failures: 20,
        max_hold: Duration::from_secs(86_400),
        passivate_after: Duration::from_secs(300),
        waker_patience: Duration::from_secs(60),
        attempt_timeout: timeout,
        transport: Arc::new(Poisonable(ExternalClientConfig::new(
            timeout,
            allow.into(),
            Clock,
        ))),
        open_secret: Arc::new(|sealed| Ok(sealed.to_owned())),
        in_process: crate::InProcessSettings::default(),
    };
    change(&mut settings);
    let journal = JournalSettings {
        url: DatabaseUrl::parse(database.url()).unwrap(),
        max_connections: 4,
        min_free_bytes: 0,
        max_hold: settings.max_hold,
        master_key: None,
        retention: RetentionSettings::default(),
        progress: Arc::default(),
        effect_timeout,
    };
    let notices = Notices::default();
    let opened = pointsman_journal_sql::open(journal, notices.sink(), Clock)
        .await
        .unwrap();
    let extensions = settings.in_process.extensions.all();
    let registered = extensions.map(|extension| pointsman_journal_sql::InProcessExtension {
        key: extension.key.clone(),
        patterns: extension.patterns(),
    });
    pointsman_journal_sql::register_extensions(&opened.journal, registered.collect(), Clock)
        .await
        .unwrap();
    let router = EventRouter::start(settings, opened.journal, notices, Clock);
    (router, opened.readers.queries)
}
