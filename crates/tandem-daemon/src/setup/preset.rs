//! Presets: what a kind of application needs, as a file that people can read and write. Its
//! `[[volume]]`, `[[service]]` and `[[checker]]` have the keys of the configuration file; `{name}`
//! in a text stands for the answer to the `[[question]]` of that name.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Where packages put them.
pub const SHIPPED: &str = "/usr/share/tandem/presets";

/// A preset that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PresetError {
    /// No such file.
    #[error("read preset {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Not a preset.
    #[error("understand preset {}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Its own word.
    #[error("{0}")]
    Refused(String),
    /// A question without an answer.
    #[error("the preset asks for {0}: --set {0}=…")]
    Unanswered(String),
    /// An answer without a question.
    #[error("the preset does not ask for {0}")]
    NotAsked(String),
}

/// What a kind of application needs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Preset {
    /// One line for people.
    pub description: String,
    /// Why it cannot be used here.
    refused: Option<String>,
    /// Another `takeover-after` than the default.
    pub takeover_after: Option<String>,
    /// What it has to know.
    #[serde(default, rename = "question")]
    pub questions: Vec<Question>,
    #[serde(default)]
    volume: Vec<Table>,
    #[serde(default)]
    service: Vec<Table>,
    #[serde(default)]
    checker: Vec<Table>,
    #[serde(default)]
    same: Vec<Same>,
}

/// Something that a preset has to know.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// How answers and texts name it.
    pub name: String,
    /// How a person is asked.
    pub text: String,
    /// The answer of a person who has none. May refer to questions before it.
    pub default: Option<String>,
}

/// Something that is not mirrored, and must be alike on both nodes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Same {
    path: String,
}

/// Answers, by the names of their questions.
pub type Answers = BTreeMap<String, String>;

/// A preset with all its answers.
#[derive(Clone, Debug)]
pub struct Filled {
    /// `volume`, `service`, `checker`, as in a module of the configuration file.
    pub(super) parts: Table,
    /// What must be alike on both nodes.
    pub(super) same: Vec<PathBuf>,
    /// Another `takeover-after` than the default.
    pub takeover_after: Option<String>,
}

