use proptest::prelude::*;

use super::*;

fn accepted(body: &str) -> PublishEvent {
    PublishEvent::parse(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error:?}"))
}

fn broken_fields(body: &str) -> Vec<&'static str> {
    match PublishEvent::parse(body.as_bytes()) {
        Err(PublishBodyError::Invalid(broken)) => broken.into_iter().map(|(field, _)| field).collect(),
        other => panic!("{body}: {other:?}"),
    }
}

fn is_malformed(body: &[u8]) -> bool {
    matches!(PublishEvent::parse(body), Err(PublishBodyError::Malformed(_)))
}

#[test]
fn the_seeds_example_is_an_event() {
    let event = accepted(
        r#"{"eventKey": "crm.deal.closed", "schemaVersion": "1.0", "actor": "user-uuid",
            "payload": {"dealId": "deal-123", "amount": "5000.00", "currency": "USD"}}"#,
    );
    assert_eq!(event.event_key.as_str(), "crm.deal.closed");
    assert_eq!(event.schema_version.as_deref(), Some("1.0"));
    assert_eq!(event.actor.as_deref(), Some("user-uuid"));
    assert_eq!(
        &*event.payload,
        r#"{"dealId": "deal-123", "amount": "5000.00", "currency": "USD"}"#
    );
}

#[test]
fn the_payload_is_kept_byte_for_byte() {
    for payload in [
        "{}",
        "{ }",
        "{\n\t\"b\" : 5000.00 ,\r\n \"a\":[1e400, -0.0, 1E+2]}",
        r#"{"a":1,"a":2}"#,
        r#"{"a":"\u00e9\ud800 \/ é 😀"}"#,
        r#"{"n":123456789012345678901234567890.10}"#,
    ] {
        let body = format!("{{\"payload\":\n {payload} \t,\"eventKey\":\"a.b\"}}");
        assert_eq!(&*accepted(&body).payload, payload);
    }
}

#[test]
fn only_the_event_key_is_required() {
    for body in [
        r#"{"eventKey":"a.b"}"#,
        r#" {"eventKey":"a.b","schemaVersion":null,"actor":null} "#,
        r#"{"eventKey":"a.b","occurredAt":7,"x":{"y":[null,{}]},"Payload":1}"#,
        r#"{"event\u004bey":"\u0061.b"}"#,
    ] {
        let event = accepted(body);
        assert_eq!(event.event_key.as_str(), "a.b");
        assert_eq!((event.schema_version, event.actor), (None, None));
        assert_eq!(&*event.payload, "{}");
    }
}

