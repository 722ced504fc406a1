//! Which file of a crate uses which, as its `use` declarations and paths say.
//!
//! Comments (a link in the documentation is no dependency) and tests don't count. A name that a module only passes on
//! (`pub use`) belongs to the file that defines it.

use std::collections::{BTreeMap, BTreeSet};

/// The source files of a crate: path below `src/` and text.
pub(crate) type Sources = BTreeMap<String, String>;

/// Files, and the files that each uses.
pub(crate) type Uses = BTreeMap<String, BTreeSet<String>>;

/// Which file uses which.
pub(crate) fn uses(sources: &Sources) -> Uses {
    let modules: BTreeMap<Vec<String>, &str> =
        sources.keys().map(|file| (module(file), file.as_str())).collect();
    let code: BTreeMap<&str, String> =
        sources.iter().map(|(file, text)| (file.as_str(), code(text))).collect();
    let house = Crate { modules: &modules, passed_on: passed_on(&modules, &code) };
    let used = |file: &str, text: &str| {
        let paths = paths(file, &without_pub_use(text), &modules);
        let found = paths.iter().filter_map(|path| house.file(path, 0));
        found.filter(|used| used != file).collect()
    };
    code.iter().map(|(file, text)| ((*file).to_owned(), used(file, text))).collect()
}

/// The modules of a crate, and the names that they pass on.
struct Crate<'a> {
    modules: &'a BTreeMap<Vec<String>, &'a str>,
    passed_on: BTreeMap<(Vec<String>, String), Vec<String>>,
}

impl Crate<'_> {
    /// The file that defines what a path names; `None` for a path that leads out of the crate.
    fn file(&self, path: &[String], depth: usize) -> Option<String> {
        let known = (1..=path.len()).rev().find(|length| self.modules.contains_key(&path[..*length]))?;
        let (module, rest) = path.split_at(known);
        if let Some(name) = rest.first()
            && let Some(target) = self.passed_on.get(&(module.to_vec(), name.clone()))
            && depth < 8
        {
            let target: Vec<String> = target.iter().chain(&rest[1..]).cloned().collect();
            return self.file(&target, depth + 1);
        }
        self.modules.get(module).map(|file| (*file).to_owned())
    }
}

/// The path of a file's module: `cloud/context.rs` is `cloud::context`, `cloud/mod.rs` is `cloud`.
fn module(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').map(str::to_owned).collect()
}

