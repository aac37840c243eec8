//! Operators' commands on their way to the core that carries them out: here, or over the control
//! link to the other node's.

use crate::config::{Configuration, Place};
use crate::configure::{Configure, Taken};
use crate::hub::Hub;
use crate::jobs::{Jobs, Origin};
use crate::reactor::{Input, Inputs};
use std::sync::Arc;
use std::time::Duration;
use tandem_core::{CommandId, Event, NodeId};
use tandem_wire::api::{CommandRequest, Job, JobState, NewFile, Order};
use tandem_wire::control::ControlFrame;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// How long a command for the other node waits for the control link. After both daemons came up the
/// link stands within a second; a node that is off is not worth more of a person's time.
const LINK_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long a daemon that is to start anew stays, so that its answer arrives.
const ANSWER_GOES: Duration = Duration::from_millis(300);

/// A request that makes no sense.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("node {0} does not exist: the nodes are 1 and 2")]
    Node(u8),
    #[error("there is no module {0}")]
    Module(String),
    #[error("there are several modules, name one of them: {0}")]
    WhichModule(String),
    #[error(
        "`force` is for `prim`, `whole` for `stop`, and `on` for `failover`, `checkers` and `boot`"
    )]
    Manner,
}

/// The way of commands. Clones lead to the same place.
#[derive(Clone)]
pub(crate) struct Commands {
    pub configuration: Arc<Configuration>,
    pub node: NodeId,
    pub hub: Hub,
    pub jobs: Jobs,
    pub inputs: Inputs,
    /// What this machine is to be looked at for.
    pub doctor: Arc<tandem_doctor::Subject>,
    /// What becomes of another configuration file.
    pub configure: Configure,
    pub frames: mpsc::Sender<ControlFrame>,
}

impl Commands {
    /// Begins a command of a client of this daemon.
    pub(crate) fn submit(&self, mut request: CommandRequest) -> Result<Job, CommandError> {
        let order = request.order().ok_or(CommandError::Manner)?;
        let (place, module) = self.module(&request)?;
        let node = match (request.node, order) {
            (Some(number), _) => NodeId::from_number(number).ok_or(CommandError::Node(number))?,
            (None, Order::Core(_) | Order::Look | Order::Configure) => self.node,
            // Both nodes' copies are compared, from whichever node that is asked for.
            (None, Order::Verify) => self.hub.serving(&module).unwrap_or(self.node),
        };
        request.module = Some(module.clone());
        let here = node == self.node;
        let origin = if here { Origin::Here } else { Origin::ForPeer };
        let (number, job) = self.jobs.begin(node, &module, request.command, origin);
        if here {
            self.give(place, number, order, request.file);
        } else {
            let job = number;
            self.pass_on(number, ControlFrame::Command { job, request });
        }
        Ok(self.jobs.find(&job.job).unwrap_or(job))
    }

    /// Hands a command over to the other node, at once or as soon as the link stands.
    fn pass_on(&self, number: u64, frame: ControlFrame) {
        if self.hub.link_is_up() {
            return self.hand_over(number, frame);
        }
        let seconds = LINK_WAIT_MAX.as_secs();
        let waiting = format!("waiting up to {seconds} s for the link to the other node's daemon");
        self.jobs.update(number, JobState::Running, waiting);
        let commands = self.clone();
        tokio::spawn(async move {
            let mut news = commands.hub.watch();
            let stands = news.wait_for(|_| commands.hub.link_is_up());
            // What it gives back keeps the hub's news locked, and must not live any longer.
            let stands = timeout(LINK_WAIT_MAX, stands).await.is_ok();
            match stands {
                true => {
                    commands.hand_over(number, frame);
                    let told = "the other node's daemon has the command".to_owned();
                    commands.jobs.update(number, JobState::Running, told);
                }
                false => {
                    let message =
                        format!("the other node's daemon did not answer within {seconds} s");
                    (commands.jobs).update(number, JobState::Unreachable, message);
                }
            }
        });
    }

