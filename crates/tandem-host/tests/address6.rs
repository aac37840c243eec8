//! The virtual IPv6 address among real network stacks. Needs root.

mod network;

use network::{LONG, Net, eventually, ip, is_root, wait_for};
use std::net::{IpAddr, Ipv6Addr};
use std::thread;
use std::time::{Duration, Instant};

use tandem_host::address::{Address, AddressConfig, AddressError, Occupancy, ProbeTiming};

const VIRTUAL: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x100));
const SHOWN: &str = "fd77::100/64";
const SECOND: Duration = Duration::from_secs(1);

fn config() -> AddressConfig {
    AddressConfig {
        address: VIRTUAL,
        prefix: 64,
        interface: "eth0".to_owned(),
    }
}

fn address() -> Address {
    Address::new(config())
}

/// Whether the client gets an answer from the address.
fn answers(net: &Net) -> bool {
    net.at("client", async {
        // A host that has the address refuses the connection at once; nobody else answers.
        let connect = tokio::net::TcpStream::connect((VIRTUAL, 9));
        matches!(
            tokio::time::timeout(SECOND, connect).await,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused
        )
    })
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

    // Somebody else, for ever.
    ip(&format!(
        "-n {} addr add {SHOWN} dev eth0 nodad",
        net.namespace("b")
    ));
    match net.at("a", async { address().probe().await }) {
        Ok(Occupancy::Taken(by)) => assert_eq!(by.to_string(), net.hardware("b")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_other_nodes_hold_of_the_address_is_seen() {
    if !is_root() {
        return;
    }
    let net = Net::new();
    net.at("b", async { address().hold(LONG).await.expect("hold") });
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
                Address::with_timing(config(), slow).probe().await
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
fn an_own_address_is_no_foreign_one_and_can_be_used_at_once() {
    if !is_root() {
        return;
    }
    let net = Net::new();
    net.at("a", async {
        let address = address();
        address.hold(LONG).await.expect("hold");
        let bound = std::net::TcpListener::bind((VIRTUAL, 0));
        bound.expect("the kernel does not look for duplicates first");
        assert_eq!(address.probe().await.expect("probe"), Occupancy::Free);
        assert!(address.is_here().await.expect("a look"));
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
        address.hold(SECOND).await.expect("hold");
        assert!(net.shows("a").contains("valid_lft 1sec preferred_lft 0sec"));
        // Three lifetimes: without the refreshes it would be gone.
        for _ in 0..15 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            address.refresh(SECOND).await.expect("refresh");
            assert!(net.has("a", SHOWN));
        }
    });
    // The daemon is gone; nobody refreshes.
    let began = Instant::now();
    eventually("the kernel takes the address away", || !net.has("a", SHOWN));
    let late = began.elapsed().saturating_sub(SECOND);
    eprintln!("the address ended {late:?} late");
    assert!(late < SECOND, "{late:?} late");
    assert!(!answers(&net));
}

#[test]
fn the_network_of_the_nodes_own_address_outlives_the_virtual_one() {
    if !is_root() {
        return;
    }
    let net = Net::new();
    let routes = || {
        let a = net.namespace("a");
        ip(&format!("-n {a} -6 route show fd77::/64 dev eth0"))
    };
    net.at("a", async {
        let address = address();
        address.hold(SECOND).await.expect("hold");
        address.refresh(SECOND).await.expect("refresh");
    });
    assert!(!routes().contains("expires"), "{}", routes());
    eventually("the kernel takes the address away", || !net.has("a", SHOWN));
    assert!(routes().contains("fd77::/64"), "{}", routes());

    // Without an own address, the virtual one brings the way to its clients.
    ip(&format!(
        "-n {} addr del fd77::1/64 dev eth0",
        net.namespace("a")
    ));
    assert!(!routes().contains("fd77::/64"), "{}", routes());
    net.at("a", async { address().hold(LONG).await.expect("hold") });
    eventually("a answers", || answers(&net));
}

#[test]
fn the_neighbour_cache_of_a_client_follows_the_address() {
    if !is_root() {
        return;
    }
    let net = Net::new();
    net.at("a", async { address().hold(LONG).await.expect("hold") });
    // The kernel begins to listen for questions a moment after the address is there.
    eventually("a answers", || answers(&net));
    assert!(net.believed(VIRTUAL).contains(&net.hardware("a")));
    net.at("a", async {
        let address = address();
        address.remove().await.expect("remove");
        address.remove().await.expect("removing twice is no error");
        assert!(!address.is_here().await.expect("a look"));
    });
    assert!(!net.has("a", SHOWN));
    net.at("b", async {
        let address = address();
        address.hold(LONG).await.expect("hold");
        // The client sends nothing, and asks nobody.
        let hardware = net.hardware("b");
        wait_for("the client knows b", || {
            net.believed(VIRTUAL).contains(&hardware)
        })
        .await;
    });
    assert!(answers(&net));
}

#[test]
fn an_address_left_by_a_dead_daemon_is_removed() {
    if !is_root() {
        return;
    }
    let net = Net::new();
    net.at("a", async { address().hold(LONG).await.expect("hold") });
    assert!(net.has("a", SHOWN));
    net.at("a", async {
        assert!(address().remove_stale().await.expect("remove"));
        assert!(!address().remove_stale().await.expect("nothing to remove"));
        assert!(matches!(
            address().announce().await,
            Err(AddressError::NotHere { .. })
        ));
    });
    assert!(!net.has("a", SHOWN));
}

#[test]
fn an_address_that_somebody_configured_here_is_refused_and_left_alone() {
    if !is_root() {
        return;
    }
    let net = Net::new();
    ip(&format!(
        "-n {} addr add {SHOWN} dev eth0 nodad",
        net.namespace("a")
    ));
    net.at("a", async {
        let address = address();
        for outcome in [
            address.hold(LONG).await,
            address.refresh(LONG).await,
            address.remove().await,
            address.probe().await.map(|_| ()),
        ] {
            match outcome {
                Err(AddressError::InUseHere { interface, .. }) => assert_eq!(interface, "eth0"),
                other => panic!("{other:?}"),
            }
        }
    });
    assert!(net.has("a", SHOWN));
}

#[test]
fn an_interface_without_ipv6_is_named() {
    if !is_root() {
        return;
    }
    let net = Net::new();
    net.at("a", async {
        std::fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1").expect("a sysctl");
        let outcome = address().hold(LONG).await;
        assert!(
            matches!(&outcome, Err(AddressError::Ipv6Off(name)) if name == "eth0"),
            "{outcome:?}"
        );
    });
}

#[test]
fn both_families_are_held_beside_each_other() {
    if !is_root() {
        return;
    }
    let net = Net::new();
    let other = AddressConfig {
        address: "10.77.0.100".parse().expect("an address"),
        prefix: 24,
        interface: "eth0".to_owned(),
    };
    net.at("a", async {
        let (six, four) = (address(), Address::new(other));
        six.hold(LONG).await.expect("hold");
        four.hold(LONG).await.expect("hold");
        assert!(net.has("a", SHOWN) && net.has("a", "10.77.0.100/24"));
        six.remove().await.expect("remove");
        assert!(!net.has("a", SHOWN) && net.has("a", "10.77.0.100/24"));
    });
}
