//! Who speaks to a node without being its peer of today: garbage, yesterday's heartbeats, a node of
//! another cluster, a release of another time. Each is refused, and nothing changes.

use super::stage::Stage;
use super::trial::Trial;
use super::{Case, Told};
use crate::console::Mark;
use crate::lab::{CLIENT, Lab};
use crate::noise;
use crate::product::{Node, TAKEOVER_AFTER, TAKEOVER_LIMIT};
use crate::shell::{outcome, run};
use crate::wait::wait_for;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tandem_wire::control::{self, ControlFrame};
use tandem_wire::stream::{self, FrameHeader, FrameKind};

/// The cases.
pub const CASES: [Case; 4] = [
    Case {
        name: "garbage on every port changes nothing",
        run: garbage,
    },
    Case {
        name: "old heartbeats sent again do not delay a takeover",
        run: replayed_heartbeats,
    },
    Case {
        name: "a node with a foreign certificate is refused",
        run: foreign_certificate,
    },
    Case {
        name: "a peer that speaks an unknown version is refused on every channel",
        run: unknown_version,
    },
];

const PRIMARY: [&str; 3] = ["PRIM", "green", "uptodate"];
const STANDBY: [&str; 3] = ["SECOND", "green", "uptodate"];
/// A version that no release speaks yet.
const LATER: u16 = 9;

fn garbage(stage: &mut Stage) -> Result<Told> {
    let lab = stage.lab;
    let trial = Trial::begin(stage)?;
    for target in ["10.99.0.1", "10.99.0.2"] {
        on_client(lab, &["garbage", target], Duration::from_secs(60))?;
    }
    trial.rows_flow()?;
    trial.application_untouched()?;
    for (node, face) in [(&trial.primary, PRIMARY), (&trial.standby, STANDBY)] {
        node.wait_for_face(face, Duration::from_secs(1))?;
    }
    let outage = trial.client.journal()?.outage();
    ensure!(
        outage < Duration::from_secs(1),
        "an outage of {:.2} s",
        outage.as_secs_f64()
    );
    trial.finish()
}

/// Runs this program with `words` on the client.
fn on_client(lab: &Lab, words: &[&str], limit: Duration) -> Result<String> {
    let mut all = lab.on_client();
    all.push(Lab::tool()?.display().to_string());
    all.extend(words.iter().map(|w| (*w).to_owned()));
    outcome(&all, limit)?
        .success()
        .with_context(|| words.join(" "))
}

/// The next `count` heartbeats of `from`, as `to` receives them, in hexadecimal digits.
fn capture(from: &Node<'_>, to: &Node<'_>, count: usize) -> Result<Vec<String>> {
    let source = format!("10.99.0.{}", from.number());
    let digits = to.host.must(&format!(
        "timeout 20 tcpdump -q -i eth0 -c {count} -w /tmp/heartbeats \
         'udp port 9013 and src {source}' >/dev/null 2>&1; od -An -v -tx1 /tmp/heartbeats"
    ))?;
    let capture = (digits.split_whitespace())
        .map(|d| u8::from_str_radix(d, 16).context("od's digits"))
        .collect::<Result<Vec<_>>>()?;
    let datagrams = noise::datagrams_of(&capture)?;
    ensure!(datagrams.len() >= count, "{} heartbeats", datagrams.len());
    Ok(datagrams)
}

/// Sends `datagrams` to `target` again and again, as if they came from `source`, an address of the
/// stack with the number `stack`, until the child is ended.
fn replay(lab: &Lab, stack: u8, source: &str, target: &str, datagrams: &[String]) -> Result<Child> {
    let file = lab.directory.join("heartbeats");
    fs::write(&file, datagrams.join("\n"))?;
    Command::new("nsenter")
        .arg(format!("--net=/run/netns/{}", lab.switch.stack(stack)))
        .arg(Lab::tool()?)
        .args([
            "replay",
            &format!("{source}:9013"),
            &format!("{target}:9013"),
        ])
        .arg(&file)
        .args(["--seconds", "20"])
        .stdin(Stdio::null())
        .spawn()
        .context("send datagrams again")
}

