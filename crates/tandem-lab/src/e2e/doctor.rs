//! `tandem doctor` on a pair: each of its checks is made to fail there, and found; what can be fixed
//! is fixed on request. The application does not notice anything.
//!
//! Most of it is broken at the same time, on the node that serves, because one examination finds all.
//! What depends on the configuration is broken by another file (`--config`), which the daemons do not
//! read. What cannot be broken on test hosts: the clocks' distance and the kernel's time limits of
//! FUSE (all hosts have one kernel and one clock), and the latency where that kernel has no `netem`.
//! The checks' own tests do that.

use super::stage::Stage;
use super::trial::Trial;
use super::{Case, Told};
use crate::postgres;
use crate::product::{Node, Setting, TAKEOVER_LIMIT, configuration};
use crate::switch::Cable;
use crate::wait::wait_for;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tandem_wire::api::{ModuleStatus, NodeStatus};

/// The cases.
pub const CASES: [Case; 1] = [Case {
    name: "each of doctor's checks is made to fail, and found",
    run: doctor,
}];

/// Beyond this doctor calls a network silent.
const SILENT_MS: u64 = 5000;
/// `tandem` where `/dev/fuse` is not there, for nobody else: the mirror needs it.
const WITHOUT_FUSE: &str = "/root/without-fuse";
/// A configuration that only doctor reads.
const WRONG: &str = "/root/wrong.toml";

fn doctor(stage: &mut Stage) -> Result<Told> {
    let mut trial = Trial::begin(stage)?;
    let (node, other) = (trial.primary.clone(), trial.standby.clone());
    let (n, peer) = (node.number(), other.number());
    let wrong = format!("tandem --config {WRONG}");
    let before = examine(&node, "tandem", "")?;
    let failed = before.iter().filter(|f| f["verdict"] == "failed");
    let failed: Vec<_> = failed.collect();
    ensure!(failed.is_empty(), "before anything is broken: {failed:#?}");

    let slow = break_everything(&trial, &node, &other)?;
    let without_fuse = format!("{WITHOUT_FUSE} --config {WRONG}");
    let found = examine(&node, &without_fuse, "")?;
    for (check, of, verdict, words) in broken(n, peer, slow) {
        ensure!(
            has(&found, check, of, verdict, &words),
            "{check} does not say \"{words}\" ({verdict}): {}",
            said(&found, check)
        );
    }
    // Through its daemon, with the configuration that it has.
    let seen = examine(&other, "tandem", "")?;
    for (check, verdict, words) in [
        ("static-address", "warning", "is leased"),
        ("database", "failed", "innodb_flush_log_at_trx_commit = 2"),
        ("certificate", "warning", "ends in"),
        ("recorders", "warning", "7563"),
        ("license", "warning", "there is no licence"),
    ] {
        ensure!(
            has(&seen, check, n, verdict, words),
            "h{peer} does not see {check} of h{n}: {}",
            said(&seen, check)
        );
    }
    let fixed = examine(&node, &wrong, "--fix")?;
    for (check, words) in [
        ("names", "nobody-knows-me is"),
        ("units", "doctor-test.service: Tandem starts it"),
        ("scripts", "/srv/probe can be run"),
        ("clock", "follows a time server"),
    ] {
        ensure!(
            has(&fixed, check, n, "ok", words),
            "{check} was not fixed: {}",
            said(&fixed, check)
        );
    }
    mend_everything(&trial, &node, &other)?;
    node.host.must("echo '[cluster]' >/root/wrong.toml")?;
    let found = examine(&node, &wrong, "")?;
    ensure!(
        found
            .iter()
            .any(|f| f["check"] == "configuration" && f["verdict"] == "failed"),
        "a file that is no configuration: {}",
        said(&found, "configuration")
    );
    let after = examine(&node, "tandem", "")?;
    let bad = |findings: &[Value]| {
        let bad = findings.iter().filter(|f| f["verdict"] != "ok");
        bad.map(|f| f["what"].to_string()).collect::<Vec<_>>()
    };
    ensure!(
        bad(&after) == bad(&before),
        "after everything was mended: {:?}, before: {:?}",
        bad(&after),
        bad(&before)
    );
    trial.application_untouched()?;
    for (node, state) in [(&node, "PRIM"), (&other, "SECOND")] {
        node.wait_for_face([state, "green", "uptodate"], TAKEOVER_LIMIT)?;
    }
    trial
        .told
        .push(format!("not ok before: {:?}", bad(&before)));
    if !slow {
        trial.told.push("latency not tried: no netem".to_owned());
    }
    trial.finish()
}

