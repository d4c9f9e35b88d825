//! No two modules of a crate name each other, directly or in a ring.
//!
//! A module names another where one of its `use` declarations or paths, those within macros included, leads to what is
//! defined there, whatever re-exports and globs lie between. A module that re-exports what its children define, and
//! does not use it itself, does not name them. Tests name what they please.
//!
//! What this does not see: a method that one module defines for a type of another, where it is called.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use syn::{
    Attribute, Item, UseTree,
    visit::{self, Visit},
};

use crate::crates::{Member, members};

type Name = Vec<String>;

/// The modules of a crate, one for each file, and which names which.
pub(crate) struct Graph {
    modules: BTreeMap<Name, Module>,
}

/// A file.
#[derive(Default)]
struct Module {
    /// What it defines or imports, under which name.
    names: BTreeMap<String, Source>,
    /// What it imports; whether for others, too.
    uses: Vec<(bool, Name)>,
    /// Whose names it imports all, and may show again.
    globs: Vec<Name>,
    paths: BTreeSet<Name>,
    /// The children that are compiled for tests only.
    tests: BTreeSet<String>,
}

enum Source {
    Defined,
    Imported(Name),
}

impl Graph {
    /// The modules below this folder, which holds a `lib.rs` or a `main.rs`.
    pub(crate) fn of(folder: &Path) -> Self {
        let mut modules = BTreeMap::new();
        read(folder, folder, &mut modules);
        Self { modules }
    }

