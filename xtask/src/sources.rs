//! Reading the repository's Rust sources for tidy: lines outside tests, functions, public names.

use std::path::{Path, PathBuf};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A file as tidy sees it.
#[derive(Default)]
pub(crate) struct Source {
    /// Path from the repository's root.
    pub(crate) path: PathBuf,
    /// The text.
    pub(crate) text: String,
    /// Lines that are not in a test module.
    pub(crate) lines: usize,
    /// Functions: name, first line, lines.
    pub(crate) functions: Vec<(String, usize, usize)>,
    /// Public type, trait, function and module names with their line.
    pub(crate) names: Vec<(String, usize)>,
    /// Whether a `lib.rs` lies in the same folder.
    pub(crate) beside_lib: bool,
}

/// Every Rust file under `dir`, tests included (their `is_test` is by path).
pub(crate) fn read_all(root: &Path, dirs: &[&str]) -> Result<Vec<Source>, String> {
    let mut paths = Vec::new();
    for dir in dirs {
        walk(&root.join(dir), &mut paths)?;
    }
    paths.sort();
    paths.iter().map(|path| read(root, path)).collect()
}

/// Whether a file holds only tests.
pub(crate) fn is_test(path: &Path) -> bool {
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    stem == "tests"
        || stem.ends_with("_tests")
        || path.components().any(|c| matches!(c.as_os_str().to_str(), Some("tests" | "examples" | "benches")))
}

fn walk(dir: &Path, out: &mut Vec<PathBuf>) -> Result<(), String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        let path = entry.map_err(|e| format!("{}: {e}", dir.display()))?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|n| n != "target" && n != "node_modules") {
                walk(&path, out)?;
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    Ok(())
}

fn read(root: &Path, path: &Path) -> Result<Source, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let file = syn::parse_file(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut collector = Collector::default();
    collector.visit_file(&file);
    let beside_lib = path.with_file_name("lib.rs").is_file();
    let path = path.strip_prefix(root).unwrap_or(path).to_path_buf();
    let lines = text.lines().count().saturating_sub(collector.test_lines);
    Ok(Source { path, text, lines, functions: collector.functions, names: collector.names, beside_lib })
}

#[derive(Default)]
struct Collector {
    functions: Vec<(String, usize, usize)>,
    names: Vec<(String, usize)>,
    test_lines: usize,
}

/// Whether something is built for tests alone.
pub(crate) fn is_cfg_test(attrs: &[syn::Attribute]) -> bool {
    attrs
        .iter()
        .any(|a| a.path().is_ident("cfg") && a.parse_args::<syn::Ident>().is_ok_and(|ident| ident == "test"))
}

impl Collector {
    fn function(&mut self, name: &syn::Ident, span: proc_macro2::Span) {
        let (start, end) = (span.start().line, span.end().line);
        self.functions.push((name.to_string(), start, end + 1 - start));
    }

    fn name(&mut self, vis: &syn::Visibility, ident: &syn::Ident) {
        if matches!(vis, syn::Visibility::Public(_)) {
            self.names.push((ident.to_string(), ident.span().start().line));
        }
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if is_cfg_test(&item.attrs) {
            let span = item.span();
            self.test_lines += span.end().line + 1 - span.start().line;
            return;
        }
        self.name(&item.vis, &item.ident);
        visit::visit_item_mod(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig.ident, item.block.span());
        self.name(&item.vis, &item.sig.ident);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig.ident, item.block.span());
        self.name(&item.vis, &item.sig.ident);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.name(&item.vis, &item.ident);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.name(&item.vis, &item.ident);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.name(&item.vis, &item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.name(&item.vis, &item.ident);
    }
}
