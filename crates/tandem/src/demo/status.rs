//! What a node says of itself over its HTTP interface.
//!
//! It is asked from the client's place in the network, so a node whose cables are pulled is silent.

use super::error::{Attempt, Result};
use super::stage;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;
use tandem_wire::api::ClusterStatus;

/// The port of the HTTP interface.
pub const HTTP_PORT: u16 = 9010;
/// From one question to the next: twice for each picture.
const PERIOD: Duration = Duration::from_millis(100);
/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);
/// The longest answer in bytes, as the interface itself allows for a request.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// The module on one node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeStatus {
    /// The state's word.
    pub state: String,
    /// `ready`, `transient` or `not ready`.
    pub tone: String,
    /// The data column.
    pub data: String,
    /// Why, as a sentence.
    pub reason: String,
}

impl NodeStatus {
    /// Whether it is `state`, green and uptodate.
    pub fn is_uptodate(&self, state: &str) -> bool {
        self.state == state && self.tone == "ready" && self.data == "uptodate"
    }
}

/// What is to be seen of a node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Sight {
    /// It is switched off.
    #[default]
    Off,
    /// It is on and does not answer.
    Silent,
    /// What it says of itself.
    Answering(NodeStatus),
}

impl Sight {
    /// As half a sentence, for a wait that failed.
    pub fn describe(&self) -> String {
        match self {
            Self::Off => "off".to_owned(),
            Self::Silent => "silent".to_owned(),
            Self::Answering(status) => format!(
                "{} ({}) {}: {}",
                status.state, status.tone, status.data, status.reason
            ),
        }
    }

    /// Whether it answers that it is `state`, green and uptodate.
    pub fn is_uptodate(&self, state: &str) -> bool {
        match self {
            Self::Off | Self::Silent => false,
            Self::Answering(status) => status.is_uptodate(state),
        }
    }

    /// Whether it answers that it is `state`.
    pub fn is(&self, state: &str) -> bool {
        match self {
            Self::Off | Self::Silent => false,
            Self::Answering(status) => status.state == state,
        }
    }
}

/// Asks both nodes again and again. Clones name the same watch, which ends with the last of them.
#[derive(Clone)]
pub struct Watch {
    seats: [Arc<Mutex<Seat>>; 2],
    /// Shared with nobody but the clones: the threads see by it whether any is left.
    wanted: Arc<()>,
}

/// What is known of one node.
#[derive(Default)]
struct Seat {
    /// What opens its interface, while it is switched on.
    token: Option<String>,
    sight: Sight,
}

impl Watch {
    /// Starts.
    pub fn start() -> Result<Self> {
        let watch = Self {
            seats: <[Arc<Mutex<Seat>>; 2]>::default(),
            wanted: Arc::new(()),
        };
        for (number, seat) in (1..).zip(&watch.seats) {
            let namespace = File::open(stage::client_namespace_file())
                .attempt(|| "open the client's namespace".to_owned())?;
            let (seat, wanted) = (Arc::clone(seat), Arc::downgrade(&watch.wanted));
            let address = stage::node_address(number, 0);
            thread::spawn(move || {
                setns(namespace, CloneFlags::CLONE_NEWNET)?;
                while wanted.strong_count() > 0 {
                    look(&seat, address);
                    thread::sleep(PERIOD);
                }
                Ok::<(), io::Error>(())
            });
        }
        Ok(watch)
    }

    /// A node is switched on.
    pub fn switched_on(&self, number: u8, token: String) {
        let mut seat = self.seat(number);
        seat.token = Some(token);
        seat.sight = Sight::Silent;
    }

    /// A node is switched off.
    pub fn switched_off(&self, number: u8) {
        *self.seat(number) = Seat::default();
    }

    /// What was seen of a node last.
    pub fn sight(&self, number: u8) -> Sight {
        self.seat(number).sight.clone()
    }

    /// What was seen of both last.
    pub fn sights(&self) -> [Sight; 2] {
        [1, 2].map(|number| self.sight(number))
    }

    fn seat(&self, number: u8) -> MutexGuard<'_, Seat> {
        lock(&self.seats[usize::from(number) - 1])
    }
}

fn lock(seat: &Mutex<Seat>) -> MutexGuard<'_, Seat> {
    seat.lock().expect("no holder of a seat panics")
}

fn look(seat: &Mutex<Seat>, address: Ipv4Addr) {
    let Some(token) = lock(seat).token.clone() else {
        return;
    };
    let sight = match ask(address, &token) {
        Ok(status) => Sight::Answering(status),
        Err(_) => Sight::Silent,
    };
    let mut seat = lock(seat);
    // It may have been switched off while it was asked.
    if seat.token.is_some() {
        seat.sight = sight;
    }
}

fn ask(address: Ipv4Addr, token: &str) -> io::Result<NodeStatus> {
    let address = SocketAddr::from((address, HTTP_PORT));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    let question = format!(
        "GET /api/v1/status HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(question.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    own_status(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// What the node that answers says of itself, from a whole HTTP answer.
fn own_status(answer: &str) -> Option<NodeStatus> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    if head.split(' ').nth(1)? != "200" {
        return None;
    }
    let cluster: ClusterStatus = serde_json::from_str(body).ok()?;
    let node = cluster
        .nodes
        .into_iter()
        .find(|node| node.node == cluster.answered_by)?;
    let module = node.modules.into_iter().next()?;
    Some(NodeStatus {
        state: module.state,
        tone: module.tone,
        data: module.data,
        reason: module.reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_taken_at_its_word_only_about_itself() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n\
            {\"answered_by\": 2, \"nodes\": [\
              {\"node\": 1, \"modules\": [{\"state\": \"PRIM\"}]},\
              {\"node\": 2, \"modules\": [{\"state\": \"SECOND\", \"tone\": \"ready\",\
               \"data\": \"uptodate\", \"reason\": \"equal\"}]}]}";
        let status = own_status(answer).expect("node 2 answers");
        assert!(status.is_uptodate("SECOND"));
        assert!(!status.is_uptodate("PRIM"));
        assert_eq!(status.reason, "equal");
    }

    #[test]
    fn a_refusal_is_no_status() {
        assert_eq!(own_status("HTTP/1.1 401 Unauthorized\r\n\r\n{}"), None);
        assert_eq!(own_status("garbage"), None);
    }

    #[test]
    fn a_standby_that_is_resynchronised_is_not_uptodate_yet() {
        let status = NodeStatus {
            state: "SECOND".to_owned(),
            tone: "transient".to_owned(),
            data: "resyncing 42 %".to_owned(),
            reason: String::new(),
        };
        assert!(!status.is_uptodate("SECOND"));
        assert_eq!(
            Sight::Answering(status).describe(),
            "SECOND (transient) resyncing 42 %: "
        );
    }
}
