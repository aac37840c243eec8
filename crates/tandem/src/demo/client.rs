//! The client of the recorder: a third machine that knows only the virtual address.
//!
//! It sends one numbered event after the other, and keeps its own list of what was acknowledged and
//! when. Only this list counts in the end. An event whose answer never came is in doubt and is not
//! sent again, so nothing can be recorded twice by the client's doing: like every commit whose
//! answer is lost it may be found or not.

use super::count;
use super::error::Result;
use super::format::seconds;
use super::picture::ClientSight;
use super::recorder;
use super::wait;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// From one event to the next, as long as the answers come faster than that.
const PERIOD: Duration = Duration::from_millis(10);
/// How long a connection attempt lasts before the next one: it bounds what the client itself adds
/// to an outage.
const CONNECT_LIMIT: Duration = Duration::from_millis(100);
/// How long an answer may take before its connection is given up.
const ANSWER_LIMIT_MIN: Duration = Duration::from_millis(250);
/// It is doubled after each event in doubt up to here, so that a slow disk is waited for.
const ANSWER_LIMIT_MAX: Duration = Duration::from_secs(4);
/// From a failed attempt to the next one.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// How long the client may be without an answer before the show is over.
const SERVED_LIMIT: Duration = Duration::from_secs(30);
/// How many events must be acknowledged before it counts as served.
const SERVED_EVENTS: usize = 5;

/// One acknowledged event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Its number.
    pub number: u64,
    /// When its answer came.
    pub at: Instant,
}

/// What the client knows.
#[derive(Default)]
pub struct Journal {
    /// What was acknowledged, in order.
    pub acknowledged: Vec<Acknowledged>,
    /// What was sent, and never answered.
    pub in_doubt: Vec<u64>,
    /// Which node greeted the present connection.
    pub node: Option<String>,
    /// Whether the client has ended: its silence means nothing any more.
    pub ended: bool,
}

impl Journal {
    /// The outage that the client saw of what happened at `moment`.
    pub fn outage(&self, moment: Instant) -> Duration {
        count::outage(&self.answers(), moment).unwrap_or_else(|| moment.elapsed())
    }

    /// For the picture.
    pub fn sight(&self) -> ClientSight {
        let recent = self
            .acknowledged
            .iter()
            .rev()
            .take_while(|event| event.at.elapsed() <= Duration::from_secs(1));
        ClientSight {
            acknowledged: self.acknowledged.len(),
            per_second: recent.count(),
            silence: self
                .acknowledged
                .last()
                .filter(|_| !self.ended)
                .map(|event| event.at.elapsed()),
            node: self.node.clone(),
        }
    }

    fn answers(&self) -> Vec<Instant> {
        self.acknowledged.iter().map(|event| event.at).collect()
    }
}

/// The journal, for all who look at it while the client writes.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<Journal>>);

impl Shared {
    /// What is in it at present.
    pub fn journal(&self) -> MutexGuard<'_, Journal> {
        self.0.lock().expect("no holder of the journal panics")
    }
}

/// The running client.
pub struct Client {
    shared: Shared,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Client {
    /// Starts it in the network namespace of the file `namespace`.
    pub fn start(namespace: &Path, address: Ipv4Addr, shared: Shared) -> io::Result<Self> {
        let namespace = File::open(namespace)?;
        let ended = Arc::new(AtomicBool::new(false));
        let mut writer = Writer {
            address: SocketAddr::from((address, recorder::PORT)),
            shared: shared.clone(),
            ended: Arc::clone(&ended),
            answer_limit: ANSWER_LIMIT_MIN,
            next: 1,
        };
        let thread = thread::Builder::new()
            .name("client".to_owned())
            .spawn(move || {
                setns(namespace, CloneFlags::CLONE_NEWNET)?;
                writer.write_until_ended();
                Ok(())
            })?;
        Ok(Self {
            shared,
            ended,
            thread: Some(thread),
        })
    }

    /// What it knows at present.
    pub fn journal(&self) -> MutexGuard<'_, Journal> {
        self.shared.journal()
    }

    /// Waits until it is served again after `moment`, and gives the outage that it saw so far.
    pub fn served_after(&self, moment: Instant, what: &str) -> Result<Duration> {
        let what = format!("the client's events to be acknowledged after {what}");
        wait::until(&what, SERVED_LIMIT, || {
            let answers = self.journal().answers();
            let later = answers.iter().filter(|at| **at > moment).count();
            if later >= SERVED_EVENTS {
                return Ok(count::outage(&answers, moment).unwrap_or_default());
            }
            let silence = answers.last().unwrap_or(&moment).elapsed();
            Err(format!("there was no answer for {}", seconds(silence)))
        })
    }

    /// Ends it.
    pub fn stop(&mut self) -> io::Result<()> {
        self.ended.store(true, Ordering::Relaxed);
        self.shared.journal().ended = true;
        match self.thread.take() {
            Some(thread) => thread.join().expect("the client does not panic"),
            None => Ok(()),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Ending early: whoever ended it has a better error to show.
        let _ = self.stop();
    }
}

struct Writer {
    address: SocketAddr,
    shared: Shared,
    ended: Arc<AtomicBool>,
    answer_limit: Duration,
    next: u64,
}

impl Writer {
    fn write_until_ended(&mut self) {
        while !self.ended.load(Ordering::Relaxed) {
            // Whatever ended a connection, the answer is the next one.
            let _ = self.connect().and_then(|stream| self.converse(stream));
            self.shared.journal().node = None;
            if !self.ended.load(Ordering::Relaxed) {
                thread::sleep(RETRY_PAUSE);
            }
        }
    }

    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&self.address, CONNECT_LIMIT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.answer_limit))?;
        stream.set_write_timeout(Some(self.answer_limit))?;
        let mut stream = BufReader::new(stream);
        let greeting = line(&mut stream)?;
        let node = recorder::node_of(&greeting).ok_or(io::ErrorKind::InvalidData)?;
        self.shared.journal().node = Some(node.to_owned());
        Ok(stream)
    }

    fn converse(&mut self, mut stream: BufReader<TcpStream>) -> io::Result<()> {
        while !self.ended.load(Ordering::Relaxed) {
            let sent = Instant::now();
            let number = self.next;
            self.next += 1;
            match exchange(&mut stream, number) {
                Ok(()) => {
                    self.answer_limit = ANSWER_LIMIT_MIN;
                    self.shared.journal().acknowledged.push(Acknowledged {
                        number,
                        at: Instant::now(),
                    });
                }
                Err(error) => {
                    self.answer_limit = (self.answer_limit * 2).min(ANSWER_LIMIT_MAX);
                    self.shared.journal().in_doubt.push(number);
                    return Err(error);
                }
            }
            thread::sleep(PERIOD.saturating_sub(sent.elapsed()));
        }
        Ok(())
    }
}

/// Sends one event and waits for its own answer.
fn exchange(stream: &mut BufReader<TcpStream>, number: u64) -> io::Result<()> {
    stream
        .get_mut()
        .write_all(format!("{number}\n").as_bytes())?;
    if line(stream)? == format!("ok {number}") {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    if line.pop() == Some('\n') {
        Ok(line)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