/// What `doctor --json` finds: the program, and words after the command.
fn examine(node: &Node<'_>, program: &str, after: &str) -> Result<Vec<Value>> {
    let line = format!("{program} doctor --json {after} 2>/dev/null");
    findings(&node.host.sh(&line)?.said()).context(line)
}

fn findings(text: &str) -> Result<Vec<Value>> {
    let diagnosis: Value = serde_json::from_str(text).with_context(|| text.to_owned())?;
    let findings = diagnosis["findings"].as_array().cloned();
    findings.with_context(|| format!("no findings: {text}"))
}

/// After a set-up nobody has anything to do, but to add the licence that can be had only then: doctor
/// succeeds, and every other check is good.
pub(super) fn finds_nothing_to_do(node: &Node<'_>) -> Result<()> {
    let to_do = |finding: &&Value| {
        let verdict = finding["verdict"].as_str();
        verdict != Some("ok") && (finding["check"] != "license" || verdict != Some("warning"))
    };
    let mut last = String::new();
    let found = wait_for("doctor to find nothing", TAKEOVER_LIMIT, || {
        let said = node.tandem("doctor --json")?;
        let findings = findings(&said.stdout)?;
        let others: Vec<_> = findings
            .iter()
            .filter(to_do)
            .map(Value::to_string)
            .collect();
        last = format!("{:?} {}", said.code, others.join("; "));
        Ok((said.code == Some(0) && others.is_empty()).then_some(findings))
    });
    let found = found.with_context(|| format!("h{}: {last}", node.number()))?;
    let of = |n: u8| found.iter().any(|f| f["node"] == n);
    ensure!(of(1) && of(2), "doctor has not looked at both: {found:?}");
    Ok(())
}

/// Whether a check has this verdict for this node (0: between the nodes), with these words.
fn has(findings: &[Value], check: &str, node: u8, verdict: &str, words: &str) -> bool {
    findings.iter().any(|finding| {
        finding["check"] == check
            && finding["node"].as_u64().unwrap_or(0) == u64::from(node)
            && finding["verdict"] == verdict
            && (finding["what"].as_str()).is_some_and(|what| what.contains(words))
    })
}

fn said(findings: &[Value], check: &str) -> String {
    let own = findings.iter().filter(|f| f["check"] == check);
    let lines = own.map(|f| format!("node {} {} {}", f["node"], f["verdict"], f["what"]));
    lines.collect::<Vec<_>>().join("; ")
}

