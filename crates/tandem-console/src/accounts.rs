//! Users and scripts' tokens: one small file, written whole.
//!
//! Passwords are hashed slowly (argon2id, memory-hard), tokens are 256 random bits and need only a
//! fast hash. An unknown name costs as much time as a wrong password: the same hash is computed.

use crate::Secret;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Users, and tokens, of a cluster: a team, not a directory service.
const ACCOUNTS_MAX: usize = 64;
/// The shortest password.
pub const PASSWORD_CHARACTERS_MIN: usize = 8;
/// The longest: more is not safer, and hashing it costs.
pub const PASSWORD_BYTES_MAX: usize = 512;
/// The longest name.
const NAME_BYTES_MAX: usize = 32;
/// Memory of one hash in KiB, passes and lanes: the second choice of OWASP's list, whose 19 MiB a
/// small server can spare while it is serving.
const HASH_COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// What somebody may do; each may do what those before it may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See everything but users, tokens and the audit log.
    Monitor,
    /// Give commands that cannot lose data.
    Control,
    /// Everything.
    Admin,
}

impl Role {
    /// The word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::Control => "control",
            Self::Admin => "admin",
        }
    }
}

/// A user's or a token's name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// Lower-case letters, digits, `-`, `_` and `.`, beginning with a letter.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let first = text.bytes().next()?;
        let good =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        let valid =
            first.is_ascii_lowercase() && text.bytes().all(good) && text.len() <= NAME_BYTES_MAX;
        valid.then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(
                "a name has lower-case letters, digits, `-`, `_` and `.`, begins with a letter, \
                 and has at most 32 characters",
            )
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StoredUser {
    name: Name,
    role: Role,
    /// In the PHC form, which names its own cost.
    password: String,
    changed_at_ms: u64,
    /// How often this user ended all sessions; a change ends them on the other node too.
    #[serde(default)]
    ended: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredToken {
    name: Name,
    role: Role,
    /// The hash, in hexadecimal.
    hash: String,
    changed_at_ms: u64,
    /// As a user's.
    #[serde(default)]
    ended: u64,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Stored {
    /// Grows with each change, on either node.
    version: u64,
    users: Vec<StoredUser>,
    tokens: Vec<StoredToken>,
}

/// Whose a session is. A token and a user may have the same name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Holder {
    /// Somebody who showed a password.
    User(Name),
    /// Whoever showed a token.
    Token(Name),
}

impl Holder {
    /// For the command log.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::User(name) => name.as_str().to_owned(),
            Self::Token(name) => format!("token {}", name.as_str()),
        }
    }
}

/// An account, as it is shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Account {
    /// Its name.
    pub name: Name,
    /// What it may do.
    pub role: Role,
    /// When its password or token was made, in milliseconds since 1970.
    pub changed_at_ms: u64,
}

/// Why an account was not made, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// There is one.
    #[error("there is an account {} already", .0.as_str())]
    Exists(Name),
    /// There is none.
    #[error("there is no account {0}")]
    Unknown(String),
    /// Too many.
    #[error("there are {ACCOUNTS_MAX} accounts already")]
    Full,
    /// A password.
    #[error(
        "a password has {PASSWORD_CHARACTERS_MIN} characters at least and \
         {PASSWORD_BYTES_MAX} bytes at most"
    )]
    Password,
    /// The present password, which a change of it wants.
    #[error("the present password is wrong")]
    Present,
    /// Too many failed: how long to wait.
    #[error("too many attempts failed: wait {} s", whole_seconds(*.0))]
    TooOften(Duration),
    /// The last administrator.
    #[error("this is the last user with the role admin: make another one first")]
    LastAdmin,
    /// The file.
    #[error("keep the accounts in {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// What is in the file.
    #[error("understand the accounts in {}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
}

/// A wait that is over when it says so.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + 1
}

/// All of them.
pub struct Accounts {
    path: PathBuf,
    stored: Mutex<Stored>,
    changes: watch::Sender<u64>,
    /// The hash of a password that nobody knows, for names that nobody has.
    nobody: String,
}

