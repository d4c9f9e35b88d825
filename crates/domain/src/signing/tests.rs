use proptest::prelude::*;
use standardwebhooks::Webhook;

use super::*;

const VECTOR_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const BODY: &[u8] = br#"{"amount": 5000.00}"#;

fn keys(secret: &str) -> SigningKeys {
    SigningKeys::new(&SigningSecret::parse(secret).unwrap(), None)
}

fn headers<'a>(timestamp: &'a str, signature: &'a str) -> SignatureHeaders<'a> {
    SignatureHeaders {
        id: ID,
        timestamp,
        signature,
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

#[test]
fn the_vector_of_the_specification_holds() {
    let mac = message(
        &keys(VECTOR_SECRET).current,
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        "1649367553",
        br#"{"email":"test@example.com","username":"test_user"}"#,
    );
    let encoded = BASE64.encode(mac.finalize().into_bytes());
    assert_eq!(encoded, "tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
}

proptest! {
    #[test]
    fn every_signature_is_that_of_the_reference_implementation(
        key in proptest::array::uniform32(any::<u8>()),
        seconds in 0_i64..4_000_000_000,
        body in ".{0,200}",
    ) {
        let secret = SigningSecret::from_random(key);
        let ours = SigningKeys::new(&secret, None).sign(ID.parse().unwrap(), seconds, body.as_bytes());
        let theirs = Webhook::new(&secret.reveal()).unwrap().sign(ID, seconds, body.as_bytes()).unwrap();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn what_is_revealed_parses_back(key in proptest::array::uniform32(any::<u8>())) {
        let secret = SigningSecret::from_random(key);
        prop_assert_eq!(SigningSecret::parse(&secret.reveal()), Ok(secret));
    }

    #[test]
    fn no_header_makes_verification_panic(timestamp in ".{0,30}", signature in ".{0,80}") {
        prop_assert!(keys(VECTOR_SECRET).verify(headers(&timestamp, &signature), BODY, at(0)).is_err());
    }
}

#[test]
fn during_a_rotation_either_secret_verifies() {
    let old = SigningSecret::from_random([1; 32]);
    let new = SigningSecret::from_random([2; 32]);
    let signature = SigningKeys::new(&new, Some(&old)).sign(ID.parse().unwrap(), 1000, BODY);
    assert_eq!(signature.split(' ').count(), 2);
    for secret in [&old, &new] {
        let verified = SigningKeys::new(secret, None).verify(headers("1000", &signature), BODY, at(1000));
        assert_eq!(verified, Ok(()));
    }
}

#[test]
fn a_changed_body_or_another_key_does_not_verify() {
    let signature = keys(VECTOR_SECRET).sign(ID.parse().unwrap(), 1000, BODY);
    let received = headers("1000", &signature);
    assert_eq!(keys(VECTOR_SECRET).verify(received, BODY, at(1000)), Ok(()));
    assert_eq!(
        keys(VECTOR_SECRET).verify(received, b"{}", at(1000)),
        Err(SignatureError::Mismatch)
    );
    let stranger = SigningKeys::new(&SigningSecret::from_random([7; 32]), None);
    assert_eq!(
        stranger.verify(received, BODY, at(1000)),
        Err(SignatureError::Mismatch)
    );
}

#[test]
fn a_message_is_fresh_for_five_minutes_in_both_directions() {
    let signature = keys(VECTOR_SECRET).sign(ID.parse().unwrap(), 1000, BODY);
    let verify = |now| keys(VECTOR_SECRET).verify(headers("1000", &signature), BODY, at(now));
    assert_eq!(verify(1300), Ok(()));
    assert_eq!(verify(700), Ok(()));
    assert_eq!(verify(1301), Err(SignatureError::TimestampOutOfTolerance));
    assert_eq!(verify(699), Err(SignatureError::TimestampOutOfTolerance));
}

#[test]
fn secrets_that_break_a_rule_are_refused() {
    let of = |bytes: usize| format!("whsec_{}", BASE64.encode(vec![0; bytes]));
    assert_eq!(SigningSecret::parse("secret"), Err(SigningSecretError::Prefix));
    assert_eq!(SigningSecret::parse("whsec_ä"), Err(SigningSecretError::Base64));
    assert_eq!(SigningSecret::parse(&of(23)), Err(SigningSecretError::Length));
    assert_eq!(SigningSecret::parse(&of(65)), Err(SigningSecretError::Length));
    assert!(SigningSecret::parse(&of(24)).is_ok());
    assert!(SigningSecret::parse(&of(64)).is_ok());
}

#[test]
fn debug_shows_no_secret() {
    let secret = SigningSecret::parse(VECTOR_SECRET).unwrap();
    let shown = format!("{secret:?} {:?}", SigningKeys::new(&secret, None));
    assert_eq!(shown, "SigningSecret(…) SigningKeys(1)");
}
