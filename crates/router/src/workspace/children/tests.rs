use std::time::Duration;

use super::*;
use crate::workspace::samples::{Nobody, event, view};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn at(head: i64) -> Circumstances {
    Circumstances {
        now: NOW,
        head: Seq::new(head),
        max_hold: Duration::from_secs(60),
    }
}

fn with(views: impl IntoIterator<Item = InstallationView>) -> Children {
    let mut children = Children::default();
    for view in views {
        children.take_view(view);
    }
    children
}

/// Starts an actor that does nothing; none where the installation has one, or may have none.
fn start(children: &mut Children, id: InstallationId) -> Option<Incarnation> {
    let mut started = None;
    children.start(
        id,
        || Arc::new(Nobody),
        |_, origin| {
            started = Some(origin.incarnation);
            Arc::new(Nobody)
        },
    );
    started
}

#[test]
fn the_newer_of_two_views_is_kept() {
    let (mut older, newer) = (view(1, "crm.*", 4), view(1, "chat.*", 4));
    older.installation.revision = newer.installation.revision - 1;
    let id = newer.id();
    let mut children = with([newer]);
    assert!(children.take_view(older).is_none());
    let closed = children.remove(id).unwrap();
    assert_eq!(closed.spans[0].pattern.as_str(), "chat.*");
}

#[test]
fn an_actor_is_started_once_and_its_successor_is_another_incarnation() {
    let one = view(1, "crm.*", 4);
    let id = one.id();
    let mut children = with([one]);
    let first = start(&mut children, id).unwrap();
    assert_eq!(start(&mut children, id), None, "it has one");
    assert!(!children.are_all_attached());
    assert!(children.attached(id, first));
    assert!(children.are_all_attached());
    assert!(children.stopped(id, first, None).is_some());
    children.died(id, Fault::Own, NOW);
    let second = start(&mut children, id).unwrap();
    assert_ne!(first, second);
    assert!(children.stopped(id, first, None).is_none(), "it was replaced");
    assert!(children.view_of(id, first).is_none());
    assert!(children.view_of(id, second).is_some());
}

#[test]
fn an_actor_that_was_sent_more_than_it_has_handled_is_told_from_one_that_rests() {
    let one = view(1, "crm.*", 4);
    let id = one.id();
    let mut children = with([one]);
    let mut handled = crate::handshake::MessagesHandled::default();
    for is_late in [false, true] {
        let incarnation = start(&mut children, id).unwrap();
        children.give(
            id,
            Events {
                through: Seq::new(5),
                due: Vec::new(),
            },
        );
        if !is_late {
            handled.count();
        } else {
            assert!(children.tell(id, crate::mail::delivery::RetriesWait { at: NOW }));
        }
        let stopped = children.stopped(id, incarnation, None).unwrap();
        assert_eq!(stopped.has_handled_all(handled), !is_late);
    }
}

#[test]
fn actors_are_started_for_those_to_whom_an_event_is_due() {
    let mut held = view(3, "crm.*", 4);
    held.installation.paused = true;
    held.installation.held_since = Some(NOW);
    let (due, other) = (view(1, "crm.*", 4), view(2, "chat.*", 4));
    let ids = [due.id(), other.id(), held.id()];
    let mut children = with([due, other, held]);
    let mut recent = Ring::default();
    recent.push([event(5, "crm.deal")]);
    let starts = children.due_starts(Seq::new(4), &recent, &HashSet::from(ids), at(5));
    assert_eq!(starts.now, [ids[0]]);
    assert_eq!(starts.held_until, Some(NOW + Duration::from_secs(60)));
    assert_eq!(
        children.need(ids[1], &Ring::default(), at(5)),
        Need::None,
        "it has passed the event"
    );
    assert!(!children.are_quiet_until(NOW + Duration::from_secs(60), at(5)));
}

#[test]
fn a_failed_installation_gets_no_actor_until_it_is_forgiven() {
    let one = view(1, "crm.*", 4);
    let id = one.id();
    let mut children = with([one]);
    children.fail(id);
    assert!(matches!(children.find(id), Found::Failed));
    assert_eq!(start(&mut children, id), None);
    assert!(children.forgive(id));
    assert!(start(&mut children, id).is_some());
    assert!(matches!(children.find(id), Found::Actor(_)));
}
