//! When workspaces are marked as due, and when their rests are written.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    ask, publish,
    script::{CallEnd, Script},
    workspace,
};
use pointsman_domain::id::WorkspaceId;
use pointsman_journal::{Journal, Moment, Rested};

fn rested(workspace_id: WorkspaceId) -> Vec<Rested> {
    vec![Rested {
        workspace_id,
        due_at: None,
    }]
}

/// Publishes, and waits until the router is told.
async fn recorded(journal: &Journal) {
    let answer = publish(journal).await.expect("the writer answers");
    assert!(answer.is_ok(), "{answer:?}");
    sleep(Duration::from_millis(1)).await;
}

/// Sends the rest of the workspace, and waits for its end.
async fn rest(journal: &Journal, as_of: Moment) {
    let done = journal.rest(as_of, rested(workspace()));
    assert!(done.await.is_err(), "it only ends");
}

/// How many workspaces each batch has marked.
fn marked(script: &Script) -> Vec<usize> {
    script.with(|state| state.marked.clone())
}

#[tokio::test(start_paused = true)]
async fn only_the_first_event_of_a_workspace_marks_it_until_it_rests() {
    let script = Script::default();
    let journal = script.open();
    recorded(&journal).await;
    recorded(&journal).await;
    assert_eq!(marked(&script), [1, 0]);
    rest(&journal, journal.moment()).await;
    recorded(&journal).await;
    recorded(&journal).await;
    assert_eq!(marked(&script), [1, 0, 1, 0]);
    assert_eq!(script.with(|state| state.rested.len()), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_was_decided_before_an_event_is_not_written() {
    let script = Script::default();
    let journal = script.open();
    let before = journal.moment();
    recorded(&journal).await;
    rest(&journal, before).await;
    assert!(script.with(|state| state.rested.is_empty()));
    recorded(&journal).await;
    assert_eq!(marked(&script), [1, 0], "it is marked still");
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_waits_while_an_event_is_recorded_is_not_written() {
    let script = Script::default();
    let journal = script.open();
    recorded(&journal).await;
    let done = journal.rest(journal.moment(), rested(workspace()));
    recorded(&journal).await;
    let _ = done.await;
    assert!(script.with(|state| state.rested.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn rests_wait_for_others_and_are_written_by_the_hundred() {
    let script = Script::default();
    let journal = script.open();
    let as_of = journal.moment();
    let all: Vec<_> = (0..300)
        .map(|number| journal.rest(as_of, rested(WorkspaceId::new(uuid::Uuid::from_u128(number)))))
        .collect();
    for done in all {
        let _ = done.await;
    }
    let written = script.with(|state| {
        let of = |(_, rests): &(Duration, Vec<Rested>)| rests.len();
        state.rested.iter().map(of).collect::<Vec<_>>()
    });
    assert_eq!(written, [256, 44]);
}

#[tokio::test(start_paused = true)]
async fn a_rest_of_unknown_outcome_leaves_nothing_that_is_trusted() {
    let script = Script::default();
    let journal = script.open();
    recorded(&journal).await;
    let before = journal.moment();
    script.with(|state| state.rests = [CallEnd::Unknown(0)].into());
    rest(&journal, before).await;
    recorded(&journal).await;
    assert_eq!(marked(&script), [1, 1], "it may be unmarked");
    rest(&journal, before).await;
    let written = script.with(|state| state.rested.len());
    assert_eq!(written, 1, "a rest that was decided before the loss is refused");
}

#[tokio::test(start_paused = true)]
async fn a_stop_writes_the_rests_that_wait() {
    let script = Script::default();
    let journal = script.open();
    let done = journal.rest(journal.moment(), rested(workspace()));
    journal.stop().await;
    let _ = done.await;
    assert_eq!(script.with(|state| state.rested.len()), 1);
}

#[tokio::test(start_paused = true)]
async fn a_settlement_without_a_retry_marks_nothing() {
    let script = Script::default();
    let journal = script.open();
    let installation = pointsman_domain::id::InstallationId::new(uuid::Uuid::from_u128(7));
    let generation = journal.attach(installation).await.unwrap().generation;
    let settled = ask::settle(
        &journal,
        workspace(),
        installation,
        generation,
        pointsman_domain::seq::Seq::new(1),
    );
    settled.await.unwrap();
    assert_eq!(marked(&script), [0]);
}
