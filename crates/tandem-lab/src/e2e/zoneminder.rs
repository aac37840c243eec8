//! ZoneMinder with MariaDB and Apache, installed from Debian's packages as its README says and set up by
//! its preset: three services, two volumes, and a person who looks at its page.

use super::failures::bring_back;
use super::packages::{self, PRIMARY};
use super::stage::Stage;
use super::{Case, Told};
use crate::lab::Lab;
use crate::mariadb;
use crate::product::{Node, RESYNCHRONISATION_LIMIT, TAKEOVER_LIMIT};
use crate::repository::{self, Repository};
use crate::shell::outcome;
use crate::wait::wait_for;
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};

/// Cases for which there is not always time: more than two hundred packages on each host.
pub const LONG_CASES: [Case; 1] = [Case {
    name: "ZoneMinder fails over with its page on the virtual address",
    run: fail_over,
}];

const PACKAGES: [&str; 3] = ["zoneminder", "apache2", "libapache2-mod-php"];
/// How long they may take to be installed on a loaded machine.
const INSTALL_LIMIT: Duration = Duration::from_secs(400);
/// How long ZoneMinder's own start, and a page, may take beside everything else.
const PAGE_LIMIT: Duration = Duration::from_secs(60);
/// Where its recordings lie.
const EVENTS: &str = "/srv/zoneminder/events";
/// What its page is looked for, at the address that moves.
const PAGE: &str = "http://10.99.0.100/zm/?view=console";
/// On both servers, as Debian's README says; the directories are on the disk for data here.
const CONFIGURE: &str = r#"set -e
mkdir -p /srv/zoneminder/events && chown -R www-data:www-data /srv/zoneminder
echo 'ZM_DIR_EVENTS=/srv/zoneminder/events' >/etc/zm/conf.d/90-events.conf
chgrp www-data /etc/zm/zm.conf
a2enconf -q zoneminder && a2enmod -q cgi rewrite
systemctl stop zoneminder apache2
sync"#;
/// On the server whose data count.
const DATABASE: &str = r#"set -e
systemctl start mariadb
mariadb </usr/share/zoneminder/db/zm_create.sql
mariadb -e "create user zmuser@localhost identified by 'zmpass'; grant lock tables, alter, create, \
  select, insert, update, delete, index, trigger on zm.* to zmuser@localhost"
mariadb zm -e "update Config set Value = '0' where Name = 'ZM_SHOW_PRIVACY'"
systemctl start zoneminder apache2"#;

fn fail_over(stage: &mut Stage) -> Result<Told> {
    let nodes = packages::installed(stage)?;
    let [one, two] = &nodes;
    let lab = stage.lab;
    let begin = Instant::now();
    let debian = Repository::of_debian(lab, "zoneminder", &PACKAGES)?;
    std::thread::scope(|scope| {
        let other = scope.spawn(|| prepare(two, &debian));
        prepare(one, &debian)?;
        other.join().expect("no panic")
    })?;
    let mut told = vec![format!(
        "installed on both after {} s",
        begin.elapsed().as_secs()
    )];
    // Debian's package makes keys of ZoneMinder's API there, on each server others.
    let kept = one.host.must("tar -C /etc -cz zm | base64 -w 0")?;
    two.host
        .must(&format!("echo {kept} | base64 -d | tar -C /etc -xz"))?;
    one.host.must_within(DATABASE, INSTALL_LIMIT)?;
    add_camera(one, "Before Tandem")?;

    let line = PRIMARY.replace("--preset postgresql", "--preset zoneminder");
    let line = format!(
        "{line} --set data={} --set recordings={EVENTS}",
        mariadb::DATA
    );
    packages::set_up_with(&nodes, &line)?;
    page_shows(lab, "Before Tandem")?;

    add_camera(one, "Gate seven")?;
    let recording = format!("{EVENTS}/1/recording.mp4");
    one.host.must(&format!(
        "install -d -o www-data {EVENTS}/1 && head -c 3M /dev/urandom >{recording} && \
         sync {recording}"
    ))?;
    let sum = |node: &Node<'_>| node.host.must(&format!("sha256sum {recording}"));
    let recorded = sum(one)?;
    page_shows(lab, "Gate seven")?;
    one.host.power_off()?;
    let begin = Instant::now();
    page_shows(lab, "Gate seven")?;
    told.push(format!(
        "its page came from the other server {:.1} s after the power cut",
        begin.elapsed().as_secs_f64()
    ));
    two.wait_until_it_serves(TAKEOVER_LIMIT)?;
    two.host.must("ip -4 addr show | grep -q 10.99.0.100")?;
    ensure!(sum(two)? == recorded, "the recording differs");
    two.host
        .must("systemctl is-active zoneminder apache2 mariadb")?;

    bring_back(one)?;
    one.wait_for_face(["SECOND", "green", "uptodate"], RESYNCHRONISATION_LIMIT)?;
    add_camera(two, "Back yard")?;
    two.command("swap --timeout 120s")?;
    one.wait_for_face(["PRIM", "green", "uptodate"], TAKEOVER_LIMIT)?;
    page_shows(lab, "Back yard")?;
    ensure!(
        sum(one)? == recorded,
        "the recording differs after the swap"
    );
    stage.clear();
    Ok(told)
}

fn prepare(node: &Node<'_>, debian: &Repository) -> Result<()> {
    repository::look_at(&node.host, &[debian])?;
    repository::install(&node.host, &PACKAGES, INSTALL_LIMIT)?;
    mariadb::prepare(&node.host)?;
    node.host.must(CONFIGURE).map(drop)
}

/// A camera that records nothing. It is on both servers when this returns.
fn add_camera(node: &Node<'_>, name: &str) -> Result<()> {
    let row = format!(
        "insert into zm.Monitors (Name, Type, `Function`, Enabled, Path) \
         values ('{name}', 'Ffmpeg', 'None', 0, 'rtsp://192.0.2.7/')"
    );
    mariadb::query(&node.host, &row).map(drop)
}

/// Waits until somebody who asks for ZoneMinder's page, where the clients are, sees this camera in it.
fn page_shows(lab: &Lab, camera: &str) -> Result<()> {
    let mut words = lab.on_client();
    // ZoneMinder wants its cookie back.
    let curl = ["curl", "-sS", "-L", "-b", "", "--max-time", "5", PAGE];
    words.extend(curl.map(str::to_owned));
    let mut last = String::new();
    wait_for("ZoneMinder's page", PAGE_LIMIT, || {
        let answer = outcome(&words, PAGE_LIMIT)?;
        let shown = answer.stdout.contains("ZoneMinder") && answer.stdout.contains(camera);
        last = answer.said();
        Ok(shown.then_some(()))
    })
    .with_context(|| format!("looked for {camera} in: {last}"))
}
