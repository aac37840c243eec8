//! What of a volume is not mirrored: the contents of some directories, and files by their names.
//!
//! The name decides, when an object gets it; and no object changes sides, because a rename or a
//! link across the border answers `EXDEV`, as between two file systems. So both nodes see the same
//! border without telling each other, and after a failover, too.
//!
//! What is excluded lives on the disk of the node that serves. It is never told to the peer, never
//! waited for, never compared and never removed by the peer, except with the directory that it is
//! in. An excluded directory itself is mirrored, empty; so is what a name pattern matches but is a
//! directory.

use crate::stream::Name;

/// The most entries of a volume: each name is held against each of them.
const ENTRIES_MAX: usize = 64;
/// The directory of Tandem's own files, which is on no side of the border.
const OWN: &str = ".tandem";

/// What of a volume is not mirrored. The default excludes nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Exclude {
    /// Paths from the top, without a slash at the end.
    directories: Vec<Vec<u8>>,
    patterns: Vec<Vec<u8>>,
}

/// Why something cannot be excluded.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ExcludeError {
    /// An entry without a slash at its end is no name.
    #[error("`{0}` is no name pattern")]
    Pattern(String),
    /// Not a path from the top.
    #[error("`{0}` is no directory of the volume")]
    Path(String),
    /// Everything.
    #[error("`{0}` matches every file")]
    Everything(String),
    /// Too many.
    #[error("{0} entries to exclude, the limit is {ENTRIES_MAX}")]
    TooMany(usize),
}

impl ExcludeError {
    /// What to write instead.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Pattern(_) => {
                "directories by their path from the top of the volume, with a slash at the end: \
                 \"tmp/cache/\"; files by their name alone, with * and ?: \"*-shm\""
            }
            Self::Path(_) => "a path from the top of the volume, as in \"tmp/cache/\"",
            Self::Everything(_) => "nothing would be mirrored",
            Self::TooMany(_) => "put what is not mirrored into one directory",
        }
    }
}

/// What stands at a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// What the names in a directory are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Below {
    /// Mirrored, but for name patterns.
    Mirrored,
    /// The same, and a directory at this path from the top leads to an excluded one.
    Leading(Box<[u8]>),
    /// Not mirrored.
    Excluded,
}

impl Exclude {
    /// Reads entries as they are configured: a directory's path from the top of the volume, with a
    /// slash at its end, or a name pattern of `*` (any bytes) and `?` (one byte).
    ///
    /// # Errors
    /// [`ExcludeError`]
    pub fn parse<T: AsRef<str>>(entries: &[T]) -> Result<Self, ExcludeError> {
        if entries.len() > ENTRIES_MAX {
            return Err(ExcludeError::TooMany(entries.len()));
        }
        let mut exclude = Self::default();
        for entry in entries.iter().map(AsRef::as_ref) {
            match entry.strip_suffix('/') {
                Some(path) => exclude.directories.push(directory(entry, path)?),
                None => exclude.patterns.push(pattern(entry)?),
            }
        }
        // Entries in another order mean the same.
        exclude.directories.sort();
        exclude.patterns.sort();
        Ok(exclude)
    }

    /// The entries, in an order of their own.
    pub fn entries(&self) -> impl Iterator<Item = String> {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        let directories = self.directories.iter().map(move |path| text(path) + "/");
        directories.chain(self.patterns.iter().map(text))
    }

    /// Whether everything is mirrored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.directories.is_empty() && self.patterns.is_empty()
    }

    /// A number that another list does not have.
    #[must_use]
    pub fn mark(&self) -> u64 {
        let mut hasher = blake3::Hasher::new();
        for entry in self.entries() {
            hasher.update(entry.as_bytes()).update(b"\0");
        }
        let hash = hasher.finalize();
        let first = hash.as_bytes().first_chunk();
        u64::from_le_bytes(*first.expect("a hash has 32 bytes"))
    }

    /// What the names in the top directory are.
    #[must_use]
    pub fn below_top(&self) -> Below {
        match self.directories.is_empty() {
            true => Below::Mirrored,
            false => Below::Leading(Box::default()),
        }
    }

    /// What the names in a directory are that has this name.
    #[must_use]
    pub fn below(&self, parent: &Below, name: &Name) -> Below {
        let path = match parent {
            Below::Mirrored => return Below::Mirrored,
            Below::Excluded => return Below::Excluded,
            Below::Leading(path) if path.is_empty() => name.as_bytes().to_vec(),
            Below::Leading(path) => [path, &b"/"[..], name.as_bytes()].concat(),
        };
        if self.directories.contains(&path) {
            return Below::Excluded;
        }
        let leads = |to: &Vec<u8>| to.starts_with(&path) && to.get(path.len()) == Some(&b'/');
        match self.directories.iter().any(leads) {
            true => Below::Leading(path.into()),
            false => Below::Mirrored,
        }
    }

    /// Whether something of this kind, at this name in such a directory, is not mirrored.
    #[must_use]
    pub fn covers(&self, parent: &Below, name: &Name, kind: Kind) -> bool {
        *parent == Below::Excluded || kind == Kind::Other && self.matches(name.as_bytes())
    }

    /// Whether a name is excluded wherever it is, of anything but a directory.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        self.patterns.iter().any(|pattern| is_match(pattern, name))
    }

    /// Whether the directory at this path from the top is an excluded one.
    #[must_use]
    pub fn empties(&self, path: &[u8]) -> bool {
        self.directories.iter().any(|directory| directory == path)
    }
}

