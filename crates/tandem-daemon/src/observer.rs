//! Looks at the picture that people are shown, and keeps what was: changes in the history, numbers
//! in the series. Nobody waits for it; a disk that hangs costs entries, nothing else.

use crate::http::Past;
use crate::hub::{EventId, Hub};
use std::path::Path;
use std::time::Duration;
use tandem_console::history::History;
use tandem_console::unix_ms;
use tandem_wire::api::{ApiEvent, Job};
use tokio::time::{MissedTickBehavior, interval};

/// How often numbers are taken.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// How often is looked for changes at most. A state that lasts shorter is told by the decisions,
/// which carry their own times.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Opens the history below a state directory. One that cannot be used is done without.
pub(crate) fn open(state_dir: &Path) -> Past {
    let history = match History::open(&state_dir.join("history.db")) {
        Ok(history) => Some(history),
        Err(error) => {
            tracing::error!("there will be no history: {}", crate::report(&error));
            None
        }
    };
    Past {
        history,
        series: Default::default(),
    }
}

/// Looks, for ever.
pub(crate) async fn run(hub: Hub, past: Past) {
    let mut sample = interval(SAMPLE_INTERVAL);
    let mut look = interval(LOOK_INTERVAL);
    for timer in [&mut sample, &mut look] {
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let mut news = hub.watch();
    let mut place = hub.newest();
    let mut failed = false;
    loop {
        tokio::select! {
            _ = sample.tick() => past.series.sample(&hub.status(), unix_ms()),
            _ = look.tick() => {
                let (Some(history), true) = (&past.history, news.has_changed().unwrap_or(false))
                else {
                    continue;
                };
                news.mark_unchanged();
                let jobs = ended(&hub, &mut place);
                let (history, status) = (history.clone(), hub.status());
                let written = tokio::task::spawn_blocking(move || {
                    for job in &jobs {
                        history.ended(job, unix_ms())?;
                    }
                    history.observe(&status, unix_ms())
                })
                .await;
                match written {
                    Ok(Ok(())) => failed = false,
                    Ok(Err(error)) if !failed => {
                        failed = true;
                        tracing::error!("{}", crate::report(&error));
                    }
                    Ok(Err(_)) | Err(_) => {}
                }
            }
        }
    }
}

/// The commands that ended since the last look.
fn ended(hub: &Hub, place: &mut EventId) -> Vec<Job> {
    let Some(events) = hub.after(*place) else {
        // More at once than are kept: how long what took is not worth more.
        *place = hub.newest();
        return Vec::new();
    };
    let mut jobs = Vec::new();
    for (id, event) in events {
        *place = id;
        if let ApiEvent::Job(job) = event
            && job.state.ended()
        {
            jobs.push(job);
        }
    }
    jobs
}