#[test]
fn each_broken_rule_names_its_field() {
    let long = |n: usize| "x".repeat(n);
    let cases = [
        (r#"{}"#.into(), vec!["eventKey"]),
        (r#"{"eventKey":null}"#.into(), vec!["eventKey"]),
        (r#"{"eventKey":7}"#.into(), vec!["eventKey"]),
        (r#"{"eventKey":""}"#.into(), vec!["eventKey"]),
        (r#"{"eventKey":"deal"}"#.into(), vec!["eventKey"]),
        (r#"{"eventKey":"crm..closed"}"#.into(), vec!["eventKey"]),
        (r#"{"eventKey":"crm.*"}"#.into(), vec!["eventKey"]),
        (r#"{"eventKey":"crm.dé"}"#.into(), vec!["eventKey"]),
        (format!(r#"{{"eventKey":"a.{}"}}"#, long(254)), vec!["eventKey"]),
        (
            r#"{"eventKey":"a.b","schemaVersion":1.0}"#.into(),
            vec!["schemaVersion"],
        ),
        (
            format!(r#"{{"eventKey":"a.b","schemaVersion":"{}"}}"#, long(33)),
            vec!["schemaVersion"],
        ),
        (
            r#"{"eventKey":"a.b","schemaVersion":"1\u0000"}"#.into(),
            vec!["schemaVersion"],
        ),
        (r#"{"eventKey":"a.b","actor":{}}"#.into(), vec!["actor"]),
        (
            format!(r#"{{"eventKey":"a.b","actor":"{}"}}"#, long(256)),
            vec!["actor"],
        ),
        (r#"{"eventKey":"a.b","actor":"line\nfeed"}"#.into(), vec!["actor"]),
        (r#"{"eventKey":"a.b","payload":null}"#.into(), vec!["payload"]),
        (r#"{"eventKey":"a.b","payload":[]}"#.into(), vec!["payload"]),
        (r#"{"eventKey":"a.b","payload":"{}"}"#.into(), vec!["payload"]),
        (r#"[]"#.into(), vec!["body"]),
        (r#" "text" "#.into(), vec!["body"]),
        (
            r#"{"payload":1,"actor":2,"schemaVersion":3}"#.into(),
            vec!["eventKey", "schemaVersion", "actor", "payload"],
        ),
    ];
    for (body, expected) in cases {
        let body: String = body;
        assert_eq!(broken_fields(&body), expected, "{body}");
    }
}

#[test]
fn the_longest_values_are_accepted() {
    let (key, version, actor) = (
        "a.".to_owned() + &"x".repeat(253),
        "v".repeat(32),
        "é".repeat(127),
    );
    let event = accepted(&format!(
        r#"{{"eventKey":"{key}","schemaVersion":"{version}","actor":"{actor}"}}"#
    ));
    assert_eq!(event.event_key.as_str(), key);
}

#[test]
fn what_is_not_json_is_malformed() {
    for body in [
        "",
        " ",
        "{",
        "[1,",
        "nul",
        r#"{"eventKey":"a.b""#,
        r#"{"eventKey":"a.b"} x"#,
        r#"{"eventKey":"a.b"}{}"#,
        r#"{"eventKey":"a.b",}"#,
        r#"{'eventKey':'a.b'}"#,
        r#"{"eventKey":"a.b","payload":{"a":01}}"#,
        r#"{"eventKey":"a.b","payload":{"a":NaN}}"#,
        r#"{"eventKey":"a.b","payload":{"a"}}"#,
        r#"{"eventKey":"a.\ud800b"}"#,
        "\u{feff}{\"eventKey\":\"a.b\"}",
        "{\"eventKey\":\"a.b\",\"payload\":{\"a\":\"\u{0}\"}}",
    ] {
        assert!(is_malformed(body.as_bytes()), "{body}");
    }
    assert!(is_malformed(
        b"{\"eventKey\":\"a.b\",\"payload\":{\"a\":\"\xff\"}}"
    ));
    assert!(is_malformed(b"{\"eventKey\":\"a.b\",\"other\":\"\xc3\"}"));
}

#[test]
fn a_top_level_field_that_comes_twice_is_malformed() {
    for body in [
        r#"{"eventKey":"a.b","eventKey":"a.b"}"#,
        r#"{"eventKey":"a.b","event\u004bey":"a.b"}"#,
        r#"{"eventKey":"a.b","actor":null,"actor":"x"}"#,
        r#"{"payload":{},"eventKey":"a.b","payload":{}}"#,
        r#"{"eventKey":"a.b","other":1,"other":2}"#,
    ] {
        assert!(is_malformed(body.as_bytes()), "{body}");
    }
}

#[test]
fn deep_nesting_costs_no_stack() {
    let depth = 100_000;
    let nested = "[".repeat(depth) + &"]".repeat(depth);
    let payload = format!("{{\"a\":{nested}}}");
    let event = accepted(&format!(
        r#"{{"other":{nested},"eventKey":"a.b","payload":{payload}}}"#
    ));
    assert_eq!(&*event.payload, payload);
    assert!(is_malformed("[".repeat(depth).as_bytes()));
    assert!(is_malformed("{\"a\":".repeat(depth).as_bytes()));
    assert_eq!(broken_fields(&nested), ["body"]);
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            object(inner),
        ]
    })
}

fn object(
    value: impl Strategy<Value = serde_json::Value> + 'static,
) -> impl Strategy<Value = serde_json::Value> {
    prop::collection::vec((any::<String>(), value), 0..4)
        .prop_map(|members| serde_json::Value::Object(members.into_iter().collect()))
}

proptest! {
    #[test]
    fn any_object_arrives_as_it_was_written(payload in object(json()), pretty in any::<bool>()) {
        let text = if pretty {
            serde_json::to_string_pretty(&payload).unwrap()
        } else {
            payload.to_string()
        };
        let event = accepted(&format!("{{\"eventKey\":\"a.b\",\"payload\":{text}}}"));
        prop_assert_eq!(&*event.payload, text);
    }

    #[test]
    fn what_it_calls_malformed_is_what_serde_json_cannot_read(body in r#"[\[\]{}",: a\\u0-9.tn-]{0,24}"#) {
        // Only a repeated field is malformed to us and not to serde_json, and no key here can come twice.
        prop_assume!(body.matches(':').count() < 2);
        let readable = serde_json::from_str::<IgnoredAny>(&body).is_ok();
        prop_assert_eq!(is_malformed(body.as_bytes()), !readable);
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = PublishEvent::parse(&body);
    }

    #[test]
    fn text_fields_keep_their_text(actor in "[^\\p{Cc}]{0,60}", version in "[^\\p{Cc}]{0,8}") {
        let body = serde_json::json!({"eventKey": "a.b", "actor": actor, "schemaVersion": version});
        let event = accepted(&body.to_string());
        prop_assert_eq!(event.actor.as_deref(), Some(actor.as_str()));
        prop_assert_eq!(event.schema_version.as_deref(), Some(version.as_str()));
    }
}
