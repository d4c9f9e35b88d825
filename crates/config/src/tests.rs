mod refused;

use std::{collections::BTreeSet, path::Path, time::Duration};

use super::{Config, ConfigError, LogFormat, LogLevel, keys::known_keys};

fn with_environment(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_sources(None, owned(variables))
}

fn with_file(text: &str) -> Result<Config, ConfigError> {
    Config::from_sources(Some(text), [])
}

fn owned(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let config = Config::default();
    assert_eq!(
        (config.server.host.as_str(), config.server.port),
        ("127.0.0.1", 8080)
    );
    assert_eq!(config.server.shutdown_grace, Duration::from_secs(30));
    assert_eq!(config.server.connection_limit(), None);
    assert_eq!(
        (config.server.client_timeout, config.server.keep_alive),
        (Duration::from_secs(10), Duration::from_secs(75))
    );
    assert_eq!(config.publish.max_buffered_bytes, 67_108_864);
    assert_eq!(config.database.url.expose(), "sqlite://data/pointsman.db");
    assert_eq!(config.bootstrap.admin_email, "admin@pointsman.local");
    assert!(config.bootstrap.admin_password.is_empty() && config.bootstrap.demo);
    assert_eq!(
        (config.publish.max_body_bytes, config.publish.max_batch_bytes),
        (262_144, 4_194_304)
    );
    assert_eq!(
        (
            config.publish.max_in_flight,
            config.publish.max_in_flight_per_workspace()
        ),
        (10_000, 2_500)
    );
    assert_eq!(config.router.passivate_after, Duration::from_secs(300));
    assert_eq!(config.router.max_causation_depth, 16);
    assert_eq!(config.delivery.timeout, Duration::from_secs(15));
    assert_eq!((config.delivery.concurrency, config.delivery.window), (64, 256));
    assert_eq!(config.delivery.extra_ca_file(), None);
    let schedule: Vec<u64> = config
        .delivery
        .retry_schedule
        .iter()
        .map(Duration::as_secs)
        .collect();
    assert_eq!(schedule, [5, 60, 300, 1_800, 7_200, 18_000, 36_000]);
    assert_eq!(
        (config.delivery.jitter, config.delivery.breaker_failures),
        (0.2, 20)
    );
    assert_eq!(config.delivery.allow_networks.len(), 2);
    assert_eq!(config.in_process.sync_timeout, Duration::from_secs(5));
    assert_eq!(config.in_process.effect_timeout, Duration::from_millis(250));
    assert_eq!(config.auth.session_ttl, Duration::from_secs(12 * 3600));
    assert!(!config.auth.secure_cookies && config.auth.cookie_key_bytes().is_none());
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(
        (config.retention.events, config.retention.attempts),
        (30 * day, 30 * day)
    );
    assert_eq!(
        (config.retention.dead_letters, config.retention.max_hold),
        (90 * day, 30 * day)
    );
    assert_eq!(
        (config.retention.chat_messages, config.retention.max_bytes),
        (365 * day, 0)
    );
    assert_eq!(
        (config.log.level, config.log.format),
        (LogLevel::Info, LogFormat::Text)
    );
}

#[test]
fn every_key_has_a_default_and_a_comment_and_a_rule() {
    let mut section = "";
    let mut line_before = "";
    let mut documented = BTreeSet::new();
    for line in include_str!("../../../config/default.toml").lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            assert!(line_before.starts_with('#'), "{section}.{key} has no comment");
            documented.insert(format!("{section}.{key}"));
        }
        line_before = line;
    }
    let ruled: BTreeSet<String> = known_keys().map(|(key, _)| key.to_owned()).collect();
    assert_eq!(documented, ruled);
}

#[test]
fn the_file_for_production_is_stricter_than_the_defaults() {
    let config = with_file(include_str!("../../../config/production.toml")).unwrap();
    assert!(config.delivery.allow_networks.is_empty());
    assert!(config.auth.secure_cookies);
    assert!(!config.bootstrap.demo);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.delivery.timeout, Config::default().delivery.timeout);
}

#[test]
fn a_file_goes_over_the_defaults_and_the_environment_over_the_file() {
    let file = "[delivery]\ntimeout = \"3s\"\nwindow = 100\nretry_schedule = [\"1s\"]\n";
    let environment = owned(&[("POINTSMAN__DELIVERY__TIMEOUT", "4s")]);
    let delivery = Config::from_sources(Some(file), environment).unwrap().delivery;
    assert_eq!(delivery.timeout, Duration::from_secs(4));
    assert_eq!(delivery.window, 100);
    assert_eq!(delivery.retry_schedule, [Duration::from_secs(1)]);
    assert_eq!(delivery.concurrency, 64);
}

