//! Dependencies point one way: who in `src/` may name whom.
//!
//! A plain reading of the text is enough, because paths across modules are written from `crate::` here. What
//! follows `//` on a line is a comment.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A module of `src/`, and the modules of `src/` and the crates of the workspace that it may name. Itself it
/// may always name.
const ARROWS: &[(&str, &[&str])] = &[
    ("config", &[]),
    // The facade for authors.
    ("extension", &[]),
    ("chat", &["extension"]),
    ("journal", &["config", "entity", "migration"]),
    ("router", &["config", "extension", "journal", "entity"]),
    ("auth", &["config", "router"]),
    // For authors of extensions: a whole router.
    ("testing", &["config", "extension", "router", "server", "store"]),
    // Unit tests, of the engine as a whole.
    ("simulation", &["journal", "router", "entity"]),
    (
        "http",
        &["chat", "extension", "config", "journal", "router", "auth"],
    ),
    (
        "server",
        &[
            "config",
            "journal",
            "router",
            "auth",
            "http",
            "chat",
            "extension",
            "migration",
        ],
    ),
];

/// The crates of the workspace that [`ARROWS`] speak of.
const CRATES: [&str; 2] = ["entity", "migration"];

/// Unit tests deliver to the receiver that `pointsman receive` runs, and use the kit that authors use.
const TESTS_MAY: [&str; 2] = ["-> receive", "-> testing"];

/// Whether the file holds unit tests and nothing else.
fn is_tests(name: &str) -> bool {
    name.ends_with("/tests.rs") || name.contains("/tests/")
}

/// The roots: one declares all modules, the other is the command line.
const ROOTS: [&str; 2] = ["lib.rs", "main.rs"];

#[test]
fn dependencies_point_along_the_arrows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut forbidden = Vec::new();
    let mut files = 0;
    for path in rust_files(&src) {
        let name = path
            .strip_prefix(&src)
            .expect("it was found below src")
            .to_string_lossy()
            .replace('\\', "/");
        let source = fs::read_to_string(&path).expect("a source file is readable");
        let in_tests = is_tests(&name);
        forbidden.extend(
            forbidden_arrows(&name, &source)
                .into_iter()
                .filter(|report| !(in_tests && TESTS_MAY.iter().any(|may| report.ends_with(may)))),
        );
        files += 1;
    }
    assert!(
        files > ARROWS.len(),
        "only {files} files found below {}",
        src.display()
    );
    assert!(forbidden.is_empty(), "forbidden:\n{}", forbidden.join("\n"));
}

#[test]
fn a_forbidden_arrow_is_reported_with_its_place() {
    for (file, source, report) in [
        (
            "router/events.rs",
            "use crate::http::Journal;",
            "src/router/events.rs:1: router -> http",
        ),
        (
            "config.rs",
            "\n\nuse crate::auth::Sessions;",
            "src/config.rs:3: config -> auth",
        ),
        (
            "router/retry.rs",
            "fn f() { crate::http::serve() }",
            "src/router/retry.rs:1: router -> http",
        ),
        (
            "config.rs",
            "use crate::{\n    config::id,\n    auth,\n};",
            "src/config.rs:3: config -> auth",
        ),
        (
            "journal.rs",
            "use crate::{config::{id, seq::{Seq}}, http::Routes};",
            "src/journal.rs:1: journal -> http",
        ),
        (
            "auth.rs",
            "pub(in crate::http) fn f() {}",
            "src/auth.rs:1: auth -> http",
        ),
        (
            "http/events.rs",
            "use entity::platform_event;",
            "src/http/events.rs:1: http -> entity",
        ),
        (
            "http.rs",
            "fn f(_: ::entity::workspace::Model) {}",
            "src/http.rs:1: http -> entity",
        ),
        ("config.rs", "use crate::*;", "src/config.rs:1: config -> *"),
        (
            "helpers.rs",
            "",
            "src/helpers.rs:1: helpers has no arrows in tests/architecture.rs",
        ),
    ] {
        assert_eq!(forbidden_arrows(file, source), [report], "{source}");
    }
}

