//! The life of one systemd unit that is a service: started, stopped, ended by force, judged.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::cgroup::ControlGroup;
use super::remains::{Ending, Remains};
use super::systemd::{Systemd, SystemdError, UnitState};

/// How often a unit that ends is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(50);

/// How long a unit may be neither active nor ended, without a job, while it is watched: systemd's
/// own restart of a unit takes 100 ms unless it was told otherwise.
const SELF_RESTART_LIMIT: Duration = Duration::from_secs(10);

/// What a watched unit is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It runs.
    Active,
    /// Something goes on with it that may end well, within this time.
    Changing(Duration),
    /// It ended.
    Down(String),
}

/// Judges a unit that should run.
pub fn standing(state: &UnitState, start_limit: Duration, stop_limit: Duration) -> Standing {
    let down = || {
        Standing::Down(match state.check_loaded() {
            // Why it cannot come back says more than that it is gone.
            Err(error) => error.to_string(),
            Ok(()) => format!(
                "the unit {} is {} ({})",
                state.unit, state.active, state.sub
            ),
        })
    };
    match state.active.as_str() {
        _ if state.is_active() => Standing::Active,
        // Somebody restarts it: a package's upgrade, an administrator.
        _ if state.job.is_some() => Standing::Changing(start_limit + stop_limit),
        "activating" if state.sub == "auto-restart" => Standing::Changing(SELF_RESTART_LIMIT),
        // Its own start after a crash may include a long recovery, which must not be cut off.
        "activating" => Standing::Changing(start_limit),
        "deactivating" => Standing::Changing(stop_limit),
        _ => down(),
    }
}

/// Whether nothing can be expected of the unit at its next start.
pub fn is_hopeless(state: &UnitState) -> bool {
    state.check_loaded().is_err()
}

/// Stops a unit: by its own means within the limit, then by force within the limit again.
pub async fn stop(
    systemd: &Systemd,
    unit: &str,
    known_group: Option<ControlGroup>,
    limit: Duration,
) -> Result<Ending, SystemdError> {
    let began = Instant::now();
    match systemd.stop(unit, limit).await {
        Ok(()) => {}
        Err(error @ (SystemdError::Timeout { .. } | SystemdError::Job { .. })) => {
            tracing::warn!(unit, %error, "the unit is ended by force");
            return force(systemd, unit, known_group, limit).await;
        }
        Err(error) => return Err(error),
    }
    // A unit may leave processes behind on purpose (KillMode=process).
    let remains = Remains {
        control_group: known_group.clone(),
        process_group: None,
    };
    if systemd.unit(unit).await?.is_ended() && remains.wait_until_gone(began + limit).await {
        return Ok(Ending::Gone);
    }
    force(systemd, unit, known_group, limit).await
}

/// Ends every process of a unit by force.
pub async fn force(
    systemd: &Systemd,
    unit: &str,
    known_group: Option<ControlGroup>,
    limit: Duration,
) -> Result<Ending, SystemdError> {
    let began = Instant::now();
    // First of all what needs no answer of systemd.
    let mut remains = Remains {
        control_group: known_group,
        process_group: None,
    };
    remains.kill();
    match systemd.queue_stop(unit).await {
        Ok(()) => {}
        Err(SystemdError::Missing(_)) => return Ok(remains.end(limit).await),
        Err(error) => return Err(error),
    }
    loop {
        if let Some(group) = systemd.control_group(unit).await? {
            remains.control_group = Some(group);
        } else if remains.control_group.is_none() && !systemd.unit(unit).await?.is_ended() {
            // No control group of version 2 is known: systemd has to find the processes. It fails
            // when there is none left.
            let _ = systemd.kill(unit).await;
        }
        let left = limit.saturating_sub(began.elapsed());
        let ending = remains.end(left).await;
        let state = systemd.unit(unit).await?;
        match ending {
            Ending::Gone if state.is_ended() => return Ok(Ending::Gone),
            // systemd has not seen the ends yet, or runs the next step of the unit's stop.
            Ending::Gone if began.elapsed() < limit => sleep(LOOK_PERIOD).await,
            Ending::Gone => return Ok(Ending::Alive(Vec::new())),
            Ending::Doomed(_) | Ending::Alive(_) => return Ok(ending),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(300);

    fn state(active: &str, sub: &str, has_job: bool) -> UnitState {
        UnitState {
            unit: "a.service".to_owned(),
            load: "loaded".to_owned(),
            active: active.to_owned(),
            sub: sub.to_owned(),
            job: has_job.then(|| "restart".to_owned()),
        }
    }

    fn judge(active: &str, sub: &str, has_job: bool) -> Standing {
        standing(&state(active, sub, has_job), LIMIT, LIMIT)
    }

    #[test]
    fn a_unit_that_ended_is_down_unless_somebody_restarts_it() {
        assert_eq!(judge("active", "running", false), Standing::Active);
        assert_eq!(judge("reloading", "reload", true), Standing::Active);
        assert!(matches!(
            judge("failed", "failed", false),
            Standing::Down(_)
        ));
        assert!(matches!(
            judge("inactive", "dead", false),
            Standing::Down(_)
        ));
        assert!(matches!(
            judge("inactive", "dead", true),
            Standing::Changing(_)
        ));
    }

    #[test]
    fn a_unit_that_cannot_come_back_says_so() {
        for (load, reason) in [
            ("masked", "the unit a.service is masked"),
            ("not-found", "the unit a.service does not exist"),
        ] {
            let state = UnitState {
                load: load.to_owned(),
                ..state("inactive", "dead", false)
            };
            let down = Standing::Down(reason.to_owned());
            assert_eq!(standing(&state, LIMIT, LIMIT), down);
        }
    }

    #[test]
    fn a_unit_that_systemd_restarts_is_given_time_but_not_for_ever() {
        assert_eq!(
            judge("activating", "auto-restart", false),
            Standing::Changing(SELF_RESTART_LIMIT)
        );
        assert_eq!(
            judge("activating", "start", false),
            Standing::Changing(LIMIT)
        );
        assert_eq!(
            judge("deactivating", "stop-sigterm", false),
            Standing::Changing(LIMIT)
        );
    }
}
