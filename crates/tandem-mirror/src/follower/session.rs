//! One connection of the peer: handshake, then reading frames into the inbox until it ends.
//!
//! The thread that reads also answers pings. A frame counts as received when it goes into the
//! inbox, which is never emptied except by applying: so a session that ends, for whatever reason,
//! loses nothing that it had counted.
//!
//! After a refusal or a failure the connection is read on, and what comes is thrown away, until
//! the source has closed it or a second passed: closing it with unread bytes would make the kernel
//! take back the very frame that says why.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tandem_wire::stream::{
    FrameHeader, FrameKind, Hello, Operation, Refusal, VERSION, VERSION_MIN, Welcome, decode,
    encode,
};

use super::handshake::{CleanEnd, Continuation, Known, Shown, continuation, objection, origin};
use super::inbox::{Beginning, Inbox, Work};
use super::ledger::{Ledger, Session, Stream, lock};
use crate::backing::VolumeError;
use crate::process;
use crate::roles::sentence;
use crate::standing::{self, Standing};
use crate::sys;
use crate::transport::{Frame, FrameReceiver, FrameSender};

/// How long the peer may take to say hello.
const HELLO_LIMIT: Duration = Duration::from_secs(3);
/// How long a connection is read on after it was said why it ends.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);
/// How long a session that was asked to end reads what is there.
const LAST_READ_LIMIT: Duration = Duration::from_secs(2);
/// How often the reader looks whether it should end, while nothing comes.
const READ_TICK: Duration = Duration::from_millis(100);

/// A connection that the listener accepted: the other side has the peer's key.
pub(super) struct Connection {
    pub(super) ledger: Arc<Ledger>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) sender: FrameSender,
    pub(super) receiver: FrameReceiver,
    pub(super) address: SocketAddr,
}

/// A stream was accepted on this connection.
struct Admitted {
    stream: Arc<Stream>,
    session: Arc<Session>,
    /// Whether the first number may be any: numbers go on where the source is.
    any_first: bool,
}

impl Connection {
    pub(super) fn run(mut self) {
        if let Some(hello) = self.await_hello() {
            match self.admit(&hello) {
                Ok(admitted) => {
                    self.read(&admitted);
                    self.leave(&admitted);
                }
                Err(reason) => {
                    if self.ledger.is_news(&reason) {
                        tracing::info!(address = %self.address, reason, "stream refused");
                    }
                    self.refuse(hello.epoch, reason);
                    self.farewell();
                }
            }
        }
        self.sender.close();
    }