    /// Modules by name and source.
    pub(crate) fn of_sources(sources: &[(&str, &str)]) -> Self {
        let name_of = |name: &str| {
            name.split("::")
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let modules = sources
            .iter()
            .map(|(name, source)| (name_of(name), Module::parse(source)))
            .collect();
        Self { modules }
    }

    pub(crate) fn modules(&self) -> impl Iterator<Item = &Name> {
        self.modules.keys()
    }

    /// Which module names which, each pair once.
    pub(crate) fn edges(&self) -> BTreeSet<(Name, Name)> {
        let mut edges = BTreeSet::new();
        for (from, module) in &self.modules {
            for (is_public, path) in &module.uses {
                let target = self.resolve(from, path, 0).filter(|to| to != from);
                // A module that shows what its children define does not use it.
                edges.extend(
                    target
                        .filter(|to| !(*is_public && to.starts_with(from)))
                        .map(|to| (from.clone(), to)),
                );
            }
            for path in &module.paths {
                let target = self.resolve(from, path, 0).filter(|to| to != from);
                edges.extend(target.map(|to| (from.clone(), to)));
            }
        }
        edges
    }

    /// Which module names which crate whose name begins so, tests excepted.
    pub(crate) fn crates(&self, prefix: &str) -> BTreeSet<(Name, String)> {
        let mut named = BTreeSet::new();
        for (from, module) in self.modules.iter().filter(|(name, _)| !self.is_test(name)) {
            let paths = module.uses.iter().map(|(_, path)| path).chain(&module.paths);
            let crates = paths
                .filter_map(|path| path.first())
                .filter(|first| first.starts_with(prefix));
            named.extend(crates.map(|first| (from.clone(), first.clone())));
        }
        named
    }

    /// The module in which the path ends, with what it imports followed to where that is defined.
    fn resolve(&self, from: &Name, path: &Name, depth: usize) -> Option<Name> {
        const DEEPEST: usize = 12;
        let mut rest = path.as_slice();
        let mut at = match rest.first()?.as_str() {
            "crate" => Name::new(),
            "self" => from.clone(),
            "super" => from.clone(),
            first => {
                let child = [from.as_slice(), &[first.to_owned()]].concat();
                return match self.modules.get(from)?.names.get(first) {
                    _ if self.modules.contains_key(&child) => self.descend(child, &rest[1..], depth),
                    Some(Source::Imported(source)) if depth < DEEPEST => {
                        self.resolve(from, &[source.as_slice(), &rest[1..]].concat(), depth + 1)
                    }
                    _ => None,
                };
            }
        };
        while rest.first().is_some_and(|part| part == "super") {
            at.pop();
            rest = &rest[1..];
        }
        if matches!(path[0].as_str(), "crate" | "self") {
            rest = &rest[1..];
        }
        (depth < DEEPEST).then(|| self.descend(at, rest, depth)).flatten()
    }

    fn descend(&self, mut at: Name, mut rest: &[String], depth: usize) -> Option<Name> {
        while let Some(part) = rest.first() {
            at.push(part.clone());
            if !self.modules.contains_key(&at) {
                at.pop();
                break;
            }
            rest = &rest[1..];
        }
        let Some(part) = rest.first() else {
            return Some(at);
        };
        let module = self.modules.get(&at)?;
        match module.names.get(part) {
            Some(Source::Imported(source)) => {
                self.resolve(&at, &[source.as_slice(), &rest[1..]].concat(), depth + 1)
            }
            Some(Source::Defined) => Some(at),
            None => self.behind_globs(&at, module, part, depth).or(Some(at)),
        }
    }

    /// The module that defines the name which this one has by a glob.
    fn behind_globs(&self, at: &Name, module: &Module, part: &String, depth: usize) -> Option<Name> {
        module.globs.iter().find_map(|glob| {
            let shown = self.resolve(at, glob, depth + 1).filter(|shown| shown != at)?;
            let names = &self.modules.get(&shown)?.names;
            let named = [glob.as_slice(), std::slice::from_ref(part)].concat();
            names
                .contains_key(part)
                .then(|| self.resolve(at, &named, depth + 1))
                .flatten()
        })
    }

    /// Whether the module, or one that it is part of, is compiled for tests only.
    pub(crate) fn is_test(&self, name: &Name) -> bool {
        (0..name.len()).any(|length| {
            let parent = self.modules.get(&name[..length]);
            parent.is_some_and(|parent| parent.tests.contains(&name[length]))
        })
    }

    /// The rings, each as its pairs.
    fn rings(&self) -> Vec<Vec<(Name, Name)>> {
        let edges: BTreeSet<(Name, Name)> = self
            .edges()
            .into_iter()
            .filter(|(from, to)| !self.is_test(from) && !self.is_test(to))
            .collect();
        let reached: BTreeMap<&Name, BTreeSet<&Name>> = self
            .modules
            .keys()
            .map(|start| (start, reachable(start, &edges)))
            .collect();
        let (mut rings, mut seen) = (Vec::new(), BTreeSet::new());
        for (start, ends) in &reached {
            let ring: BTreeSet<&Name> = ends
                .iter()
                .copied()
                .filter(|end| reached[end].contains(start))
                .collect();
            if !ring.contains(*start) || !seen.insert(ring.clone()) {
                continue;
            }
            let within = edges
                .iter()
                .filter(|(from, to)| ring.contains(from) && ring.contains(to));
            rings.push(within.cloned().collect());
        }
        rings
    }
}

fn reachable<'a>(start: &'a Name, edges: &'a BTreeSet<(Name, Name)>) -> BTreeSet<&'a Name> {
    let (mut found, mut next) = (BTreeSet::new(), vec![start]);
    while let Some(from) = next.pop() {
        for (_, to) in edges.iter().filter(|(source, _)| source == from) {
            if found.insert(to) {
                next.push(to);
            }
        }
    }
    found
}

fn read(root: &Path, folder: &Path, modules: &mut BTreeMap<Name, Module>) {
    for entry in fs::read_dir(folder).expect("a source folder is readable") {
        let path = entry.expect("an entry is readable").path();
        if path.is_dir() {
            read(root, &path, modules);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path
                .strip_prefix(root)
                .expect("it was found below it")
                .with_extension("");
            let mut name: Name = name
                .iter()
                .map(|part| part.to_string_lossy().into_owned())
                .collect();
            // A program beside a library is a crate of its own.
            let is_program = root.join("lib.rs").exists();
            name.retain(|part| part != "lib" && (is_program || part != "main"));
            let source = fs::read_to_string(&path).expect("a source file is readable");
            modules.insert(name, Module::parse(&source));
        }
    }
}

impl Module {
    fn parse(source: &str) -> Self {
        let file = syn::parse_file(source).expect("what the compiler takes can be parsed");
        let mut module = Self::default();
        for item in &file.items {
            module.note(item);
        }
        module.visit_file(&file);
        module
    }

