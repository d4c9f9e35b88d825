//! Panics of handlers.

use super::*;

#[tokio::test]
async fn a_panic_is_told_with_its_message_and_place() {
    listen();
    let waits_and_panics = async {
        tokio::task::yield_now().await;
        let amount = 7;
        panic!("the amount {amount} is wrong");
    };
    let panic: Result<(), String> = Caught::new(waits_and_panics).await;
    let panic = panic.unwrap_err();
    let file = file!();
    assert!(
        panic.starts_with(&format!("the amount 7 is wrong ({file}:")),
        "{panic}"
    );
}

#[tokio::test]
async fn what_does_not_panic_is_as_it_was() {
    listen();
    assert_eq!(Caught::new(async { 7 }).await, Ok(7));
}

/// Panics when it is dropped, with another one.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic::panic_any(Self);
    }
}

#[test]
fn a_panic_may_throw_anything() {
    listen();
    let panic = caught(|| panic::panic_any(Bomb)).unwrap_err();
    assert!(panic.starts_with("no message ("), "{panic}");
    assert_eq!(caught(|| 7), Ok(7));
}

#[test]
fn a_value_that_panics_when_it_is_dropped_stays_guarded_also_while_another_panic_unwinds() {
    listen();
    drop(Guarded::new(Bomb));
    let panic = caught::<()>(|| {
        let _guarded = Guarded::new(Bomb);
        panic!("the first");
    });
    let panic = panic.unwrap_err();
    assert!(panic.starts_with("the first ("), "{panic}");
}

#[tokio::test]
async fn a_future_that_panics_when_it_is_dropped_stays_caught() {
    listen();
    let mut waits = Caught::new(async {
        let _bomb = Bomb;
        std::future::pending::<()>().await;
    });
    assert!(futures_util::poll!(&mut waits).is_pending());
    drop(waits);
}

/// Shows itself in so many parts.
struct Parts(usize);

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken = (0..self.0).filter(|_| f.write_str("ä part ").is_ok()).count();
        match taken {
            0 => panic!("nothing to show"),
            _ => Ok(()),
        }
    }
}

#[test]
fn a_text_is_cut_where_it_is_too_long_and_told_where_it_panics() {
    listen();
    assert_eq!(text_of(&Parts(2)), "ä part ä part ");
    let long = text_of(&Parts(1_000_000));
    assert!(
        long.len() <= MAX_TEXT_BYTES + '…'.len_utf8() && long.ends_with('…'),
        "{long}"
    );
    assert_eq!(shortened(&long), long, "it is cut once");
    let panicked = text_of(&Parts(0));
    assert!(
        panicked.contains("as making it panicked: nothing to show ("),
        "{panicked}"
    );
}