fn replayed_heartbeats(stage: &mut Stage) -> Result<Told> {
    let lab = stage.lab;
    let mut trial = Trial::begin(stage)?;
    let source = format!("10.99.0.{}", trial.primary.number());
    let target = format!("10.99.0.{}", trial.standby.number());
    let datagrams = capture(&trial.primary, &trial.standby, 8)?;
    trial.primary.host.power_off()?;
    let client = lab.switch.stack(CLIENT);
    run(&format!("ip -n {client} addr add {source}/32 dev eth0"))?;
    let mut replayer = replay(lab, CLIENT, &source, &target, &datagrams)?;
    let begin = std::time::Instant::now();
    // The decision counts; how long the database then needs for its recovery does not.
    let limit = TAKEOVER_AFTER * 2;
    let taken =
        (trial.standby).wait_until("the standby to take over", limit, |m| m.state == "ALONE");
    trial.told.push(format!(
        "takeover in {:.2} s",
        begin.elapsed().as_secs_f64()
    ));
    let _ = replayer.kill();
    replayer.wait()?;
    run(&format!("ip -n {client} addr del {source}/32 dev eth0"))?;
    taken?;
    trial.standby.wait_until_it_serves(TAKEOVER_LIMIT)?;
    trial.rows_flow()?;
    super::failures::bring_back(&trial.primary)?;
    trial.finish()
}

/// Ends everything of the product on a standby; the other node goes on alone.
fn take_away(trial: &Trial<'_>) -> Result<()> {
    let stop = "systemctl stop tandem.service 'tandem-mirror@*'";
    trial.standby.host.must(stop)?;
    let alone = trial
        .primary
        .wait_until("the primary to go on alone", TAKEOVER_LIMIT, |m| {
            m.state == "ALONE"
        });
    alone.map(drop)
}

fn give_back(node: &Node<'_>) -> Result<()> {
    node.host.must("systemctl start tandem.service")?;
    wait_for("the daemon", TAKEOVER_LIMIT, || Ok(node.module().ok()))?;
    // It may have started by itself.
    let _ = node.command("start --no-wait");
    Ok(())
}

