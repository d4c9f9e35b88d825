//! Values that are refused, and the texts of the errors.

use std::path::Path;

use super::{with_environment, with_file};
use crate::Config;

/// (variable, value, what the message says about key and value, what it says is allowed)
const BAD_VALUES: &[(&str, &str, &str, &str)] = &[
    (
        "SERVER__HOST",
        "",
        "server.host = \"\"",
        "an IP address or a host name",
    ),
    (
        "SERVER__HOST",
        "not a host",
        "server.host = \"not a host\"",
        "an IP address",
    ),
    ("SERVER__PORT", "65536", "server.port = 65536", "from 0 to 65535"),
    ("SERVER__PORT", "-1", "server.port = -1", "from 0 to 65535"),
    (
        "SERVER__PORT",
        "http",
        "server.port = \"http\"",
        "from 0 to 65535",
    ),
    ("SERVER__PORT", "", "server.port = \"\"", "from 0 to 65535"),
    ("SERVER__PORT", "80.5", "server.port = 80.5", "from 0 to 65535"),
    ("SERVER__WORKERS", "513", "server.workers = 513", "to 512"),
    (
        "SERVER__MAX_CONNECTIONS",
        "-1",
        "server.max_connections = -1",
        "to 1000000",
    ),
    (
        "SERVER__CLIENT_TIMEOUT",
        "0s",
        "server.client_timeout = \"0s\"",
        "from 1ms to 1h",
    ),
    (
        "SERVER__KEEP_ALIVE",
        "2h",
        "server.keep_alive = \"2h\"",
        "from 1ms to 1h",
    ),
    (
        "PUBLISH__MAX_BUFFERED_BYTES",
        "1000",
        "publish.max_buffered_bytes = 1000",
        "from publish.max_batch_bytes",
    ),
    (
        "SERVER__SHUTDOWN_GRACE",
        "2h",
        "server.shutdown_grace = \"2h\"",
        "from 0s to 1h",
    ),
    (
        "DATABASE__URL",
        "mysql://root:hunter2@db/x",
        "database.url = (not shown)",
        "sqlite://PATH",
    ),
    (
        "DATABASE__URL",
        "sqlite::memory:",
        "database.url = (not shown)",
        "sqlite://PATH",
    ),
    (
        "DATABASE__URL",
        "sqlite://:memory:",
        "database.url = (not shown)",
        "sqlite://PATH",
    ),
    (
        "DATABASE__URL",
        "sqlite://a.db?mode=memory",
        "database.url = (not shown)",
        "sqlite://PATH",
    ),
    (
        "DATABASE__URL",
        "sqlite://file:/tmp/a.db",
        "database.url = (not shown)",
        "sqlite://PATH",
    ),
    (
        "DATABASE__URL",
        "sqlite://",
        "database.url = (not shown)",
        "sqlite://PATH",
    ),
    (
        "DATABASE__URL",
        "sqlite://folder/",
        "database.url = (not shown)",
        "sqlite://PATH",
    ),
    (
        "DATABASE__URL",
        "postgres://db",
        "database.url = (not shown)",
        "postgres://USER",
    ),
    (
        "DATABASE__URL",
        "postgres:///x",
        "database.url = (not shown)",
        "postgres://USER",
    ),
    (
        "DATABASE__MAX_CONNECTIONS",
        "0",
        "database.max_connections = 0",
        "from 1 to 1000",
    ),
    (
        "BOOTSTRAP__ADMIN_EMAIL",
        "admin",
        "bootstrap.admin_email = \"admin\"",
        "an e-mail address",
    ),
    (
        "BOOTSTRAP__DEMO",
        "yes",
        "bootstrap.demo = \"yes\"",
        "true or false",
    ),
    (
        "PUBLISH__MAX_BODY_BYTES",
        "255",
        "publish.max_body_bytes = 255",
        "from 256 to",
    ),
    (
        "PUBLISH__MAX_BODY_BYTES",
        "16777217",
        "publish.max_body_bytes = 16777217",
        "to 16777216",
    ),
    (
        "PUBLISH__MAX_BATCH_BYTES",
        "262143",
        "publish.max_batch_bytes = 262143",
        "from publish.max_body_bytes",
    ),
    (
        "PUBLISH__MAX_IN_FLIGHT",
        "0",
        "publish.max_in_flight = 0",
        "from 1 to",
    ),
    (
        "ROUTER__THREADS",
        "-2",
        "router.threads = -2",
        "from 0 (one per core)",
    ),
    (
        "ROUTER__PASSIVATE_AFTER",
        "0s",
        "router.passivate_after = \"0s\"",
        "from 1ms to 30d",
    ),
    (
        "ROUTER__MAX_CAUSATION_DEPTH",
        "1001",
        "router.max_causation_depth = 1001",
        "from 1 to 1000",
    ),
    (
        "DELIVERY__TIMEOUT",
        "soon",
        "delivery.timeout = \"soon\"",
        "a duration such as 15s",
    ),
    (
        "DELIVERY__TIMEOUT",
        "15",
        "delivery.timeout = \"15\"",
        "a duration such as 15s",
    ),
    (
        "DELIVERY__TIMEOUT",
        "0s",
        "delivery.timeout = \"0s\"",
        "a duration such as 15s",
    ),
    ("DELIVERY__WINDOW", "0", "delivery.window = 0", "from 1 to 65536"),
    (
        "DELIVERY__CONCURRENCY",
        "0",
        "delivery.concurrency = 0",
        "the value of delivery.window",
    ),
    (
        "DELIVERY__CONCURRENCY",
        "257",
        "delivery.concurrency = 257",
        "the value of delivery.window",
    ),
    (
        "DELIVERY__RETRY_SCHEDULE",
        "5s",
        "delivery.retry_schedule = \"5s\"",
        "[\"5s\", \"1m\"]",
    ),
    (
        "DELIVERY__RETRY_SCHEDULE",
        "['5s','x']",
        "delivery.retry_schedule = [\"5s\", \"x\"]",
        "a list of",
    ),
    (
        "DELIVERY__RETRY_SCHEDULE",
        "['0s']",
        "delivery.retry_schedule = [\"0s\"]",
        "from 1ms to 30d",
    ),
    (
        "DELIVERY__JITTER",
        "1.1",
        "delivery.jitter = 1.1",
        "a number from 0 to 1",
    ),
    (
        "DELIVERY__JITTER",
        "nan",
        "delivery.jitter = NaN",
        "a number from 0 to 1",
    ),
    (
        "DELIVERY__BREAKER_FAILURES",
        "0",
        "delivery.breaker_failures = 0",
        "from 1 to",
    ),
    (
        "DELIVERY__ALLOW_NETWORKS",
        "['10.0.0.0']",
        "delivery.allow_networks = [\"10.0.0.0\"]",
        "a list of networks",
    ),
    (
        "IN_PROCESS__SYNC_TIMEOUT",
        "never",
        "in_process.sync_timeout = \"never\"",
        "a duration",
    ),
    (
        "IN_PROCESS__EFFECT_TIMEOUT",
        "4001ms",
        "in_process.effect_timeout = \"4001ms\"",
        "from 1ms to 4s",
    ),
    (
        "AUTH__SESSION_TTL",
        "1ms",
        "auth.session_ttl = \"1ms\"",
        "from 1s to 365d",
    ),
    (
        "AUTH__SECURE_COOKIES",
        "1",
        "auth.secure_cookies = 1",
        "true or false",
    ),
    (
        "AUTH__COOKIE_KEY",
        "hunter2",
        "auth.cookie_key = (not shown)",
        "at least 128 hexadecimal digits",
    ),
    (
        "RETENTION__EVENTS",
        "0s",
        "retention.events = \"0s\"",
        "from 1ms to 36500d",
    ),
    (
        "RETENTION__MAX_HOLD",
        "40000d",
        "retention.max_hold = \"40000d\"",
        "from 1ms to 36500d",
    ),
    (
        "LOG__LEVEL",
        "loud",
        "log.level = \"loud\"",
        "error, warn, info, debug or trace",
    ),
    ("LOG__FORMAT", "xml", "log.format = \"xml\"", "text or json"),
];