fn directory(entry: &str, path: &str) -> Result<Vec<u8>, ExcludeError> {
    let sound = |name: &str| Name::new(name.as_bytes()).is_ok();
    let own = path.split('/').next() == Some(OWN);
    if own || !path.split('/').all(sound) {
        return Err(ExcludeError::Path(entry.to_owned()));
    }
    Ok(path.as_bytes().to_vec())
}

fn pattern(entry: &str) -> Result<Vec<u8>, ExcludeError> {
    if entry.contains('/') || Name::new(entry.as_bytes()).is_err() {
        return Err(ExcludeError::Pattern(entry.to_owned()));
    }
    if entry.bytes().all(|byte| byte == b'*') {
        return Err(ExcludeError::Everything(entry.to_owned()));
    }
    Ok(entry.as_bytes().to_vec())
}

/// Matches from the left; after a mismatch, the last `*` takes one byte more.
fn is_match(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut byte) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while byte < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, byte));
                at += 1;
            }
            Some(expected) if *expected == b'?' || *expected == name[byte] => {
                at += 1;
                byte += 1;
            }
            Some(_) | None => {
                let Some((after, taken)) = star else {
                    return false;
                };
                star = Some((after, taken + 1));
                (at, byte) = (after, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).expect("a name")
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, yes, no) in [
            ("*-shm", "db-shm", "db-shm2"),
            ("?.tmp", "a.tmp", "ab.tmp"),
            ("a*b*c", "axxbyybzc", "axxbyyb"),
            ("core.*", "core.", "core"),
            ("[x]", "[x]", "x"),
            ("*a*", "a", "b"),
        ] {
            let exclude = Exclude::parse(&[pattern]).expect(pattern);
            assert!(exclude.matches(yes.as_bytes()), "{pattern} {yes}");
            assert!(!exclude.matches(no.as_bytes()), "{pattern} {no}");
        }
    }

    #[test]
    fn a_directory_is_mirrored_and_what_is_in_it_is_not() {
        let exclude = Exclude::parse(&["tmp/cache/", "stat/"]).expect("parse");
        let top = exclude.below_top();
        let directory = Kind::Directory;
        assert!(!exclude.covers(&top, &name("stat"), directory));
        let stat = exclude.below(&top, &name("stat"));
        assert!(exclude.covers(&stat, &name("any"), directory));
        assert!(exclude.covers(&exclude.below(&stat, &name("any")), &name("x"), directory));
        let tmp = exclude.below(&top, &name("tmp"));
        assert_eq!(tmp, Below::Leading(b"tmp"[..].into()));
        assert_eq!(exclude.below(&tmp, &name("cache")), Below::Excluded);
        assert_eq!(exclude.below(&tmp, &name("cache2")), Below::Mirrored);
        assert_eq!(exclude.below(&top, &name("cache")), Below::Mirrored);
        // A file at that place is a file.
        assert!(!exclude.covers(&top, &name("stat"), Kind::Other));
    }

    #[test]
    fn what_cannot_be_excluded_is_refused_with_a_hint() {
        for wrong in [
            "a/b", "", "/a/", "../a/", "a//b/", "/", ".tandem/", "*", "**",
        ] {
            let error = Exclude::parse(&[wrong]).expect_err(wrong);
            assert!(error.to_string().starts_with('`'), "{error}");
            assert!(!error.hint().is_empty());
        }
        assert!(Exclude::parse(&["a"; 65]).is_err());
        let one = Exclude::parse(&["b", "a", "d/"]).expect("parse");
        assert_eq!(one, Exclude::parse(&["a", "d/", "b"]).expect("parse"));
        assert_eq!(one.entries().collect::<Vec<_>>(), ["d/", "a", "b"]);
        assert!(Exclude::parse::<&str>(&[]).expect("parse").is_empty());
    }
}
