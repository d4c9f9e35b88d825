//! Which module of `src/` may name which, and which crate of the workspace.

use std::path::Path;

use crate::rings::Graph;

/// What a module of `src/` may name. Itself it may always name.
struct Arrows {
    module: &'static str,
    modules: &'static [&'static str],
    crates: &'static [&'static str],
}

const ARROWS: &[Arrows] = &[
    Arrows {
        module: "main",
        modules: &["server"],
        crates: &["clock", "config", "domain", "receive"],
    },
    // The facade for authors.
    Arrows {
        module: "extension",
        modules: &[],
        crates: &["domain", "extension"],
    },
    Arrows {
        module: "chat",
        modules: &["extension"],
        crates: &["clock", "domain", "extension", "store"],
    },
    Arrows {
        module: "http",
        modules: &["chat"],
        crates: &[
            "auth",
            "clock",
            "domain",
            "engine",
            "extension",
            "http_delivery",
            "router",
            "store",
        ],
    },
    Arrows {
        module: "server",
        modules: &["chat", "http"],
        crates: &[
            "auth",
            "clock",
            "config",
            "domain",
            "engine",
            "extension",
            "http_delivery",
            "journal",
            "journal_sql",
            "private_files",
            "router",
            "store",
        ],
    },
    // For authors of extensions: a whole router.
    Arrows {
        module: "testing",
        modules: &["extension", "server"],
        crates: &[
            "clock",
            "config",
            "domain",
            "engine",
            "extension",
            "router",
            "store",
        ],
    },
];

const PREFIX: &str = "pointsman_";

/// Unit tests may use the kit that authors use.
const TESTS_MAY: &str = "testing";

fn forbidden(graph: &Graph) -> Vec<String> {
    let arrows_of = |module: &str| ARROWS.iter().find(|arrows| arrows.module == module);
    let mut forbidden = Vec::new();
    for (from, to) in graph.edges() {
        let (Some(source), Some(target)) = (from.first(), to.first()) else {
            continue;
        };
        let is_allowed = source == target
            || (graph.is_test(&from) && target == TESTS_MAY)
            || arrows_of(source).is_some_and(|arrows| arrows.modules.contains(&target.as_str()));
        if !is_allowed {
            forbidden.push(format!("{} -> {}", from.join("::"), to.join("::")));
        }
    }
    for (from, named) in graph.crates(PREFIX) {
        let name = &named[PREFIX.len()..];
        let source = from.first().and_then(|module| arrows_of(module));
        // The root shows what is in the modules, and the configuration.
        let is_allowed = from.is_empty() || source.is_some_and(|arrows| arrows.crates.contains(&name));
        if !is_allowed {
            forbidden.push(format!("{} -> {named}", from.join("::")));
        }
    }
    forbidden
}

#[test]
fn modules_of_the_server_name_each_other_and_the_crates_along_the_arrows() {
    let graph = Graph::of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../src"));
    for module in graph.modules().filter_map(|module| module.first()) {
        assert!(
            ARROWS.iter().any(|arrows| arrows.module == module),
            "{module} has no arrows in tests/architecture/modules.rs"
        );
    }
    let forbidden = forbidden(&graph);
    assert!(forbidden.is_empty(), "forbidden:\n{}", forbidden.join("\n"));
}

#[test]
fn a_forbidden_arrow_is_reported_and_no_other() {
    let graph = Graph::of_sources(&[
        ("", "mod chat; mod extension; mod http;"),
        (
            "chat",
            "use crate::http::Routes; use pointsman_store::channels; use pointsman_router::Watch;",
        ),
        ("extension", "fn f() { crate::http::serve() }"),
        (
            "http",
            "pub fn serve() { pointsman_journal_sql::open() } pub struct Routes; use crate::chat::Chat;",
        ),
    ]);
    assert_eq!(
        forbidden(&graph),
        [
            "chat -> http",
            "extension -> http",
            "chat -> pointsman_router",
            "http -> pointsman_journal_sql",
        ]
    );
}
