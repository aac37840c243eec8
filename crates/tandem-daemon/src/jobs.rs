//! Operators' commands under way, here or on the other node: what was asked, and what was said
//! about it since.

use crate::hub::Hub;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tandem_core::{Answer, CommandId, NodeId};
use tandem_wire::api::{ApiEvent, CommandName, Job, JobState, PROGRESS_MAX};

/// How many jobs are remembered. The oldest is forgotten first; a person has one or two.
const JOBS_MAX: usize = 256;

/// The jobs of this daemon. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Jobs {
    inner: Arc<Mutex<Inner>>,
    hub: Hub,
    incarnation: u64,
}

struct Inner {
    jobs: VecDeque<Entry>,
    next: u64,
}

struct Entry {
    number: u64,
    job: Job,
    asked: Instant,
    /// The peer's number for it, if the peer asked: each change is told to it.
    asked_by_peer: Option<u64>,
    /// Whether the peer carries it out.
    remote: bool,
}

impl Jobs {
    /// None yet.
    pub(crate) fn new(hub: Hub, incarnation: u64) -> Self {
        let inner = Inner {
            jobs: VecDeque::new(),
            next: 1,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            hub,
            incarnation,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A command was accepted for `node`. `remote`: the peer carries it out.
    pub(crate) fn begin(
        &self,
        node: NodeId,
        module: &str,
        command: CommandName,
        origin: Origin,
    ) -> (u64, Job) {
        let mut inner = self.lock();
        let number = inner.next;
        inner.next += 1;
        let job = Job {
            job: format!("{:08x}-{number}", self.incarnation >> 32),
            node: node.number(),
            module: module.to_owned(),
            command,
            begun: origin != Origin::ForPeer,
            state: JobState::Running,
            message: String::new(),
            progress: Vec::new(),
            took_ms: None,
        };
        inner.jobs.push_back(Entry {
            number,
            job: job.clone(),
            asked: Instant::now(),
            asked_by_peer: match origin {
                Origin::Peer(number) => Some(number),
                Origin::Here | Origin::ForPeer => None,
            },
            remote: origin == Origin::ForPeer,
        });
        if inner.jobs.len() > JOBS_MAX {
            inner.jobs.pop_front();
        }
        (number, job)
    }

    /// A job by its name.
    pub(crate) fn find(&self, name: &str) -> Option<Job> {
        let inner = self.lock();
        let entry = inner.jobs.iter().find(|entry| entry.job.job == name);
        entry.map(|entry| entry.job.clone())
    }

    /// The core answered. Gives back what the peer has to be told, if it asked.
    pub(crate) fn answered(&self, id: CommandId, answer: Answer) -> Option<(u64, Job)> {
        let (state, message) = match answer {
            Answer::Done(message) => (JobState::Done, message),
            Answer::Refused(message) => (JobState::Refused, message),
            Answer::Failed(message) => (JobState::Failed, message),
            Answer::Progress(message) => (JobState::Running, message),
        };
        self.update(id.0, state, message)
    }

    /// The peer said how one of our commands is getting on there.
    pub(crate) fn told_by_peer(&self, number: u64, answer: Job) {
        self.update(number, answer.state, answer.message);
    }

    /// The peer was told of one of our commands.
    pub(crate) fn begun(&self, number: u64) {
        let mut inner = self.lock();
        if let Some(entry) = inner.jobs.iter_mut().find(|entry| entry.number == number) {
            entry.job.begun = true;
        }
    }

    /// A job got on.
    pub(crate) fn update(
        &self,
        number: u64,
        state: JobState,
        message: String,
    ) -> Option<(u64, Job)> {
        let (job, peer) = {
            let mut inner = self.lock();
            let entry = inner.jobs.iter_mut().find(|entry| entry.number == number)?;
            let job = &mut entry.job;
            if job.state.ended() {
                return None;
            }
            job.state = state;
            if job.progress.last() != Some(&message) && job.progress.len() < PROGRESS_MAX {
                job.progress.push(message.clone());
            }
            job.message = message;
            if state.ended() {
                let took = entry.asked.elapsed().as_millis();
                job.took_ms = Some(u64::try_from(took).unwrap_or(u64::MAX));
            }
            (job.clone(), entry.asked_by_peer)
        };
        self.hub.event(ApiEvent::Job(told(&job)));
        peer.map(|number| (number, job))
    }

    /// The control link broke: nobody knows how the peer's jobs went.
    pub(crate) fn link_lost(&self) {
        let lost: Vec<u64> = (self.lock().jobs.iter())
            .filter(|entry| entry.remote && !entry.job.state.ended())
            .map(|entry| entry.number)
            .collect();
        for number in lost {
            let message = "the other node stopped answering while it was under way".to_owned();
            self.update(number, JobState::Lost, message);
        }
    }
}

/// What clients are told that did not ask: what a machine looks like is long, and nobody's news.
fn told(job: &Job) -> Job {
    if job.command != CommandName::Doctor || job.state != JobState::Done {
        return job.clone();
    }
    Job {
        message: "looked at this machine".to_owned(),
        progress: Vec::new(),
        ..job.clone()
    }
}

/// Who asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// A client of this daemon, for this node.
    Here,
    /// A client of this daemon, for the peer.
    ForPeer,
    /// A client of the peer's daemon; with the peer's number.
    Peer(u64),
}