#[test]
fn a_bad_value_is_one_line_with_key_and_value_and_what_is_allowed() {
    for (variable, value, key_and_value, allowed) in BAD_VALUES {
        let variable = format!("POINTSMAN__{variable}");
        let error = with_environment(&[(&variable, value)])
            .expect_err(&variable)
            .to_string();
        assert!(
            error.starts_with(&format!("{key_and_value}: must be ")),
            "{error}"
        );
        assert!(error.contains(allowed), "{error}");
        assert!(error.ends_with(&format!("(set by {variable})")), "{error}");
        assert!(!error.contains('\n') && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_bad_value_in_a_file_says_so() {
    let error = with_file("[delivery]\ntimeout = 15").unwrap_err().to_string();
    assert!(
        error.starts_with("delivery.timeout = 15: must be a duration such as 15s"),
        "{error}"
    );
    assert!(error.ends_with("(set in the configuration file)"), "{error}");
}

#[test]
fn a_value_that_is_as_long_as_a_page_is_cut() {
    let error = with_environment(&[("POINTSMAN__SERVER__HOST", &"ä ".repeat(1_000))]).unwrap_err();
    assert!(error.to_string().len() < 300, "{error}");
}

#[test]
fn an_unknown_key_is_refused_wherever_it_stands() {
    let in_files = [
        (
            "[delivery]\ntimout = \"5s\"",
            "delivery.timout: there is no such setting; [delivery] has timeout, ",
        ),
        (
            "[delivry]\ntimeout = \"5s\"",
            "delivry: there is no such setting; the sections are server, database, ",
        ),
        ("[delivry]", "delivry: there is no such setting"),
        ("server = 5", "server: there is no such setting"),
        ("port = 5", "port: there is no such setting"),
    ];
    for (file, message) in in_files {
        let error = with_file(file).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
    for name in [
        "POINTSMAN__DELIVERY__TIMOUT",
        "POINTSMAN__DELIVERY",
        "POINTSMAN__DELIVERY_TIMEOUT",
        "POINTSMAN__DELIVERY__TIMEOUT__X",
        "POINTSMAN__",
    ] {
        let error = with_environment(&[(name, "5s")]).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{name}: there is no such setting; ")),
            "{error}"
        );
    }
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_its_line_and_without_its_text() {
    let error = with_file("[auth]\n\ncookie_key = hunter2\n")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("the configuration file is not valid TOML: line 3: "),
        "{error}"
    );
    assert!(!error.contains('\n') && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load(Some(Path::new("no/such/file.toml")))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot read the configuration file no/such/file.toml: "),
        "{error}"
    );
}
