//! Who is signed in: opaque names in a cookie, their hashes in memory.
//!
//! A daemon that was restarted knows no session: everybody signs in again. Nothing about a session
//! is on disk, so nothing of it can be stolen from there.

use crate::Secret;
use crate::accounts::{Holder, Role};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Sessions at a time; the one unused for the longest time makes room.
const SESSIONS_MAX: usize = 1024;
/// Sessions of one account at a time, so that one person cannot push all others out.
const SESSIONS_OF_ONE_MAX: usize = 32;
/// A session that asks for nothing ends after this. An open page asks at least every few seconds.
pub const IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// A session ends after this whatever it does: one working day.
pub const AGE_MAX: Duration = Duration::from_secs(12 * 3600);

/// One signed-in browser.
#[derive(Clone, Debug)]
pub struct Session {
    /// Whose.
    pub holder: Holder,
    /// What it may do. A change of the account's role ends its sessions.
    pub role: Role,
    /// What commands must show besides the cookie.
    pub command_token: String,
    /// When it began.
    pub begun: Instant,
    used: Instant,
    /// From where it was opened.
    pub address: Option<IpAddr>,
}

impl Session {
    /// Until when it lasts if nothing more is asked, and in any case.
    #[must_use]
    pub fn ends(&self) -> Instant {
        (self.used + IDLE_MAX).min(self.begun + AGE_MAX)
    }
}

/// All of them.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

/// What a browser gets.
pub struct Opened {
    /// For the cookie.
    pub cookie: Secret,
    /// The session.
    pub session: Session,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        // A panic elsewhere leaves a map that is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens one.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn open(
        &self,
        holder: Holder,
        role: Role,
        address: Option<IpAddr>,
        now: Instant,
    ) -> std::io::Result<Opened> {
        let cookie = crate::draw()?;
        let session = Session {
            holder,
            role,
            command_token: crate::draw()?.reveal().to_owned(),
            begun: now,
            used: now,
            address,
        };
        let mut sessions = self.lock();
        sessions.retain(|_, session| session.ends() > now);
        let own = |sessions: &HashMap<[u8; 32], Session>| {
            let own = sessions.values().filter(|s| s.holder == session.holder);
            own.count()
        };
        if own(&sessions) >= SESSIONS_OF_ONE_MAX {
            drop_oldest(&mut sessions, |s| s.holder == session.holder);
        }
        if sessions.len() >= SESSIONS_MAX {
            drop_oldest(&mut sessions, |_| true);
        }
        sessions.insert(*cookie.fingerprint().as_bytes(), session.clone());
        Ok(Opened { cookie, session })
    }

    /// The session of a cookie, which counts as used by this.
    pub fn find(&self, cookie: &Secret, now: Instant) -> Option<Session> {
        let key = *cookie.fingerprint().as_bytes();
        let mut sessions = self.lock();
        let session = sessions.get_mut(&key)?;
        if session.ends() <= now {
            sessions.remove(&key);
            return None;
        }
        session.used = now;
        Some(session.clone())
    }

    /// Whether somebody is signed in.
    pub fn any(&self, now: Instant) -> bool {
        self.lock().values().any(|session| session.ends() > now)
    }

    /// Ends one.
    pub fn close(&self, cookie: &Secret) {
        self.lock().remove(cookie.fingerprint().as_bytes());
    }

    /// Ends all of an account, and says how many those were.
    pub fn close_all(&self, holder: &Holder) -> usize {
        let mut sessions = self.lock();
        let before = sessions.len();
        sessions.retain(|_, session| session.holder != *holder);
        before - sessions.len()
    }
}

fn drop_oldest(sessions: &mut HashMap<[u8; 32], Session>, of: impl Fn(&Session) -> bool) {
    let candidates = sessions.iter().filter(|(_, session)| of(session));
    let oldest = candidates
        .min_by_key(|(_, session)| session.used)
        .map(|(key, _)| *key);
    if let Some(oldest) = oldest {
        sessions.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Name;

    fn user(text: &str) -> Holder {
        Holder::User(Name::parse(text).expect("a valid name"))
    }

    #[test]
    fn an_unused_session_ends_and_a_used_one_ends_too() {
        let sessions = Sessions::default();
        let begun = Instant::now();
        let opened = sessions
            .open(user("anna"), Role::Admin, None, begun)
            .expect("random");
        let mut now = begun;
        while now + IDLE_MAX / 2 < begun + AGE_MAX {
            now += IDLE_MAX / 2;
            assert!(sessions.find(&opened.cookie, now).is_some());
        }
        now += IDLE_MAX / 2;
        assert!(
            sessions.find(&opened.cookie, now).is_none(),
            "however busy, it ends"
        );

        let opened = sessions
            .open(user("anna"), Role::Admin, None, now)
            .expect("random");
        assert!(sessions.find(&opened.cookie, now + IDLE_MAX).is_none());
        assert!(
            sessions.find(&opened.cookie, now).is_none(),
            "it does not come back"
        );
    }

    #[test]
    fn nobody_pushes_others_out() {
        let sessions = Sessions::default();
        let now = Instant::now();
        let anna = sessions
            .open(user("anna"), Role::Admin, None, now)
            .expect("random");
        for _ in 0..SESSIONS_OF_ONE_MAX * 3 {
            sessions
                .open(user("bert"), Role::Monitor, None, now)
                .expect("random");
        }
        assert!(sessions.find(&anna.cookie, now).is_some());
        assert_eq!(sessions.close_all(&user("bert")), SESSIONS_OF_ONE_MAX);
    }

    #[test]
    fn a_cookie_that_nobody_handed_out_opens_nothing() {
        let sessions = Sessions::default();
        let now = Instant::now();
        sessions
            .open(user("anna"), Role::Admin, None, now)
            .expect("random");
        for forged in ["", "0", &"0".repeat(64), "anna", "admin=true"] {
            assert!(sessions.find(&Secret::new(forged), now).is_none());
        }
    }
}
