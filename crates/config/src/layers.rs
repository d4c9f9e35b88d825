//! The sources of a configuration, laid over each other, and where each value came from.

use std::collections::BTreeMap;

use figment::{
    Figment,
    providers::{Format, Serialized, Toml},
    value::{Dict, Value},
};
use serde::de::DeserializeOwned;

use super::{ConfigError, keys::known_keys};

const DEFAULTS: &str = include_str!("../../../config/default.toml");
const PREFIX: &str = "POINTSMAN__";
/// Keys whose values never appear in a message.
const SECRET_KEYS: [&str; 3] = ["auth.cookie_key", "bootstrap.admin_password", "database.url"];
/// Longest value that a message shows in full, in characters.
const LONGEST_SHOWN: usize = 80;

/// The variables of the process that begin with `POINTSMAN__`.
pub(super) fn process_environment() -> Result<Vec<(String, String)>, ConfigError> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .map(|(name, value)| match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(ConfigError::Unusable(format!("the value of {name} is not UTF-8"))),
        })
        .collect()
}

/// All sources merged. Every key is a known one.
pub(super) struct Layers {
    merged: Figment,
    /// Key to the name of the variable that set it.
    from_environment: BTreeMap<String, String>,
    from_file: Dict,
    defaults: Dict,
}

impl Layers {
    pub(super) fn read(
        file: Option<&str>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let defaults = parse(DEFAULTS)?;
        let from_file = parse(file.unwrap_or_default())?;
        let merged = Figment::from(Serialized::defaults(&defaults)).merge(Serialized::defaults(&from_file));
        let mut layers = Self {
            merged,
            from_environment: BTreeMap::new(),
            from_file,
            defaults,
        };
        for (name, value) in environment {
            layers.set_from_environment(name, value)?;
        }
        Ok(layers)
    }

    pub(super) fn extract<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        self.merged.extract().map_err(|error| {
            // The path of an element of a list begins with the key of the list: `delivery.retry_schedule.1`.
            let key = error
                .path
                .iter()
                .take(2)
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(".");
            match known_keys().find(|(known, _)| *known == key) {
                Some((known, allowed)) => self.bad_value(known, allowed),
                None => ConfigError::Unusable(error.to_string().replace('\n', " ")),
            }
        })
    }

    /// The error for the value that stands at `key`.
    pub(super) fn bad_value(&self, key: &str, allowed: &'static str) -> ConfigError {
        let value = match self.merged.find_value(key) {
            _ if SECRET_KEYS.contains(&key) => "(not shown)".to_owned(),
            Ok(value) => shortened(&in_toml(&value)),
            Err(_) => "(none)".to_owned(),
        };
        let origin = match self.from_environment.get(key) {
            Some(name) => format!("set by {name}"),
            None if find(&self.from_file, key).is_some() => "set in the configuration file".to_owned(),
            None => "the default".to_owned(),
        };
        ConfigError::BadValue {
            key: key.to_owned(),
            value,
            allowed,
            origin,
        }
    }

    fn set_from_environment(&mut self, name: String, value: String) -> Result<(), ConfigError> {
        let Some(path) = name.strip_prefix(PREFIX) else {
            return Ok(());
        };
        let key = path.to_ascii_lowercase().replace("__", ".");
        refuse_unknown(&key, &name)?;
        let value = match find(&self.defaults, &key) {
            // Not parsed: a password that looks like a number or a list is still a text.
            Some(Value::String(..)) => Value::from(value),
            _ => one_toml_value(&value).unwrap_or_else(|| Value::from(value)),
        };
        let merged = std::mem::take(&mut self.merged);
        self.merged = merged.merge(Serialized::default(&key, value));
        self.from_environment.insert(key, name);
        Ok(())
    }
}

/// Reads a TOML text whose keys are all known ones.
fn parse(text: &str) -> Result<Dict, ConfigError> {
    let sections: Dict = Toml::from_str(text).map_err(|error| ConfigError::Malformed {
        line: error
            .span()
            .map_or(1, |span| text[..span.start].matches('\n').count() + 1),
        problem: error.message().replace('\n', " "),
    })?;
    for (section, keys) in &sections {
        match keys.as_dict() {
            Some(keys) if is_section(section) => {
                keys.keys()
                    .map(|key| format!("{section}.{key}"))
                    .try_for_each(|key| refuse_unknown(&key, &key))?;
            }
            _ => refuse_unknown(section, section)?,
        }
    }
    Ok(sections)
}

/// Refuses `key` unless it is a known one. `name` is the key as its author wrote it.
fn refuse_unknown(key: &str, name: &str) -> Result<(), ConfigError> {
    if known_keys().any(|(known, _)| known == key) {
        return Ok(());
    }
    let section = key.split('.').next().unwrap_or_default();
    let hint = if is_section(section) {
        format!("[{section}] has {}", listed(keys_of(section)))
    } else {
        format!("the sections are {}", listed(sections()))
    };
    Err(ConfigError::UnknownKey {
        name: name.to_owned(),
        hint,
    })
}

fn is_section(name: &str) -> bool {
    sections().any(|section| section == name)
}

fn sections() -> impl Iterator<Item = &'static str> {
    let mut last = "";
    known_keys()
        .filter_map(|(key, _)| Some(key.split_once('.')?.0))
        .filter(move |section| std::mem::replace(&mut last, section) != *section)
}

fn keys_of(section: &str) -> impl Iterator<Item = &'static str> {
    known_keys().filter_map(move |(key, _)| key.strip_prefix(section)?.strip_prefix('.'))
}

fn listed(names: impl Iterator<Item = &'static str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn find<'a>(sections: &'a Dict, key: &str) -> Option<&'a Value> {
    let (section, key) = key.split_once('.')?;
    sections.get(section)?.as_dict()?.get(key)
}

/// `text` as one TOML value; `None` where it is not exactly one.
fn one_toml_value(text: &str) -> Option<Value> {
    let mut line: Dict = Toml::from_str(&format!("value = {text}")).ok()?;
    let value = line.remove("value")?;
    line.is_empty().then_some(value)
}

/// `value` as it would stand in a file, on one line.
fn in_toml(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Array(_, values) => {
            format!("[{}]", values.iter().map(in_toml).collect::<Vec<_>>().join(", "))
        }
        Value::Num(_, number) => match (number.to_u128(), number.to_i128(), number.to_f64()) {
            (Some(number), _, _) => number.to_string(),
            (None, Some(number), _) => number.to_string(),
            (None, None, number) => number.map_or_else(|| "a number".to_owned(), |number| number.to_string()),
        },
        _ => "a table".to_owned(),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
