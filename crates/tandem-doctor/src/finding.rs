//! What an examination comes to: for each check and node a verdict, its reason, and what to do.

use crate::facts::Looked;
use serde::Serialize;
use std::net::IpAddr;
use std::path::PathBuf;

/// How good something is. In the order of what a person looks at last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It could not be looked at.
    Unknown,
    /// It works, and will cost something.
    Warning,
    /// It does not work, or will lose something.
    Failed,
}

impl Verdict {
    /// The word that users see.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// The check.
    pub check: &'static str,
    /// 1 or 2; none: between the nodes, or of a machine that is no node yet.
    pub node: Option<u8>,
    /// How good it is.
    pub verdict: Verdict,
    /// What was found, as a sentence.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// What `--fix` would do on that node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
}

/// A remedy that Tandem can carry out itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fix {
    /// A line is added to `/etc/hosts`.
    HostsLine {
        /// The address.
        address: IpAddr,
        /// The name.
        name: String,
    },
    /// The units of the configuration do not start at boot any more.
    DisableUnits,
    /// The script may be run.
    Executable {
        /// Which.
        path: PathBuf,
    },
    /// The clock is kept by a time server.
    SynchroniseClock,
}

/// Collects the findings of one check.
#[derive(Debug)]
pub struct Report {
    check: &'static str,
    /// In the order in which they were found.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Nothing yet.
    #[must_use]
    pub const fn new(check: &'static str) -> Self {
        Self {
            check,
            findings: Vec::new(),
        }
    }

    /// As it should be.
    pub fn ok(&mut self, node: Option<u8>, what: impl Into<String>) {
        self.add(node, Verdict::Ok, what.into(), None);
    }

    /// It could not be looked at.
    pub fn unknown(&mut self, node: Option<u8>, what: impl Into<String>) {
        self.add(node, Verdict::Unknown, what.into(), None);
    }

    /// What was seen there; what could not be looked at is said.
    pub fn seen<'a, T>(&mut self, node: Option<u8>, looked: &'a Looked<T>) -> Option<&'a T> {
        if let Looked::Unknown(why) = looked {
            self.unknown(node, why);
        }
        looked.seen()
    }

    /// It works, and will cost something.
    pub fn warning(&mut self, node: Option<u8>, what: impl Into<String>, remedy: &str) {
        self.add(node, Verdict::Warning, what.into(), Some(remedy));
    }

    /// It does not work, or will lose something.
    pub fn failed(&mut self, node: Option<u8>, what: impl Into<String>, remedy: &str) {
        self.add(node, Verdict::Failed, what.into(), Some(remedy));
    }

    /// What was found last can be fixed.
    pub fn fixable(&mut self, fix: Fix) {
        if let Some(last) = self.findings.last_mut() {
            last.fix = Some(fix);
        }
    }

    fn add(&mut self, node: Option<u8>, verdict: Verdict, what: String, remedy: Option<&str>) {
        self.findings.push(Finding {
            check: self.check,
            node,
            verdict,
            what,
            remedy: remedy.map(str::to_owned),
            fix: None,
        });
    }
}
