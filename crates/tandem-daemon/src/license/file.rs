//! The format of a licence, and its signature. Described for users in `docs/license.md`.
//!
//! A licence is text, so that people can read what they have, and is read as strictly as bytes: the
//! lines in this order and no others, so that nothing in it is beyond the signature.
//!
//! ```text
//! tandem-license 1
//! cluster = 3f0c…
//! licensee = Example Ltd
//! issued = 2026-11-22
//! expires = 2027-12-31
//! signature = 9b1c…
//! ```

use super::Date;
use crate::identity::{hex, unhex};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// The first line.
const HEAD: &str = "tandem-license 1";
const SIGNATURE_BYTES: usize = 64;
const LICENSEE_CHARACTERS_MAX: usize = 200;

/// The product's public key, 64 hexadecimal digits. Whoever builds releases sets it; its private
/// half is nowhere in the repository.
const PRODUCT_KEY: Option<&str> = option_env!("TANDEM_LICENSE_KEY");
/// The seed of the key for tests. Everybody knows it, so release builds refuse it.
pub const TEST_SEED: &str = "7465737420736565642c206b6e6f776e20746f2065766572796f6e6520212121";

/// A licence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct License {
    /// The identifier of the cluster.
    pub cluster: String,
    /// Whose it is.
    pub licensee: String,
    /// When it was made.
    pub issued: Date,
    /// The last day on which it counts; none: without end.
    pub expires: Option<Date>,
}

/// Why a licence does not count.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// It is no licence.
    #[error("it is malformed: {0}")]
    Malformed(&'static str),
    /// No known key has signed exactly this.
    #[error("it was altered, or signed by another key than this program's")]
    Signature,
    /// The key for tests has signed it.
    #[error("it was signed by the key for tests, which this program refuses")]
    TestKey,
    /// It is for another cluster.
    #[error("it is for another cluster ({theirs}; this one is {ours})")]
    OtherCluster {
        /// Its cluster.
        theirs: String,
        /// This node's.
        ours: String,
    },
    /// It is over.
    #[error("it expired on {0}", .on)]
    Expired {
        /// The last day on which it counted.
        on: Date,
    },
}

/// The keys whose signatures count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keys {
    product: Option<[u8; 32]>,
    accepts_test: bool,
}

impl Keys {
    /// The product's key; in a build for developers the key for tests too.
    #[must_use]
    pub fn of_this_build() -> Self {
        Self {
            product: PRODUCT_KEY.and_then(|text| unhex(text.trim())),
            accepts_test: cfg!(debug_assertions),
        }
    }

    /// Whether there is any key whose signature counts.
    #[must_use]
    pub const fn any(&self) -> bool {
        self.product.is_some() || self.accepts_test
    }

    fn check(&self, message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        let signed_by = |key: &[u8]| {
            let key = UnparsedPublicKey::new(&ED25519, key);
            key.verify(message, signature).is_ok()
        };
        if self.product.is_some_and(|key| signed_by(&key)) {
            return Ok(());
        }
        let test = Signer::from_seed(TEST_SEED).ok_or(Refusal::Signature)?;
        match (
            signed_by(test.pair.public_key().as_ref()),
            self.accepts_test,
        ) {
            (true, true) => Ok(()),
            (true, false) => Err(Refusal::TestKey),
            (false, _) => Err(Refusal::Signature),
        }
    }
}

impl License {
    /// Reads a licence, and says whether it counts for a cluster on a day.
    ///
    /// # Errors
    /// [`Refusal`]; a licence that nobody known has signed says nothing else about itself.
    pub fn verify(bytes: &[u8], keys: &Keys, cluster: &str, today: Date) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(bytes).map_err(|_| Refusal::Malformed("it is no text"))?;
        let place = text.find("signature = ");
        let place = place.ok_or(Refusal::Malformed("it has no signature"))?;
        let (signed, signature) = text.split_at(place);
        let license = Self::parse(signed)?;
        let signature = signature.strip_prefix("signature = ").unwrap_or("");
        let signature = signature.strip_suffix('\n').unwrap_or(signature);
        let signature: [u8; SIGNATURE_BYTES] =
            unhex(signature).ok_or(Refusal::Malformed("its signature is no signature"))?;
        keys.check(signed.as_bytes(), &signature)?;
        if license.cluster != cluster {
            return Err(Refusal::OtherCluster {
                theirs: license.cluster,
                ours: cluster.to_owned(),
            });
        }
        match license.expires {
            Some(on) if on < today => Err(Refusal::Expired { on }),
            Some(_) | None => Ok(license),
        }
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        let mut lines = text.lines();
        if lines.next() != Some(HEAD) {
            return Err(Refusal::Malformed("it does not begin like a licence"));
        }
        let mut field = |name: &str| {
            let (key, value) = lines.next()?.split_once(" = ")?;
            (key == name).then(|| value.to_owned())
        };
        let missing = || Refusal::Malformed("a line is missing, or in another place");
        let cluster = field("cluster").ok_or_else(missing)?;
        let licensee = field("licensee").ok_or_else(missing)?;
        let issued = field("issued").ok_or_else(missing)?;
        let expires = field("expires").ok_or_else(missing)?;
        let day = |text: &str| Date::parse(text).ok_or(Refusal::Malformed("a day is no day"));
        let license = Self {
            cluster,
            licensee,
            issued: day(&issued)?,
            expires: match expires.as_str() {
                "never" => None,
                text => Some(day(text)?),
            },
        };
        // Lines that are not known, other ends of lines, anything: it is not what we write.
        match license.text() == text {
            true => Ok(license),
            false => Err(Refusal::Malformed("it has more than a licence has")),
        }
    }

    /// What is signed.
    fn text(&self) -> String {
        let expires = self
            .expires
            .map_or("never".to_owned(), |date| date.to_string());
        format!(
            "{HEAD}\ncluster = {}\nlicensee = {}\nissued = {}\nexpires = {expires}\n",
            self.cluster, self.licensee, self.issued
        )
    }

    /// Whether it can be written as lines.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        let plain = |text: &str| {
            !text.trim().is_empty()
                && text.trim() == text
                && !text.chars().any(char::is_control)
                && text.chars().count() <= LICENSEE_CHARACTERS_MAX
        };
        plain(&self.cluster) && plain(&self.licensee)
    }
}