#[test]
fn an_allowed_arrow_is_not_reported() {
    for (file, source) in [
        ("router/events.rs", "use crate::router::{seq::Seq, span::Span};"),
        (
            "config.rs",
            "//! See [`crate::http`].\nlet x = 1; // crate::journal",
        ),
        (
            "journal/writer.rs",
            "use entity::platform_event;\nuse crate::{config::Clock, config::id};",
        ),
        (
            "http/events.rs",
            "use crate::router::EventRouter;\nuse super::entity::View;\nlet entity = 1;",
        ),
        ("server.rs", "use crate::http;"),
        ("main.rs", "use pointsman::http;"),
    ] {
        assert_eq!(forbidden_arrows(file, source), Vec::<String>::new(), "{source}");
    }
}

/// The arrows of one file that are not in [`ARROWS`], as `file:line: from -> to`.
fn forbidden_arrows(file: &str, source: &str) -> Vec<String> {
    if ROOTS.contains(&file) {
        return Vec::new();
    }
    let module = file.split('/').next().unwrap_or(file).trim_end_matches(".rs");
    let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == module) else {
        return vec![format!(
            "src/{file}:1: {module} has no arrows in tests/architecture.rs"
        )];
    };
    let code = without_comments(source);
    let mut targets = [modules_named(&code), crates_named(&code)].concat();
    targets.sort_unstable();
    targets
        .into_iter()
        .filter(|(_, to)| *to != module && !allowed.contains(to))
        .map(|(at, to)| {
            format!(
                "src/{file}:{}: {module} -> {to}",
                code[..at].matches('\n').count() + 1
            )
        })
        .collect()
}

/// The modules that stand after `crate::`, also in braces, each with its place.
fn modules_named(code: &str) -> Vec<(usize, &str)> {
    let is_module = |(_, name): &(usize, &str)| *name == "*" || ARROWS.iter().any(|(known, _)| known == name);
    code.match_indices("crate::")
        .map(|(at, prefix)| at + prefix.len())
        .flat_map(|start| match code[start..].strip_prefix('{') {
            Some(_) => names_in_braces(code, start + 1),
            None => vec![(start, name_at(code, start))],
        })
        .filter(is_module)
        .collect()
}

/// The crates of the workspace that begin a path, each with its place.
fn crates_named(code: &str) -> Vec<(usize, &str)> {
    let begins_a_path = |at: usize| {
        let before = &code[..at];
        let before = before
            .strip_suffix("::")
            .filter(|rest| !rest.ends_with(is_name))
            .unwrap_or(before);
        !before.ends_with(|c| is_name(c) || c == ':')
    };
    CRATES
        .iter()
        .flat_map(|name| code.match_indices(name))
        .filter(|(at, name)| code[at + name.len()..].starts_with("::") && begins_a_path(*at))
        .collect()
}

/// The first names of the items in the braces that were opened just before `start`.
fn names_in_braces(code: &str, start: usize) -> Vec<(usize, &str)> {
    let mut depth = 1;
    let mut item_begins = true;
    let mut names = Vec::new();
    for (at, c) in code[start..].char_indices().map(|(at, c)| (start + at, c)) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => item_begins = true,
            c if item_begins && !c.is_whitespace() => {
                names.push((at, name_at(code, at)));
                item_begins = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn name_at(code: &str, start: usize) -> &str {
    let rest = &code[start..];
    if rest.starts_with('*') {
        return &rest[..1];
    }
    rest.split(|c| !is_name(c)).next().unwrap_or_default()
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn without_comments(source: &str) -> String {
    source
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a source folder is readable");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry is readable").path())
        .collect();
    paths.sort_unstable();
    paths
        .into_iter()
        .flat_map(|path| {
            if path.is_dir() {
                rust_files(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
