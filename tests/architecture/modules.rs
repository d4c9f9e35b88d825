//! Which module of `src/` may name which.

use std::path::Path;

use crate::rings::Graph;

/// A module of `src/`, and the modules of `src/` that it may name. Itself it may always name.
const ARROWS: &[(&str, &[&str])] = &[
    // The facade for authors.
    ("extension", &[]),
    ("chat", &["extension"]),
    ("http", &["chat"]),
    ("server", &["chat", "http"]),
    // For authors of extensions: a whole router.
    ("testing", &["extension", "server"]),
];

/// Unit tests may use the kit that authors use.
const TESTS_MAY: &str = "testing";

fn forbidden(graph: &Graph) -> Vec<String> {
    let mut forbidden = Vec::new();
    for (from, to) in graph.edges() {
        let (Some(source), Some(target)) = (from.first(), to.first()) else {
            continue;
        };
        let is_test = from.iter().any(|name| name == "tests");
        let may = |(name, allowed): &&(&str, &[&str])| *name == source && allowed.contains(&target.as_str());
        let is_allowed =
            source == target || (is_test && target == TESTS_MAY) || ARROWS.iter().any(|arrow| may(&arrow));
        if !is_allowed {
            forbidden.push(format!("{} -> {}", from.join("::"), to.join("::")));
        }
    }
    forbidden
}

#[test]
fn modules_of_the_server_name_each_other_along_the_arrows() {
    let graph = Graph::of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../src"));
    let known = |name: &str| ARROWS.iter().any(|(module, _)| *module == name);
    for module in graph.modules().filter_map(|module| module.first()) {
        assert!(
            known(module) || module == "main",
            "{module} has no arrows in tests/architecture/modules.rs"
        );
    }
    let forbidden = forbidden(&graph);
    assert!(forbidden.is_empty(), "forbidden:\n{}", forbidden.join("\n"));
}

#[test]
fn a_forbidden_arrow_is_reported() {
    let graph = Graph::of_sources(&[
        ("", "mod chat; mod extension; mod http;"),
        ("chat", "use crate::http::Routes;"),
        ("extension", "fn f() { crate::http::serve() }"),
        (
            "http",
            "pub fn serve() {} pub struct Routes; use crate::chat::Chat;",
        ),
    ]);
    assert_eq!(forbidden(&graph), ["chat -> http", "extension -> http"]);
}