impl Preset {
    /// Reads a shipped preset by its name, or any file by its path.
    ///
    /// # Errors
    /// [`PresetError`]
    pub fn read(name: &str) -> Result<Self, PresetError> {
        let path = match name.contains('/') || name.ends_with(".toml") {
            true => PathBuf::from(name),
            false => Path::new(SHIPPED).join(format!("{name}.toml")),
        };
        let text = std::fs::read_to_string(&path).map_err(|source| PresetError::Read {
            path: path.clone(),
            source,
        })?;
        Self::parse(&path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, PresetError> {
        let preset: Self = toml::from_str(text).map_err(|source| PresetError::Malformed {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        match preset.refused {
            Some(reason) => Err(PresetError::Refused(reason)),
            None => Ok(preset),
        }
    }

    /// The answer to a question when nobody gives one, after those before it.
    #[must_use]
    pub fn default_answer(question: &Question, before: &Answers) -> Option<String> {
        question.default.as_ref().map(|text| fill(text, before))
    }

    /// Puts the answers in; those that are missing take their default.
    ///
    /// # Errors
    /// A question has neither an answer nor a default, or an answer has no question.
    pub fn fill(&self, answers: &Answers) -> Result<Filled, PresetError> {
        let asked = |name: &String| self.questions.iter().any(|q| q.name == *name);
        if let Some(name) = answers.keys().find(|name| !asked(name)) {
            return Err(PresetError::NotAsked(name.clone()));
        }
        let mut all = Answers::new();
        for question in &self.questions {
            let answer = answers.get(&question.name).cloned();
            let answer = answer.or_else(|| Self::default_answer(question, &all));
            let answer = answer.ok_or_else(|| PresetError::Unanswered(question.name.clone()))?;
            all.insert(question.name.clone(), answer);
        }
        let mut parts = Table::new();
        let kinds = [
            ("volume", &self.volume),
            ("service", &self.service),
            ("checker", &self.checker),
        ];
        for (key, tables) in kinds {
            let tables = tables.iter().cloned().map(Value::Table).collect();
            parts.insert(key.to_owned(), filled(Value::Array(tables), &all));
        }
        let same = self.same.iter().map(|same| fill(&same.path, &all).into());
        Ok(Filled {
            parts,
            same: same.collect(),
            takeover_after: self.takeover_after.clone(),
        })
    }
}

fn filled(value: Value, answers: &Answers) -> Value {
    match value {
        Value::String(text) => Value::String(fill(&text, answers)),
        Value::Array(values) => {
            Value::Array(values.into_iter().map(|v| filled(v, answers)).collect())
        }
        Value::Table(table) => {
            let pairs = table.into_iter().map(|(k, v)| (k, filled(v, answers)));
            Value::Table(pairs.collect())
        }
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => value,
    }
}

fn fill(text: &str, answers: &Answers) -> String {
    let mut text = text.to_owned();
    for (name, answer) in answers {
        text = text.replace(&format!("{{{name}}}"), answer);
    }
    text
}

/// A mark of a file, or of everything below a directory: names, kinds and contents. `None`: it
/// cannot be read.
pub(super) fn mark(path: &Path) -> Option<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        hasher.update(path.as_os_str().as_encoded_bytes());
        let kind = std::fs::symlink_metadata(&path).ok()?.file_type();
        if kind.is_dir() {
            let entries = std::fs::read_dir(&path).ok()?;
            let mut below: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            below.sort();
            hasher.update(b"directory");
            open.extend(below);
        } else if kind.is_file() {
            hasher.update(b"file");
            hasher.update(&std::fs::read(&path).ok()?);
        } else if kind.is_symlink() {
            hasher.update(b"link");
            let target = std::fs::read_link(&path).ok()?;
            hasher.update(target.as_os_str().as_encoded_bytes());
        }
    }
    Some(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> Vec<(String, String)> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/presets");
        let entries = std::fs::read_dir(directory).expect("the presets");
        let files = entries.map(|entry| entry.expect("a preset").path());
        files
            .map(|path| {
                let name = path
                    .file_stem()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned();
                (name, std::fs::read_to_string(path).expect("a text"))
            })
            .collect()
    }

    fn answers(pairs: &[(&str, &str)]) -> Answers {
        let pairs = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        pairs.collect()
    }

    #[test]
    fn every_shipped_preset_makes_a_valid_configuration_or_says_why_not() {
        let mut names = Vec::new();
        for (name, text) in shipped() {
            match Preset::parse(Path::new(&name), &text) {
                Ok(preset) => {
                    let given = match name.as_str() {
                        "generic" => answers(&[("unit", "x.service"), ("data", "/srv/x")]),
                        _ => Answers::new(),
                    };
                    let filled = preset.fill(&given).expect("all have defaults");
                    let text = crate::setup::tests::configuration_of(&filled);
                    crate::config::Configuration::parse(Path::new("t"), &text)
                        .unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
                }
                Err(error) => {
                    assert_eq!(name, "hub", "{}", crate::report(&error));
                    assert!(error.to_string().contains("Windows"), "{error}");
                }
            }
            names.push(name);
        }
        names.sort();
        let all = [
            "compose",
            "generic",
            "hub",
            "mariadb",
            "mssql",
            "postgresql",
            "zoneminder",
        ];
        assert_eq!(names, all);
    }

    #[test]
    fn an_answer_goes_everywhere_and_into_the_defaults_after_it() {
        let (_, text) = (shipped().into_iter())
            .find(|(name, _)| name == "postgresql")
            .expect("it");
        let preset = Preset::parse(Path::new("p"), &text).expect("valid");
        let filled = preset
            .fill(&answers(&[("version", "16")]))
            .expect("answered");
        let parts = filled.parts.to_string();
        assert!(parts.contains("/var/lib/postgresql/16/main"), "{parts}");
        assert!(parts.contains("postgresql@16-main.service"), "{parts}");
        assert_eq!(filled.same, [Path::new("/etc/postgresql/16/main")]);
    }

    #[test]
    fn a_missing_answer_and_one_too_many_are_named() {
        let (_, text) = (shipped().into_iter())
            .find(|(name, _)| name == "generic")
            .expect("it");
        let preset = Preset::parse(Path::new("p"), &text).expect("valid");
        let error = preset
            .fill(&answers(&[("unit", "x")]))
            .expect_err("one is missing");
        assert!(matches!(error, PresetError::Unanswered(name) if name == "data"));
        let error = preset
            .fill(&answers(&[("units", "x")]))
            .expect_err("nobody asked");
        assert!(matches!(error, PresetError::NotAsked(name) if name == "units"));
    }

    #[test]
    fn a_mark_changes_with_names_and_contents() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path();
        let write = |name: &str, text: &str| std::fs::write(path.join(name), text).expect("room");
        write("a", "1");
        let first = mark(path);
        assert!(first.is_some());
        assert_eq!(first, mark(path));
        write("a", "2");
        let second = mark(path);
        assert_ne!(first, second);
        write("b", "");
        assert_ne!(second, mark(path));
        assert_eq!(mark(&path.join("none")), None);
    }
}
