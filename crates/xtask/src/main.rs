//! `cargo xtask docs [--check]`: writes the pages that are generated from the code, or checks that
//! they are fresh. What describes the command line, the program writes itself, and its own tests
//! check it.

mod states;

use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    vec![(root.join("docs/states.md"), states::page())]
}

fn stale() -> Vec<PathBuf> {
    pages()
        .into_iter()
        .filter(|(path, page)| std::fs::read_to_string(path).ok().as_ref() != Some(page))
        .map(|(path, _)| path)
        .collect()
}

/// Reference, manual pages and completions of the command line.
fn describe_commands() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let status = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--package", "tandem", "--", "generate"])
        .arg(root)
        .status()
        .context("run cargo")?;
    ensure!(status.success(), "the program does not describe itself");
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["docs"] => {
            for (path, page) in pages() {
                std::fs::write(&path, page)
                    .with_context(|| format!("write page {}", path.display()))?;
            }
            describe_commands()
        }
        ["docs", "--check"] => match stale().as_slice() {
            [] => Ok(()),
            stale => bail!("not fresh, run `cargo xtask docs`: {stale:?}"),
        },
        _ => bail!("usage: cargo xtask docs [--check]"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn generated_pages_are_fresh() {
        assert_eq!(
            super::stale(),
            Vec::<std::path::PathBuf>::new(),
            "run `cargo xtask docs`"
        );
    }
}
