//! Renders `config/default.toml` and `config/env.example` from the table, so that they cannot be wrong.
//!
//! A test compares the committed files with what this gives.

use super::env::{Kind, ROWS, Row};

/// Columns of a comment line, in characters.
const WIDTH: usize = 100;

/// Renders `config/default.toml`.
#[must_use]
pub fn default_toml() -> String {
    let mut out = String::from(
        "# The defaults of VisionFlow. This file is built into the program; what a copy under ./config changes,\n\
         # applies over it. Then come config/<profile>.toml, .env and the environment. An unknown key is an error.\n\
         # Written from src/settings/env.rs: change it there.\n",
    );
    let mut section = "";
    for row in ROWS.iter().filter(|row| row.kind != Kind::Profile) {
        if row.section() != section {
            section = row.section();
            out.push_str(&format!("\n[{section}]\n"));
        }
        out.push_str(&comment(row, &named(row)));
        let name = row.key.split_once('.').map_or(row.key, |(_, name)| name);
        let value = match row.kind {
            Kind::Whole { .. } | Kind::Flag => row.default.to_owned(),
            Kind::Origins => {
                let items: Vec<String> = row.default.split(',').map(|origin| format!("{origin:?}")).collect();
                format!("[{}]", items.join(", "))
            }
            Kind::Choice(_)
            | Kind::Address
            | Kind::Folder
            | Kind::Database
            | Kind::Runtime
            | Kind::Filter
            | Kind::Secret { .. }
            | Kind::Profile => format!("{:?}", row.default),
        };
        let mark = if row.default.is_empty() { "# " } else { "" };
        out.push_str(&format!("{mark}{name} = {value}\n"));
    }
    out
}

/// Renders `config/env.example`.
#[must_use]
pub fn env_example() -> String {
    let mut out = String::from(
        "# Variables of VisionFlow with their defaults: copy to .env in the working directory and change what you\n\
         # need. The environment wins over .env. An empty value counts as unset. Put values with blanks, # or $\n\
         # within single quotes.\n\
         # Written from src/settings/env.rs: change it there.\n",
    );
    let mut section = "";
    for row in ROWS {
        if row.section() != section {
            section = row.section();
            out.push_str(&format!("\n# --- {section}\n"));
        }
        out.push_str(&comment(row, ""));
        out.push_str(&format!("# {}={}\n", row.name(), row.default));
    }
    out
}

fn named(row: &Row) -> String {
    row.variable.map_or_else(String::new, |variable| format!("[{variable}]"))
}

fn comment(row: &Row, end: &str) -> String {
    let text = format!("{} Allowed: {}. {end}", row.doc, row.allowed());
    let mut out = String::new();
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
    out
}
