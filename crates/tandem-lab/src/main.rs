//! `tandem-lab`: the test hosts by hand, the end-to-end tests and the benchmarks.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;
use tandem_lab::client::{Order, write_rows};
use tandem_lab::lab::Lab;
use tandem_lab::switch::Cable;
use tandem_lab::{bench, browser, compare, e2e, noise, probe, product, watch};

#[derive(Parser)]
#[command(
    about = "Two test hosts and a client on one machine",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make switch, client and two hosts with empty disks
    Up,
    /// Boot a host and wait until its systemd is up
    Boot { host: u8 },
    /// Pull a host's power cord
    Power { host: u8 },
    /// Shut a host down in good order
    Shutdown { host: u8 },
    /// Let a host hang as a whole
    Freeze { host: u8 },
    /// Let a frozen host go on
    Thaw { host: u8 },
    /// Pull or plug a host's cables
    Cable {
        host: u8,
        #[arg(value_parser = ["pull", "plug"])]
        what: String,
        /// Only this network's: 0 or 1
        network: Option<u8>,
    },
    /// Drop frames on the switch, in the words of nftables (iifname p1 tcp dport 9012)
    Block {
        #[arg(trailing_var_arg = true, required = true)]
        words: Vec<String>,
    },
    /// Drop nothing any more
    Unblock,
    /// Run a command on a host (a shell without one)
    Sh {
        host: u8,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Run a command on the client
    Client {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Compare the plain directories of both hosts
    Compare { path: String },
    /// Make, boot and pair both hosts with the product
    Pair,
    /// Run the end-to-end tests whose names contain one of these words (all without any)
    E2e {
        names: Vec<String>,
        /// Play each so often
        #[arg(long, default_value_t = 1)]
        rounds: u32,
        /// Let the client write for so many seconds before anything happens
        #[arg(long, default_value_t = 0)]
        before: u64,
        /// Look at a standby's copy at so many instants
        #[arg(long, default_value_t = 6)]
        points: usize,
        /// Play the longest ones, too
        #[arg(long)]
        long: bool,
        /// Leave the hosts running
        #[arg(long)]
        keep: bool,
        /// Only print the names of the cases
        #[arg(long)]
        list: bool,
    },
    /// Use the console of a new pair in a browser: the cases whose names contain these words
    Console {
        words: Vec<String>,
        /// Take pictures of each screen instead, into docs/screenshots
        #[arg(long)]
        pictures: bool,
        /// Leave the hosts running
        #[arg(long)]
        keep: bool,
    },
    /// Measure the benchmarks with these numbers (all without any)
    Bench {
        ids: Vec<String>,
        #[arg(long, default_value_t = bench::Options::default().rounds)]
        rounds: usize,
        #[arg(long, default_value_t = bench::Options::default().seconds)]
        seconds: u32,
    },
    /// End everything
    Down,
    /// End everything and remove the disks
    Clean,
    /// (inside the lab) The first half of a host's boot
    #[command(hide = true)]
    Supervise { host: u8 },
    /// (inside the lab) Notes what a node says of itself
    #[command(hide = true)]
    Watch {
        node: u8,
        token: String,
        file: PathBuf,
    },
    /// (inside the lab) Sends garbage to every port of an address
    #[command(hide = true)]
    Garbage { target: std::net::IpAddr },
    /// (inside the lab) Sends old datagrams again
    #[command(hide = true)]
    Replay {
        source: std::net::SocketAddr,
        target: std::net::SocketAddr,
        file: PathBuf,
        #[arg(long)]
        seconds: u64,
    },
    /// (inside the lab) Listens where the product wants to
    #[command(hide = true)]
    Occupy { address: std::net::SocketAddr },
    /// (inside the lab) The prober
    #[command(hide = true)]
    Probe {
        target: std::net::SocketAddr,
        file: PathBuf,
    },
    /// (inside the lab) The client
    #[command(hide = true)]
    WriteRows {
        target: String,
        file: PathBuf,
        #[arg(long, default_value_t = 4)]
        workers: u64,
        #[arg(long, default_value_t = 1)]
        first: u64,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tandem-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<ExitCode> {
    let lab = Lab::here()?;
    match verb {
        Verb::Up => lab.up()?,
        Verb::Boot { host } => lab.host(host).boot()?,
        Verb::Power { host } => lab.host(host).power_off()?,
        Verb::Shutdown { host } => lab.host(host).shut_down()?,
        Verb::Freeze { host } => lab.host(host).freeze()?,
        Verb::Thaw { host } => lab.host(host).thaw()?,
        Verb::Cable {
            host,
            what,
            network,
        } => {
            let cables = match network {
                None => &Cable::BOTH[..],
                Some(0) => &Cable::BOTH[..1],
                Some(_) => &Cable::BOTH[1..],
            };
            for cable in cables {
                match what.as_str() {
                    "pull" => lab.switch.pull(host, *cable)?,
                    _ => lab.switch.plug(host, *cable)?,
                }
            }
        }
        Verb::Block { words } => lab.switch.block(&words.join(" "))?,
        Verb::Unblock => lab.switch.unblock(),
        Verb::Sh { host, words } => return hand_over(lab.host(host).enter()?, words),
        Verb::Client { words } => return hand_over(lab.on_client(), words),
        Verb::Compare { path } => {
            let (left, right) = (lab.host(1).plain(&path)?, lab.host(2).plain(&path)?);
            let found = compare::differences(&left, &right)?;
            found.iter().for_each(|difference| println!("{difference}"));
            if !found.is_empty() {
                return Ok(ExitCode::FAILURE);
            }
        }
        Verb::Pair => {
            lab.up()?;
            product::install(&lab, &product::Setting::USUAL)?;
            lab.boot_both()?;
            product::set_up(&lab, &product::Setting::USUAL)?;
        }
        Verb::E2e { list: true, .. } => e2e::list()?,
        Verb::E2e {
            names,
            rounds,
            before,
            points,
            long,
            keep,
            ..
        } => {
            let order = e2e::Order {
                names,
                rounds,
                before: Duration::from_secs(before),
                points,
                long,
                keep,
            };
            if !e2e::run(lab, &order)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Verb::Console {
            words,
            pictures,
            keep,
        } => {
            let purpose = match pictures {
                true => browser::Purpose::Pictures,
                false => browser::Purpose::Cases,
            };
            if !browser::run(&lab, purpose, &words, keep)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Verb::Bench {
            ids,
            rounds,
            seconds,
        } => bench::run(&lab, &ids, bench::Options { rounds, seconds })?,
        Verb::Down => lab.down()?,
        Verb::Clean => lab.remove()?,
        Verb::Supervise { host } => lab.host(host).supervise()?,
        Verb::Watch { node, token, file } => watch::watch(node, &token, &file)?,
        Verb::Garbage { target } => println!("{}", noise::garbage(target)?),
        Verb::Replay {
            source,
            target,
            file,
            seconds,
        } => noise::replay(source, target, &file, Duration::from_secs(seconds))?,
        Verb::Occupy { address } => noise::occupy(address)?,
        Verb::Probe { target, file } => probe::probe(target, &file)?,
        Verb::WriteRows {
            target,
            file,
            workers,
            first,
        } => write_rows(&Order {
            target,
            file,
            workers,
            first,
        })?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the words of a person with the person's own terminal.
fn hand_over(mut prefix: Vec<String>, mut words: Vec<String>) -> Result<ExitCode> {
    if words.is_empty() {
        words.push("bash".to_owned());
    }
    prefix.append(&mut words);
    let status = Command::new(&prefix[0])
        .args(&prefix[1..])
        .status()
        .with_context(|| prefix.join(" "))?;
    let code = status.code().and_then(|c| u8::try_from(c).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
