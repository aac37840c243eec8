//! `docs/states.md`, from the transition table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use tandem_core::table::{Cause, Ruling, State, transition};

/// The words of a cause: `PrimarySilent` as "primary silent".
fn words(cause: Cause) -> String {
    let mut text = String::new();
    for letter in format!("{cause:?}").chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// Row, from, to.
type Move = (u8, &'static str, &'static str);
/// A cause in words, and the table's reason.
type Why = (String, &'static str);

/// The page.
pub fn page() -> String {
    let mut moves: BTreeMap<Move, Vec<Why>> = BTreeMap::new();
    let mut stays = String::new();
    for state in State::ALL {
        for &cause in Cause::ALL {
            match transition(state, cause) {
                Ruling::Go { row, to, because } => moves
                    .entry((row.0, state.word(), to.word()))
                    .or_default()
                    .push((words(cause), because)),
                Ruling::Stay { because } => {
                    let _ = writeln!(stays, "| `{state}` | {} | {because} |", words(cause));
                }
            }
        }
    }
    let mut table = String::new();
    let mut edges: BTreeMap<(&str, &str), Vec<u8>> = BTreeMap::new();
    for ((row, from, to), causes) in &moves {
        for (cause, because) in causes {
            let _ = writeln!(table, "| {row} | `{from}` | `{to}` | {cause} | {because} |");
        }
        edges.entry((from, to)).or_default().push(*row);
    }
    let mut diagram = String::new();
    for ((from, to), rows) in edges {
        let rows: Vec<String> = rows.iter().map(u8::to_string).collect();
        let _ = writeln!(diagram, "    {from} --> {to}: {}", rows.join(", "));
    }
    format!(
        "# States and transitions\n\n\
         Generated from the transition table in `crates/tandem-core/src/table.rs` by \
         `cargo xtask docs`; a test fails when this page is not fresh. The sentences are those of \
         the log and of *Why*.\n\n\
         ```mermaid\nstateDiagram-v2\n    [*] --> STOP\n{diagram}```\n\n\
         The numbers are the rows below.\n\n\
         ## What moves a node\n\n\
         | row | from | to | cause | because |\n|---|---|---|---|---|\n{table}\n\
         ## What does not, and why\n\n\
         | state | cause | why nothing happens |\n|---|---|---|\n{stays}"
    )
}
