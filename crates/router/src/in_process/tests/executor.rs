//! Which handlers a handler can delay.

use std::{
    sync::{Arc, Barrier, mpsc},
    thread::ThreadId,
    time::Duration,
};

use futures_util::{FutureExt, future::LocalBoxFuture};
use tokio::sync::{Notify, oneshot};

use crate::in_process::executor::{EventExecutor, HandlerKind, NotDone};

const HOUR: Duration = Duration::from_secs(3600);

fn thread() -> LocalBoxFuture<'static, ThreadId> {
    async { std::thread::current().id() }.boxed_local()
}

#[actix::test]
async fn a_handler_that_blocks_its_thread_holds_up_its_own_extension_alone() {
    let executor = Arc::new(EventExecutor::new(1, 8));
    let (entered, has_entered) = oneshot::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let blocking = Arc::clone(&executor);
    let blocked = actix::spawn(async move {
        let block = move || {
            async move {
                entered.send(()).unwrap();
                may_leave.recv().unwrap();
                7
            }
            .boxed_local()
        };
        blocking.run("crm", HandlerKind::Asynchronous, HOUR, block).await
    });
    has_entered.await.unwrap();
    for (extension, kind) in [
        ("crm", HandlerKind::Synchronous),
        ("chat", HandlerKind::Asynchronous),
        ("chat", HandlerKind::Synchronous),
    ] {
        executor.run(extension, kind, HOUR, thread).await.unwrap();
    }
    let stuck = executor.run("crm", HandlerKind::Asynchronous, Duration::from_millis(1), thread);
    assert_eq!(
        stuck.await,
        Err(NotDone::Stuck),
        "its own next one is not waited for without end"
    );
    leave.send(()).unwrap();
    assert_eq!(blocked.await.unwrap(), Ok(7));
    executor.stop();
}

#[actix::test]
async fn an_extension_uses_all_its_threads() {
    let executor = EventExecutor::new(2, 8);
    let both = Arc::new(Barrier::new(2));
    let meet = |both: &Arc<Barrier>| {
        let both = Arc::clone(both);
        move || {
            async move {
                // Passed only by two threads at the same time.
                both.wait();
            }
            .boxed_local()
        }
    };
    let first = executor.run("crm", HandlerKind::Asynchronous, HOUR, meet(&both));
    let second = executor.run("crm", HandlerKind::Asynchronous, HOUR, meet(&both));
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first, second), (Ok(()), Ok(())));
    executor.stop();
}

#[actix::test]
async fn no_more_handlers_of_an_extension_run_than_may() {
    let executor = Arc::new(EventExecutor::new(1, 1));
    let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (started, mut has_started) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = Vec::new();
    for (number, go_on) in [(1, &first), (2, &second)] {
        let (executor, go_on, started) = (Arc::clone(&executor), Arc::clone(go_on), started.clone());
        tasks.push(actix::spawn(async move {
            let work = move || {
                async move {
                    started.send(number).unwrap();
                    go_on.notified().await;
                }
                .boxed_local()
            };
            executor.run("crm", HandlerKind::Asynchronous, HOUR, work).await
        }));
        if number == 1 {
            assert_eq!(has_started.recv().await, Some(1));
        }
    }
    executor
        .run("chat", HandlerKind::Asynchronous, HOUR, thread)
        .await
        .unwrap();
    assert!(has_started.try_recv().is_err(), "the second waits for the first");
    first.notify_one();
    assert_eq!(has_started.recv().await, Some(2));
    second.notify_one();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(()));
    }
    executor.stop();
}

#[actix::test]
async fn work_that_nobody_waits_for_any_more_is_ended() {
    let executor = EventExecutor::new(1, 1);
    let (started, has_started) = oneshot::channel();
    let (guard, dropped) = oneshot::channel::<()>();
    let hang = move || {
        async move {
            let _guard = guard;
            started.send(()).unwrap();
            std::future::pending::<()>().await;
        }
        .boxed_local()
    };
    {
        let hanging = executor.run("crm", HandlerKind::Asynchronous, HOUR, hang);
        tokio::select! {
            _ = hanging => panic!("it never ends by itself"),
            started = has_started => started.unwrap(),
        }
    }
    assert!(dropped.await.is_err(), "the work is dropped on its thread");
    let next = executor.run("crm", HandlerKind::Asynchronous, HOUR, thread).await;
    assert!(next.is_ok(), "its permit is free");
    executor.stop();
}

#[actix::test]
async fn after_a_stop_nothing_runs() {
    let executor = EventExecutor::new(1, 1);
    executor
        .run("crm", HandlerKind::Asynchronous, HOUR, thread)
        .await
        .unwrap();
    executor.stop();
    // The thread may still be about to stop: it takes work, and drops it.
    let runs = || std::future::pending::<()>().boxed_local();
    assert_eq!(
        executor.run("crm", HandlerKind::Asynchronous, HOUR, runs).await,
        Err(NotDone::Stopped)
    );
}

#[actix::test]
async fn a_thread_that_a_handler_has_ended_is_replaced() {
    let executor = EventExecutor::new(1, 1);
    let end = || {
        async {
            actix::Arbiter::current().stop();
            std::future::pending::<()>().await;
        }
        .boxed_local()
    };
    for _ in 0..2 {
        let ended = executor.run("crm", HandlerKind::Asynchronous, HOUR, end).await;
        assert_eq!(ended, Err(NotDone::ThreadEnded));
    }
    let next = executor.run("crm", HandlerKind::Asynchronous, HOUR, thread).await;
    assert!(next.is_ok(), "{next:?}");
    executor.stop();
}

#[actix::test]
async fn work_that_panics_is_told_and_gives_its_permit_and_its_thread_back() {
    let executor = EventExecutor::new(1, 1);
    let panics = || async { std::panic::resume_unwind(Box::new("silently")) }.boxed_local();
    let ended = executor
        .run::<()>("crm", HandlerKind::Asynchronous, HOUR, panics)
        .await;
    assert_eq!(ended, Err(NotDone::ThreadEnded));
    let next = executor.run("crm", HandlerKind::Asynchronous, HOUR, thread).await;
    assert!(next.is_ok(), "{next:?}");
    executor.stop();
}
