//! Two hosts and a client on one bridge, each in a network namespace of its own. Needs root.

#![allow(
    dead_code,
    reason = "shared by several tests, of which none needs everything"
)]

use std::fs::{self, File};
use std::future::Future;
use std::net::IpAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

pub const LIMIT: Duration = Duration::from_secs(20);
/// Longer than any test.
pub const LONG: Duration = Duration::from_secs(60);

/// Whether the test can run. Where it must, being unable is a failure.
pub fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    let must = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(root || !must, "this test needs root");
    if !root {
        eprintln!("skipped: this test needs root");
    }
    root
}

pub fn ip(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .expect("iproute2 is installed");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {complaint}");
    String::from_utf8(output.stdout).expect("ip writes UTF-8")
}

/// Hosts `a` and `b` with an interface `eth0` each, and a client that holds the bridge.
pub struct Net {
    name: String,
}

impl Net {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tht{}-{count}", std::process::id());
        let net = Self { name };
        for host in ["a", "b", "client"] {
            ip(&format!("netns add {}", net.namespace(host)));
            ip(&format!("-n {} link set lo up", net.namespace(host)));
        }
        let client = net.namespace("client");
        ip(&format!("-n {client} link add br0 type bridge"));
        ip(&format!("-n {client} link set br0 up"));
        ip(&format!("-n {client} addr add 10.77.0.3/24 dev br0"));
        ip(&format!("-n {client} addr add fd77::3/64 dev br0 nodad"));
        for (host, own) in [("a", 1), ("b", 2)] {
            let namespace = net.namespace(host);
            ip(&format!(
                "-n {namespace} link add eth0 type veth peer name port-{host} netns {client}"
            ));
            ip(&format!("-n {client} link set port-{host} master br0 up"));
            ip(&format!(
                "-n {namespace} addr add 10.77.0.{own}/24 dev eth0"
            ));
            // Without its own duplicate address detection, which takes a second or two.
            net.at(host, async {
                fs::write("/proc/sys/net/ipv6/conf/eth0/accept_dad", "0").expect("a sysctl");
            });
            ip(&format!(
                "-n {namespace} addr add fd77::{own}/64 dev eth0 nodad"
            ));
            ip(&format!("-n {namespace} link set eth0 up"));
        }
        // The client believes announcements, as the switches and routers of a real network do.
        net.at("client", async {
            fs::write("/proc/sys/net/ipv4/conf/br0/arp_accept", "1").expect("a sysctl");
        });
        for host in ["a", "b"] {
            eventually("the links have carrier", || {
                ip(&format!("-n {} link show eth0", net.namespace(host))).contains("LOWER_UP")
            });
        }
        net
    }

    pub fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.name)
    }

    /// Runs on a host.
    pub fn at<T: Send>(&self, host: &str, work: impl Future<Output = T> + Send) -> T {
        let path = format!("/run/netns/{}", self.namespace(host));
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let namespace = File::open(&path).expect("the namespace exists");
                setns(&namespace, CloneFlags::CLONE_NEWNET).expect("root may enter it");
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime")
                    .block_on(work)
            });
            thread.join().expect("the work on the host ends well")
        })
    }

    pub fn shows(&self, host: &str) -> String {
        ip(&format!("-n {} addr show dev eth0", self.namespace(host)))
    }

    pub fn has(&self, host: &str, address: &str) -> bool {
        let shown = self.shows(host);
        shown.contains(&format!("inet {address}")) || shown.contains(&format!("inet6 {address}"))
    }

    pub fn hardware(&self, host: &str) -> String {
        let shown = ip(&format!("-n {} link show eth0", self.namespace(host)));
        let (_, rest) = shown.split_once("link/ether ").expect("an Ethernet link");
        rest.split(' ').next().expect("an address").to_owned()
    }

    /// Whom the client believes to have an address.
    pub fn believed(&self, address: IpAddr) -> String {
        ip(&format!(
            "-n {} neigh show {address}",
            self.namespace("client")
        ))
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for host in ["a", "b", "client"] {
            // A namespace that was not made cannot be removed.
            let _ = Command::new("ip")
                .args(["netns", "del", &self.namespace(host)])
                .output();
        }
    }
}

pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// As [`eventually`], letting the tasks of the runtime go on.
pub async fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
