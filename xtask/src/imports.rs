//! Imports between files of one crate, read by a parser and followed behind re-exports. Two rules: no new circle, and no
//! base that imports what is built on it.

use crate::sources::{Source, is_cfg_test, is_test};
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};

/// Imports that lie on a circle, by crate; a crate that is not named has none. The table holds what is left, so that no
/// new circle comes and a circle that was untied stays away.
const ALLOWED: &[(&str, usize)] = &[
    ("attest", 8),
    ("chain", 5),
    ("compute", 59),
    ("custodian", 27),
    ("indexer", 17),
    ("orchestrator", 2),
    ("seal", 12),
    ("sim", 43),
    ("storage", 9),
    ("store", 4),
];

/// Where the files lie, the folder that others build on, what it may not import, and why.
const BASES: [(&str, &str, &[&str], &str); 1] = [(
    "crates/licen/src/",
    "session/",
    &["cli", "owner/", "researcher/", "operator/", "audit/", "roles/", "demo/"],
    "session is what commands work with, and it knows none of them",
)];

/// Re-exports that are followed before a path is given up.
const MOST_STEPS: usize = 8;

type Path = Vec<String>;

/// What a file says of others, as paths from its crate's root.
#[derive(Default)]
struct Module {
    file: String,
    uses: Vec<Path>,
    /// Name here -> path elsewhere.
    exports: BTreeMap<String, Path>,
}

/// One line for each crate whose circles are not the table's, and for each import of a base.
pub(crate) fn breaches(sources: &[Source]) -> Vec<String> {
    let crates = crates(sources);
    let mut breaches = circles(&crates, ALLOWED);
    breaches.extend(crates.values().flat_map(bases));
    breaches
}

/// The modules of each crate, by name and path.
type Crates<'a> = BTreeMap<&'a str, BTreeMap<Path, Module>>;

fn crates(sources: &[Source]) -> Crates<'_> {
    let mut crates = Crates::new();
    for source in sources.iter().filter(|source| !is_test(&source.path)) {
        let Some((name, inside)) = place(source) else { continue };
        let module = read(&source.text, inside, &source.path.display().to_string());
        crates.entry(name).or_default().insert(module_path(inside), module);
    }
    crates
}

fn circles(crates: &Crates<'_>, allowed: &[(&str, usize)]) -> Vec<String> {
    let mut breaches = Vec::new();
    for (name, modules) in crates {
        let most = allowed.iter().find(|(of, _)| of == name).map_or(0, |(_, count)| *count);
        let found = on_circles(&edges(modules));
        if found.len() > most {
            let list: Vec<String> = found.iter().map(|(from, to)| format!("  {from} -> {to}")).collect();
            let (count, list) = (found.len(), list.join("\n"));
            breaches.push(format!("{name}: {count} imports lie on circles, {most} are allowed\n{list}"));
        } else if found.len() < most {
            breaches.push(format!("{name}: {} imports lie on circles: lower its {most}", found.len()));
        }
    }
    breaches
}

fn bases(modules: &BTreeMap<Path, Module>) -> Vec<String> {
    let mut breaches = Vec::new();
    for (from, to) in edges(modules) {
        for (source, base, others, why) in BASES {
            let inside = from.strip_prefix(source).is_some_and(|from| from.starts_with(base));
            let to_other = |to: &str| others.iter().any(|other| to.starts_with(other));
            if inside && to.strip_prefix(source).is_some_and(to_other) {
                breaches.push(format!("{from} must not import {to}: {why}"));
            }
        }
    }
    breaches
}

/// The crate's name and the path below its `src`; nothing for a program beside a library.
fn place(source: &Source) -> Option<(&str, &str)> {
    let path = source.path.to_str()?;
    let (name, inside) = path.strip_prefix("crates/")?.split_once("/src/")?;
    (inside != "main.rs" || !source.beside_lib).then_some((name, inside))
}

/// `a/b.rs` and `a/b/mod.rs` are `a::b`; `lib.rs` and `main.rs` are the root.
fn module_path(inside: &str) -> Path {
    let plain = inside.trim_end_matches(".rs");
    let mut path: Path = plain.split('/').map(String::from).collect();
    if matches!(path.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        path.pop();
    }
    path
}

