//! Debian packages for the hosts, which have no way out: downloaded once by the machine itself, and
//! seen by the hosts' apt as a repository beside the binary under test. And newer versions of such
//! packages, made here.

use crate::host::Host;
use crate::lab::{Lab, workspace};
use crate::shell::outcome;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a hundred megabytes may take, once.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(600);
/// How long a package may take to be taken apart and put together.
const MAKE_LIMIT: Duration = Duration::from_secs(120);
/// Where the hosts see what lies in [`Lab::binaries`].
const SEEN_AT: &str = "/opt/tandem";

/// A repository.
#[derive(Clone, Debug)]
pub struct Repository {
    name: &'static str,
    directory: PathBuf,
}

impl Repository {
    /// An empty one, which the hosts see.
    ///
    /// # Errors
    /// Its directory cannot be made.
    pub fn new(lab: &Lab, name: &'static str) -> Result<Self> {
        let directory = lab.binaries().join(name);
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        Ok(Self { name, directory })
    }

    /// One with these packages, and all that they need which the hosts do not have.
    ///
    /// # Errors
    /// They cannot be had.
    pub fn of_debian(lab: &Lab, name: &'static str, packages: &[&str]) -> Result<Self> {
        let kept = lab.root.with_file_name("lab-packages").join(name);
        let script = workspace().join("scripts/lab-packages");
        let [script, root, to] = [&script, &lab.root, &kept].map(|path| path.display().to_string());
        let mut words = vec![script.as_str(), &root, &to];
        words.extend(packages);
        let said = outcome(&words, DOWNLOAD_LIMIT)?.success()?;
        print!("{said}");
        let repository = Self::new(lab, name)?;
        for entry in fs::read_dir(&kept)? {
            let (from, file) = entry.map(|e| (e.path(), e.file_name()))?;
            let to = repository.directory.join(file);
            // Another file system has no links to it.
            if fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to).with_context(|| from.display().to_string())?;
            }
        }
        Ok(repository)
    }

    /// The package of this name, as a file of the machine.
    ///
    /// # Errors
    /// There is none.
    pub fn package(&self, name: &str) -> Result<PathBuf> {
        let begin = format!("{name}_");
        let mut entries = fs::read_dir(&self.directory)?.flatten();
        let found = entries.find(|e| e.file_name().to_string_lossy().starts_with(&begin));
        let found = found.with_context(|| format!("{name} is not in {}", self.name))?;
        Ok(found.path())
    }

    /// Adds what a package of Debian is, in a version that is newer by `suffix`. Its scripts are the
    /// same, and so are its files.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn add_newer(&self, package: &Path, suffix: &str) -> Result<()> {
        let script = r#"
set -e
tree=$(mktemp -d "$1/tree.XXXXXX")
trap 'rm -rf "$tree"' EXIT
dpkg-deb --raw-extract "$0" "$tree/files"
sed -i "s/^Version: .*/&$2/" "$tree/files/DEBIAN/control"
dpkg-deb -Zgzip -z1 --build "$tree/files" "$1" >/dev/null
"#;
        let [package, directory] = [package, &self.directory].map(|p| p.display().to_string());
        let words = ["sh", "-c", script, &package, &directory, suffix];
        outcome(&words, MAKE_LIMIT)?.success().map(drop)
    }

    /// Adds a package that has nothing but a script for after its installation, with these lines of
    /// its description: its version above all.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn add_script(&self, name: &str, lines: &str, postinst: &str) -> Result<()> {
        let script = r#"
set -e
tree=$(mktemp -d "$0/tree.XXXXXX")
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/files/DEBIAN"
chmod 755 "$tree/files"
cat >"$tree/files/DEBIAN/control" <<END
Package: $1
$2
Architecture: all
Maintainer: Nobody <nobody@localhost>
Description: has a script only
END
printf '#!/bin/sh\nset -e\n%s\n' "$3" >"$tree/files/DEBIAN/postinst"
chmod 755 "$tree/files/DEBIAN/postinst"
dpkg-deb -Zgzip -z1 --build "$tree/files" "$0" >/dev/null
"#;
        let directory = self.directory.display().to_string();
        let words = ["sh", "-c", script, &directory, name, lines, postinst];
        outcome(&words, MAKE_LIMIT)?.success().map(drop)
    }

    /// Makes its index, after something was added.
    ///
    /// # Errors
    /// A file in it is no package.
    pub fn index(&self) -> Result<()> {
        let script = workspace().join("scripts/lab-repository");
        let [script, directory] = [&script, &self.directory].map(|p| p.display().to_string());
        let words = [script.as_str(), self.name, &directory];
        outcome(&words, MAKE_LIMIT)?.success().map(drop)
    }

    /// The line that makes a host's apt look here.
    #[must_use]
    pub fn source(&self) -> String {
        format!("deb [trusted=yes] file:{SEEN_AT}/{} ./", self.name)
    }
}

/// Gives a host these repositories in place of Debian's.
///
/// # Errors
/// It cannot read one.
pub fn look_at(host: &Host<'_>, repositories: &[&Repository]) -> Result<()> {
    let sources: Vec<String> = repositories.iter().map(|r| r.source()).collect();
    host.must(&format!(
        "rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*; \
         printf '%s\\n' '{}' >/etc/apt/sources.list.d/lab.list && apt-get -qq update 2>&1",
        sources.join("' '")
    ))
    .map(drop)
}

/// Installs packages on a host, with nobody there to answer questions.
///
/// # Errors
/// It cannot, or takes longer than `limit`.
pub fn install(host: &Host<'_>, packages: &[&str], limit: Duration) -> Result<()> {
    let line = format!(
        "DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends {} 2>&1",
        packages.join(" ")
    );
    host.must_within(&line, limit).map(drop)
}
