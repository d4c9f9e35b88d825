use super::*;
use crate::workspace::samples::{event, view};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn at(head: i64) -> Circumstances {
    Circumstances {
        now: NOW,
        head: Seq::new(head),
        max_hold: Duration::from_secs(60),
    }
}

fn ring(seqs: std::ops::RangeInclusive<i64>) -> Ring {
    let mut ring = Ring::default();
    ring.push(seqs.map(|seq| event(seq, "crm.deal")));
    ring
}

#[test]
fn an_actor_is_needed_where_something_may_be_due() {
    let due = Installed::new(Arc::new(view(1, "crm.*", 4)));
    assert_eq!(due.need(&ring(5..=6), at(6)), Need::Now);
    assert_eq!(due.need(&ring(4..=4), at(4)), Need::None, "all is settled");
    let other = Installed::new(Arc::new(view(1, "chat.*", 4)));
    assert_eq!(other.need(&ring(5..=6), at(6)), Need::None);
    assert_eq!(
        other.need(&ring(6..=6), at(6)),
        Need::Now,
        "the fifth event may be due"
    );
}

#[test]
fn what_is_held_needs_an_actor_when_it_may_expire() {
    let mut view = view(1, "crm.*", 4);
    view.installation.paused = true;
    view.installation.held_since = Some(NOW);
    let held = Installed::new(Arc::new(view));
    assert_eq!(held.need(&ring(5..=5), at(4)), Need::None, "nothing waits");
    let expires = NOW + Duration::from_secs(60);
    assert_eq!(held.need(&ring(5..=5), at(5)), Need::At(expires));
    let later = Circumstances {
        now: expires,
        ..at(5)
    };
    assert_eq!(held.need(&ring(5..=5), later), Need::Now);
    assert!(!held.lags(at(5)) && held.lags(later));
}

#[test]
fn an_installation_whose_actor_dies_too_often_needs_none_until_it_is_forgiven() {
    let mut installed = Installed::new(Arc::new(view(1, "crm.*", 4)));
    let died = (0..8).map(|_| installed.died(Fault::Own, NOW)).last();
    assert_eq!(died, Some(Next::GiveUp));
    assert_eq!(installed.need(&ring(5..=5), at(5)), Need::None);
    assert!(!installed.may_start());
    assert!(installed.forgive());
    assert!(!installed.forgive());
    assert_eq!(installed.deaths_in_a_row(), 0);
    assert_eq!(installed.need(&ring(5..=5), at(5)), Need::Now);
}

#[test]
fn a_publisher_waits_for_an_installation_that_keeps_up() {
    let mut in_process = view(1, "crm.*", 4);
    in_process.installation.delivery_type = pointsman_domain::installation::DeliveryType::InProcess;
    let installed = Installed::new(Arc::new(in_process));
    assert!(installed.is_awaited(&event(4 + NEARLY_THERE, "crm.deal"), None));
    let far = event(5 + NEARLY_THERE, "crm.deal");
    assert!(!installed.is_awaited(&far, None));
    assert!(installed.is_awaited(&far, Some(Seq::new(5))));
    assert!(!installed.is_awaited(&event(5, "chat.message"), None));
    let external = Installed::new(Arc::new(view(1, "crm.*", 4)));
    assert!(!external.is_awaited(&event(5, "crm.deal"), None));
}