/// What has to be found: check, node, verdict, words.
fn broken(n: u8, peer: u8, slow: bool) -> Vec<(&'static str, u8, &'static str, String)> {
    let mut all = vec![
        ("system", 0, "failed", "the version is 13 here".to_owned()),
        ("fuse", n, "failed", "/dev/fuse is not there".to_owned()),
        ("clock", n, "warning", "follows no time server".to_owned()),
        (
            "names",
            n,
            "warning",
            "nobody-knows-me is not known here".to_owned(),
        ),
        (
            "static-address",
            n,
            "warning",
            format!("10.99.0.{n} on eth0 is leased"),
        ),
        (
            "subnet",
            n,
            "warning",
            "no address of eth0 is in the network of 10.98.0.5".to_owned(),
        ),
        (
            "virtual-address",
            0,
            "failed",
            "10.99.0.9 is in use".to_owned(),
        ),
        (
            "echo",
            n,
            "failed",
            "the gateway (10.99.0.77) does not answer".to_owned(),
        ),
        (
            "firewall",
            n,
            "failed",
            "9010/tcp cannot be reached".to_owned(),
        ),
        (
            "networks",
            n,
            "failed",
            "the other node is not heard".to_owned(),
        ),
        (
            "networks",
            peer,
            "failed",
            "the other node is not heard".to_owned(),
        ),
        (
            "ports",
            n,
            "failed",
            "port 5432/tcp is in use by postgres".to_owned(),
        ),
        ("space", n, "failed", "volume db".to_owned()),
        ("file-system", n, "warning", "tmpfs".to_owned()),
        ("writers", n, "failed", "sleep".to_owned()),
        (
            "accounts",
            0,
            "failed",
            "clerk, who owns data, exists on one node only".to_owned(),
        ),
        (
            "database",
            n,
            "failed",
            "innodb_flush_log_at_trx_commit = 2".to_owned(),
        ),
        (
            "units",
            n,
            "failed",
            "doctor-test.service starts at boot by itself".to_owned(),
        ),
        (
            "scripts",
            n,
            "failed",
            "/srv/probe cannot be run".to_owned(),
        ),
        (
            "confinement",
            n,
            "warning",
            "AppArmor confines mariadbd".to_owned(),
        ),
        (
            "certificate",
            n,
            "warning",
            "the console's certificate ends in".to_owned(),
        ),
        ("license", n, "warning", "there is no licence".to_owned()),
        ("recorders", n, "warning", "7563".to_owned()),
    ];
    if slow {
        all.push(("latency", n, "warning", "waits about".to_owned()));
    }
    all
}

/// What stands for the programs and files of a worse machine.
const BREAK: &str = r#"
cp -P /etc/os-release /root/os-release
rm -f /etc/os-release
sed 's/VERSION_ID="12"/VERSION_ID="13"/' /usr/lib/os-release >/etc/os-release
cat >/root/without-fuse <<'END'
#!/bin/sh
set -e
[ "$1" = inside ] || exec unshare --mount "$0" inside "$@"
shift
mkdir -p /tmp/dev
mount -t tmpfs none /tmp/dev
for device in null zero random urandom; do
  touch /tmp/dev/$device
  mount --bind /dev/$device /tmp/dev/$device
done
mount --move /tmp/dev /dev
exec tandem "$@"
END
chmod 755 /root/without-fuse
rm -f /run/systemd/container
cat >/root/timedatectl <<'END'
#!/bin/sh
case $1 in
  set-ntp) touch /run/follows ;;
  *) [ -e /run/follows ] && echo yes || echo no ;;
esac
END
chmod 755 /root/timedatectl
mount --bind /root/timedatectl /usr/bin/timedatectl
cp /etc/hosts /root/hosts
mkdir -p /srv/small
mount -t tmpfs -o size=16m none /srv/small
mkdir /srv/small/db
echo 'clerk:x:4242:4242::/:/bin/false' >>/etc/passwd
chown 4242:4242 /srv/small/db
systemd-run -q --unit=doctor-writer sh -c 'exec 3>>/srv/small/db/file; exec sleep 600'
systemd-run -q --unit=doctor-recorder systemd-socket-activate -l 7563 /bin/cat
mkdir -p /etc/mysql/conf.d
printf '[mysqld]\ninnodb_flush_log_at_trx_commit = 2\n' >/etc/mysql/conf.d/doctor.cnf
printf '[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n' \
  >/etc/systemd/system/doctor-test.service
systemctl daemon-reload
systemctl -q enable doctor-test.service
printf '#!/bin/sh\n' >/srv/probe
chmod 644 /srv/probe
mount -t tmpfs none /sys/kernel/security
mkdir /sys/kernel/security/apparmor
echo 'mariadbd (enforce)' >/sys/kernel/security/apparmor/profiles
mkdir -p /var/lib/tandem/https
openssl req -x509 -newkey rsa:2048 -nodes -days 5 -subj /CN=h -keyout /root/key.pem \
  -out /var/lib/tandem/https/certificate.pem 2>/dev/null
"#;

