//! The writer over a scripted storage, in virtual time: the script says how long a call takes, and at which the
//! connection is lost.

mod ask;
mod due;
mod script;

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{sync::oneshot, time::sleep};

use self::script::{CallEnd, Script, since_start};
use pointsman_domain::{
    id::{InstallationId, WorkspaceId},
    idempotency::Recorded,
    seq::Seq,
};
use pointsman_journal::{
    AppendError, ChangeError, EffectEnd, Journal, SettleError, StorageTrouble, StorageUnavailable,
};
use pointsman_simulated_clock as simulated;

fn workspace() -> WorkspaceId {
    WorkspaceId::new(uuid::Uuid::from_u128(1))
}

fn publish(journal: &Journal) -> oneshot::Receiver<Result<Recorded, AppendError>> {
    ask::append(journal, workspace(), false)
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_answered_is_well_whatever_it_said() {
    let script = Script::default();
    let journal = script.open();
    for _ in 0..3 {
        script.with(|state| state.changes = [CallEnd::NotBegun(0), CallEnd::Refused(0)].into());
        let refused = journal.install(workspace(), ask::new_installation()).await;
        assert!(matches!(refused, Err(ChangeError::Conflict(_))), "{refused:?}");
    }
    assert_eq!(script.with(|state| state.connected), 3);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_cannot_begin_is_tried_on_one_more_connection() {
    let script = Script::default();
    let journal = script.open();
    script.with(|state| {
        state.changes = [CallEnd::NotBegun(0), CallEnd::NotBegun(0), CallEnd::Refused(0)].into()
    });
    let refused = journal.install(workspace(), ask::new_installation()).await;
    assert!(
        matches!(refused, Err(ChangeError::StorageUnavailable)),
        "{refused:?}"
    );
    let left = script.with(|state| state.changes.len());
    assert_eq!(left, 1, "there is no third try");
}

#[tokio::test(start_paused = true)]
async fn a_time_that_cannot_be_written_is_written_again_at_once_but_only_once() {
    let script = Script::default();
    script.with(|state| state.time_keeping = Some(CallEnd::NotBegun(0)));
    let _journal = script.open();
    sleep(Duration::from_secs(35)).await;
    let kept = script.with(|state| state.times_kept.iter().map(Duration::as_secs).collect::<Vec<_>>());
    assert_eq!(kept, [10, 10, 20, 30]);
}

/// Publishes until that works. Time passes only while somebody sleeps.
async fn recorded_soon(journal: &Journal) {
    for _ in 0..100 {
        if publish(journal).await.expect("the writer answers").is_ok() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("it is not recorded");
}

#[tokio::test(start_paused = true)]
async fn a_write_of_the_time_that_hangs_leaves_publishers_the_time_between_two() {
    let script = Script::default();
    script.with(|state| state.time_keeping = Some(CallEnd::Hangs));
    let journal = script.open();
    let (mut recorded, mut asked) = (0, 0);
    while since_start() < Duration::from_secs(60) {
        let answer = publish(&journal).await.unwrap();
        asked += 1;
        recorded += usize::from(answer.is_ok());
        sleep(Duration::from_millis(100)).await;
    }
    let kept = script.with(|state| state.times_kept.clone());
    // One takes five seconds to be given up, and the next comes ten seconds later.
    assert!((3..=5).contains(&kept.len()), "{kept:?}");
    assert_eq!(
        recorded, asked,
        "each loss is over within the patience of publishers"
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_written_once_more_where_there_is_time() {
    let script = Script::default();
    script.with(|state| state.writes = [CallEnd::Unknown(2_000)].into());
    let journal = script.open();
    assert!(publish(&journal).await.unwrap().is_ok());
    let (written, connected) = script.with(|state| (state.written.len(), state.connected));
    assert_eq!((written, connected), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_say_whether_a_refused_event_is_recorded_is_lost() {
    for silence in [CallEnd::Hangs, CallEnd::Unknown(0)] {
        let script = Script::default();
        script.with(|state| {
            state.writes = [CallEnd::Refused(0)].into();
            state.look_ups = [silence].into();
        });
        let journal = script.open();
        assert!(
            publish(&journal).await.unwrap().is_ok(),
            "it is written once more"
        );
        let (written, connected) = script.with(|state| (state.written.len(), state.connected));
        assert_eq!((written, connected), (2, 1), "{silence:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_time_for_a_second_write_the_connection_that_is_well_is_kept() {
    let script = Script::default();
    script.with(|state| {
        state.writes = [CallEnd::Unknown(0)].into();
        state.connecting = Duration::from_millis(2_700);
    });
    let journal = script.open();
    let refused = publish(&journal).await.unwrap();
    assert_eq!(refused, Err(AppendError::Storage(StorageUnavailable)));
    assert!(since_start() <= Duration::from_secs(3), "{:?}", since_start());
    assert!(publish(&journal).await.unwrap().is_ok());
    let (written, connected) = script.with(|state| (state.written.len(), state.connected));
    assert_eq!(
        (written, connected),
        (2, 1),
        "one loss, and no second write of what was refused"
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_write_that_hangs_takes_no_more_than_publishers_have() {
    let script = Script::default();
    script.with(|state| state.writes = [CallEnd::NotBegun(0), CallEnd::Hangs].into());
    let journal = script.open();
    let refused = publish(&journal).await.unwrap();
    assert_eq!(refused, Err(AppendError::Storage(StorageUnavailable)));
    assert!(
        since_start() <= Duration::from_millis(3_100),
        "{:?}",
        since_start()
    );
    recorded_soon(&journal).await;
}

#[tokio::test(start_paused = true)]
async fn settlements_are_written_where_the_appends_of_their_batch_have_no_time_left() {
    let script = Script::default();
    let journal = script.open();
    let installation = InstallationId::new(uuid::Uuid::from_u128(1));
    let generation = journal.attach(installation).await.unwrap().generation;
    script.with(|state| {
        state.writes = [CallEnd::Unknown(0)].into();
        state.connecting = Duration::from_millis(2_700);
    });
    let refused = publish(&journal);
    let settled = ask::settle(&journal, workspace(), installation, generation, Seq::new(1));
    let (refused, settled) = futures_util::future::join(refused, settled).await;
    assert_eq!(refused.unwrap(), Err(AppendError::Storage(StorageUnavailable)));
    assert_eq!(settled, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_comes_with_a_loss_waits_for_what_is_written_once_more() {
    for end in [CallEnd::NotBegun(0), CallEnd::Unknown(0), CallEnd::Unknown(1_000)] {
        let script = Script::default();
        script.with(|state| state.writes = [end].into());
        let journal = script.open();
        // Both wait before the writer begins.
        let answer = publish(&journal);
        journal.stop().await;
        assert!(answer.await.unwrap().is_ok(), "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn tending_that_hangs_is_no_outage() {
    let script = Script::default();
    script.with(|state| state.tending_hangs = true);
    let journal = script.open();
    for _ in 0..3 {
        assert!(publish(&journal).await.unwrap().is_ok());
    }
    assert!(since_start() < Duration::from_secs(20), "{:?}", since_start());
    let connected = script.with(|state| state.connected);
    assert_eq!(connected, 0, "the connection is kept");
}

#[tokio::test(start_paused = true)]
async fn a_cycle_ends_as_any_other_where_more_settlements_wait_than_a_transaction_takes() {
    let script = Script::default();
    let journal = script.open();
    let settlements = (0..5_000).map(|number| {
        ask::settle(
            &journal,
            workspace(),
            InstallationId::new(uuid::Uuid::from_u128(1)),
            1,
            Seq::new(number),
        )
    });
    let ends = futures_util::future::join_all(settlements).await;
    // Nobody has attached, so that they are refused: what counts is that they waited.
    assert!(ends.iter().all(|end| *end == Err(SettleError::Fenced)));
    journal.stop().await;
    let tended = script.with(|state| state.tended);
    assert!(tended >= 5, "after each of the batches: {tended}");
}

/// More lanes than a transaction takes settlements of, each of which settles again as soon as it is answered.
async fn settle_for_ever(journal: &Journal, installation: InstallationId, generation: i64) {
    let lanes = (0..3_000).map(|_| async {
        for number in 1.. {
            let settled = Seq::new(number);
            let end = ask::settle(journal, workspace(), installation, generation, settled).await;
            assert_eq!(end, Ok(()));
        }
    });
    futures_util::future::join_all(lanes).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_has_its_turn_while_settlements_never_end() {
    let script = Script::default();
    script.with(|state| state.changes = [CallEnd::Refused(0)].into());
    let journal = script.open();
    let installation = InstallationId::new(uuid::Uuid::from_u128(1));
    let generation = journal.attach(installation).await.unwrap().generation;
    let change = async {
        sleep(Duration::from_millis(20)).await;
        let start = since_start();
        let refused = journal.install(workspace(), ask::new_installation()).await;
        assert!(matches!(refused, Err(ChangeError::Conflict(_))), "{refused:?}");
        since_start() - start
    };
    tokio::select! {
        took = change => assert!(took < Duration::from_millis(250), "{took:?}"),
        () = settle_for_ever(&journal, installation, generation) => {}
        () = sleep(Duration::from_secs(60)) => panic!("the change waits for settlements that came after it"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_attach_is_answered_after_every_settlement_before_it() {
    let script = Script::default();
    let journal = script.open();
    let installation = InstallationId::new(uuid::Uuid::from_u128(1));
    let generation = journal.attach(installation).await.unwrap().generation;
    let mut settlements: Vec<_> = (1..=3_000)
        .map(|number| {
            let settled = Seq::new(number);
            Box::pin(ask::settle(
                &journal,
                workspace(),
                installation,
                generation,
                settled,
            ))
        })
        .collect();
    for settlement in &mut settlements {
        assert!(
            settlement.as_mut().now_or_never().is_none(),
            "it is sent, and waits"
        );
    }
    journal.attach(installation).await.unwrap();
    for settlement in settlements {
        // Tokio would answer only so many polls of one task at once.
        let answer = tokio::task::unconstrained(settlement).now_or_never();
        assert_eq!(answer, Some(Ok(())), "none is left for later");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_parted_around_a_culprit_is_recorded_through_a_loss() {
    let script = Script::default();
    // Two are refused together, the first alone is lost before it begins, and both are recorded.
    script.with(|state| state.writes = [CallEnd::Refused(10), CallEnd::NotBegun(10)].into());
    let journal = script.open();
    let answers = [publish(&journal), publish(&journal)];
    for answer in answers {
        assert!(answer.await.unwrap().is_ok());
    }
    let written: Vec<usize> =
        script.with(|state| state.written.iter().map(|(_, appends)| *appends).collect());
    assert_eq!(written[..2], [2, 1]);
    assert_eq!(written[2..].iter().sum::<usize>(), 2, "{written:?}");
}

#[tokio::test(start_paused = true)]
async fn a_first_loss_is_hidden_for_as_long_as_publishers_wait() {
    let script = Script::default();
    script.with(|state| {
        state.writes = [CallEnd::Unknown(0)].into();
        state.connecting = Duration::from_millis(4_000);
    });
    let journal = script.open();
    let refused = publish(&journal);
    sleep(Duration::from_millis(2_900)).await;
    assert!(journal.storage_state().is_ok(), "it may be replaced still");
    sleep(Duration::from_millis(200)).await;
    assert!(matches!(
        journal.storage_state(),
        Err(StorageTrouble::Unreachable(_))
    ));
    assert_eq!(
        refused.await.unwrap(),
        Err(AppendError::Storage(StorageUnavailable))
    );
    sleep(Duration::from_millis(1_000)).await;
    assert!(journal.storage_state().is_ok(), "it is replaced");
}

/// A journal with a lane that has had an effect of 100 ms, so that its effects are slow.
async fn with_slow_lane(script: &Script) -> (Journal, InstallationId, i64) {
    script.with(|state| state.effects = [CallEnd::Fine(100)].into());
    let journal = script.open();
    let installation = InstallationId::new(uuid::Uuid::from_u128(1));
    let generation = journal
        .attach(installation)
        .await
        .expect("it is attached")
        .generation;
    let first = ask::run_effect(&journal, workspace(), installation, generation);
    assert!(matches!(first.await, Ok(EffectEnd::Committed { .. })));
    (journal, installation, generation)
}

#[tokio::test(start_paused = true)]
async fn a_slow_effect_runs_beside_the_writer() {
    let script = Script::default();
    script.with(|state| state.slow_work = Some(CallEnd::Fine(2_000)));
    let (journal, installation, generation) = with_slow_lane(&script).await;
    let mut slow = ask::run_effect(&journal, workspace(), installation, generation);
    sleep(Duration::from_millis(10)).await;
    assert!(publish(&journal).await.unwrap().is_ok());
    assert!(since_start() < Duration::from_millis(500), "{:?}", since_start());
    assert!(slow.try_recv().is_err(), "its work is not done");
    assert!(matches!(slow.await, Ok(EffectEnd::Committed { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_slow_effect_is_given_up_with_the_connection() {
    let script = Script::default();
    script.with(|state| state.slow_work = Some(CallEnd::Hangs));
    let (journal, installation, generation) = with_slow_lane(&script).await;
    let mut slow = ask::run_effect(&journal, workspace(), installation, generation);
    sleep(Duration::from_millis(10)).await;
    assert!(slow.try_recv().is_err(), "it is running");
    script.with(|state| state.writes = [CallEnd::Unknown(0)].into());
    assert!(publish(&journal).await.unwrap().is_ok());
    assert!(matches!(slow.try_recv(), Ok(EffectEnd::Unavailable)));
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_five_seconds_for_the_slow_effect_that_runs_and_for_no_other() {
    let script = Script::default();
    script.with(|state| state.slow_work = Some(CallEnd::Hangs));
    let (journal, installation, generation) = with_slow_lane(&script).await;
    let [running, waiting] =
        [(); 2].map(|()| ask::run_effect(&journal, workspace(), installation, generation));
    sleep(Duration::from_millis(10)).await;
    let (start, stop) = (since_start(), journal.stop());
    let waited = async {
        let end = waiting.await;
        (end, since_start())
    };
    let ((), (end, at), running) = futures_util::future::join3(stop, waited, running).await;
    assert!(matches!(end, Ok(EffectEnd::Unavailable)) && at == start);
    assert!(matches!(running, Ok(EffectEnd::Unavailable)));
    assert_eq!((since_start() - start).as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn publishers_and_handlers_are_refused_for_want_of_space() {
    let script = Script::default();
    let journal = script.open();
    let health = script.with(|state| Arc::clone(&state.health));
    health.set_disk(Some(StorageTrouble::DiskFull { free_mib: 1 }));
    for derived in [false, true] {
        let answer = ask::append(&journal, workspace(), derived).await;
        assert_eq!(answer.unwrap(), Err(AppendError::Storage(StorageUnavailable)));
    }
    assert!(script.with(|state| state.written.is_empty()));
    simulated::end();
}
