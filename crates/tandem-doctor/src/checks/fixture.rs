//! Two nodes as they should be, for the tests of the checks.

use super::{Examination, License, Network, examine};
use crate::facts::{
    Account, Clock, Confinement, Echo, Facts, Fuse, Listener, LocalAddress, Looked, Name, Package,
    PeerPort, Reach, Script, Setting, System, Unit, VirtualAddress, VolumeFacts,
};
use crate::finding::{Finding, Verdict};
use crate::subject::{Protocol, Subject};
use std::time::Duration;

/// Two nodes.
pub struct Pair {
    pub subject: Subject,
    pub own: Facts,
    pub peer: Facts,
    pub heard_ms: u64,
    pub networks: Vec<Network>,
    pub licenses: Vec<License>,
}

fn ip(text: &str) -> std::net::IpAddr {
    text.parse().expect("an address")
}

impl Pair {
    /// Nothing to find.
    pub fn good() -> Self {
        let names = vec![
            ("h1".to_owned(), ip("192.0.2.1")),
            ("h2".to_owned(), ip("192.0.2.2")),
        ];
        let subject = Subject {
            node: Some(1),
            names,
            own: vec![ip("192.0.2.1")],
            peer: Some(ip("192.0.2.2")),
            stall_limit: Some(Duration::from_secs(2)),
            ..Subject::default()
        };
        let network = |node| Network {
            node,
            name: "network 0".into(),
            heard_ms: Some(200),
        };
        Self {
            own: node(1, "192.0.2.1", "192.0.2.2"),
            peer: node(2, "192.0.2.2", "192.0.2.1"),
            subject,
            heard_ms: 1_000_000,
            networks: vec![network(1), network(2)],
            licenses: [1, 2].map(license).to_vec(),
        }
    }

    pub fn examination(&self) -> Examination<'_> {
        Examination {
            subject: &self.subject,
            own: &self.own,
            peer: Ok(&self.peer),
            heard_ms: self.heard_ms,
            networks: &self.networks,
            licenses: &self.licenses,
        }
    }

    /// The worst that a check finds.
    pub fn worst(&self, check: &str) -> Finding {
        let findings = examine(&self.examination()).into_iter();
        let found = findings.filter(|finding| finding.check == check);
        found
            .max_by_key(|finding| finding.verdict)
            .expect("each check says something")
    }

    /// Asserts what the worst is, and a part of its sentence.
    #[track_caller]
    pub fn expect(&self, check: &str, verdict: Verdict, part: &str) {
        let worst = self.worst(check);
        assert_eq!(worst.verdict, verdict, "{worst:?}");
        let said = examine(&self.examination());
        let mut said = said
            .iter()
            .filter(|f| f.check == check && f.verdict == verdict);
        assert!(said.any(|f| f.what.contains(part)), "{part}: {worst:?}");
    }

    /// At least one thing for each check.
    pub fn break_everything(&mut self) {
        let own = &mut self.own;
        own.release = "0.0.9".into();
        own.fuse = Looked::Seen(Fuse {
            device: false,
            request_seconds_max: None,
        });
        own.clock = Looked::Seen(Clock::Unsynchronised);
        own.names[1].found = Looked::Seen(Vec::new());
        if let Looked::Seen(addresses) = &mut own.addresses {
            addresses[0].leased = true;
            addresses[0].prefix = 32;
        }
        own.virtual_addresses[0].taken_by = Looked::Seen(Some("02:00:00:00:00:09".into()));
        own.peer = Some(Echo {
            address: ip("192.0.2.2"),
            microseconds: Looked::Seen(None),
        });
        own.peer_ports[0].reach = Reach::Filtered;
        self.networks[0].heard_ms = None;
        self.peer.peer = Some(Echo {
            address: ip("192.0.2.1"),
            microseconds: Looked::Seen(Some(40_000)),
        });
        own.listeners = Looked::Seen(vec![
            Listener {
                port: 9011,
                protocol: Protocol::Tcp,
                program: Some("nc".into()),
            },
            Listener {
                port: 7563,
                protocol: Protocol::Tcp,
                program: Some("recorder".into()),
            },
        ]);
        own.volumes[0].free_bytes = Looked::Seen(1 << 20);
        own.volumes[0].file_system = Looked::Seen("nfs4".into());
        own.volumes[0].writers = Looked::Seen(vec!["rsync (77)".into()]);
        own.accounts = Looked::Seen(vec![Account {
            name: "postgres".into(),
            uid: 999,
            gid: 999,
        }]);
        own.settings = vec![Setting {
            file: "/etc/postgresql/15/main/postgresql.conf".into(),
            key: "fsync".into(),
            value: "off".into(),
        }];
        own.units[0].at_boot = "enabled".into();
        own.scripts[0].mode = Some(0o644);
        own.certificate_ends = Looked::Seen(Some(1));
        self.licenses[0].valid = false;
        own.confinement = Looked::Seen(Confinement {
            selinux: true,
            apparmor: Vec::new(),
        });
    }
}