/// Who may issue licences: the holder of a private key.
pub struct Signer {
    pair: Ed25519KeyPair,
}

impl Signer {
    /// From the seed of an Ed25519 key, 64 hexadecimal digits.
    #[must_use]
    pub fn from_seed(seed: &str) -> Option<Self> {
        let seed: [u8; 32] = unhex(seed.trim())?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
        Some(Self { pair })
    }

    /// The public half, for the build.
    #[must_use]
    pub fn public_key(&self) -> String {
        hex(self.pair.public_key().as_ref())
    }

    /// The file.
    #[must_use]
    pub fn sign(&self, license: &License) -> String {
        let text = license.text();
        let signature = self.pair.sign(text.as_bytes());
        format!("{text}signature = {}\n", hex(signature.as_ref()))
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCT_SEED: &str = "0101010101010101010101010101010101010101010101010101010101010101";
    const STRANGER_SEED: &str = "0202020202020202020202020202020202020202020202020202020202020202";

    fn signer(seed: &str) -> Signer {
        Signer::from_seed(seed).expect("a seed")
    }

    fn release() -> Keys {
        Keys {
            product: unhex(&signer(PRODUCT_SEED).public_key()),
            accepts_test: false,
        }
    }

    fn day(text: &str) -> Date {
        Date::parse(text).expect("a day")
    }

    fn license() -> License {
        License {
            cluster: "c1".into(),
            licensee: "Example Ltd".into(),
            issued: day("2026-01-01"),
            expires: Some(day("2026-12-31")),
        }
    }

    fn look(text: &str, keys: &Keys, today: &str) -> Result<License, Refusal> {
        License::verify(text.as_bytes(), keys, "c1", day(today))
    }

    #[test]
    fn a_valid_licence_counts_to_the_end_of_its_last_day() {
        let text = signer(PRODUCT_SEED).sign(&license());
        assert_eq!(look(&text, &release(), "2026-12-31"), Ok(license()));
        let on = day("2026-12-31");
        assert_eq!(
            look(&text, &release(), "2027-01-01"),
            Err(Refusal::Expired { on })
        );
        let endless = License {
            expires: None,
            ..license()
        };
        let text = signer(PRODUCT_SEED).sign(&endless);
        assert_eq!(look(&text, &release(), "2999-01-01"), Ok(endless));
    }

    #[test]
    fn a_licence_of_another_cluster_is_refused() {
        let other = License {
            cluster: "c2".into(),
            ..license()
        };
        let refused = look(&signer(PRODUCT_SEED).sign(&other), &release(), "2026-06-01");
        assert!(
            matches!(refused, Err(Refusal::OtherCluster { .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn a_licence_that_is_altered_by_any_one_byte_is_refused() {
        let good = signer(PRODUCT_SEED).sign(&license()).into_bytes();
        for place in 0..good.len() - 1 {
            let mut bytes = good.clone();
            bytes[place] ^= 1;
            let refused = License::verify(&bytes, &release(), "c1", day("2026-06-01"));
            let reason = refused.expect_err("altered");
            let told = matches!(reason, Refusal::Malformed(_) | Refusal::Signature);
            assert!(told, "byte {place}: {reason:?}");
        }
        let mut more = good;
        more.extend_from_slice(b"features = all\n");
        assert!(License::verify(&more, &release(), "c1", day("2026-06-01")).is_err());
    }

    #[test]
    fn a_licence_signed_by_another_key_is_refused() {
        let text = signer(STRANGER_SEED).sign(&license());
        assert_eq!(
            look(&text, &release(), "2026-06-01"),
            Err(Refusal::Signature)
        );
    }

    #[test]
    fn a_release_refuses_the_key_for_tests_and_says_so() {
        let text = signer(TEST_SEED).sign(&license());
        assert_eq!(look(&text, &release(), "2026-06-01"), Err(Refusal::TestKey));
        let developers = Keys {
            accepts_test: true,
            ..release()
        };
        assert_eq!(look(&text, &developers, "2026-06-01"), Ok(license()));
        // What kind of build this is decides, and nothing that a user could set.
        let this = Keys::of_this_build();
        assert_eq!(this.accepts_test, cfg!(debug_assertions));
    }

    #[test]
    fn what_is_no_licence_is_refused() {
        for text in [
            "",
            "tandem-license 1\n",
            "tandem-license 2\nsignature = 00\n",
            "\u{feff}x",
        ] {
            let refused = look(text, &release(), "2026-06-01");
            assert!(matches!(refused, Err(Refusal::Malformed(_))), "{text:?}");
        }
        let two_lines = License {
            licensee: "a\nb".into(),
            ..license()
        };
        assert!(!two_lines.is_writable() && license().is_writable());
    }
}
