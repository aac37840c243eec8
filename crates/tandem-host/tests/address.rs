//! The virtual IPv4 address among real network stacks. Needs root.

mod network;

use network::{LONG, Net, eventually, ip, is_root, wait_for};
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tandem_host::address::{Address, AddressConfig, AddressError, Occupancy, ProbeTiming};

const VIRTUAL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 100));
const SHOWN: &str = "10.77.0.100/24";

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
            assert!(net.has("a", SHOWN));
        }
    });
    // The daemon is gone; nobody refreshes.
    eventually("the kernel takes the address away", || !net.has("a", SHOWN));
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
        assert!(!net.has("a", SHOWN));
        address.refresh(LONG).await.expect("refresh");
        assert!(net.has("a", SHOWN));
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
        wait_for("the client knows a", || {
            net.believed(VIRTUAL).contains(&hardware)
        })
        .await;
        address.remove().await.expect("remove");
        address.remove().await.expect("removing twice is no error");
        assert!(!net.has("a", SHOWN));
    });
    net.at("b", async {
        let address = address();
        address.hold(LONG).await.expect("hold");
        let hardware = net.hardware("b");
        wait_for("the client knows b", || {
            net.believed(VIRTUAL).contains(&hardware)
        })
        .await;
    });
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
            wait_for("an announcement", || {
                net.believed(VIRTUAL).contains("lladdr")
            })
            .await;
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
        net.has("a", SHOWN),
        "dropping the value leaves the address to its lifetime"
    );
    net.at("a", async {
        assert!(address().remove_stale().await.expect("remove"));
        assert!(!address().remove_stale().await.expect("nothing to remove"));
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
    assert!(net.has("a", SHOWN));
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
