//! What the extension does with a notification.

use serde_json::json;

use super::*;
use crate::testing::TestRouter;

#[actix::test]
async fn a_notification_is_a_message_that_is_announced_once() {
    let test = TestRouter::with(Chat::new()).await;
    let payload = json!({"channel": "deals", "message": "Deal #123 closed for $5,000!", "sender": "crm-bot"});
    let event = test.publish("platform.notification", payload).await;
    let messages = chat::messages(test.router().reader(), test.workspace(), "deals", None, 9).await;
    let messages = messages.unwrap();
    assert_eq!(messages.len(), 1, "its publisher has waited for it");
    assert_eq!(messages[0].message, "Deal #123 closed for $5,000!");
    assert_eq!(messages[0].event_id, event);
    test.settled().await;
    let published = test.published().await;
    assert_eq!(published.len(), 1);
    assert_eq!(published[0].event_key.as_str(), MESSAGE_RECEIVED);
    let announced: serde_json::Value = serde_json::from_str(&published[0].payload).unwrap();
    assert_eq!(announced["messageId"], messages[0].id.to_string());
    test.stop().await;
}

#[actix::test]
async fn a_payload_that_breaks_a_rule_is_a_letter_that_names_the_field() {
    let test = TestRouter::with(Chat::new()).await;
    let ok = json!({"channel": "deals", "message": "m", "sender": "s"});
    for (field, value, expected) in [
        ("channel", None, "payload: missing field `channel`"),
        ("sender", None, "payload: missing field `sender`"),
        (
            "channel",
            Some(json!("a\nb")),
            "payload.channel: must not contain control characters",
        ),
        ("message", Some(json!(" ")), "payload.message: must not be empty"),
        (
            "sender",
            Some(json!("x".repeat(256))),
            "payload.sender: must be at most 255 bytes long",
        ),
    ] {
        let mut payload = ok.clone();
        match value {
            Some(value) => payload[field] = value,
            None => drop(payload.as_object_mut().unwrap().remove(field)),
        }
        test.publish("platform.notification", payload).await;
        test.settled().await;
        let letters = test.dead_letters().await;
        assert_eq!(letters.last().unwrap().last_error.as_deref(), Some(expected));
    }
    assert_eq!(test.dead_letters().await.len(), 5);
    assert!(test.published().await.is_empty());
    test.stop().await;
}

#[test]
fn messages_may_have_lines() {
    assert_eq!(check_message("a\n\tb\r\n"), Ok(()));
    assert!(check_message("a\u{7}").is_err());
    assert!(check_message(&"x".repeat(16 * 1024 + 1)).is_err());
}
