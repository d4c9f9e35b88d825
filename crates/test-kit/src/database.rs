//! The database of one test, and what is left in it when the test ends.

use std::path::Path;

use entity::{
    ext_delivery_cursor, ext_delivery_retry, ext_event_subscription, ext_installation, platform_event,
};
use pointsman_clock::Clock;
use pointsman_domain::{
    event_key::EventKey,
    event_pattern::EventPattern,
    id::SubscriptionId,
    seq::Seq,
    span::{Span, is_due},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, Database, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder,
};

const POSTGRES_URL: &str = "POINTSMAN_TEST_POSTGRES_URL";

/// The engine of a test's database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// A database of one test.
pub struct TestDatabase {
    pub url: String,
    /// On PostgreSQL: the URL of the server's own database, and the name of ours.
    on_server: Option<(String, String)>,
}

impl TestDatabase {
    /// A file in `folder` that the server will make, or a new database on the PostgreSQL server.
    pub(crate) async fn create(engine: Engine, folder: &Path) -> Self {
        match engine {
            Engine::Sqlite => Self::in_folder(folder),
            Engine::Postgres => Self::create_on_postgres().await,
        }
    }

    /// A file in this folder, which is not the test's own.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self {
            url: format!("sqlite://{}/pointsman.db", folder.display()),
            on_server: None,
        }
    }

    async fn create_on_postgres() -> Self {
        let Ok(server) = std::env::var(POSTGRES_URL) else {
            panic!(
                "{POSTGRES_URL} is not set: run the suite by scripts/test, or one test by scripts/with-postgres"
            );
        };
        Self::on_server(&server).await
    }

    /// A new database on this PostgreSQL server.
    pub(crate) async fn on_server(server: &str) -> Self {
        let name = format!("pointsman_{}", Clock.new_uuid().simple());
        execute(server, &format!("CREATE DATABASE {name}")).await;
        let mut url = url::Url::parse(server).unwrap_or_else(|error| panic!("{POSTGRES_URL}: {error}"));
        url.set_path(&name);
        Self {
            url: url.into(),
            on_server: Some((server.to_owned(), name)),
        }
    }

    /// A new database on the PostgreSQL server whose texts are kept in this encoding.
    pub async fn encoded(encoding: &str) -> Self {
        let database = Self::create_on_postgres().await;
        let Some((server, name)) = &database.on_server else {
            unreachable!("it is on a server");
        };
        execute(server, &format!("DROP DATABASE {name}")).await;
        let options = format!("TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'");
        execute(server, &format!("CREATE DATABASE {name} {options}")).await;
        database
    }

    pub async fn connect(&self) -> DatabaseConnection {
        connect(&self.url).await
    }

    /// For the end of a test; a failed test leaves its database for inspection.
    pub async fn drop(self) {
        if let Some((server, name)) = self.on_server {
            execute(&server, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

async fn connect(url: &str) -> DatabaseConnection {
    let mut options = sea_orm::ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options)
        .await
        .expect("the test's database can be opened")
}

async fn execute(url: &str, sql: &str) {
    let connection = connect(url).await;
    let done = connection.execute_unprepared(sql).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    connection.close().await.expect("a connection can be closed");
}

/// Every delivery that is due and not settled, in words; empty when all is done.
pub(crate) async fn unsettled(connection: &DatabaseConnection) -> Vec<String> {
    let mut left = Vec::new();
    for retry in all::<ext_delivery_retry::Entity>(connection).await {
        left.push(format!(
            "{} of event {} to {}, {} attempts",
            retry.kind, retry.event_id, retry.installation_id, retry.attempts
        ));
    }
    for installation in all::<ext_installation::Entity>(connection).await {
        let spans = spans_of(connection, &installation).await;
        for event in events_beyond_cursor(connection, &installation).await {
            if is_due(
                &spans,
                Seq::new(event.seq),
                &EventKey::from_stored(event.event_key),
            ) {
                left.push(format!("event {} to {}, not handled", event.id, installation.key));
            }
        }
    }
    left
}

async fn all<E: EntityTrait>(connection: &DatabaseConnection) -> Vec<E::Model> {
    E::find()
        .all(connection)
        .await
        .expect("the test's database can be read")
}

async fn spans_of(connection: &DatabaseConnection, installation: &ext_installation::Model) -> Vec<Span> {
    let rows = ext_event_subscription::Entity::find()
        .filter(ext_event_subscription::Column::InstallationId.eq(installation.id))
        .all(connection)
        .await
        .expect("the test's database can be read");
    rows.into_iter()
        .map(|row| Span {
            subscription_id: SubscriptionId::new(row.subscription_id),
            pattern: EventPattern::from_stored(row.event_key),
            from_seq: Seq::new(row.from_seq),
            until_seq: row.until_seq.map(Seq::new),
            closed_by: None,
        })
        .collect()
}

/// The events after the cursor that have no dead letter.
async fn events_beyond_cursor(
    connection: &DatabaseConnection,
    installation: &ext_installation::Model,
) -> Vec<platform_event::Model> {
    let cursor = ext_delivery_cursor::Entity::find_by_id(installation.id)
        .one(connection)
        .await
        .expect("the test's database can be read")
        .expect("every installation has a cursor");
    platform_event::Entity::find()
        .filter(platform_event::Column::WorkspaceId.eq(installation.workspace_id))
        .filter(platform_event::Column::Seq.gt(cursor.settled_seq))
        .order_by_asc(platform_event::Column::Seq)
        .all(connection)
        .await
        .expect("the test's database can be read")
}
