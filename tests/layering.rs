//! Who may import whom: the table of `src/docs/architecture.md`, enforced on the sources.
//!
//! A module that is missing from the table fails as well, so a new one must say where it stands. Test code
//! (after `#[cfg(test)]`, in `tests.rs` and `*_tests.rs`) may import anything.

#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "a test stops at the first surprise, and slices at positions that it has found"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Module, modules that it may use, crates among [`WATCHED`] that it may name.
const TABLE: &[(&str, &[&str], &[&str])] = &[
    ("domain", &[], &["chrono"]),
    ("layout", &[], &[]),
    ("wire", &["domain"], &["bincode", "serde_json"]),
    ("settings", &[], &["config", "serde_json"]),
    ("telemetry", &[], &["metrics", "tracing", "chrono", "serde_json"]),
    ("identity", &["telemetry"], &["jsonwebtoken", "metrics", "tracing", "chrono", "serde_json"]),
    ("runtime", &[], &["actix", "tokio", "tracing", "metrics"]),
    ("compute", &["layout"], &["cust", "metrics", "tracing"]),
    (
        "store",
        &["domain", "runtime", "telemetry"],
        &["diesel", "diesel_migrations", "r2d2", "tokio", "tracing", "metrics", "chrono", "serde_json"],
    ),
    (
        "mcp_runtime",
        &["domain", "wire", "telemetry"],
        &["actix", "actix_web", "tokio", "tracing", "metrics", "chrono", "serde_json", "bincode"],
    ),
    (
        "actors",
        &["domain", "layout", "wire", "compute", "store", "runtime", "telemetry", "identity"],
        &["actix", "tokio", "tracing", "metrics", "chrono", "serde_json"],
    ),
    // the one place of the WebSocket crate, so that leaving it is one module
    (
        "actors/session",
        &["actors", "domain", "wire", "runtime", "telemetry", "identity"],
        &["actix", "actix_web", "actix_web_actors", "tokio", "tracing", "metrics", "serde_json"],
    ),
    (
        "web",
        &["domain", "wire", "settings", "telemetry", "identity", "runtime", "actors"],
        &["actix_web", "actix", "tokio", "tracing", "metrics", "chrono", "serde_json"],
    ),
    (
        "app",
        &[
            "actors",
            "compute",
            "domain",
            "identity",
            "layout",
            "mcp_runtime",
            "runtime",
            "settings",
            "store",
            "telemetry",
            "web",
            "wire",
        ],
        &["actix", "actix_web", "tokio", "tracing", "metrics", "chrono", "serde_json"],
    ),
    ("docs", &[], &[]),
    (
        "testkit",
        &[
            "actors",
            "app",
            "domain",
            "identity",
            "mcp_runtime",
            "runtime",
            "settings",
            "store",
            "telemetry",
            "web",
            "wire",
        ],
        &["actix", "actix_web", "tokio", "diesel", "serde_json", "chrono", "tracing"],
    ),
];

/// Crates whose use is restricted. Others are plain tools.
const WATCHED: &[&str] = &[
    "actix",
    "actix_web",
    "actix_web_actors",
    "bincode",
    "chrono",
    "config",
    "cust",
    "diesel",
    "diesel_migrations",
    "jsonwebtoken",
    "metrics",
    "r2d2",
    "rmcp",
    "serde_json",
    "tokio",
    "tracing",
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

/// The code of a file without comments and without what follows its first `#[cfg(test)]` on a `mod` with a body.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let mut kept = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("#[cfg(test)]") || trimmed.starts_with("#[cfg(any(test") {
            match lines.peek().map(|next| next.trim_start()) {
                Some(next) if next.starts_with("mod ") && next.ends_with('{') => break,
                _ => {
                    lines.next();
                    continue;
                }
            }
        }
        if !trimmed.starts_with("//") {
            kept.push_str(line.split(" // ").next().unwrap_or(line));
            kept.push('\n');
        }
    }
    kept
}

fn is_test_file(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    name == "tests" || name.ends_with("_tests") || path.components().any(|part| part.as_os_str() == "tests")
}

/// Words that stand before `::` after any character that can't belong to a path.
fn roots(code: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("::") {
        let before = &code[..at];
        let word: String = before.chars().rev().take_while(|c| is_word(*c)).collect();
        let word: String = word.chars().rev().collect();
        let rest = &before[..before.len() - word.len()];
        if !rest.ends_with("::") && !rest.ends_with('.') {
            found.insert(word);
        }
    }
    found
}

/// Modules of this crate that are named after `crate::`, also inside `crate::{a, b}`.
fn own_modules(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, matched) in code.match_indices("crate::") {
        let rest = &code[at + matched.len()..];
        let mut take = |text: &str| {
            let name: String =
                text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !name.is_empty() {
                found.insert(name);
            }
        };
        match rest.strip_prefix('{') {
            Some(group) => {
                let mut depth = 0;
                let mut start = 0;
                for (i, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => {
                            take(&group[start..i]);
                            break;
                        }
                        '}' => depth -= 1,
                        ',' if depth == 0 => {
                            take(&group[start..i]);
                            start = i + 1;
                        }
                        _ => {}
                    }
                }
            }
            None => take(rest),
        }
    }
    found
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 50, "only {} sources found under {}", files.len(), src.display());
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| !is_test_file(file)) {
        let inside = file.strip_prefix(&src).unwrap().with_extension("");
        let inside = inside.to_string_lossy().replace('\\', "/");
        if inside == "lib" || inside.starts_with("bin/") {
            continue;
        }
        let row = TABLE
            .iter()
            .filter(|(module, ..)| inside == *module || inside.starts_with(&format!("{module}/")))
            .max_by_key(|(module, ..)| module.len());
        let Some((module, modules, crates)) = row else {
            wrong.push(format!("{inside}: its module is missing from the table"));
            continue;
        };
        let code = code(file);
        let own = module.split('/').next().unwrap();
        for used in own_modules(&code).iter().filter(|used| *used != own && !modules.contains(&used.as_str()))
        {
            // macros and items of the crate root are no modules
            if src.join(used).exists() || src.join(format!("{used}.rs")).exists() {
                wrong.push(format!("{inside}: {module} may not use {used}"));
            }
        }
        for used in roots(&code).iter().filter(|used| WATCHED.contains(&used.as_str())) {
            // a module of ours may have the name of a crate
            if used != own && !crates.contains(&used.as_str()) {
                wrong.push(format!("{inside}: {module} may not name the crate {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} breaches of the layering:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_reader_of_imports_sees_groups_paths_and_no_comments() {
    let code = "use crate::{a, b::{c, d}, e};\nlet x = tokio::time::now(); crate::f::g();\nx.actix::y;";
    let own: Vec<_> = own_modules(code).into_iter().collect();
    assert_eq!(own, ["a", "b", "e", "f"]);
    let roots = roots(code);
    assert!(roots.contains("tokio") && roots.contains("crate") && !roots.contains("time"));
}