    fn await_hello(&mut self) -> Option<Hello> {
        let address = self.address;
        let frame = match self.receiver.receive(HELLO_LIMIT) {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                tracing::warn!(%address, "the peer connected and did not say hello");
                return None;
            }
            Err(error) => {
                tracing::info!(%address, %error, "the connection ended before its hello");
                return None;
            }
        };
        let hello = match frame.kind() {
            FrameKind::Hello => decode::<Hello>(&frame.payload).ok(),
            _ => None,
        };
        if hello.is_none() {
            tracing::warn!(%address, "the peer's first frame is no readable hello");
            self.refuse(0, "the first frame is no readable hello".to_owned());
            self.farewell();
        }
        hello
    }

    /// Decides about the stream, and welcomes it.
    fn admit(&mut self, hello: &Hello) -> Result<Admitted, String> {
        let ledger = Arc::clone(&self.ledger);
        if let Some(reason) = objection(hello, &ledger.config) {
            return Err(reason);
        }
        let admission = lock(&ledger.admission);
        if let Some(reason) = ledger.obstacle() {
            return Err(reason);
        }
        self.take_part_in(hello.epoch)?;
        self.end_former_session()?;
        let shown = self.shown();
        let how = self.continuation(hello, shown.as_ref());
        // Before anything can change.
        self.record_beginning(hello, how).map_err(|error| {
            let reason = format!(
                "the standby cannot record its position: {}",
                sentence(&error)
            );
            // The source comes again five times a second.
            if self.ledger.is_news(&reason) {
                tracing::error!(reason, "no stream can be accepted");
            }
            reason
        })?;
        let admitted = self.begin(hello, how, shown)?;
        drop(admission);
        tracing::info!(address = %self.address, epoch = hello.epoch, ?how, "stream accepted");
        Ok(admitted)
    }

    /// The epoch is on disk as the highest when this returns.
    fn take_part_in(&self, epoch: u64) -> Result<(), String> {
        match self.ledger.epochs.raise(epoch) {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!(
                "epoch differs: the source serves in {epoch}, the standby already follows {}",
                self.ledger.epochs.highest()
            )),
            Err(error) => {
                let error = sentence(&error);
                let reason = format!("the standby cannot write the epoch down: {error}");
                if self.ledger.is_news(&reason) {
                    tracing::error!(reason, "no stream can be accepted");
                }
                Err(reason)
            }
        }
    }

    fn end_former_session(&self) -> Result<(), String> {
        let former = self.ledger.lock().session.clone();
        let Some(former) = former else {
            return Ok(());
        };
        former.close();
        if former.await_end() {
            Ok(())
        } else {
            Err("the standby still applies what the former session brought".to_owned())
        }
    }

    /// Takes a clean standing back. What was found inconsistent stays so.
    fn record_beginning(&self, hello: &Hello, how: Continuation) -> Result<(), VolumeError> {
        let Ledger {
            config, volumes, ..
        } = &*self.ledger;
        let begun = match how {
            // That is on disk since the stream became level.
            Continuation::Resume { .. } => return Ok(()),
            Continuation::Equal { from } => Standing {
                epoch: hello.epoch,
                generation: hello.generation,
                stream_incarnation: hello.incarnation,
                applied: from - 1,
                checkpointed: from - 1,
                ..Standing::default()
            },
            // The comparison may never come: that it begins is recorded by who applies it.
            Continuation::Compare | Continuation::Owed(_) => {
                return standing::take_back(config, volumes);
            }
        };
        standing::record(config, volumes, &begun)
    }

    /// What this copy is, exactly, if that is known.
    fn shown(&self) -> Option<Shown> {
        let Ledger {
            config, volumes, ..
        } = &*self.ledger;
        if let Some(stream) = self.ledger.lock().stream.clone() {
            return stream.shown();
        }
        let found = standing::found(config, volumes);
        let ended = found.standing.filter(|standing| standing.clean);
        let standing = ended.or(found.interrupted)?;
        Some(Shown {
            incarnation: standing.stream_incarnation,
            epoch: standing.epoch,
            generation: standing.generation,
            number: standing.applied,
            comparison: standing.comparison,
        })
    }

    fn continuation(&self, hello: &Hello, shown: Option<&Shown>) -> Continuation {
        let known = self.ledger.lock().stream.clone().map(|stream| Known {
            origin: stream.origin.clone(),
            received: stream.received.load(Ordering::Acquire),
            level: stream.is_level(),
        });
        let clean = standing::found(&self.ledger.config, &self.ledger.volumes)
            .standing
            .filter(|standing| standing.clean)
            .map(|standing| CleanEnd {
                epoch: standing.epoch,
                generation: standing.generation,
                stream_incarnation: standing.stream_incarnation,
                applied: standing.applied,
            });
        continuation(hello, known.as_ref(), clean, shown)
    }

    fn begin(
        &mut self,
        hello: &Hello,
        how: Continuation,
        shown: Option<Shown>,
    ) -> Result<Admitted, String> {
        let session = Arc::new(Session::new(self.sender.clone(), hello.epoch));
        let mut state = self.ledger.lock();
        let (stream, beginning, welcome) = match (how, state.stream.clone()) {
            (Continuation::Resume { from }, Some(stream)) => {
                (stream, Beginning::Resumed, Welcome::Replay { from })
            }
            (Continuation::Equal { from } | Continuation::Resume { from }, _) => {
                let stream = Arc::new(Stream::new(origin(hello), from - 1));
                // Both copies are equal, and from the next number on the source waits for this one.
                stream.level.store(hello.gate != 0, Ordering::Release);
                (stream, Beginning::Equal, Welcome::Replay { from })
            }
            (Continuation::Compare | Continuation::Owed(_), _) => {
                let secret = draw_secret()?;
                let comparison = match how {
                    Continuation::Owed(Some(interrupted)) => interrupted,
                    _ => sys::random_number(),
                };
                let stream = Stream::comparing(origin(hello), comparison, shown);
                let stream = Arc::new(stream);
                let welcome = match how {
                    Continuation::Owed(_) => Welcome::CompareOwed { secret, comparison },
                    _ => Welcome::Compare { secret, comparison },
                };
                (stream, Beginning::Compare(secret), welcome)
            }
        };
        if let Some(former) = state.stream.replace(Arc::clone(&stream)) {
            former.set_link(None);
        }
        state.session = Some(Arc::clone(&session));
        state.epoch = hello.epoch;
        state.generation = hello.generation;
        drop(state);
        self.ledger.heard();
        let own = encode(&self.own_hello(&stream));
        let welcomed = encode(&welcome);
        // A broken connection shows at the first read.
        let _ = self.sender.send_all(&[
            (stream.header(FrameKind::Hello), &own),
            (stream.header(FrameKind::Welcome), &welcomed),
        ]);
        // Only now: nothing else may leave before the welcome.
        stream.set_link(Some(self.sender.clone()));
        let begin = Work::Begin(Arc::clone(&stream), beginning);
        self.inbox.push_command(begin);
        self.ledger.notify();
        Ok(Admitted {
            stream,
            session,
            any_first: matches!(beginning, Beginning::Compare(_)),
        })
    }

    fn own_hello(&self, stream: &Stream) -> Hello {
        let config = &self.ledger.config;
        let progress = stream.progress(0);
        Hello {
            version: VERSION,
            version_min: VERSION_MIN,
            cluster: config.cluster.clone(),
            module: config.module.clone(),
            volumes: config
                .volumes
                .iter()
                .map(|volume| volume.name.clone())
                .collect(),
            node: config.node.number(),
            configuration: config.configuration,
            boot_id: process::boot_id().to_owned(),
            incarnation: process::incarnation(),
            epoch: stream.origin.epoch,
            generation: stream.origin.generation,
            received: progress.received,
            applied: progress.applied,
            checkpointed: progress.checkpointed,
            stream_incarnation: stream.origin.incarnation,
            gate: 0,
            debt: None,
            extensions: Vec::new(),
        }
    }

    fn read(&mut self, admitted: &Admitted) {
        let mut any_first = admitted.any_first;
        loop {
            if admitted.stream.is_broken() {
                self.farewell();
                return;
            }
            let ending = admitted.session.ending_since();
            if ending.is_some_and(|since| since > LAST_READ_LIMIT) {
                return;
            }
            let frame = match self.receiver.receive(READ_TICK) {
                Ok(Some(frame)) => frame,
                Ok(None) => continue,
                Err(error) => {
                    if admitted.session.ending_since().is_none() {
                        tracing::warn!(address = %self.address, %error, "the stream broke off");
                    }
                    return;
                }
            };
            self.ledger.heard();
            let taken = match frame.kind() {
                kind if kind.is_numbered() => take(&self.inbox, admitted, frame, &mut any_first),
                FrameKind::Ping => {
                    let pong = FrameHeader::control(FrameKind::Pong, admitted.session.epoch);
                    let _ = self.sender.send(pong, &frame.payload);
                    Ok(())
                }
                FrameKind::Pong => Ok(()),
                FrameKind::Gossip => {
                    self.ledger.hear_gossip(frame.payload);
                    Ok(())
                }
                FrameKind::Refuse => {
                    let why = decode::<Refusal>(&frame.payload).map(|refusal| refusal.reason);
                    let reason = why.unwrap_or_default();
                    tracing::warn!(reason, "the source ended the stream");
                    return;
                }
                kind => Err(format!("a frame of kind {kind:?} has no place here")),
            };
            if let Err(violation) = taken {
                tracing::error!(address = %self.address, violation, "the stream is unusable");
                admitted.stream.broken.store(true, Ordering::Release);
                self.refuse(admitted.session.epoch, violation);
            }
        }
    }

    /// The connection is over: what it brought will be applied, and nothing else comes.
    fn leave(&self, admitted: &Admitted) {
        self.sender.close();
        let mut state = self.ledger.lock();
        let current = state.session.as_ref();
        if current.is_some_and(|session| Arc::ptr_eq(session, &admitted.session)) {
            state.session = None;
        }
        drop(state);
        self.inbox.push_command(Work::End);
        admitted.session.set_ended();
        self.ledger.notify();
    }

    fn refuse(&self, epoch: u64, reason: String) {
        let refusal = encode(&Refusal { reason });
        let header = FrameHeader::control(FrameKind::Refuse, epoch);
        let _ = self.sender.send(header, &refusal);
    }

    fn farewell(&mut self) {
        let deadline = Instant::now() + FAREWELL_LIMIT;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            match self.receiver.receive(left) {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }
}

