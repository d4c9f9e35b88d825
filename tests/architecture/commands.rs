//! The commands of Cargo in scripts and in texts name what there is.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// The package in which Cargo looks where a command names none.
const DEFAULT_PACKAGE: &str = "pointsman";

/// A target's kind, as the option of Cargo that names it, and its name.
type Target = (String, String);

/// The targets of each package of the workspace.
fn targets() -> BTreeMap<String, BTreeSet<Target>> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(ROOT)
        .output()
        .expect("cargo runs");
    assert!(
        metadata.status.success(),
        "{}",
        String::from_utf8_lossy(&metadata.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("cargo prints JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let packages = metadata["packages"].as_array().expect("packages").iter();
    packages
        .map(|package| {
            let targets = package["targets"].as_array().expect("targets").iter();
            let targets = targets.map(|target| (text(&target["kind"][0]), text(&target["name"])));
            (text(&package["name"]), targets.collect())
        })
        .collect()
}

/// What is wrong with the command, if something is.
fn fault(command: &str, packages: &BTreeMap<String, BTreeSet<Target>>) -> Option<String> {
    let words: Vec<&str> = command
        .split_whitespace()
        .take_while(|word| *word != "--")
        .collect();
    let valued = words.windows(2).map(|pair| (pair[0], pair[1]));
    let named: Vec<&str> = valued
        .clone()
        .filter_map(|(option, value)| matches!(option, "-p" | "--package").then_some(value))
        .collect();
    if let Some(unknown) = named.iter().find(|name| !packages.contains_key(**name)) {
        return Some(format!("there is no package {unknown}"));
    }
    let chosen: Vec<&BTreeSet<Target>> = packages
        .iter()
        .filter(|(name, _)| match &named[..] {
            [] => words.contains(&"--workspace") || *name == DEFAULT_PACKAGE,
            named => named.contains(&name.as_str()),
        })
        .map(|(_, targets)| targets)
        .collect();
    valued
        .filter_map(|(option, value)| Some((option.strip_prefix("--")?, value)))
        .filter(|(kind, _)| matches!(*kind, "test" | "bench" | "example" | "bin"))
        .find(|(kind, name)| {
            let target = ((*kind).to_owned(), (*name).to_owned());
            !chosen.iter().any(|targets| targets.contains(&target))
        })
        .map(|(kind, name)| format!("its packages have no {kind} {name}"))
}

/// The commands in a text: from `cargo` to the end of its code span or its line.
fn commands(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| {
        line.match_indices("cargo ").map(move |(at, _)| {
            let command = &line[at..];
            let end = command.find(['`', '|', '"', '#', ';', ',', '(', ')', '&']);
            // A quoted variable, as in `"$@"`, is one of the program's own arguments.
            end.map_or(command, |end| &command[..end])
        })
    })
}

/// The texts that people read or run: scripts, pages, manifests and sources. The changelog tells of what is gone, too.
fn texts(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("folders are readable");
    let paths = entries.map(|entry| entry.expect("entries are readable").path());
    paths
        .flat_map(|path| {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let is_text = |extension: &Path| {
                let extension = extension.extension().unwrap_or_default();
                ["md", "rs", "toml"].iter().any(|known| extension == *known)
            };
            let is_script = folder
                .file_name()
                .is_some_and(|folder| folder == "scripts" || folder == ".ci");
            match &*name {
                "target" | ".git" | "data" | "commands.rs" | "CHANGELOG.md" => Vec::new(),
                _ if path.is_dir() => texts(&path),
                _ if is_script || is_text(&path) => vec![path],
                _ => Vec::new(),
            }
        })
        .collect()
}

#[test]
fn every_command_of_cargo_names_what_there_is() {
    let packages = targets();
    let mut seen = 0;
    let mut faults = Vec::new();
    for path in texts(Path::new(ROOT)) {
        let text = std::fs::read_to_string(&path).expect("texts are readable");
        for command in commands(&text) {
            seen += 1;
            faults.extend(
                fault(command, &packages).map(|fault| format!("{}: {command}: {fault}", path.display())),
            );
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(seen > 20, "only {seen} commands were found");
}

#[test]
fn a_target_of_a_package_that_is_not_chosen_is_a_fault() {
    let packages = targets();
    let is_fault = |command: &str| fault(command, &packages).is_some();
    assert!(is_fault("cargo test --release --test torture -- --part all"));
    assert!(is_fault("cargo run -p pointsman-gone"));
    assert!(is_fault("cargo test -p pointsman-suite --test gone"));
    assert!(!is_fault("cargo test --workspace --test torture -- --test gone"));
    assert!(!is_fault("cargo test -p pointsman-suite --test torture"));
    assert!(!is_fault("cargo run --release"));
}