fn license(node: u8) -> License {
    License {
        node,
        valid: true,
        text: "licensed to Example, without end".into(),
    }
}

fn node(number: u8, own: &str, peer: &str) -> Facts {
    let name = |name: &str, address: &str| Name {
        name: name.into(),
        wanted: ip(address),
        found: Looked::Seen(vec![ip(address)]),
    };
    let port = |number| PeerPort {
        number,
        reach: Reach::Open,
    };
    Facts {
        node: Some(number),
        release: "0.1.0".into(),
        wall_clock_ms: 1_000_010,
        system: Looked::Seen(System {
            id: "debian".into(),
            version: "12".into(),
            kernel: "6.1.0-18-amd64".into(),
            architecture: "x86_64".into(),
        }),
        clock: Looked::Seen(Clock::Synchronised),
        addresses: Looked::Seen(vec![LocalAddress {
            interface: "eth0".into(),
            address: ip(own),
            prefix: 24,
            leased: false,
        }]),
        own: vec![ip(own)],
        names: vec![name("h1", "192.0.2.1"), name("h2", "192.0.2.2")],
        peer: Some(Echo {
            address: ip(peer),
            microseconds: Looked::Seen(Some(300)),
        }),
        gateway: None,
        peer_ports: vec![port(9010), port(9011), port(9012)],
        listeners: Looked::Seen(vec![Listener {
            port: 9011,
            protocol: Protocol::Tcp,
            program: Some("tandem".into()),
        }]),
        accounts: Looked::Seen(vec![Account {
            name: "postgres".into(),
            uid: 105,
            gid: 110,
        }]),
        volumes: vec![VolumeFacts {
            name: "db".into(),
            path: "/var/lib/postgresql/15/main".into(),
            owner: Some((105, 110)),
            file_system: Looked::Seen("ext4".into()),
            options: vec!["rw".into(), "relatime".into()],
            free_bytes: Looked::Seen(100 << 30),
            postgresql: Some("15".into()),
            served: false,
            writers: Looked::Seen(Vec::new()),
        }],
        state_free_bytes: Looked::Seen(10 << 30),
        packages: Looked::Seen(vec![Package {
            name: "postgresql-15".into(),
            version: "15.6-0+deb12u1".into(),
        }]),
        settings: Vec::new(),
        units: vec![Unit {
            name: "postgresql@15-main.service".into(),
            load: Looked::Seen("loaded".into()),
            at_boot: "disabled".into(),
        }],
        scripts: vec![Script {
            path: "/usr/local/bin/check-sql".into(),
            mode: Some(0o755),
            noexec: false,
        }],
        fuse: Looked::Seen(Fuse {
            device: true,
            request_seconds_max: None,
        }),
        confinement: Looked::Seen(Confinement::default()),
        certificate_ends: Looked::Seen(None),
        virtual_addresses: vec![VirtualAddress {
            address: ip("192.0.2.100"),
            prefix: 24,
            interface: "eth0".into(),
            interface_exists: true,
            here: false,
            taken_by: Looked::Seen(None),
        }],
    }
}