    fn hand_over(&self, number: u64, frame: ControlFrame) {
        match self.frames.try_send(frame) {
            Ok(()) => self.jobs.begun(number),
            Err(_) => {
                let message = "the control link to the other node is full".to_owned();
                self.jobs.update(number, JobState::Unreachable, message);
            }
        }
    }

    /// Begins a command of the peer's, for this node.
    pub(crate) fn accept(&self, peers_number: u64, request: CommandRequest) {
        let (order, (place, module)) = match (request.order(), self.module(&request)) {
            (Some(order), Ok(module)) => (order, module),
            (None, _) => return self.refuse(peers_number, &request, &CommandError::Manner),
            (_, Err(error)) => return self.refuse(peers_number, &request, &error),
        };
        let origin = Origin::Peer(peers_number);
        let (number, _) = self.jobs.begin(self.node, &module, request.command, origin);
        self.give(place, number, order, request.file);
    }

    fn module(&self, request: &CommandRequest) -> Result<(Place, String), CommandError> {
        let modules = &self.configuration.modules;
        match (
            self.configuration.place(request.module.as_deref()),
            &request.module,
        ) {
            (Some(Place(place)), _) => Ok((Place(place), modules[place].name.clone())),
            (None, Some(name)) => Err(CommandError::Module(name.clone())),
            (None, None) => {
                let names: Vec<&str> = modules.iter().map(|m| m.name.as_str()).collect();
                Err(CommandError::WhichModule(names.join(", ")))
            }
        }
    }

    fn give(&self, place: Place, number: u64, order: Order, file: Option<Box<NewFile>>) {
        let id = CommandId(number);
        let input = match order {
            Order::Core(command) => Input::Event(place, Event::Commanded { id, command }),
            Order::Verify => Input::Verify(place, id),
            Order::Look => return self.look(number),
            Order::Configure => return self.configure(number, file),
        };
        if !self.inputs.offer(input) {
            let message = "the daemon is too far behind".to_owned();
            let told = self.jobs.update(number, JobState::Failed, message);
            self.tell_peer(told);
        }
    }

    /// Looks at this machine, beside everything else.
    fn look(&self, number: u64) {
        let commands = self.clone();
        tokio::spawn(async move {
            let subject = &commands.doctor;
            let facts = tandem_doctor::look::look(subject, crate::RELEASE).await;
            let facts = serde_json::to_string(&facts).expect("plain data");
            let told = commands.jobs.update(number, JobState::Done, facts);
            commands.tell_peer(told);
        });
    }

    /// Looks at another configuration file; a daemon that took one starts anew.
    fn configure(&self, number: u64, file: Option<Box<NewFile>>) {
        let commands = self.clone();
        tokio::spawn(async move {
            let file = file.expect("an order to configure has a file");
            let taken = commands.configure.take(&file).await;
            let (state, message) = match &taken {
                Ok(Taken::InPlace) => (JobState::Done, "the file is in place".to_owned()),
                Ok(Taken::Known) => (JobState::Done, "the file was in place".to_owned()),
                Ok(Taken::Good) => (JobState::Done, "the file is good for this node".to_owned()),
                Err(error) => (JobState::Refused, crate::report(error)),
            };
            commands.tell_peer(commands.jobs.update(number, state, message));
            if matches!(taken, Ok(Taken::InPlace)) {
                sleep(ANSWER_GOES).await;
                commands.configure.begin_again();
            }
        });
    }

    fn refuse(&self, peers_number: u64, request: &CommandRequest, error: &CommandError) {
        let answer = Job {
            job: String::new(),
            node: self.node.number(),
            module: request.module.clone().unwrap_or_default(),
            command: request.command,
            begun: true,
            state: JobState::Refused,
            message: error.to_string(),
            progress: Vec::new(),
            took_ms: None,
        };
        self.tell_peer(Some((peers_number, answer)));
    }

    /// Tells the peer how one of its commands is getting on.
    pub(crate) fn tell_peer(&self, told: Option<(u64, Job)>) {
        if let Some((job, mut answer)) = told {
            // The peer keeps what was said before itself.
            answer.progress.clear();
            // A full link has more to say than this; the peer's job ends as lost with the link.
            let _ = self.frames.try_send(ControlFrame::Answer { job, answer });
        }
    }
}
