//! The migration that merges spans changes the fate of no event.

use std::collections::BTreeMap;

use migration::{Migrator, MigratorTrait};
use sea_orm::DatabaseConnection;
use uuid::Uuid;

use super::{
    migrations::{database, execute, read},
    *,
};
use entity::ext_event_subscription::{Entity, Model};
use pointsman_domain::{
    event_key::EventKey,
    span::{Span, SpanCloseReason, why_not_due},
};

/// A row of `ext_event_subscription` as earlier versions wrote it.
#[derive(Clone)]
struct OldRow {
    id: Uuid,
    subscription: Uuid,
    from: i64,
    end: Option<(i64, SpanCloseReason)>,
    created_at: i64,
}

impl OldRow {
    fn span(&self) -> Span {
        Span {
            subscription_id: SubscriptionId::new(self.subscription),
            pattern: EventPattern::parse("a.*").unwrap(),
            from_seq: Seq::new(self.from),
            until_seq: self.end.map(|(until, _)| Seq::new(until)),
            closed_by: self.end.map(|(_, reason)| reason),
        }
    }

    async fn insert(&self, connection: &DatabaseConnection, installation: Uuid) {
        let (until, reason) = match self.end {
            Some((until, reason)) => (until.to_string(), format!("'{}'", reason.as_str())),
            None => ("NULL".to_owned(), "NULL".to_owned()),
        };
        let sql = format!(
            "INSERT INTO ext_event_subscription (id, subscription_id, installation_id, workspace_id, event_key, \
             from_seq, until_seq, closed_by, created_at) \
             VALUES ({{1}}, {{2}}, {{3}}, {{4}}, 'a.*', {}, {until}, {reason}, {})",
            self.from, self.created_at
        );
        let ids = [self.id, self.subscription, installation, installation];
        execute(connection, &sql, &ids).await;
    }
}

/// The spans of a subscription that is enabled and disabled, now and then with events in between. Each choice is a
/// digit of the number.
fn history(mut number: u64) -> Vec<OldRow> {
    let mut choose = |of: u64| {
        let chosen = number % of;
        number /= of;
        chosen
    };
    let subscription = Clock.new_uuid();
    let mut head = 3;
    let mut rows: Vec<OldRow> = Vec::new();
    let open = |head: i64, end, created_at| OldRow {
        id: Clock.new_uuid(),
        subscription,
        from: head,
        end,
        created_at,
    };
    let disabled = |head| Some((head, SpanCloseReason::Disabled));
    let born_disabled = choose(2) == 1;
    rows.push(open(head, born_disabled.then(|| disabled(head)).flatten(), 1));
    for time in 2..8 {
        head += i64::try_from(choose(3)).unwrap() % 2;
        let last = rows.last_mut().unwrap();
        if last.end.is_none() {
            last.end = disabled(head);
        } else {
            rows.push(open(head, None, time));
        }
    }
    head += 1;
    let last = rows.last_mut().unwrap();
    match choose(3) {
        0 => {
            let until = last.end.map_or(head, |(until, _)| until);
            last.end = Some((until, SpanCloseReason::Unsubscribed));
        }
        1 if last.end.is_none() => last.end = Some((head, SpanCloseReason::Uninstalled)),
        _ => {}
    }
    rows
}

fn is_current(row: &OldRow) -> bool {
    row.end
        .is_none_or(|(_, reason)| reason == SpanCloseReason::Disabled)
}

fn fate(spans: &[Span], seq: i64) -> String {
    let (seq, key) = (Seq::new(seq), EventKey::parse("a.b").unwrap());
    match is_due(spans, seq, &key) {
        true => "due".to_owned(),
        false => format!("{:?}", why_not_due(Seq::ZERO, None, spans, seq, &key)),
    }
}

fn spans_of(rows: &[Model]) -> Vec<Span> {
    rows.iter()
        .map(|row| Span {
            subscription_id: SubscriptionId::new(row.subscription_id),
            pattern: EventPattern::from_stored(row.event_key.clone()),
            from_seq: Seq::new(row.from_seq),
            until_seq: row.until_seq.map(Seq::new),
            closed_by: row.closed_by.as_deref().and_then(SpanCloseReason::parse),
        })
        .collect()
}

/// Nothing that the rule merges or removes is left.
fn assert_merged(rows: &[Model]) {
    for (earlier, later) in rows.iter().zip(&rows[1..]) {
        assert_ne!(earlier.until_seq, Some(later.from_seq), "{rows:?}");
        let is_empty = later.until_seq == Some(later.from_seq);
        assert!(
            !is_empty || later.closed_by.as_deref() != Some("DISABLED"),
            "{rows:?}"
        );
    }
}

on_both_engines!(
    async fn every_event_keeps_its_fate(scratch: Scratch) {
        let connection = database(&scratch, 8).await;
        let installation = Clock.new_uuid();
        // A number with a factor that is prime to the choices goes through all kinds of digits.
        let histories: Vec<Vec<OldRow>> = (0..400).map(|number| history(number * 7_919)).collect();
        for row in histories.iter().flatten() {
            row.insert(&connection, installation).await;
        }
        Migrator::up(&connection, None).await.unwrap();

        let mut found: BTreeMap<Uuid, Vec<Model>> = BTreeMap::new();
        for row in Entity::find().all(&connection).await.unwrap() {
            found.entry(row.subscription_id).or_default().push(row);
        }
        assert_eq!(found.len(), histories.len(), "each subscription has a span");
        for before in &histories {
            let after = found.get_mut(&before[0].subscription).unwrap();
            after.sort_by_key(|row| (row.from_seq, row.id));
            let spans: Vec<Span> = before.iter().map(OldRow::span).collect();
            for seq in 1..12 {
                assert_eq!(
                    fate(&spans_of(after), seq),
                    fate(&spans, seq),
                    "{spans:?} at {seq}: {after:?}"
                );
            }
            assert_merged(after);
            let current: Vec<bool> = after.iter().map(|row| row.is_current).collect();
            let mut expected = vec![false; after.len()];
            expected[after.len() - 1] = is_current(before.last().unwrap());
            assert_eq!(current, expected, "{spans:?}: {after:?}");
            assert!(after.iter().all(|row| row.created_at == 1), "{after:?}");
        }
        connection.close().await.unwrap();
    }
);

on_both_engines!(
    async fn there_is_a_way_back_and_forth(scratch: Scratch) {
        let connection = database(&scratch, 8).await;
        for number in 0..50 {
            for row in history(number * 104_729) {
                row.insert(&connection, Clock.new_uuid()).await;
            }
        }
        let all = "SELECT from_seq || '-' || COALESCE(closed_by, 'open') AS it FROM ext_event_subscription ORDER BY id";
        Migrator::up(&connection, None).await.unwrap();
        let merged = read(&connection, all).await;
        let since = u32::try_from(Migrator::migrations().len() - 8).unwrap();
        Migrator::down(&connection, Some(since)).await.unwrap();
        assert_eq!(read(&connection, all).await, merged);
        Migrator::up(&connection, None).await.unwrap();
        assert_eq!(
            read(&connection, all).await,
            merged,
            "there is nothing more to merge"
        );
        connection.close().await.unwrap();
    }
);