impl Accounts {
    /// Reads the file, which need not be there.
    ///
    /// # Errors
    /// [`AccountError::File`], [`AccountError::Damaged`]
    pub fn open(path: &Path) -> Result<Self, AccountError> {
        let file = |source| AccountError::File {
            path: path.to_owned(),
            source,
        };
        let stored = match std::fs::read(path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|source| AccountError::Damaged {
                    path: path.to_owned(),
                    source,
                })?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Stored::default(),
            Err(error) => return Err(file(error)),
        };
        let nobody = hash_password(&crate::draw().map_err(file)?).map_err(file)?;
        Ok(Self {
            path: path.to_owned(),
            changes: watch::Sender::new(stored.version),
            stored: Mutex::new(stored),
            nobody,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Stored> {
        // A change is made in a copy, so that a panic leaves a whole list.
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The role of a user whose password this is. Takes some 50 ms of a processor and 19 MiB,
    /// whether the name is known or not: call it where that disturbs nobody.
    pub fn verify(&self, name: &str, password: &Secret) -> Option<(Name, Role)> {
        let (known, hash) = self.hash_of(name);
        let parsed = PasswordHash::new(&hash).ok()?;
        let given = match password.reveal().len() <= PASSWORD_BYTES_MAX {
            true => password.reveal().as_bytes(),
            false => b"",
        };
        let right = argon2().verify_password(given, &parsed).is_ok();
        known.filter(|_| right)
    }

    /// A user and the hash of the password; for a name that nobody has, the hash of one that nobody
    /// knows.
    fn hash_of(&self, name: &str) -> (Option<(Name, Role)>, String) {
        let stored = self.lock();
        let user = stored.users.iter().find(|user| user.name.as_str() == name);
        match user {
            Some(user) => (Some((user.name.clone(), user.role)), user.password.clone()),
            None => (None, self.nobody.clone()),
        }
    }

    /// The token that this is.
    pub fn token(&self, shown: &Secret) -> Option<(Name, Role)> {
        let hash = shown.fingerprint();
        let stored = self.lock();
        let found = stored.tokens.iter().find(|token| {
            // Compares in constant time.
            blake3::Hash::from_hex(&token.hash).is_ok_and(|known| known == hash)
        });
        found.map(|token| (token.name.clone(), token.role))
    }

    /// All users, by name.
    pub fn users(&self) -> Vec<Account> {
        let stored = self.lock();
        let shown = |user: &StoredUser| Account {
            name: user.name.clone(),
            role: user.role,
            changed_at_ms: user.changed_at_ms,
        };
        stored.users.iter().map(shown).collect()
    }

    /// All tokens, by name.
    pub fn tokens(&self) -> Vec<Account> {
        let stored = self.lock();
        let shown = |token: &StoredToken| Account {
            name: token.name.clone(),
            role: token.role,
            changed_at_ms: token.changed_at_ms,
        };
        stored.tokens.iter().map(shown).collect()
    }

    /// Makes a user.
    ///
    /// # Errors
    /// [`AccountError`]
    pub fn add_user(&self, name: Name, role: Role, password: &Secret) -> Result<(), AccountError> {
        let password = self.hash(password)?;
        self.change(|stored| {
            if stored.users.iter().any(|user| user.name == name) {
                return Err(AccountError::Exists(name));
            }
            if stored.users.len() >= ACCOUNTS_MAX {
                return Err(AccountError::Full);
            }
            stored.users.push(StoredUser {
                name,
                role,
                password,
                changed_at_ms: crate::unix_ms(),
                ended: 0,
            });
            stored.users.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(())
        })
    }

    /// Gives a user another password.
    ///
    /// # Errors
    /// [`AccountError`]
    pub fn set_password(&self, name: &str, password: &Secret) -> Result<(), AccountError> {
        let password = self.hash(password)?;
        self.change(|stored| {
            let user = find_user(stored, name)?;
            user.password = password;
            user.changed_at_ms = crate::unix_ms();
            Ok(())
        })
    }

    /// Gives a user another role, and another password if one is given: both or nothing.
    ///
    /// # Errors
    /// [`AccountError`]
    pub fn set_role(
        &self,
        name: &str,
        role: Role,
        password: Option<&Secret>,
    ) -> Result<(), AccountError> {
        let password = password.map(|password| self.hash(password)).transpose()?;
        self.change(|stored| {
            let user = find_user(stored, name)?;
            user.role = role;
            if let Some(password) = password {
                user.password = password;
                user.changed_at_ms = crate::unix_ms();
            }
            an_admin_is_left(stored)
        })
    }

    /// Ends all sessions of a user or a token, on the other node as soon as it hears of it.
    ///
    /// # Errors
    /// [`AccountError`]
    pub fn end_sessions(&self, holder: &Holder) -> Result<(), AccountError> {
        self.change(|stored| {
            let ended = match holder {
                Holder::User(name) => &mut find_user(stored, name.as_str())?.ended,
                Holder::Token(name) => {
                    let mut tokens = stored.tokens.iter_mut();
                    let token = tokens.find(|token| token.name == *name);
                    let token = token.ok_or_else(|| AccountError::Unknown(holder.words()))?;
                    &mut token.ended
                }
            };
            *ended += 1;
            Ok(())
        })
    }

    /// Removes a user.
    ///
    /// # Errors
    /// [`AccountError`]
    pub fn remove_user(&self, name: &str) -> Result<(), AccountError> {
        self.change(|stored| {
            find_user(stored, name)?;
            stored.users.retain(|user| user.name.as_str() != name);
            an_admin_is_left(stored)
        })
    }

    /// Makes a token, which is shown this once.
    ///
    /// # Errors
    /// [`AccountError`]
    pub fn add_token(&self, name: Name, role: Role) -> Result<Secret, AccountError> {
        let token = crate::draw().map_err(|source| self.file(source))?;
        self.change(|stored| {
            if stored.tokens.iter().any(|token| token.name == name) {
                return Err(AccountError::Exists(name));
            }
            if stored.tokens.len() >= ACCOUNTS_MAX {
                return Err(AccountError::Full);
            }
            stored.tokens.push(StoredToken {
                name,
                role,
                hash: token.fingerprint().to_hex().to_string(),
                changed_at_ms: crate::unix_ms(),
                ended: 0,
            });
            stored.tokens.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(())
        })?;
        Ok(token)
    }

    /// Removes a token.
    ///
    /// # Errors
    /// [`AccountError`]
    pub fn remove_token(&self, name: &str) -> Result<(), AccountError> {
        self.change(|stored| {
            let before = stored.tokens.len();
            stored.tokens.retain(|token| token.name.as_str() != name);
            match stored.tokens.len() == before {
                true => Err(AccountError::Unknown(name.to_owned())),
                false => Ok(()),
            }
        })
    }

    fn hash(&self, password: &Secret) -> Result<String, AccountError> {
        let text = password.reveal();
        if text.chars().count() < PASSWORD_CHARACTERS_MIN || text.len() > PASSWORD_BYTES_MAX {
            return Err(AccountError::Password);
        }
        hash_password(password).map_err(|source| self.file(source))
    }

    fn file(&self, source: io::Error) -> AccountError {
        AccountError::File {
            path: self.path.clone(),
            source,
        }
    }

    /// Changes a copy, writes it, and only then lets it count.
    fn change(
        &self,
        change: impl FnOnce(&mut Stored) -> Result<(), AccountError>,
    ) -> Result<(), AccountError> {
        let mut stored = self.lock();
        let bytes = serde_json::to_vec(&*stored).expect("plain data");
        let mut copy: Stored = serde_json::from_slice(&bytes).expect("what was just written");
        change(&mut copy)?;
        copy.version += 1;
        self.keep(&mut stored, copy)
    }

    fn keep(&self, stored: &mut Stored, fresh: Stored) -> Result<(), AccountError> {
        let bytes = serde_json::to_vec_pretty(&fresh).expect("plain data");
        replace(&self.path, &bytes).map_err(|source| self.file(source))?;
        self.changes.send_replace(fresh.version);
        *stored = fresh;
        Ok(())
    }

    /// Sees each change.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Everything, for the other node. It contains hashes, and goes nowhere else.
    #[must_use]
    pub fn share(&self) -> Vec<u8> {
        serde_json::to_vec(&*self.lock()).expect("plain data")
    }

    /// Takes over what the other node has, if that is newer. Gives back those whose sessions this
    /// ends. With equal versions the larger text counts, on both nodes the same one.
    ///
    /// # Errors
    /// [`AccountError`]
    pub fn adopt(&self, theirs: &[u8]) -> Result<Vec<Holder>, AccountError> {
        let fresh: Stored =
            serde_json::from_slice(theirs).map_err(|source| AccountError::Damaged {
                path: self.path.clone(),
                source,
            })?;
        let mut stored = self.lock();
        let own = serde_json::to_vec(&*stored).expect("plain data");
        if (fresh.version, theirs) <= (stored.version, own.as_slice()) {
            return Ok(Vec::new());
        }
        let still = fresh.opened_with();
        let mut ended = stored.opened_with();
        ended.retain(|opened| !still.contains(opened));
        let ended = ended.into_iter().map(|(holder, ..)| holder).collect();
        self.keep(&mut stored, fresh)?;
        Ok(ended)
    }
}

impl Stored {
    /// What a session was opened with: whose it is, in which role, with which password or token, and
    /// how often all of them were ended before.
    fn opened_with(&self) -> Vec<(Holder, Role, String, u64)> {
        let users = self.users.iter().map(|user| {
            let holder = Holder::User(user.name.clone());
            (holder, user.role, user.password.clone(), user.ended)
        });
        let tokens = self.tokens.iter().map(|token| {
            let holder = Holder::Token(token.name.clone());
            (holder, token.role, token.hash.clone(), token.ended)
        });
        users.chain(tokens).collect()
    }
}

fn find_user<'a>(stored: &'a mut Stored, name: &str) -> Result<&'a mut StoredUser, AccountError> {
    let mut users = stored.users.iter_mut();
    let found = users.find(|user| user.name.as_str() == name);
    found.ok_or_else(|| AccountError::Unknown(name.to_owned()))
}

fn an_admin_is_left(stored: &Stored) -> Result<(), AccountError> {
    match stored.users.iter().any(|user| user.role == Role::Admin) {
        true => Ok(()),
        false => Err(AccountError::LastAdmin),
    }
}

fn argon2() -> Argon2<'static> {
    let (memory, passes, lanes) = HASH_COST;
    let params = Params::new(memory, passes, lanes, None).expect("valid costs");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash_password(password: &Secret) -> io::Result<String> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| io::Error::other("no random numbers"))?;
    let salt = SaltString::encode_b64(&salt).expect("16 bytes are a salt");
    let hash = argon2().hash_password(password.reveal().as_bytes(), &salt);
    Ok(hash
        .expect("valid costs and a bounded password")
        .to_string())
}

