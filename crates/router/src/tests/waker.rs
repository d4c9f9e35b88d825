//! The waker finds what is due, by the rows that say so.

use sea_orm::{ConnectionTrait, Statement};

use super::{
    kit::{Running, new_event, on_both_engines},
    passivation::append,
    *,
};
use crate::NotReady;
use pointsman_domain::{
    installation::InstallationUpdate, retry_schedule::RetrySchedule, timestamp::Timestamp,
};
use pointsman_journal::Rested;

fn impatient(settings: &mut RouterSettings) {
    settings.passivate_after = Duration::from_millis(20);
}

fn with_an_hour_between_tries(settings: &mut RouterSettings) {
    impatient(settings);
    settings.schedule = RetrySchedule::new(vec![Duration::from_secs(3_600)], 0.0);
}

fn told_at_once(settings: &mut RouterSettings) {
    impatient(settings);
    settings.waker_patience = Duration::ZERO;
}

/// The times of all rows.
async fn rows(running: &Running) -> Vec<i64> {
    let reader = running.reader();
    let sql = "SELECT due_at FROM workspace_due ORDER BY due_at";
    let rows = reader.query_all_raw(Statement::from_string(reader.get_database_backend(), sql));
    let rows = rows.await.unwrap();
    rows.iter()
        .map(|row| row.try_get("", "due_at").unwrap())
        .collect()
}

/// Runs the statement on the writer connection.
async fn execute(running: &Running, sql: &'static str) {
    let done = running.router.write(move |transaction| {
        Box::pin(async move {
            transaction.execute_unprepared(sql).await?;
            Ok(())
        })
    });
    done.await.unwrap();
}

on_both_engines!(
    async fn a_workspace_that_rests_without_anything_to_do_has_no_row(running: Running with impatient) {
        let (workspace, _) = running.installed().await;
        let sent = running.publish(workspace, 3).await;
        running.every_one_arrives(&sent).await;
        running.nobody_is_active().await;
        running
            .eventually("the row has gone", async || rows(&running).await.is_empty())
            .await;
        let event = new_event();
        append(&running, workspace, vec![event]).await;
        assert_eq!(rows(&running).await, [0], "with its next event it is back");
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_workspace_rests_until_its_next_retry(running: Running with with_an_hour_between_tries) {
        let (workspace, installation) = running.installed().await;
        running.service.behave(Behavior::status(503));
        running.publish(workspace, 1).await;
        running.nobody_is_active().await;
        let journal = &running.router.shared.journal;
        let next_at = async || {
            let far = Timestamp::MAX;
            let (_, next) = journal
                .due_retries(workspace, installation, Timestamp::default(), 1)
                .await
                .unwrap();
            next.unwrap_or(far).millis()
        };
        running
            .eventually("the row says so", async || rows(&running).await == [next_at().await])
            .await;
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_workspace_rests_until_what_is_held_may_expire(running: Running with impatient) {
        let (workspace, installation) = running.installed().await;
        let pause = InstallationUpdate {
            paused: Some(true),
            ..InstallationUpdate::default()
        };
        running
            .change(workspace, installation, InstallationChange::Update(pause))
            .await;
        running.publish(workspace, 1).await;
        running.nobody_is_active().await;
        let in_a_day = async || {
            let rows = rows(&running).await;
            rows.len() == 1 && rows[0] > Clock.now().millis() + 86_000_000
        };
        running.eventually("the row says so", in_a_day).await;
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_mark_that_was_left_without_need_goes_with_the_next_look(running: Running with impatient) {
        running.router.stop(Duration::from_secs(20)).await;
        let running = running.start_again().await;
        let nobody = running.workspace();
        let journal = &running.router.shared.journal;
        let mark = |due_at| Rested {
            workspace_id: nobody,
            due_at: Some(Timestamp::from_millis(due_at)),
        };
        let _ = journal.rest(journal.moment(), vec![mark(1)]).await;
        running
            .eventually("the row has gone", async || rows(&running).await.is_empty())
            .await;
        running.nobody_is_active().await;
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_start_trusts_no_time_of_an_earlier_one(running: Running with with_an_hour_between_tries) {
        let (workspace, _) = running.installed().await;
        running.service.behave(Behavior::fail_first(1));
        let sent = running.publish(workspace, 1).await;
        running.service.arrived(1).await;
        running.nobody_is_active().await;
        let is_written = async || rows(&running).await.iter().all(|due_at| *due_at > 0);
        running.eventually("it rests", is_written).await;
        // As after a change of a setting, or of the clock of another machine.
        execute(&running, "UPDATE ext_delivery_retry SET next_attempt_at = 1").await;
        execute(&running, "UPDATE workspace_due SET due_at = 9000000000000000").await;
        running.router.stop(Duration::from_secs(20)).await;
        let running = running.start_again().await;
        running.service.arrived(2).await;
        assert!(running.letters(&sent).await.is_empty());
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_waker_that_cannot_look_is_told_until_it_can(running: Running with told_at_once) {
        execute(&running, "ALTER TABLE workspace_due RENAME TO workspace_due_away").await;
        running.router.shared.look_by(Clock.now());
        let is_told = async || match running.router.readiness() {
            Err(NotReady::Waker(why)) => why.contains("workspace_due"),
            _ => false,
        };
        running.eventually("it is told, with the reason", is_told).await;
        execute(&running, "ALTER TABLE workspace_due_away RENAME TO workspace_due").await;
        running
            .eventually("all is well", async || running.router.readiness().is_ok())
            .await;
        running.stop().await;
    }
);
