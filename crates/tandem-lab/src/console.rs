//! What a host's console printed, and what of it nobody expected.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// A place in a console's log, from which on it is looked at.
#[derive(Clone, Debug)]
pub struct Mark {
    file: PathBuf,
    at: usize,
}

impl Mark {
    /// The present end of `file`.
    #[must_use]
    pub fn end_of(file: &Path) -> Self {
        let at = fs::metadata(file).map_or(0, |m| m.len() as usize);
        Self {
            file: file.to_owned(),
            at,
        }
    }

    /// What was printed since, as text.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn text(&self) -> Result<String> {
        let bytes = fs::read(&self.file).with_context(|| self.file.display().to_string())?;
        let since = bytes.get(self.at..).unwrap_or_default();
        Ok(String::from_utf8_lossy(since).into_owned())
    }

    /// The lines in which the product said ERROR, or panicked, except those that contain one of
    /// the `expected` phrases.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn errors(&self, expected: &[&str]) -> Result<Vec<String>> {
        Ok(unexpected(&self.text()?, expected))
    }
}

fn unexpected(text: &str, expected: &[&str]) -> Vec<String> {
    text.lines()
        .filter(|line| line.contains("tandem"))
        .filter(|line| line.contains("ERROR") || line.contains("panicked at"))
        .filter(|line| !expected.iter().any(|phrase| line.contains(phrase)))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_product_is_found_and_an_expected_one_is_not() {
        let text = "tandem[7]:  INFO all is well\n\
                    tandem[7]: ERROR the disk failed: volume db\n\
                    other[8]: ERROR nobody asked\n\
                    tandem-mirror[9]: thread 'x' panicked at src/a.rs:1:1:\n";
        assert_eq!(unexpected(text, &[]).len(), 2);
        assert_eq!(unexpected(text, &["the disk failed"]).len(), 1);
    }
}