#[test]
fn the_environment_sets_values_of_every_type() {
    let config = with_environment(&[
        ("POINTSMAN__DELIVERY__RETRY_SCHEDULE", r#"["1s","500ms"]"#),
        ("POINTSMAN__DELIVERY__ALLOW_NETWORKS", "[]"),
        ("POINTSMAN__DELIVERY__JITTER", "1"),
        ("POINTSMAN__SERVER__PORT", "0"),
        ("POINTSMAN__SERVER__WORKERS", "3"),
        ("POINTSMAN__AUTH__SECURE_COOKIES", "true"),
        ("POINTSMAN__RETENTION__EVENTS", "1h 30m"),
        ("POINTSMAN__LOG__FORMAT", "json"),
    ])
    .unwrap();
    assert_eq!(
        config.delivery.retry_schedule,
        [Duration::from_secs(1), Duration::from_millis(500)]
    );
    assert!(config.delivery.allow_networks.is_empty());
    assert_eq!(config.delivery.jitter, 1.0);
    assert_eq!((config.server.port, config.server.worker_count()), (0, 3));
    assert!(config.auth.secure_cookies);
    assert_eq!(config.retention.events, Duration::from_secs(5400));
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn one_attempt_is_an_empty_schedule() {
    let config = with_environment(&[("POINTSMAN__DELIVERY__RETRY_SCHEDULE", "[]")]).unwrap();
    assert!(config.delivery.retry_schedule.is_empty());
}

#[test]
fn a_password_from_the_environment_is_taken_as_it_is() {
    for password in [
        "12345678",
        "true",
        "[a, b]",
        "\"quoted\"",
        " spaces ",
        "a=b#c",
        "ünïcode",
    ] {
        let config = with_environment(&[("POINTSMAN__BOOTSTRAP__ADMIN_PASSWORD", password)]).unwrap();
        assert_eq!(config.bootstrap.admin_password.expose(), password);
    }
}

#[test]
fn variables_of_others_are_not_looked_at() {
    let others = [
        ("PATH", "/bin"),
        ("POINTSMAN_TEST_POSTGRES_URL", "x"),
        ("APP__SERVER__PORT", "x"),
    ];
    assert!(with_environment(&others).is_ok());
}

#[test]
fn zero_threads_means_one_per_core() {
    let config = Config::default();
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(config.server.worker_count(), cores);
    assert_eq!(config.router.thread_count(), cores);
    assert_eq!(config.in_process.executor_thread_count(), cores);
}

#[test]
fn both_kinds_of_database_are_told_apart_by_the_url_alone() {
    for (url, path) in [
        ("sqlite://data/pointsman.db", Some("data/pointsman.db")),
        (
            "sqlite:///var/lib/pointsman/p.db",
            Some("/var/lib/pointsman/p.db"),
        ),
        ("sqlite://p.db", Some("p.db")),
        ("postgres://u:p@localhost:5432/x", None),
        ("postgresql://localhost/x?sslmode=require", None),
    ] {
        let config = with_environment(&[("POINTSMAN__DATABASE__URL", url)]).unwrap();
        assert_eq!(config.database.url.sqlite_path(), path.map(Path::new), "{url}");
        assert_eq!(config.database.url.expose(), url);
    }
}

#[test]
fn the_cookie_key_is_kept_beside_the_embedded_database() {
    for (url, file) in [
        (
            "sqlite:///var/lib/pointsman/p.db",
            "/var/lib/pointsman/cookie.key",
        ),
        ("sqlite://p.db", "cookie.key"),
        ("postgres://localhost/x", "data/cookie.key"),
    ] {
        let config = with_environment(&[("POINTSMAN__DATABASE__URL", url)]).unwrap();
        assert_eq!(config.cookie_key_file(), Path::new(file), "{url}");
    }
}

#[test]
fn a_configured_cookie_key_is_read_as_hexadecimal_digits() {
    let key = "00ffA5".repeat(22);
    let config = with_environment(&[("POINTSMAN__AUTH__COOKIE_KEY", &key)]).unwrap();
    assert_eq!(
        config.auth.cookie_key_bytes(),
        Some([0x00, 0xff, 0xa5].repeat(22))
    );
    for bad in ["0".repeat(127), "0".repeat(129), "g".repeat(128), "é".repeat(128)] {
        assert!(
            with_environment(&[("POINTSMAN__AUTH__COOKIE_KEY", &bad)]).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn the_debug_form_shows_no_secret() {
    let config = with_environment(&[
        ("POINTSMAN__DATABASE__URL", "postgres://u:hunter2@localhost/x"),
        ("POINTSMAN__BOOTSTRAP__ADMIN_PASSWORD", "hunter2"),
        ("POINTSMAN__AUTH__COOKIE_KEY", &"abcdef12".repeat(16)),
    ])
    .unwrap();
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("abcdef12"),
        "{shown}"
    );
}
