//! The master keys that a start accepts.

use std::sync::Mutex;

use migration::{Migrator, MigratorTrait as _};
use sea_orm::ConnectionTrait as _;
use uuid::Uuid;

use super::{
    migrations::{database, execute, read},
    *,
};
use crate::{MasterKey, Unreadable, accept_key};

/// A key that opens every text that begins with its name.
#[derive(Debug)]
pub(super) struct NamedKey(&'static str, Mutex<usize>);

impl NamedKey {
    pub(super) fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self(name, Mutex::default()))
    }

    /// The number of texts that it was asked to open.
    fn asked(&self) -> usize {
        *self.1.lock().unwrap()
    }
}

impl MasterKey for NamedKey {
    fn origin(&self) -> &str {
        "keys/of.test"
    }

    fn check_value(&self) -> Vec<u8> {
        self.0.as_bytes().to_vec()
    }

    fn is_check_value(&self, value: &[u8]) -> bool {
        value == self.0.as_bytes()
    }

    fn opens(&self, sealed: &str) -> bool {
        *self.1.lock().unwrap() += 1;
        sealed.starts_with(self.0)
    }
}

async fn open(scratch: &Scratch, key: &Arc<NamedKey>) -> Result<OpenJournal, OpenError> {
    let settings = JournalSettings {
        master_key: Some(Arc::<NamedKey>::clone(key)),
        ..scratch.settings()
    };
    scratch.try_open(settings).await
}

/// Installs one extension for each of these keys, sealed with it, each in its own workspace.
async fn installed_with(scratch: &Scratch, keys: &[&str]) {
    let client = scratch.client().await;
    client.execute_unprepared("BEGIN").await.unwrap();
    for key in keys {
        let sql = format!(
            "INSERT INTO ext_installation (id, workspace_id, key, name, delivery_type, signing_secret, headers, \
             enabled, paused, revision, installed_at, installed_seq, closed) \
             VALUES ({{1}}, {{2}}, 'crm', 'CRM', 'EXTERNAL_SERVICE', '{key} secret', '{key} headers', TRUE, FALSE, 1, \
             0, 0, FALSE)"
        );
        execute(&client, &sql, &[Clock.new_uuid(), Clock.new_uuid()]).await;
    }
    client.execute_unprepared("COMMIT").await.unwrap();
    client.close().await.unwrap();
}

async fn stored(scratch: &Scratch) -> usize {
    let client = scratch.client().await;
    let rows = read(&client, "SELECT 'row' AS it FROM master_key_check").await;
    client.close().await.unwrap();
    rows.len()
}

on_both_engines!(
    async fn the_first_key_is_stored_and_another_is_refused(scratch: Scratch) {
        let (ours, other) = (NamedKey::new("ours"), NamedKey::new("other"));
        open(&scratch, &ours).await.unwrap().stop().await;
        assert_eq!(stored(&scratch).await, 1);
        let refused = open(&scratch, &other).await.unwrap_err();
        assert!(matches!(&refused, OpenError::AnotherKey(origin) if origin == "keys/of.test"));
        assert!(refused.to_string().contains("pointsman accept-key"), "{refused}");
        open(&scratch, &ours).await.unwrap().stop().await;
        // Commands without a key are not refused.
        scratch.open().await.stop().await;
    }
);

on_both_engines!(
    async fn without_a_value_a_key_has_to_open_one_of_all_that_is_sealed(scratch: Scratch) {
        scratch.open().await.stop().await;
        let mut keys = vec!["other"; 1201];
        keys[0] = "ours";
        installed_with(&scratch, &keys).await;
        let third = NamedKey::new("third");
        assert!(matches!(
            open(&scratch, &third).await,
            Err(OpenError::AnotherKey(_))
        ));
        assert_eq!((stored(&scratch).await, third.asked()), (0, 2 * 1201));
        let ours = NamedKey::new("ours");
        open(&scratch, &ours).await.unwrap().stop().await;
        assert_eq!((stored(&scratch).await, ours.asked()), (1, 2 * 1201 - 1));
        open(&scratch, &ours).await.unwrap().stop().await;
        assert_eq!(ours.asked(), 2 * 1201 - 1, "the value is enough");
    }
);

on_both_engines!(
    async fn another_key_migrates_nothing(scratch: Scratch) {
        let migrations = u32::try_from(Migrator::migrations().len()).unwrap();
        for left in 1..migrations {
            let scratch = scratch.another().await;
            let connection = database(&scratch, migrations - left).await;
            connection.close().await.unwrap();
            installed_with(&scratch, &["ours"]).await;
            let refused = open(&scratch, &NamedKey::new("other")).await;
            assert!(matches!(refused, Err(OpenError::AnotherKey(_))), "{refused:?}");
            let client = scratch.client().await;
            let done = read(&client, "SELECT version AS it FROM seaql_migrations").await;
            assert_eq!(done.len(), (migrations - left) as usize);
            client.close().await.unwrap();
            open(&scratch, &NamedKey::new("ours")).await.unwrap().stop().await;
            assert_eq!(stored(&scratch).await, 1);
        }
    }
);

on_both_engines!(
    async fn accepting_a_key_counts_what_it_does_not_open(scratch: Scratch) {
        let (ours, other) = (NamedKey::new("ours"), NamedKey::new("other"));
        open(&scratch, &ours).await.unwrap().stop().await;
        installed_with(&scratch, &["ours", "other", "ours"]).await;
        let left = accept_key(&scratch.settings().url, &*other).await.unwrap();
        let expected = Unreadable {
            extensions: 2,
            workspaces: 2,
        };
        assert_eq!((left, stored(&scratch).await), (expected, 1));
        assert!(matches!(
            open(&scratch, &ours).await,
            Err(OpenError::AnotherKey(_))
        ));
        open(&scratch, &other).await.unwrap().stop().await;
    }
);

/// A secret that cannot be read does not prevent the start; the row is reported as corrupt where it is used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_secret_says_nothing_about_the_key() {
    let scratch = Scratch::sqlite();
    scratch.open().await.stop().await;
    installed_with(&scratch, &["ours", "ours"]).await;
    let client = scratch.client().await;
    let damage = "UPDATE ext_installation SET signing_secret = x'ff00', headers = x'ff' \
                  WHERE id = (SELECT MAX(id) FROM ext_installation)";
    execute(&client, damage, &[] as &[Uuid]).await;
    client.close().await.unwrap();
    let ours = NamedKey::new("ours");
    open(&scratch, &ours).await.unwrap().stop().await;
    assert_eq!(ours.asked(), 1);
}
