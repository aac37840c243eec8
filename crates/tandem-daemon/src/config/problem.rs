//! What is wrong with a configuration file, and where: file, line, column, the line, a hint.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use tandem_console::scrub::without_addresses;

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It is not valid.
    #[error("{}", report(path, problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// How many characters are meant.
    pub width: usize,
    /// The text of that line.
    pub source_line: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem with the part `span` of `text`.
    pub(super) fn new(
        text: &str,
        span: Range<usize>,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Self {
        let start = (0..=span.start.min(text.len()))
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .expect("0 is a boundary");
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let source_line = text[line_start..line_end].trim_end_matches('\r');
        let end = (span.end.min(line_start + source_line.len()).max(start)..=text.len())
            .find(|at| text.is_char_boundary(*at))
            .expect("the end is a boundary");
        Self {
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            width: text[start..end].chars().count().max(1),
            source_line: without_addresses(source_line),
            message: without_addresses(&message.into()),
            hint,
        }
    }
}

fn report(path: &std::path::Path, problems: &[Problem]) -> String {
    let reports: Vec<String> = (problems.iter())
        .map(|problem| {
            let (line, column) = (problem.line, problem.column);
            format!("{}:{line}:{column}: {problem}", path.display())
        })
        .collect();
    reports.join("\n\n")
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let before = " ".repeat(self.column - 1);
        let marks = "^".repeat(self.width);
        writeln!(f, "{}", self.message)?;
        writeln!(f, " {margin} |")?;
        writeln!(f, " {number} | {}", self.source_line.replace('\t', " "))?;
        write!(f, " {margin} | {before}{marks}")?;
        match &self.hint {
            Some(hint) => write!(f, "\n {margin} = hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// The word of `words` that was probably meant by `typed`.
pub(super) fn nearest<'a>(typed: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    words
        .map(|word| (distance(typed, word), word))
        .filter(|(distance, word)| *distance <= (word.len() / 3).max(1))
        .min()
        .map(|(_, word)| word)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let above = row[j + 1];
            let change = diagonal + usize::from(ca != *cb);
            row[j + 1] = change.min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_its_line_and_marks_the_place() {
        let text = "a = 1\nwörd = \"x\"\n";
        let at = text.find("\"x\"").expect("it is there");
        let problem = Problem::new(text, at..at + 3, "no", Some("yes".into()));
        assert_eq!((problem.line, problem.column, problem.width), (2, 8, 3));
        assert_eq!(
            problem.to_string(),
            "no\n   |\n 2 | wörd = \"x\"\n   |        ^^^\n   = hint: yes"
        );
    }

    #[test]
    fn a_place_at_the_very_end_or_beyond_is_shown_too() {
        for span in [5..5, 99..200, 0..99] {
            let problem = Problem::new("a = 1", span, "no", None);
            assert_eq!(problem.source_line, "a = 1");
        }
    }

    #[test]
    fn an_address_in_the_line_loses_what_may_be_secret() {
        for (text, shown) in [
            ("w = \"https://h:1/a?k=s\" # x", "w = \"https://h:1…\" # x"),
            ("w = \"https://u:p@h/\"", "w = \"https://…\""),
            ("w = 'https://h'", "w = 'https://h'"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(without_addresses(text), shown);
        }
    }

    #[test]
    fn a_misspelt_word_finds_its_neighbour() {
        let words = ["takeover-after", "name"];
        assert_eq!(nearest("takeover-afer", words.into_iter()), Some(words[0]));
        assert_eq!(nearest("takeover_after", words.into_iter()), Some(words[0]));
        assert_eq!(nearest("colour", words.into_iter()), None);
    }
}