/// A file's text without comments and tests.
fn code(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let is_test = |at: usize| {
        lines[at].trim() == "#[cfg(test)]"
            && lines.get(at + 1).is_some_and(|next| next.contains("mod ") && next.ends_with('{'))
    };
    let end = (0..lines.len()).find(|at| is_test(*at)).unwrap_or(lines.len());
    let shown = lines[..end].iter().map(|line| line.split("// ").next().unwrap_or_default());
    shown.filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every path of a file that leads into the crate, from the crate's root.
fn paths(file: &str, text: &str, modules: &BTreeMap<Vec<String>, &str>) -> Vec<Vec<String>> {
    let here = module(file);
    let mut found = Vec::new();
    let mut starts: Vec<(String, Vec<String>)> = vec![
        ("crate::".to_owned(), Vec::new()),
        ("self::".to_owned(), here.clone()),
        ("super::".to_owned(), here[..here.len() - 1].to_vec()),
    ];
    // What lies below this module is named without more.
    let below = modules.keys().filter(|path| path.len() == here.len() + 1 && path.starts_with(&here));
    starts.extend(below.map(|path| (format!("{}::", path[here.len()]), path.clone())));
    for (start, from) in starts {
        for (at, _) in text.match_indices(&start) {
            let before = text[..at].chars().next_back();
            if before.is_none_or(|before| !is_word(before) && before != ':' && before != '$') {
                tree(&text[at + start.len()..], &from, &mut found);
            }
        }
    }
    found
}

/// Reads what stands after `::`: a name, more of a path, or a list of them in braces. Returns how much was read.
fn tree(text: &str, from: &[String], found: &mut Vec<Vec<String>>) -> usize {
    if let Some(list) = text.strip_prefix('{') {
        let mut at = 0;
        while let Some(next) = list[at..].chars().next() {
            if next == '}' {
                return at + 2;
            }
            at += if is_word(next) { tree(&list[at..], from, found) } else { next.len_utf8() };
        }
        return text.len();
    }
    let length = text.find(|one: char| !is_word(one)).unwrap_or(text.len());
    let (name, rest) = text.split_at(length);
    let path = match name {
        "" | "self" => from.to_vec(),
        "super" => from[..from.len().saturating_sub(1)].to_vec(),
        name => [from, &[name.to_owned()]].concat(),
    };
    if let Some(rest) = rest.strip_prefix("::") {
        return length + 2 + tree(rest, &path, found);
    }
    found.push(path);
    // Under which other name it is known here says nothing.
    rest.strip_prefix(" as ")
        .map_or(length, |alias| length + 4 + alias.find(|one: char| !is_word(one)).unwrap_or(alias.len()))
}

/// The names that modules only pass on, and where they are from.
fn passed_on(
    modules: &BTreeMap<Vec<String>, &str>,
    code: &BTreeMap<&str, String>,
) -> BTreeMap<(Vec<String>, String), Vec<String>> {
    let mut all = BTreeMap::new();
    for (path, file) in modules {
        for declaration in pub_uses(&code[file]) {
            for target in paths(file, declaration, modules) {
                if let Some(name) = target.last() {
                    all.insert((path.clone(), name.clone()), target.clone());
                }
            }
        }
    }
    all
}

/// The declarations that pass names on, by name.
fn pub_uses(text: &str) -> impl Iterator<Item = &str> {
    let starts = text.match_indices("pub").filter(|(at, _)| {
        let rest = text[at + 3..].trim_start_matches("(crate)").trim_start_matches("(super)");
        rest.starts_with(" use ") && (*at == 0 || text[..*at].ends_with('\n'))
    });
    let declarations = starts.map(|(at, _)| &text[at..at + text[at..].find(';').unwrap_or(text.len() - at)]);
    declarations.filter(|declaration| !declaration.contains('*'))
}

fn without_pub_use(text: &str) -> String {
    let mut rest = text.to_owned();
    for declaration in pub_uses(text).map(str::to_owned).collect::<Vec<_>>() {
        rest = rest.replacen(&declaration, "", 1);
    }
    rest
}

fn is_word(one: char) -> bool {
    one.is_alphanumeric() || one == '_'
}

/// The groups of files that use each other in a circle, sorted.
pub(crate) fn circles(uses: &Uses) -> Vec<Vec<String>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        uses.keys().map(|file| (file.as_str(), reach(file, uses))).collect();
    let mut circles = BTreeSet::new();
    for (file, others) in &reached {
        let circle: Vec<String> = others
            .iter()
            .filter(|other| reached.get(*other).is_some_and(|back| back.contains(file)))
            .map(|other| (*other).to_owned())
            .collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

/// Every file that a file uses, by whatever way.
fn reach<'a>(file: &str, uses: &'a Uses) -> BTreeSet<&'a str> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![file]);
    while let Some(file) = next.pop() {
        for used in uses.get(file).into_iter().flatten() {
            if reached.insert(used.as_str()) {
                next.push(used);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let sources = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
        circles(&uses(&sources))
    }

    #[test]
    fn files_that_use_each_other_are_found_however_they_say_it() {
        let circle = [vec!["a/one.rs".to_owned(), "a/two.rs".to_owned()]];
        for text in [
            "use crate::a::two::Two;",
            "use crate::{b, a::{mod_c, two::{self, Two}}};",
            "use super::two as other;",
            "fn f() { crate::a::two::f() }",
            "use crate::a::Two;",
        ] {
            let files = [
                ("a/mod.rs", "pub mod one;\npub mod two;\npub use two::Two;\n"),
                ("a/one.rs", text),
                ("a/two.rs", "use crate::a::one;\n"),
            ];
            assert_eq!(found(&files), circle, "{text}");
        }
    }

    #[test]
    fn a_module_and_what_lies_below_it_can_be_a_circle_too() {
        let files =
            [("a.rs", "mod queue;\nfn f() { queue::f() }\n"), ("a/queue.rs", "use super::Request;\n")];
        assert_eq!(found(&files), [["a.rs", "a/queue.rs"]]);
    }

    #[test]
    fn a_longer_way_round_is_a_circle() {
        let files =
            [("a.rs", "use crate::b::B;"), ("b.rs", "use crate::c::C;"), ("c.rs", "use crate::a::A;")];
        assert_eq!(found(&files), [["a.rs", "b.rs", "c.rs"]]);
    }

    #[test]
    fn links_tests_and_names_that_are_passed_on_are_no_circle() {
        let files = [
            ("a/mod.rs", "pub mod one;\npub mod two;\npub use two::Two;\npub use one::One;\n"),
            ("a/one.rs", "use crate::a::Two;\n"),
            (
                "a/two.rs",
                "//! See [`crate::a::one`].\nfn f() {} // as in crate::a::one\n\n#[cfg(test)]\nmod tests {\n    use crate::a::one;\n}\n",
            ),
        ];
        assert_eq!(found(&files), Vec::<Vec<String>>::new());
    }
}