fn foreign_certificate(stage: &mut Stage) -> Result<Told> {
    let trial = Trial::begin(stage)?;
    let standby = &trial.standby;
    let identity = "/var/lib/tandem/identity";
    take_away(&trial)?;
    standby.host.must(&format!(
        "cp -a {identity} /root/identity && \
         tandem cluster init --offline /root/other /root/foreign >/dev/null && \
         cp /root/foreign/identity/certificate.der /root/foreign/identity/key.der {identity}/"
    ))?;
    let mark = Mark::end_of(&trial.primary.host.console());
    give_back(standby)?;
    let told = wait_for("the refusal to be told", TAKEOVER_LIMIT, || {
        let text = mark.text()?;
        let line = text
            .lines()
            .find(|l| l.contains("invalid peer certificate"));
        Ok(line.map(str::to_owned))
    })?;
    trial.rows_flow()?;
    // It must not get in, however long it tries.
    for _ in 0..20 {
        let face = standby.face()?;
        ensure!(
            face.2 != "uptodate" || face.0 != "SECOND",
            "it got in: {face:?}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    trial.application_untouched()?;
    standby.host.must(&format!(
        "systemctl stop tandem.service 'tandem-mirror@*'; cp -a /root/identity/. {identity}/ && \
         rm -rf /root/identity /root/other /root/foreign"
    ))?;
    give_back(standby)?;
    let mut all = vec![format!("\"{told}\"")];
    all.extend(trial.finish()?);
    Ok(all)
}

/// The standby is replaced by somebody with its keys and a release of another time, who is greeted
/// and greets on the control link, on the data stream and by heartbeats.
fn unknown_version(stage: &mut Stage) -> Result<Told> {
    let lab = stage.lab;
    let mut trial = Trial::begin(stage)?;
    // This is what has to be said.
    trial.expect_error("no version that both nodes speak");
    let (primary, standby) = (trial.primary.clone(), trial.standby.clone());
    let mut heartbeats = capture(&standby, &primary, 3)?;
    let node = standby
        .host
        .must("cat /var/lib/tandem/identity/node.toml")?;
    let cluster = (node.lines())
        .find_map(|l| l.strip_prefix("cluster = ")?.trim().strip_prefix('"'))
        .and_then(|l| l.strip_suffix('"'))
        .context("the cluster's identifier")?
        .to_owned();
    take_away(&trial)?;
    let mark = Mark::end_of(&primary.host.console());
    let mut told = Vec::new();

    let keys = "-cert certificate.der -certform DER -key key.der -keyform DER -tls1_3 -quiet";
    let hello = control::Hello {
        version: LATER,
        version_min: LATER,
        cluster: cluster.clone(),
        node: standby.number(),
        incarnation: 7,
        release: "later".to_owned(),
    };
    let greeting = octal(&ControlFrame::Hello(hello).encode()?);
    let refusal = standby.host.must(&format!(
        "cd /var/lib/tandem/identity && printf '{greeting}' | timeout 20 openssl s_client {keys} \
         -alpn tandem-control -connect 10.99.0.{}:9011 2>/dev/null | tr -cd '[:print:]'",
        primary.number()
    ))?;
    ensure!(
        refusal.contains("version 9") || refusal.contains("versions 9 to 9"),
        "the control link says {refusal:?}"
    );
    told.push(format!("\"{refusal}\""));

    let greeting = octal(&later_greeting(cluster, &standby));
    standby.host.must(&format!(
        "cd /var/lib/tandem/identity && for try in 1 2 3; do \
           (printf '{greeting}'; sleep 3) | timeout 6 openssl s_server {keys} \
             -accept 10.99.0.{}:9012 -naccept 1 >/dev/null 2>&1; done; true",
        standby.number()
    ))?;
    let line = wait_for("the stream to be refused", TAKEOVER_LIMIT, || {
        let text = mark.text()?;
        let line = text
            .lines()
            .find(|l| l.contains("versions 9 to 9 of the stream"));
        Ok(line.map(str::to_owned))
    })?;
    told.push(format!("\"{line}\""));

    // The version is the third pair of bytes.
    for datagram in &mut heartbeats {
        datagram.replace_range(8..12, "0900");
    }
    let refused = |node: &Node<'_>| -> Result<u64> {
        Ok(node.module()?.channels.iter().map(|c| c.refused).sum())
    };
    let before = refused(&primary)?;
    let (source, target) = (standby.number(), primary.number());
    let (from, to) = (format!("10.99.0.{source}"), format!("10.99.0.{target}"));
    let mut replayer = replay(lab, source, &from, &to, &heartbeats)?;
    let counted = wait_for("the heartbeats to be refused", TAKEOVER_LIMIT, || {
        let now = refused(&primary)?;
        Ok((now > before + 3).then_some(now - before))
    });
    let _ = replayer.kill();
    replayer.wait()?;
    told.push(format!("{} heartbeats refused", counted?));

    trial.rows_flow()?;
    trial.application_untouched()?;
    primary.wait_for_face(["ALONE", "green", "uptodate"], Duration::from_secs(1))?;
    give_back(&standby)?;
    told.extend(trial.finish()?);
    Ok(told)
}

/// What a follower of a later release says first.
fn later_greeting(cluster: String, node: &Node<'_>) -> Vec<u8> {
    let hello = stream::encode(&stream::Hello {
        version: LATER,
        version_min: LATER,
        cluster,
        module: crate::product::MODULE.to_owned(),
        volumes: vec!["db".to_owned()],
        node: node.number(),
        configuration: 0,
        boot_id: String::new(),
        incarnation: 7,
        epoch: 0,
        generation: 0,
        received: 0,
        applied: 0,
        checkpointed: 0,
        stream_incarnation: 0,
        gate: 0,
        debt: None,
        extensions: Vec::new(),
    });
    let header = FrameHeader::control(FrameKind::Hello, 0).sealed(&hello);
    [header.bytes(), &hello].concat()
}

/// For the `printf` of a shell.
fn octal(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("\\{b:03o}")).collect()
}
