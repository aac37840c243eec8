//! A text that cannot be printed or serialised: passwords, tokens, session names.
//!
//! There is no `Display` and no `Serialize`, and `Debug` shows a constant. Whoever needs the text
//! calls [`Secret::reveal`], which a reader finds by its name.

use serde::Deserialize;

/// The text. It can be read from a request, and never written into anything.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a text in.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for hashing, comparing by hash, and handing out once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What may lie on a disk instead of it. Enough for texts of 256 random bits; passwords that
    /// people choose need a slow hash.
    #[must_use]
    pub fn fingerprint(&self) -> blake3::Hash {
        blake3::hash(self.0.as_bytes())
    }
}

// By hash, in constant time: how long it takes tells nothing about the text.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}

impl Eq for Secret {}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_what_is_printed() {
        #[derive(Debug)]
        #[allow(dead_code, reason = "only printed")]
        struct Holder {
            password: Secret,
        }
        let holder = Holder {
            password: Secret::new("canary"),
        };
        assert!(!format!("{holder:?} {holder:#?}").contains("canary"));
    }
}
