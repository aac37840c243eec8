//! The virtual address among real network stacks: two hosts and a client on one bridge, each in a
//! network namespace of its own. Needs root.

use std::fs::{self, File};
use std::future::Future;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use tandem_host::address::{Address, AddressConfig, AddressError, Occupancy, ProbeTiming};

const VIRTUAL: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
const LIMIT: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(60);

/// Whether the test can run. Where it must, being unable is a failure.
fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    let must = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(root || !must, "this test needs root");
    if !root {
        eprintln!("skipped: this test needs root");
    }
    root
}

fn ip(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .expect("iproute2 is installed");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {complaint}");
    String::from_utf8(output.stdout).expect("ip writes UTF-8")
}

/// Hosts `a` and `b` with an interface `eth0` each, and a client that holds the bridge.
struct Net {
    name: String,
}

impl Net {
    fn new() -> Self {
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
        for (host, own) in [("a", 1), ("b", 2)] {
            let namespace = net.namespace(host);
            ip(&format!(
                "-n {namespace} link add eth0 type veth peer name port-{host} netns {client}"
            ));
            ip(&format!("-n {client} link set port-{host} master br0 up"));
            ip(&format!(
                "-n {namespace} addr add 10.77.0.{own}/24 dev eth0"
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

    fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.name)
    }

    /// Runs on a host.
    fn at<T: Send>(&self, host: &str, work: impl Future<Output = T> + Send) -> T {
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

    fn shows(&self, host: &str) -> String {
        ip(&format!(
            "-n {} -4 addr show dev eth0",
            self.namespace(host)
        ))
    }

    fn has(&self, host: &str) -> bool {
        self.shows(host).contains("inet 10.77.0.100/24")
    }

    fn hardware(&self, host: &str) -> String {
        let shown = ip(&format!("-n {} link show eth0", self.namespace(host)));
        let (_, rest) = shown.split_once("link/ether ").expect("an Ethernet link");
        rest.split(' ').next().expect("an address").to_owned()
    }

    /// Whom the client believes to have the virtual address.
    fn believed(&self) -> String {
        ip(&format!(
            "-n {} neigh show {VIRTUAL}",
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

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn config(interface: &str) -> AddressConfig {
    AddressConfig {
        address: VIRTUAL,
        prefix: 24,
        interface: interface.to_owned(),
    }
}

fn address() -> Address {
    Address::new(config("eth0"))
}

#[test]
fn an_address_is_free_until_another_machine_has_it() {
    if !is_root() {
        return;
    }
    let net = Net::new();
    let began = Instant::now();
    let free = net.at("a", async { address().probe().await });
    assert_eq!(free.expect("a probe"), Occupancy::Free);
    assert!(began.elapsed() >= ProbeTiming::default().interval * 3);

    ip(&format!(
        "-n {} addr add {VIRTUAL}/24 dev eth0",
        net.namespace("b")
    ));
    match net.at("a", async { address().probe().await }) {
        Ok(Occupancy::Taken(by)) => assert_eq!(by.to_string(), net.hardware("b")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_nodes_that_probe_at_the_same_time_do_not_block_each_other() {
    if !is_root() {
        return;
    }
    let net = Net::new();
    let slow = ProbeTiming {
        count: 10,
        interval: Duration::from_millis(50),
    };
    let probe = |host: &'static str| {
        let net = &net;
        move || {
            net.at(host, async move {
                Address::with_timing(config("eth0"), slow).probe().await
            })
        }
    };
    thread::scope(|scope| {
        let both = [scope.spawn(probe("a")), scope.spawn(probe("b"))];
        for one in both {
            let outcome = one.join().expect("the probe ends");
            assert_eq!(outcome.expect("a probe"), Occupancy::Free);
        }
    });
}

#[test]
fn an_own_address_is_no_foreign_one() {
    if !is_root() {
        return;
    }
    let net = Net::new();
    net.at("a", async {
        let address = address();
        address.hold(LONG).await.expect("hold");
        assert_eq!(address.probe().await.expect("probe"), Occupancy::Free);
    });
}

#[test]
fn a_held_address_ends_by_the_kernels_clock_unless_it_is_refreshed() {
    if !is_root() {
        return;
    }
    let net = Net::new();
    net.at("a", async {
        let address = address();
        address
            .hold(Duration::from_millis(900))
            .await
            .expect("hold");
        assert!(net.shows("a").contains("valid_lft 1sec preferred_lft 1sec"));
        // Three lifetimes: without the refreshes it would be gone.
        for _ in 0..15 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            address
                .refresh(Duration::from_millis(900))
                .await
                .expect("refresh");
            assert!(net.has("a"));
        }
    });
    // The daemon is gone; nobody refreshes.
    eventually("the kernel takes the address away", || !net.has("a"));
}

#[test]
fn an_address_that_somebody_took_away_is_put_back_by_the_next_refresh() {
    if !is_root() {
        return;
    }
    let net = Net::new();
    net.at("a", async {
        let address = address();
        address.hold(LONG).await.expect("hold");
        ip(&format!(
            "-n {} addr del {VIRTUAL}/24 dev eth0",
            net.namespace("a")
        ));
        assert!(!net.has("a"));
        address.refresh(LONG).await.expect("refresh");
        assert!(net.has("a"));
    });
}

#[test]
fn the_network_learns_at_once_that_the_address_moved() {
    if !is_root() {
        return;
    }
    let net = Net::new();
    net.at("a", async {
        let address = address();
        address.hold(LONG).await.expect("hold");
        let hardware = net.hardware("a");
        wait_for("the client knows a", || net.believed().contains(&hardware)).await;
        address.remove().await.expect("remove");
        address.remove().await.expect("removing twice is no error");
        assert!(!net.has("a"));
    });
    net.at("b", async {
        let address = address();
        address.hold(LONG).await.expect("hold");
        let hardware = net.hardware("b");
        wait_for("the client knows b", || net.believed().contains(&hardware)).await;
    });
}

/// As [`eventually`], letting the tasks of the runtime go on.
async fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn announcements_are_repeated_and_end_with_the_address() {
    if !is_root() {
        return;
    }
    let net = Net::new();
    let forget = || {
        let client = net.namespace("client");
        let _ = Command::new("ip")
            .args([
                "-n",
                &client,
                "neigh",
                "del",
                &VIRTUAL.to_string(),
                "dev",
                "br0",
            ])
            .output();
    };
    net.at("a", async {
        let address = address();
        address.hold(LONG).await.expect("hold");
        for _ in 0..2 {
            wait_for("an announcement", || net.believed().contains("lladdr")).await;
            forget();
        }
        address.remove().await.expect("remove");
        forget();
        assert!(matches!(
            address.announce().await,
            Err(AddressError::NotHere { .. })
        ));
    });
}

#[test]
fn an_address_left_by_a_dead_daemon_is_removed() {
    if !is_root() {
        return;
    }
    let net = Net::new();
    net.at("a", async { address().hold(LONG).await.expect("hold") });
    assert!(
        net.has("a"),
        "dropping the value leaves the address to its lifetime"
    );
    net.at("a", async {
        assert!(address().remove_stale().await.expect("remove"));
        assert!(!address().remove_stale().await.expect("nothing to remove"));
    });
    assert!(!net.has("a"));
}

#[test]
fn an_address_that_somebody_configured_here_is_refused_and_left_alone() {
    if !is_root() {
        return;
    }
    let net = Net::new();
    ip(&format!(
        "-n {} addr add {VIRTUAL}/24 dev eth0",
        net.namespace("a")
    ));
    net.at("a", async {
        let address = address();
        for outcome in [
            address.hold(LONG).await,
            address.refresh(LONG).await,
            address.remove().await,
            address.remove_stale().await.map(|_| ()),
            address.probe().await.map(|_| ()),
        ] {
            match outcome {
                Err(AddressError::InUseHere { interface, .. }) => assert_eq!(interface, "eth0"),
                other => panic!("{other:?}"),
            }
        }
    });
    assert!(net.has("a"));
}

#[test]
fn unusable_interfaces_are_named() {
    if !is_root() {
        return;
    }
    let net = Net::new();
    net.at("a", async {
        let missing = Address::new(config("eth7")).hold(LONG).await;
        assert!(matches!(missing, Err(AddressError::InterfaceMissing(name)) if name == "eth7"));
        let loopback = Address::new(config("lo")).hold(LONG).await;
        assert!(matches!(loopback, Err(AddressError::NotEthernet(name)) if name == "lo"));
    });
    ip(&format!(
        "-n {} link set port-a down",
        net.namespace("client")
    ));
    net.at("a", async {
        wait_for("no carrier", || {
            !ip(&format!("-n {} link show eth0", net.namespace("a"))).contains("LOWER_UP")
        })
        .await;
        let silent = address().probe().await;
        assert!(matches!(silent, Err(AddressError::NoCarrier(name)) if name == "eth0"));
    });
}

#[test]
fn without_permission_it_is_said() {
    if !is_root() {
        return;
    }
    let net = Net::new();
    net.at("a", async {
        // SAFETY: the raw system call changes the user of this thread only, which ends here.
        let changed = unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) };
        assert_eq!(changed, 0);
        let outcomes = [
            address().hold(LONG).await,
            address().probe().await.map(|_| ()),
        ];
        for outcome in outcomes {
            assert!(
                matches!(outcome, Err(AddressError::NotPermitted { .. })),
                "{outcome:?}"
            );
        }
    });
}