/// Checks a numbered frame and hands it over.
fn take(
    inbox: &Inbox,
    admitted: &Admitted,
    frame: Frame,
    any_first: &mut bool,
) -> Result<(), String> {
    let stream = &admitted.stream;
    let header = &frame.header;
    let (sequence, epoch) = (header.sequence.get(), header.epoch.get());
    if epoch != admitted.session.epoch {
        let ours = admitted.session.epoch;
        return Err(format!(
            "frame {sequence} is of epoch {epoch}, in a session of epoch {ours}"
        ));
    }
    let received = stream.received.load(Ordering::Acquire);
    let first = std::mem::replace(any_first, false) && sequence != 0;
    if !first && received.checked_add(1) != Some(sequence) {
        return Err(format!(
            "frame {sequence} follows {received}: something is missing"
        ));
    }
    let bytes = frame.payload.len();
    let work = match frame.kind() {
        FrameKind::Write => Work::Write(frame),
        _ => Work::Operation {
            sequence,
            volume: header.volume.get(),
            operation: decode::<Operation>(&frame.payload)
                .map(Box::new)
                .map_err(|error| format!("frame {sequence} is unreadable: {error}"))?,
        },
    };
    stream.received.store(sequence, Ordering::Release);
    inbox.push(work, bytes);
    Ok(())
}

fn draw_secret() -> Result<[u8; 32], String> {
    let mut secret = [0; 32];
    match getrandom::fill(&mut secret) {
        Ok(()) => Ok(secret),
        Err(error) => Err(format!("the standby cannot draw a key: {error}")),
    }
}