    fn note(&mut self, item: &Item) {
        let name = match item {
            Item::Const(item) => &item.ident,
            Item::Enum(item) => &item.ident,
            Item::Fn(item) => &item.sig.ident,
            Item::Static(item) => &item.ident,
            Item::Struct(item) => &item.ident,
            Item::Trait(item) => &item.ident,
            Item::Type(item) => &item.ident,
            Item::Mod(item) if is_test(&item.attrs) => {
                self.tests.insert(item.ident.to_string());
                return;
            }
            _ => return,
        };
        self.names.insert(name.to_string(), Source::Defined);
    }

    fn import(&mut self, is_public: bool, tree: &UseTree, before: &Name) {
        let with = |ident: &syn::Ident| [before.as_slice(), &[ident.to_string()]].concat();
        let (path, name) = match tree {
            UseTree::Path(path) => return self.import(is_public, &path.tree, &with(&path.ident)),
            UseTree::Group(group) => {
                return group
                    .items
                    .iter()
                    .for_each(|tree| self.import(is_public, tree, before));
            }
            UseTree::Glob(_) => {
                self.globs.push(before.clone());
                return self.uses.push((is_public, before.clone()));
            }
            UseTree::Name(name) if name.ident == "self" => {
                (before.clone(), before.last().cloned().unwrap_or_default())
            }
            UseTree::Name(name) => (with(&name.ident), name.ident.to_string()),
            UseTree::Rename(name) => (with(&name.ident), name.rename.to_string()),
        };
        self.names.insert(name, Source::Imported(path.clone()));
        self.uses.push((is_public, path));
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|only| only.is_ident("test"))
    })
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    /// `pub(super)` names nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_public = !matches!(item.vis, syn::Visibility::Inherited);
        self.import(is_public, &item.tree, &Name::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.paths
            .insert(path.segments.iter().map(|part| part.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.paths.extend(paths_in(&called.tokens.to_string()));
        visit::visit_macro(self, called);
    }
}

/// The paths in the tokens of a macro, texts aside.
fn paths_in(tokens: &str) -> BTreeSet<Name> {
    let code: String = tokens.split('"').step_by(2).collect::<Vec<_>>().join(" ; ");
    let words: String = code
        .replace("::", "\u{1}")
        .chars()
        .map(|c| match c {
            '\u{1}' => " :: ".to_owned(),
            c if c.is_alphanumeric() || c == '_' || c.is_whitespace() => c.to_string(),
            _ => " ; ".to_owned(),
        })
        .collect();
    let (mut paths, mut path, mut goes_on) = (BTreeSet::new(), Name::new(), false);
    for word in words.split_whitespace() {
        if word == "::" {
            goes_on = true;
            continue;
        }
        if !goes_on {
            paths.insert(std::mem::take(&mut path));
        }
        goes_on = false;
        if word != ";" {
            path.push(word.to_owned());
        }
    }
    paths.insert(path);
    paths.remove(&Name::new());
    paths
}

#[test]
fn no_modules_of_a_crate_name_each_other() {
    let mut found = Vec::new();
    // The suite is nothing but tests, and has none.
    let sources = |member: &Member| Some(member.folder.join("src")).filter(|folder| folder.exists());
    for (member, folder) in members()
        .iter()
        .filter_map(|member| Some((member, sources(member)?)))
    {
        let graph = Graph::of(&folder);
        for ring in graph.rings() {
            let pairs = ring
                .iter()
                .map(|(from, to)| format!("  {} -> {}", from.join("::"), to.join("::")));
            found.push(format!(
                "{}:\n{}",
                member.name,
                pairs.collect::<Vec<_>>().join("\n")
            ));
        }
    }
    assert!(
        found.is_empty(),
        "these name each other in a ring:\n{}",
        found.join("\n")
    );
}

#[test]
fn a_ring_is_found_behind_what_is_shown_again() {
    let graph = Graph::of_sources(&[
        ("", "mod a; mod b; mod c; mod d;"),
        ("a", "mod inner; pub use self::inner::Thing; use crate::c::Other;"),
        ("a::inner", "pub struct Thing;"),
        ("b", "fn f() -> crate::d::Last { loop {} }"),
        ("c", "use crate::a::Thing; pub struct Other; use super::b::f;"),
        (
            "d",
            "pub struct Last; mod tests { } #[cfg(test)] use crate::b::f; use crate::c::Other as C;",
        ),
    ]);
    let rings = graph.rings();
    let names = |ring: &[(Name, Name)]| -> Vec<String> {
        ring.iter()
            .map(|(from, to)| format!("{} -> {}", from.join("::"), to.join("::")))
            .collect()
    };
    assert_eq!(rings.len(), 1);
    assert_eq!(names(&rings[0]), ["b -> d", "c -> b", "d -> c"]);
    assert!(
        graph
            .edges()
            .contains(&(vec!["c".to_owned()], vec!["a".to_owned(), "inner".to_owned()]))
    );
}

/// Whether these sources have a ring.
fn has_ring(sources: &[(&str, &str)]) -> bool {
    !Graph::of_sources(sources).rings().is_empty()
}

#[test]
fn a_ring_is_found_where_a_module_uses_what_it_shows_again() {
    let parent = "mod b; pub use self::b::B; pub fn f() -> B { loop {} }";
    assert!(has_ring(&[
        ("", "mod a;"),
        ("a", parent),
        ("a::b", "pub struct B; use super::f;")
    ]));
    let shows_only = "mod b; pub use self::b::B; pub fn f() {}";
    assert!(!has_ring(&[
        ("", "mod a;"),
        ("a", shows_only),
        ("a::b", "pub struct B; use super::f;")
    ]));
}

#[test]
fn a_ring_is_found_within_a_macro() {
    let a = "pub fn f() { vec![\"crate::c::g\", crate::b::g(1)]; }";
    assert!(has_ring(&[
        ("", "mod a; mod b; mod c;"),
        ("a", a),
        ("b", "use crate::a::f;"),
        ("c", "")
    ]));
    let only_in_a_text = "pub fn f() { vec![\"crate::b::g()\"]; }";
    assert!(!has_ring(&[
        ("", "mod a; mod b;"),
        ("a", only_in_a_text),
        ("b", "use crate::a::f;")
    ]));
}

#[test]
fn a_ring_is_found_behind_a_glob() {
    let sources = [
        ("", "mod a; mod b;"),
        ("a", "mod inner; pub use self::inner::*;"),
        ("a::inner", "pub struct Thing; use crate::b::g;"),
        ("b", "use crate::a::Thing; pub fn g() {}"),
    ];
    assert!(has_ring(&sources));
}

#[test]
fn only_what_is_compiled_for_tests_may_stand_in_a_ring() {
    let ring = [("a::tests", "use crate::a::f; pub fn g() {}")];
    let called_tests = [
        ("", "mod a;"),
        ("a", "pub mod tests; pub fn f() { tests::g() }"),
        ring[0],
    ];
    assert!(has_ring(&called_tests));
    let are_tests = [
        ("", "mod a;"),
        ("a", "#[cfg(test)] mod tests; pub fn f() {}"),
        ring[0],
    ];
    assert!(!has_ring(&are_tests));
}
