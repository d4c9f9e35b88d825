//! Which crate of the workspace may know which.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

/// A crate, and the crates of the workspace that it may name outside of its tests.
const ARROWS: &[(&str, &[&str])] = &[
    ("pointsman-domain", &[]),
    ("pointsman-clock", &["pointsman-domain"]),
    ("pointsman-panics", &[]),
    ("pointsman-private-files", &[]),
    ("pointsman-macros", &[]),
    (
        "pointsman-extension",
        &["pointsman-domain", "pointsman-macros", "pointsman-panics"],
    ),
    (
        "pointsman-journal",
        &["pointsman-clock", "pointsman-domain", "pointsman-panics"],
    ),
    (
        "pointsman-http-delivery",
        &["pointsman-clock", "pointsman-domain"],
    ),
    (
        "pointsman-router",
        &[
            "pointsman-clock",
            "pointsman-domain",
            "pointsman-extension",
            "pointsman-http-delivery",
            "pointsman-journal",
            "pointsman-panics",
        ],
    ),
    ("pointsman-entity", &["pointsman-domain"]),
    ("pointsman-migration", &[]),
    (
        "pointsman-journal-sql",
        &[
            "pointsman-clock",
            "pointsman-domain",
            "pointsman-entity",
            "pointsman-journal",
            "pointsman-migration",
            "pointsman-panics",
            "pointsman-private-files",
        ],
    ),
    ("pointsman-store", &["pointsman-domain", "pointsman-entity"]),
    ("pointsman-receive", &["pointsman-clock", "pointsman-domain"]),
    ("pointsman-config", &[]),
    (
        "pointsman-engine",
        &[
            "pointsman-clock",
            "pointsman-domain",
            "pointsman-journal",
            "pointsman-journal-sql",
            "pointsman-router",
        ],
    ),
    (
        "pointsman-auth",
        &[
            "pointsman-clock",
            "pointsman-domain",
            "pointsman-engine",
            "pointsman-private-files",
            "pointsman-router",
            "pointsman-store",
        ],
    ),
    (
        "pointsman",
        &[
            "pointsman-auth",
            "pointsman-clock",
            "pointsman-config",
            "pointsman-domain",
            "pointsman-engine",
            "pointsman-extension",
            "pointsman-http-delivery",
            "pointsman-journal",
            "pointsman-journal-sql",
            "pointsman-private-files",
            "pointsman-receive",
            "pointsman-router",
            "pointsman-store",
        ],
    ),
];

/// Crates for tests and measurements only. The crates of [`ARROWS`] depend on them only for their own tests.
const KITS: [&str; 6] = [
    "pointsman-bench",
    "pointsman-simulated-clock",
    "pointsman-simulation",
    "pointsman-suite",
    "pointsman-test-databases",
    "pointsman-test-kit",
];

/// A crate of the workspace.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// The folder of its manifest.
    pub(crate) folder: PathBuf,
    /// The crates of the workspace that it depends on outside of its tests.
    dependencies: BTreeSet<String>,
    /// The root file of each target whose tests lie beside its code, and whether Cargo builds a program of them.
    tested: Vec<(PathBuf, bool)>,
}

/// The crates of the workspace, as Cargo knows them.
pub(crate) fn members() -> Vec<Member> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo is there: it has built this test");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("a workspace has packages");
    let name_of = |value: &serde_json::Value| value["name"].as_str().unwrap_or_default().to_owned();
    let names: BTreeSet<String> = packages.iter().map(name_of).collect();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"]
                .as_array()
                .expect("a package has a list of them");
            let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap_or_default());
            let targets = package["targets"]
                .as_array()
                .expect("a package has a list of them");
            Member {
                name: name_of(package),
                folder: manifest.parent().expect("a manifest has a folder").to_owned(),
                dependencies: dependencies
                    .iter()
                    .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
                    .map(name_of)
                    .filter(|name| names.contains(name))
                    .collect(),
                tested: targets
                    .iter()
                    .filter(|target| matches!(target["kind"][0].as_str(), Some("lib" | "bin" | "proc-macro")))
                    .map(|target| {
                        let root = target["src_path"].as_str().unwrap_or_default();
                        (PathBuf::from(root), target["test"] == true)
                    })
                    .collect(),
            }
        })
        .collect()
}

/// Whether the line marks a test or code for tests. Macros that make tests have attributes with a path.
fn is_of_tests(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("#[test]")
        || (line.starts_with("#[cfg(") && line.contains("test") && !line.contains('"'))
}

/// Whether a source file below `folder` has tests.
fn has_tests(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).expect("folders are readable");
    entries
        .map(|entry| entry.expect("entries are readable").path())
        .any(|path| {
            if path.is_dir() {
                return has_tests(&path);
            }
            path.extension().is_some_and(|extension| extension == "rs")
                && std::fs::read_to_string(&path)
                    .expect("sources are readable")
                    .lines()
                    .any(is_of_tests)
        })
}

/// A library without tests would be compiled a second time for nothing; one with tests and `test = false` would
/// hide them.
#[test]
fn a_library_has_a_test_program_if_it_has_tests() {
    let mut both = [0, 0];
    for member in members() {
        for (root, is_tested) in &member.tested {
            if root.ends_with("main.rs") && member.tested.len() > 1 {
                continue;
            }
            let has_tests = has_tests(&member.folder.join("src"));
            assert_eq!(
                *is_tested,
                has_tests,
                "`test` of {} ({})",
                member.name,
                root.display()
            );
            both[usize::from(has_tests)] += 1;
        }
    }
    assert!(
        both.iter().all(|seen| *seen > 3),
        "without and with tests: {both:?}"
    );
}

/// What of a crate's dependencies is not in [`ARROWS`], as `from -> to`.
fn forbidden(name: &str, dependencies: &BTreeSet<String>) -> Vec<String> {
    if KITS.contains(&name) {
        return Vec::new();
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
        return vec![format!("{name} has no arrows in tests/architecture/crates.rs")];
    };
    dependencies
        .iter()
        .filter(|to| !allowed.contains(&to.as_str()))
        .map(|to| format!("{name} -> {to}"))
        .collect()
}

#[test]
fn crates_depend_along_the_arrows() {
    let members = members();
    assert!(members.len() > 10, "only {} crates found", members.len());
    let forbidden: Vec<String> = members
        .iter()
        .flat_map(|member| forbidden(&member.name, &member.dependencies))
        .collect();
    assert!(forbidden.is_empty(), "forbidden:\n{}", forbidden.join("\n"));
    for (name, allowed) in ARROWS {
        let member = members.iter().find(|member| member.name == *name);
        let member = member.unwrap_or_else(|| panic!("{name} is no crate of the workspace"));
        for to in *allowed {
            assert!(
                member.dependencies.contains(*to),
                "{name} -> {to} is allowed and not used"
            );
        }
    }
}

#[test]
fn a_forbidden_dependency_is_reported() {
    let of = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(
        forbidden("pointsman-router", &of(&["pointsman-domain", "pointsman-entity"])),
        ["pointsman-router -> pointsman-entity"]
    );
    assert_eq!(
        forbidden("pointsman-journal", &of(&["pointsman-test-kit"])),
        ["pointsman-journal -> pointsman-test-kit"]
    );
    assert_eq!(
        forbidden("pointsman-simulation", &of(&["pointsman-router"])),
        Vec::<String>::new()
    );
    assert_eq!(
        forbidden("pointsman-console", &of(&[])),
        ["pointsman-console has no arrows in tests/architecture/crates.rs"]
    );
}
