//! All keys of the configuration.

use super::{
    auth, bootstrap, database, delivery, in_process, log, publish, retention, router, rule::Rule, server,
};

/// Every key there is, as `section.key`, with what is allowed there.
pub(super) fn known_keys() -> impl Iterator<Item = (&'static str, &'static str)> {
    fn words<S>(rules: &'static [Rule<S>]) -> impl Iterator<Item = (&'static str, &'static str)> {
        rules.iter().map(|rule| (rule.key, rule.allowed))
    }
    words(server::RULES)
        .chain(words(database::RULES))
        .chain(words(bootstrap::RULES))
        .chain(words(publish::RULES))
        .chain(words(router::RULES))
        .chain(words(delivery::RULES))
        .chain(words(in_process::RULES))
        .chain(words(auth::RULES))
        .chain(words(retention::RULES))
        .chain(words(log::RULES))
}
