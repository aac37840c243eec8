//! A wire between two mirrors that can be cut, and can fall silent.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Forwards connections to one address.
pub struct Proxy {
    pub address: SocketAddr,
    wire: Arc<Wire>,
}

#[derive(Default)]
struct Wire {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    connections: Vec<TcpStream>,
    down: bool,
    silent: bool,
    ended: bool,
    carried_bytes: u64,
}

impl Proxy {
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = listener.local_addr().expect("address");
        let wire = Arc::new(Wire::default());
        let shared = Arc::clone(&wire);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(connection) = connection else { continue };
                if shared.state.lock().expect("wire").ended {
                    return;
                }
                shared.join(connection, target);
            }
        });
        Self { address, wire }
    }

    /// Ends all connections, at whatever byte they are.
    pub fn cut(&self) {
        let mut state = self.wire.state.lock().expect("wire");
        for connection in state.connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Cuts, and lets nothing new through until [`Self::up`].
    pub fn down(&self) {
        self.wire.state.lock().expect("wire").down = true;
        self.cut();
    }

    /// Nothing arrives any more, and nobody is told.
    pub fn silence(&self) {
        self.wire.state.lock().expect("wire").silent = true;
    }

    pub fn up(&self) {
        let mut state = self.wire.state.lock().expect("wire");
        (state.down, state.silent) = (false, false);
        self.wire.changed.notify_all();
    }

    /// How many bytes came through so far, both ways.
    pub fn carried_bytes(&self) -> u64 {
        self.wire.state.lock().expect("wire").carried_bytes
    }

    /// Waits in vain for a while, as a cable that is unplugged does.
    pub fn wait(&self, time: Duration) {
        let state = self.wire.state.lock().expect("wire");
        let _ = self
            .wire
            .changed
            .wait_timeout_while(state, time, |state| !state.ended)
            .expect("wire");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.wire.state.lock().expect("wire").ended = true;
        self.wire.changed.notify_all();
        self.cut();
        let _ = TcpStream::connect(self.address);
    }
}

impl Wire {
    fn join(self: &Arc<Self>, one: TcpStream, target: SocketAddr) {
        let down = self.state.lock().expect("wire").down;
        let Some(two) = TcpStream::connect(target).ok().filter(|_| !down) else {
            return;
        };
        let (Ok(from), Ok(to)) = (one.try_clone(), two.try_clone()) else {
            return;
        };
        let mut state = self.state.lock().expect("wire");
        for end in [&one, &two] {
            let _ = end.set_nodelay(true);
            state.connections.extend(end.try_clone());
        }
        drop(state);
        for (from, to) in [(from, two), (to, one)] {
            let wire = Arc::clone(self);
            std::thread::spawn(move || wire.carry(from, to));
        }
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        // An odd length, so that frames are cut anywhere.
        let mut buffer = vec![0; 61_111];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let state = self.state.lock().expect("wire");
            let mut state = self
                .changed
                .wait_while(state, |state| state.silent && !state.ended)
                .expect("wire");
            state.carried_bytes += read as u64;
            drop(state);
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}
