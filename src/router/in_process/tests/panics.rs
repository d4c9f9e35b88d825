//! Panics of handlers.

use crate::router::in_process::panics::{Caught, caught, listen};

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

#[test]
fn a_panic_may_throw_anything() {
    listen();
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("dropped");
            }
        }
    }
    let panic = caught(|| std::panic::panic_any(Bomb)).unwrap_err();
    assert!(panic.starts_with("no message ("), "{panic}");
    assert_eq!(caught(|| 7), Ok(7));
}
