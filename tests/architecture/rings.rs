//! No two modules of a crate name each other, directly or in a ring.
//!
//! A module names another where one of its `use` declarations or paths leads to what is defined there, whatever
//! re-exports lie between. That a module re-exports its own children is no naming, and tests name what they please.

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
    paths: BTreeSet<Name>,
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
                    Some(Source::Imported(source)) if depth > 0 && depth < DEEPEST => {
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
        let imported = rest
            .first()
            .and_then(|part| self.modules.get(&at)?.names.get(part));
        match imported {
            Some(Source::Imported(source)) => {
                self.resolve(&at, &[source.as_slice(), &rest[1..]].concat(), depth + 1)
            }
            _ => Some(at),
        }
    }

    /// The rings, each as its pairs.
    fn rings(&self) -> Vec<Vec<(Name, Name)>> {
        let is_test = |name: &Name| name.iter().any(|part| part == "tests");
        let edges: BTreeSet<(Name, Name)> = self
            .edges()
            .into_iter()
            .filter(|(from, to)| !is_test(from) && !is_test(to))
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
            name.retain(|part| part != "lib" && part != "main");
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
            UseTree::Glob(_) => return self.uses.push((is_public, before.clone())),
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

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_public = !matches!(item.vis, syn::Visibility::Inherited);
        self.import(is_public, &item.tree, &Name::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.paths
                .insert(path.segments.iter().map(|part| part.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }
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
        ("b", "fn f() -> crate::d::Last { todo!() }"),
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