/// For root only; whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    // Left over by a crash; nobody reads it.
    let _ = std::fs::remove_file(&fresh);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    let parent = path.parent().unwrap_or(Path::new("/"));
    std::fs::File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::slice::from_ref;

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a valid name")
    }

    fn accounts(directory: &tempfile::TempDir) -> Accounts {
        Accounts::open(&directory.path().join("accounts.json")).expect("it opens")
    }

    #[test]
    fn names_are_plain() {
        for bad in ["", "Anna", "a b", "../x", "1a", "ä", "a\n", &"a".repeat(33)] {
            assert_eq!(Name::parse(bad), None, "{bad:?}");
        }
        assert!(Name::parse("anna.m-2_x").is_some());
    }

    #[test]
    fn only_the_password_opens_and_it_is_nowhere_on_the_disk() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = accounts(&directory);
        let password = Secret::new("correct horse");
        first
            .add_user(name("anna"), Role::Control, &password)
            .expect("a user");
        let token = first
            .add_token(name("backup"), Role::Monitor)
            .expect("a token");

        let again = accounts(&directory);
        assert_eq!(
            again.verify("anna", &password),
            Some((name("anna"), Role::Control))
        );
        for (who, what) in [
            ("anna", ""),
            ("anna", "correct horsE"),
            ("nobody", "correct horse"),
            ("anna", &"x".repeat(100_000)),
        ] {
            assert_eq!(again.verify(who, &Secret::new(what)), None, "{who}");
        }
        assert_eq!(again.token(&token), Some((name("backup"), Role::Monitor)));
        assert_eq!(again.token(&Secret::new("")), None);

        let file = directory.path().join("accounts.json");
        let text = std::fs::read_to_string(&file).expect("it is there");
        assert!(!text.contains("correct horse") && !text.contains(token.reveal()));
        assert!(text.contains("$argon2id$"));
        let mode = std::fs::metadata(&file)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_last_admin_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let accounts = accounts(&directory);
        let password = Secret::new("long enough");
        accounts
            .add_user(name("admin"), Role::Admin, &password)
            .expect("a user");
        accounts
            .add_user(name("anna"), Role::Monitor, &password)
            .expect("a user");
        for attempt in [
            accounts.remove_user("admin"),
            accounts.set_role("admin", Role::Control, None),
        ] {
            assert!(matches!(attempt, Err(AccountError::LastAdmin)));
        }
        (accounts.set_role("anna", Role::Admin, None)).expect("another one");
        accounts.remove_user("admin").expect("not the last one");
        assert!(matches!(
            accounts.set_password("anna", &Secret::new("short")),
            Err(AccountError::Password)
        ));
    }

    /// Not by a clock: what is computed follows from the hash alone, so the hashes must cost the same.
    #[test]
    fn an_unknown_name_costs_what_a_wrong_password_costs() {
        let directory = tempfile::tempdir().expect("a directory");
        let accounts = accounts(&directory);
        accounts
            .add_user(name("anna"), Role::Admin, &Secret::new("correct horse"))
            .expect("a user");
        let cost = |who: &str| {
            let (_, hash) = accounts.hash_of(who);
            let hash = PasswordHash::new(&hash).expect("a hash");
            let params = Params::try_from(&hash).expect("the costs of argon2");
            let lengths = [
                hash.salt.map_or(0, |salt| salt.as_str().len()),
                hash.hash.map_or(0, |output| output.len()),
            ];
            let algorithm = hash.algorithm.as_str().to_owned();
            let costs = (params.m_cost(), params.t_cost(), params.p_cost());
            (algorithm, hash.version, costs, lengths)
        };
        assert_eq!(cost("nobody"), cost("anna"));
        assert_eq!(cost("").2, HASH_COST);
        // Not even the password of nobody is known.
        let (known, _) = accounts.hash_of("nobody");
        assert_eq!(known, None);
        assert_eq!(accounts.verify("nobody", &Secret::new("")), None);
    }

    #[test]
    fn both_nodes_come_to_have_the_same_accounts() {
        let (one, two) = (tempfile::tempdir(), tempfile::tempdir());
        let (one, two) = (one.expect("a directory"), two.expect("a directory"));
        let (one, two) = (accounts(&one), accounts(&two));
        let password = Secret::new("correct horse");
        let anna = Holder::User(name("anna"));
        one.add_user(name("anna"), Role::Admin, &password)
            .expect("a user");
        assert_eq!(two.adopt(&one.share()).expect("newer"), []);
        assert!(two.verify("anna", &password).is_some());
        one.set_password("anna", &Secret::new("battery staple"))
            .expect("a user");
        assert_eq!(two.adopt(&one.share()).expect("newer"), from_ref(&anna));
        assert!(two.verify("anna", &password).is_none());
        assert_eq!(one.adopt(&two.share()).expect("equal"), []);
        one.end_sessions(&anna).expect("a user");
        assert_eq!(two.adopt(&one.share()).expect("newer"), from_ref(&anna));

        let backup = Holder::Token(name("backup"));
        let token = one.add_token(name("backup"), Role::Monitor);
        let token = token.expect("a token");
        assert_eq!(two.adopt(&one.share()).expect("newer"), []);
        one.end_sessions(&backup).expect("a token");
        assert_eq!(two.adopt(&one.share()).expect("newer"), from_ref(&backup));
        assert!(two.token(&token).is_some());
        one.remove_token("backup").expect("a token");
        assert_eq!(two.adopt(&one.share()).expect("newer"), [backup]);
        assert!(two.token(&token).is_none());

        // Both changed while they did not talk: one of them counts, on both.
        one.add_user(name("bert"), Role::Monitor, &password)
            .expect("a user");
        two.add_user(name("cleo"), Role::Monitor, &password)
            .expect("a user");
        let (from_one, from_two) = (one.share(), two.share());
        one.adopt(&from_two).expect("readable");
        two.adopt(&from_one).expect("readable");
        assert_eq!(one.share(), two.share());
        assert!(one.adopt(b"{").is_err());
    }

    #[test]
    fn a_damaged_file_lets_nobody_in_and_is_not_overwritten() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("accounts.json");
        std::fs::write(&path, "{\"users\": [{").expect("a file");
        assert!(matches!(
            Accounts::open(&path),
            Err(AccountError::Damaged { .. })
        ));
    }
}
