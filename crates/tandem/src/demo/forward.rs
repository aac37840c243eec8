//! The pages of the nodes for the browser of this machine, while the pair runs on (`KEEP=1`).
//!
//! A process of its own listens on this machine's loopback interface and connects from the client's
//! network namespace. So the machine's own network is not touched, nobody else reaches the pages,
//! and the process is found and ended with everything else in that namespace.

use super::error::{Attempt, DemoError, Result};
use super::node::Node;
use super::operator;
use super::stage;
use super::status::HTTP_PORT;
use super::wait;
use nix::sched::{CloneFlags, setns};
use nix::unistd::setsid;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The port of this machine for the page of node 1; node 2 has the next one.
const FIRST_PORT: u16 = 9010;
/// Connections at a time: a few browser windows, each with its stream of events.
const CONNECTIONS_MAX: usize = 64;
/// How long a node may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How long the process may take to start.
const START_LIMIT: Duration = Duration::from_secs(10);

/// Starts the process, and gives what to tell the user.
pub fn open(nodes: [&Node; 2]) -> Result<String> {
    let mut process = Command::new("/proc/self/exe")
        .arg("demo-forward")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .attempt(|| "start the forwarding process".to_owned())?;
    let output = process.stdout.take().expect("the output is piped");
    let (sender, ports) = mpsc::channel();
    thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(io::Result::ok);
        for port in lines.filter_map(|line| line.parse::<u16>().ok()) {
            if sender.send(port).is_err() {
                return;
            }
        }
    });
    let mut text = "\n  the pair runs on; its pages for a browser on this machine:\n".to_owned();
    for node in nodes {
        let port = wait::until("the pages to be reachable", START_LIMIT, || {
            ports.try_recv().map_err(|_| "no port is open".to_owned())
        })?;
        text.push_str(&format!(
            "    node{}   http://127.0.0.1:{port}/#token={}\n",
            node.number(),
            operator::token(node)?
        ));
    }
    text.push_str("  `tandem demo --clean` ends it and removes everything");
    Ok(text)
}

/// Is the process.
pub fn run() -> ExitCode {
    match forward() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-forward: {error}");
            ExitCode::FAILURE
        }
    }
}

fn forward() -> Result<()> {
    // It outlives the terminal of the show; as the leader of its group it may not, and need not.
    let _ = setsid();
    let listeners = [1, 2]
        .map(|number| listen(FIRST_PORT + u16::from(number) - 1).map(|listener| (number, listener)))
        .into_iter()
        .collect::<io::Result<Vec<_>>>()
        .attempt(|| "listen on this machine".to_owned())?;
    // The listeners stay where they were opened; what is connected from now on is inside.
    File::open(stage::client_namespace_file())
        .and_then(|namespace| Ok(setns(namespace, CloneFlags::CLONE_NEWNET)?))
        .attempt(|| "enter the client's namespace".to_owned())?;
    let mut threads = Vec::new();
    for (number, listener) in listeners {
        let port = listener
            .local_addr()
            .attempt(|| "name the port".to_owned())?
            .port();
        writeln!(io::stdout(), "{port}").attempt(|| "tell the port".to_owned())?;
        let node = SocketAddr::from((stage::node_address(number, 0), HTTP_PORT));
        threads.push(thread::spawn(move || accept(&listener, node)));
    }
    for thread in threads {
        thread.join().map_err(|_| DemoError::Interrupted)?;
    }
    Ok(())
}

/// The wanted port, or any other one when somebody has it.
fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
}

fn accept(listener: &TcpListener, node: SocketAddr) {
    let connections = Arc::new(());
    for browser in listener.incoming().flatten() {
        if Arc::strong_count(&connections) > CONNECTIONS_MAX {
            continue;
        }
        let counted = Arc::clone(&connections);
        thread::spawn(move || {
            // A node without power is what the browser is to see.
            let _ = join(&browser, node);
            drop(counted);
        });
    }
}

fn join(browser: &TcpStream, node: SocketAddr) -> io::Result<()> {
    let node = TcpStream::connect_timeout(&node, CONNECT_LIMIT)?;
    let (mut from_browser, mut to_node) = (browser.try_clone()?, node.try_clone()?);
    let there = thread::spawn(move || {
        // Either side may end the connection at any time.
        let _ = io::copy(&mut from_browser, &mut to_node);
        let _ = to_node.shutdown(Shutdown::Write);
    });
    let (mut node, mut browser) = (node, browser);
    let copied = io::copy(&mut node, &mut browser);
    let _ = browser.shutdown(Shutdown::Both);
    let _ = there.join();
    copied.map(drop)
}