const MEND: &str = r#"
rm -f /etc/os-release
cp -P /root/os-release /etc/os-release
echo systemd-nspawn >/run/systemd/container
umount /usr/bin/timedatectl
cat /root/hosts >/etc/hosts
systemctl stop doctor-writer doctor-recorder
umount /srv/small
sed -i '/^clerk:/d' /etc/passwd
rm -f /etc/mysql/conf.d/doctor.cnf /srv/probe /run/follows
systemctl -q disable doctor-test.service
rm -rf /etc/systemd/system/doctor-test.service /etc/systemd/system/doctor-test.service.d
systemctl daemon-reload
umount /sys/kernel/security
rm -rf /var/lib/tandem/https
"#;

/// Breaks something for each check, and gives whether answers could be made slow.
fn break_everything(trial: &Trial<'_>, node: &Node<'_>, other: &Node<'_>) -> Result<bool> {
    let (n, peer) = (node.number(), other.number());
    node.host.must(&format!("set -e\n{BREAK}"))?;
    lease(node, "600")?;
    let nft = "nft 'add table ip doctor' && \
               nft 'add chain ip doctor in { type filter hook input priority 0; }' && \
               nft 'add rule ip doctor in tcp dport 9010 drop'";
    other.host.must(nft)?;
    let slow = node.host.sh("tc qdisc add dev eth0 root netem delay 5ms")?;
    let text = configuration(&Setting {
        gateway: true,
        module_keys: "data-port = 5432",
        ..Setting::USUAL
    });
    let other_name = format!("name = \"h{peer}\"");
    let checker = "[[module.checker]]\nname = \"probe\"\nscript = \"/srv/probe\"\n";
    let address = "\n[[module.address]]\naddress = \"10.98.0.5/24\"\ninterface = \"eth0\"\n";
    let text = text
        .replace("10.99.0.9\"", "10.99.0.77\"")
        .replace("10.99.0.100/24", "10.99.0.9/24")
        .replace(&other_name, "name = \"nobody-knows-me\"")
        .replace(postgres::DATA, "/srv/small/db")
        .replace(postgres::UNIT, "doctor-test.service");
    let text = format!("{text}{address}\n{checker}");
    node.host
        .must(&format!("cat >{WRONG} <<'END'\n{text}\nEND"))?;
    let switch = &trial.stage().lab.switch;
    for (from, to) in [(n, peer), (peer, n)] {
        switch.block_way_of(Cable::Second, from, to)?;
    }
    for node in [node, other] {
        seen(node, "a network to be silent", |m| {
            networks(m).any(|age| age > SILENT_MS)
        })?;
    }
    Ok(slow.code == Some(0))
}

fn mend_everything(trial: &Trial<'_>, node: &Node<'_>, other: &Node<'_>) -> Result<()> {
    trial.unblock();
    node.host.must(&format!("set -e\n{MEND}"))?;
    node.host.sh("tc qdisc del dev eth0 root")?;
    lease(node, "forever")?;
    other.host.must("nft 'delete table ip doctor'")?;
    for node in [node, other] {
        seen(node, "every network to be heard", |m| {
            networks(m).all(|age| age < SILENT_MS)
        })?;
    }
    Ok(())
}

/// Waits until a node sees this of both: what it knows of the other one is up to a second old.
fn seen(node: &Node<'_>, what: &str, fits: impl Fn(&ModuleStatus) -> bool) -> Result<()> {
    wait_for(what, TAKEOVER_LIMIT, || {
        let status = node.status()?;
        let fit = |node: &NodeStatus| node.modules.first().is_some_and(&fits);
        Ok(status.nodes.iter().all(fit).then_some(()))
    })
}

/// For how long nothing was heard over each network, in milliseconds.
fn networks(module: &ModuleStatus) -> impl Iterator<Item = u64> {
    let networks = (module.channels.iter()).filter(|c| c.name.starts_with("network"));
    networks.map(|c| c.heard_ms.unwrap_or(u64::MAX))
}

/// Gives the node's address an end, as a lease does.
fn lease(node: &Node<'_>, seconds: &str) -> Result<()> {
    let n = node.number();
    let line = format!(
        "ip address change 10.99.0.{n}/24 dev eth0 valid_lft {seconds} preferred_lft {seconds}"
    );
    node.host.must(&line).map(drop)
}
