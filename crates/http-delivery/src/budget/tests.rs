//! Which installation gets a connection when there are not enough.

use futures_util::FutureExt as _;
use uuid::Uuid;

use super::*;

fn installation(number: u128) -> InstallationId {
    InstallationId::new(Uuid::from_u128(number))
}

/// Takes permits until there is none to be had at once; at most `most`.
fn take(budget: &ConnectionBudget, number: u128, most: usize) -> Vec<ConnectionPermit> {
    std::iter::from_fn(|| budget.permit(installation(number)).now_or_never())
        .take(most)
        .collect()
}

/// For 80 permits at once: 160 connections, of which 80 may be kept.
fn budget() -> ConnectionBudget {
    ConnectionBudget::new(160)
}

#[test]
fn no_installation_gets_more_than_a_quarter() {
    let budget = budget();
    let permits = take(&budget, 1, usize::MAX);
    assert_eq!(permits.len(), 20);
    assert_eq!(take(&budget, 2, usize::MAX).len(), 20);
}

#[test]
fn services_that_hang_leave_permits_for_all_others() {
    let budget = budget();
    let hanging: Vec<_> = (0..10).map(|number| take(&budget, number, 64)).collect();
    let held: Vec<_> = hanging.iter().map(Vec::len).collect();
    assert_eq!(held, [20, 20, 20, 2, 2, 2, 2, 2, 2, 2]);
    for number in 100..103 {
        std::mem::forget(take(&budget, number, 64));
        assert_eq!(budget.inner.lock().holders[&installation(number)].held, 2);
    }
    assert!(take(&budget, 200, 1).is_empty(), "the limit is hard");
}

#[test]
fn shares_are_equal_once_half_are_in_use() {
    let budget = budget();
    // Half of all are in use, by ten.
    let permits: Vec<_> = (0..10).map(|number| take(&budget, number, 4)).collect();
    let more: Vec<_> = (0..10).map(|number| take(&budget, number, 64).len()).collect();
    assert_eq!((permits.len(), more), (10, vec![2; 10]));
}

#[test]
fn the_one_with_the_fewest_permits_is_next_and_then_the_one_that_came_first() {
    let budget = ConnectionBudget::new(3);
    let mut permits = take(&budget, 1, usize::MAX);
    assert_eq!(permits.len(), 2);
    let mut greedy = Box::pin(budget.permit(installation(1)));
    let mut first = Box::pin(budget.permit(installation(2)));
    let mut second = Box::pin(budget.permit(installation(3)));
    for waiting in [&mut greedy, &mut first, &mut second] {
        assert!(waiting.as_mut().now_or_never().is_none());
    }
    drop(permits.pop());
    assert!(second.as_mut().now_or_never().is_none());
    let got = first.as_mut().now_or_never().unwrap();
    drop(permits.pop());
    let got_too = second.as_mut().now_or_never().unwrap();
    assert!(greedy.as_mut().now_or_never().is_none());
    drop((got, got_too));
    assert!(greedy.now_or_never().is_some());
}

#[test]
fn a_waiter_that_gives_up_keeps_no_permit() {
    let budget = ConnectionBudget::new(3);
    let permits = take(&budget, 1, usize::MAX);
    for number in 2..1000 {
        let mut waiting = Box::pin(budget.permit(installation(number)));
        assert!(waiting.as_mut().now_or_never().is_none());
    }
    let mut last = Box::pin(budget.permit(installation(1000)));
    assert!(last.as_mut().now_or_never().is_none());
    drop(permits);
    drop(last.now_or_never().unwrap());
    // Given and not taken: the permit lies in the channel when its waiter goes.
    let permits = take(&budget, 1, usize::MAX);
    let mut waiting = Box::pin(budget.permit(installation(2)));
    assert!(waiting.as_mut().now_or_never().is_none());
    drop(permits);
    drop(waiting);
    assert_eq!(take(&budget, 3, usize::MAX).len(), 2);
    let state = budget.inner.lock();
    assert_eq!((state.in_use, state.holders.len(), state.queue.len()), (0, 0, 0));
}

#[test]
fn permits_and_sockets_take_no_idle_slots() {
    let budget = budget();
    let permits = (take(&budget, 1, 20), take(&budget, 2, 20));
    let sockets: Vec<_> = (0..80).map(|_| budget.socket()).collect();
    assert!(budget.idle_slot().is_some());
    drop((permits, sockets));
    assert_eq!(budget.sockets(), 0);
}

#[test]
fn there_are_half_as_many_slots_as_connections() {
    let budget = budget();
    let mut slots: Vec<_> = std::iter::from_fn(|| budget.idle_slot()).take(1000).collect();
    assert_eq!(slots.len(), 80);
    slots.truncate(79);
    slots.extend(budget.idle_slot());
    assert_eq!(slots.len(), 80);
    assert!(budget.idle_slot().is_none());
}

#[test]
fn threads_that_race_get_no_more_slots_than_there_are() {
    let budget = budget();
    let most = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for round in 0..1000 {
                    let slots: Vec<_> = std::iter::from_fn(|| budget.idle_slot())
                        .take(round % 40)
                        .collect();
                    most.fetch_max(budget.inner.kept.load(Ordering::Relaxed), Ordering::Relaxed);
                    drop(slots);
                }
            });
        }
    });
    assert!(most.into_inner() <= 80);
    assert_eq!(budget.inner.kept.load(Ordering::Relaxed), 0);
}
