//! The other node's half of a support bundle, over the control link.
//!
//! It is asked for part by part, so one small frame at a time is under way and the messages of the
//! cores pass between them. Each node takes its own secrets out before anything leaves it.

use crate::daemon::Settings;
use crate::hub::Hub;
use crate::machine;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tandem_console::unix_ms;
use tandem_wire::control::{ControlFrame, SupportAsked, SupportPart};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

/// One part: half of what a frame may have.
const PART_BYTES_MAX: u32 = 32 << 10;
/// A half, packed. Texts shrink to a tenth.
const HALF_BYTES_MAX: usize = 32 << 20;
/// How long a node may take to make its half. Shorter than a whole bundle may take.
const MAKE_MAX: Duration = Duration::from_secs(60);
/// How long a part may take.
const PART_MAX: Duration = Duration::from_secs(10);
/// What may wait to be looked at: one question and one part, and what came too late.
pub(crate) const HEARD_MAX: usize = 4;

/// What the other node asks, or says.
pub(crate) enum Heard {
    Asked(SupportAsked),
    Part(SupportPart),
}

/// Why there is no half of the other node.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HalfError {
    #[error("the other node does not answer")]
    Silent,
    #[error("the other node took too long, or has an older release")]
    Late,
    #[error("another bundle is being made")]
    Busy,
    #[error("the other node's half is too large")]
    TooLarge,
    #[error("the other node: {0}")]
    Problem(String),
}

/// Who waits for parts of this question.
type Waiting = (u64, mpsc::Sender<SupportPart>);

/// Asks for it, and gives the own one. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Halves {
    hub: Hub,
    frames: mpsc::Sender<ControlFrame>,
    /// The question under way, and who waits for the next part.
    waiting: Arc<Mutex<Option<Waiting>>>,
    turn: Arc<Semaphore>,
}

impl Halves {
    pub(crate) fn new(hub: Hub, frames: mpsc::Sender<ControlFrame>) -> Self {
        Self {
            hub,
            frames,
            waiting: Arc::default(),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    fn wait_as(&self, waiting: Option<Waiting>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
    }

    /// The other node's half; or at once, why there is none.
    pub(crate) async fn fetch(&self) -> Result<Vec<u8>, HalfError> {
        let _turn = self.turn.try_acquire().map_err(|_| HalfError::Busy)?;
        let question = unix_ms();
        let (sender, mut parts) = mpsc::channel(1);
        self.wait_as(Some((question, sender)));
        let half = self.put_together(question, &mut parts).await;
        self.wait_as(None);
        half
    }

    async fn put_together(
        &self,
        question: u64,
        parts: &mut mpsc::Receiver<SupportPart>,
    ) -> Result<Vec<u8>, HalfError> {
        let mut half = Vec::new();
        let mut patience = MAKE_MAX;
        loop {
            if !self.hub.link_is_up() {
                return Err(HalfError::Silent);
            }
            let asked = SupportAsked {
                question,
                from: half.len() as u64,
                bytes_max: PART_BYTES_MAX,
            };
            let frame = ControlFrame::SupportAsked(asked);
            self.frames.try_send(frame).map_err(|_| HalfError::Busy)?;
            let part = tokio::select! {
                Some(part) = parts.recv() => part,
                () = self.link_lost() => return Err(HalfError::Silent),
                () = sleep(patience) => return Err(HalfError::Late),
            };
            if let Some(problem) = part.problem {
                return Err(HalfError::Problem(problem));
            }
            if part.from != half.len() as u64 || (part.bytes.is_empty() && !part.last) {
                return Err(HalfError::Problem("it sent another part".to_owned()));
            }
            half.extend(part.bytes);
            if half.len() > HALF_BYTES_MAX {
                return Err(HalfError::TooLarge);
            }
            if part.last {
                return Ok(half);
            }
            patience = PART_MAX;
        }
    }

    async fn link_lost(&self) {
        let mut news = self.hub.watch();
        while self.hub.link_is_up() && news.changed().await.is_ok() {}
    }

    /// Looks at what the other node asks and says, for ever.
    pub(crate) async fn run(self, settings: Settings, mut heard: mpsc::Receiver<Heard>) {
        let mut given = Given::default();
        loop {
            let (holds, until) = (given.holds(), given.until);
            tokio::select! {
                Some(heard) = heard.recv() => match heard {
                    Heard::Asked(asked) => given.asked(asked, &settings),
                    Heard::Part(part) => {
                        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                        if let Some((question, waits)) = &*waiting && *question == part.question {
                            // Nobody asks for the next one before this one came.
                            drop(waits.try_send(part));
                        }
                    }
                },
                () = given.made() => {}
                () = sleep_until(until), if holds => given = Given::default(),
            }
            if let Some(part) = given.part() {
                // Whoever waits for it gives up; the link has more to say than this.
                drop(self.frames.try_send(ControlFrame::SupportPart(part)));
            }
        }
    }
}

/// This node's half, while the other one asks for it.
struct Given {
    /// Which half this is.
    question: Option<u64>,
    asked: Option<SupportAsked>,
    making: Option<Making>,
    half: Result<Vec<u8>, String>,
    /// Whoever does not go on asking until then has given up.
    until: Instant,
}

/// Ends the process with whoever waits for it.
struct Making(JoinHandle<std::io::Result<Vec<u8>>>);

impl Drop for Making {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Default for Given {
    fn default() -> Self {
        Self {
            question: None,
            asked: None,
            making: None,
            half: Ok(Vec::new()),
            until: Instant::now(),
        }
    }
}

impl Given {
    fn holds(&self) -> bool {
        self.making.is_none() && self.half.as_ref().is_ok_and(|half| !half.is_empty())
    }

    fn asked(&mut self, asked: SupportAsked, settings: &Settings) {
        self.until = Instant::now() + PART_MAX;
        if asked.from == 0 {
            tracing::info!("the other node asks for this node's half of a support bundle");
            let settings = settings.clone();
            let make = async move { machine::run_support(&settings, &["--half"], MAKE_MAX).await };
            self.making = Some(Making(tokio::spawn(make)));
            self.question = Some(asked.question);
            self.half = Ok(Vec::new());
        }
        self.asked = Some(asked);
    }

    /// Comes back when the half that is being made is there.
    async fn made(&mut self) {
        let Some(Making(making)) = &mut self.making else {
            return std::future::pending().await;
        };
        let made = making.await;
        self.making = None;
        self.until = Instant::now() + PART_MAX;
        self.half = match made {
            Ok(Ok(half)) => Ok(half),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it was not made".to_owned()),
        };
    }

    /// What can be said now to what was asked.
    fn part(&mut self) -> Option<SupportPart> {
        if self.making.is_some() {
            return None;
        }
        let SupportAsked {
            question,
            from,
            bytes_max,
        } = self.asked.take()?;
        let part = SupportPart {
            question,
            from,
            ..SupportPart::default()
        };
        if self.question != Some(question) {
            let problem = Some("it was asked too late".to_owned());
            return Some(SupportPart { problem, ..part });
        }
        Some(match &self.half {
            Err(problem) => SupportPart {
                problem: Some(problem.clone()),
                ..part
            },
            Ok(half) => {
                let length = half.len();
                let start = usize::try_from(from).map_or(length, |from| from.min(length));
                let most = bytes_max.min(PART_BYTES_MAX) as usize;
                let end = start.saturating_add(most).min(length);
                SupportPart {
                    bytes: half[start..end].to_vec(),
                    last: end == length,
                    ..part
                }
            }
        })
    }
}