fn read(text: &str, inside: &str, file: &str) -> Module {
    let module = Module { file: file.to_owned(), ..Module::default() };
    let mut reader = Reader { here: module_path(inside), children: BTreeSet::new(), module };
    if let Ok(file) = syn::parse_file(text) {
        for item in &file.items {
            if let syn::Item::Mod(item) = item {
                reader.children.insert(item.ident.to_string());
            }
        }
        reader.visit_file(&file);
    }
    reader.module
}

struct Reader {
    /// The module that is read: the file's, or one written inside it.
    here: Path,
    /// Modules that the file declares: a path may begin with one.
    children: BTreeSet<String>,
    module: Module,
}

impl Reader {
    /// A path as written, from the crate's root; nothing for a path into another crate.
    fn absolute(&self, written: &[String]) -> Option<Path> {
        let mut from = self.here.clone();
        let mut rest = written;
        match rest.first()?.as_str() {
            "crate" => (from, rest) = (Path::new(), &rest[1..]),
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|s| s == "super") {
                    from.pop()?;
                    rest = &rest[1..];
                }
            }
            first if self.children.contains(first) => {}
            _ => return None,
        }
        Some(from.into_iter().chain(rest.iter().cloned()).collect())
    }

    fn tree(&mut self, before: &[String], tree: &syn::UseTree, exported: bool) {
        let with = |ident: &dyn std::fmt::Display| [before, &[ident.to_string()]].concat();
        let (written, name) = match tree {
            syn::UseTree::Path(path) => return self.tree(&with(&path.ident), &path.tree, exported),
            syn::UseTree::Group(group) => {
                return group.items.iter().for_each(|item| self.tree(before, item, exported));
            }
            syn::UseTree::Glob(_) => (before.to_vec(), None),
            syn::UseTree::Name(name) if name.ident == "self" => (before.to_vec(), before.last().cloned()),
            syn::UseTree::Name(name) => (with(&name.ident), Some(name.ident.to_string())),
            syn::UseTree::Rename(rename) => (with(&rename.ident), Some(rename.rename.to_string())),
        };
        let Some(path) = self.absolute(&written) else { return };
        match name {
            Some(name) if exported => drop(self.module.exports.insert(name, path)),
            _ => self.module.uses.push(path),
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if is_cfg_test(&item.attrs) || item.content.is_none() {
            return;
        }
        self.here.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.here.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_cfg_test(&item.attrs) {
            self.tree(&[], &item.tree, !matches!(item.vis, syn::Visibility::Inherited));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let written: Path = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if written.len() > 1 {
            self.module.uses.extend(self.absolute(&written));
        }
        visit::visit_path(self, path);
    }
}

/// Which file imports which.
fn edges(modules: &BTreeMap<Path, Module>) -> BTreeSet<(&str, &str)> {
    let mut edges = BTreeSet::new();
    for module in modules.values() {
        let found = module.uses.iter().filter_map(|path| resolve(modules, path.clone(), MOST_STEPS));
        edges.extend(found.filter(|to| *to != module.file).map(|to| (module.file.as_str(), to)));
    }
    edges
}

/// The file that has what a path names, behind re-exports.
fn resolve(modules: &BTreeMap<Path, Module>, path: Path, steps: usize) -> Option<&str> {
    let length = (0..=path.len()).rev().find(|length| modules.contains_key(&path[..*length]))?;
    let module = &modules[&path[..length]];
    match path.get(length).and_then(|name| module.exports.get(name)) {
        Some(elsewhere) if steps > 0 => {
            let further = [elsewhere, &path[length + 1..]].concat();
            resolve(modules, further, steps - 1)
        }
        _ => Some(&module.file),
    }
}

/// The edges both of whose ends reach each other.
fn on_circles<'a>(edges: &BTreeSet<(&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
    let reach = |from: &'a str| {
        let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
        while let Some(file) = left.pop() {
            for (_, to) in edges.range((file, "")..).take_while(|(of, _)| *of == file) {
                if seen.insert(*to) {
                    left.push(to);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        edges.iter().map(|(from, _)| (*from, reach(from))).collect();
    let back = |from: &str, to: &str| reached.get(to).is_some_and(|seen| seen.contains(from));
    edges.iter().filter(|(from, to)| back(from, to)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.to_owned(), ..Source::default() }
    }

    fn found(files: &[(&str, &str)], allowed: usize) -> Vec<String> {
        let sources: Vec<Source> =
            files.iter().map(|(path, text)| source(&format!("crates/x/src/{path}"), text)).collect();
        circles(&crates(&sources), &[("x", allowed)])
    }

    const ROOT: (&str, &str) = ("lib.rs", "mod a; mod b; mod c;");

    #[test]
    fn two_files_that_import_each_other_are_a_circle() {
        let files = [ROOT, ("a.rs", "use crate::b::B;"), ("b.rs", "fn f() { crate::a::g() }")];
        let breach = found(&files, 0);
        assert_eq!(breach.len(), 1);
        assert!(breach[0].starts_with("x: 2 imports lie on circles, 0 are allowed"), "{breach:?}");
        assert_eq!(found(&files, 2), [""; 0]);
        assert_eq!(found(&files, 3), ["x: 2 imports lie on circles: lower its 3"]);
    }

    #[test]
    fn a_circle_over_three_files_is_found_and_a_chain_is_none() {
        let chain =
            [ROOT, ("a.rs", "use crate::b;"), ("b.rs", "use super::c::C;"), ("c.rs", "use std::fmt;")];
        assert_eq!(found(&chain, 0), [""; 0]);
        let circle = [chain[0], chain[1], chain[2], ("c.rs", "use crate::{a::A, d::D};")];
        assert!(found(&circle, 0)[0].starts_with("x: 3 imports"));
    }

    #[test]
    fn a_re_export_hides_no_circle_and_makes_none() {
        let root = ("lib.rs", "mod a; mod b; pub use a::A; pub use b::B as Renamed;");
        assert_eq!(found(&[root, ("a.rs", "use crate::Renamed;"), ("b.rs", "")], 0), [""; 0]);
        let circle = [root, ("a.rs", "use crate::Renamed;"), ("b.rs", "use crate::A;")];
        assert!(found(&circle, 0)[0].starts_with("x: 2 imports"));
    }

    #[test]
    fn a_parent_that_calls_its_child_which_needs_it_is_a_circle() {
        let child = ("a/inner.rs", "use super::A;");
        assert_eq!(found(&[ROOT, ("a.rs", "mod inner; struct A;"), child], 0), [""; 0]);
        let parent = ("a.rs", "mod inner; struct A; fn f() { inner::g() }");
        assert!(found(&[ROOT, parent, child], 0)[0].starts_with("x: 2 imports"));
    }

    #[test]
    fn a_base_that_imports_a_command_is_a_breach() {
        let found = |error: &str| {
            let main = "mod cli; mod owner; mod session;";
            let files = [
                ("main.rs", main),
                ("cli.rs", ""),
                ("owner/mod.rs", "pub mod publish;"),
                ("owner/publish.rs", ""),
                ("session/mod.rs", "pub mod error; pub mod codes;"),
                ("session/codes.rs", ""),
                ("session/error.rs", error),
            ];
            let file = |(path, text): (&str, &str)| source(&format!("crates/licen/src/{path}"), text);
            breaches(&files.map(file))
        };
        for import in [
            "use crate::owner::publish;",
            "use crate::{cli, session::codes};",
            "fn f() { crate::owner::publish::run() }",
            "use super::super::owner;",
        ] {
            let breach = found(import);
            assert_eq!(breach.len(), 1, "{import}: {breach:?}");
            assert!(breach[0].starts_with("crates/licen/src/session/error.rs must not import"), "{breach:?}");
        }
        assert_eq!(found("use crate::session::codes; use super::codes::NODE;"), [""; 0]);
    }

    #[test]
    fn tests_are_free() {
        let a = ("a.rs", "#[cfg(test)] mod tests { use crate::b::B; }");
        assert_eq!(found(&[ROOT, a, ("b.rs", "use crate::a::A;")], 0), [""; 0]);
        assert_eq!(
            found(&[ROOT, ("a.rs", ""), ("a_tests.rs", "use crate::b;"), ("b.rs", "use crate::a;")], 0),
            [""; 0]
        );
    }
}
