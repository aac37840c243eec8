//! Operators' commands: given to the daemon, waited for, told about. Nothing is asked.

use super::arguments::{CommandOptions, Places, SwitchOptions, VerifyOptions};
use super::{Exit, complain};
use std::time::Duration;
use tandem_daemon::client::{Client, ClientError};
use tandem_daemon::report;
use tandem_wire::api::{CommandName, CommandRequest, Job, JobState, ModuleStatus};
use tokio::time::{Instant, sleep, timeout_at};

/// How long a daemon that is restarted in the middle of a command may be away.
const AWAY_MAX: Duration = Duration::from_secs(10);
/// How often it is looked for meanwhile.
const AWAY_LOOK: Duration = Duration::from_millis(100);
/// Nobody waits longer; without `--timeout` this stands for no limit.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// `start`
pub async fn start(places: &Places, options: &CommandOptions) -> Exit {
    if !options.all {
        return one(places, CommandName::Start, options).await;
    }
    on_both_nodes(places, options, |node| {
        request(CommandName::Start, options, node)
    })
    .await
}

/// `stop`
pub async fn stop(places: &Places, options: &CommandOptions) -> Exit {
    if !options.all {
        return one(places, CommandName::Stop, options).await;
    }
    let client = Client::new(&places.runtime_dir);
    let status = match client.status().await {
        Ok(status) => status,
        Err(error) => return complain(&error),
    };
    let asked = |name: &str| {
        options
            .module
            .as_deref()
            .is_none_or(|module| module == name)
    };
    let serves = status.nodes.iter().find(|node| {
        let module = node.modules.iter().find(|module| asked(&module.name));
        module.is_some_and(ModuleStatus::serves)
    });
    // Who serves first: it needs the other one to bring both copies level.
    let first = serves.map_or(status.answered_by, |node| node.node);
    for node in [first, 3 - first] {
        let mut request = request(CommandName::Stop, options, node);
        request.whole = true;
        match give(&client, &request, options).await {
            Exit::Done => {}
            other => return other,
        }
    }
    Exit::Done
}

/// `restart`
pub async fn restart(places: &Places, options: &CommandOptions) -> Exit {
    one(places, CommandName::Restart, options).await
}

/// `stopstart`
pub async fn stopstart(places: &Places, options: &CommandOptions) -> Exit {
    one(places, CommandName::StopStart, options).await
}

/// `swap`
pub async fn swap(places: &Places, options: &CommandOptions) -> Exit {
    one(places, CommandName::Swap, options).await
}

/// `prim`
pub async fn prim(places: &Places, force: bool, options: &CommandOptions) -> Exit {
    let client = Client::new(&places.runtime_dir);
    let mut request = plain(CommandName::Prim, options);
    request.force = force;
    give(&client, &request, options).await
}

/// `second`
pub async fn second(places: &Places, full_sync: bool, options: &CommandOptions) -> Exit {
    let request = CommandRequest {
        full_sync,
        ..plain(CommandName::Second, options)
    };
    on_one_node(places, &request, options).await
}

/// `verify`
pub async fn verify(places: &Places, options: &VerifyOptions) -> Exit {
    one(places, CommandName::Verify, &options.options()).await
}

/// `failover`, `checkers`, `boot`: on both nodes, unless one is named. A node that cannot be reached
/// keeps the other one from nothing.
pub async fn switch(places: &Places, command: CommandName, switch: &SwitchOptions) -> Exit {
    let options = &switch.options;
    let thrown = CommandRequest {
        on: Some(switch.on),
        ..plain(command, options)
    };
    if options.node.is_some() {
        let client = Client::new(&places.runtime_dir);
        return give(&client, &thrown, options).await;
    }
    on_both_nodes(places, options, |node| CommandRequest {
        node: Some(node),
        ..thrown.clone()
    })
    .await
}

/// Gives a command to both nodes, the own one first, and then waits for both: each may need the
/// other to get anywhere, and one that is dead must not delay what the other one does.
async fn on_both_nodes(
    places: &Places,
    options: &CommandOptions,
    request: impl Fn(u8) -> CommandRequest,
) -> Exit {
    let client = Client::new(&places.runtime_dir);
    let own = match client.status().await {
        Ok(status) => status.answered_by,
        Err(error) => return complain(&error),
    };
    let mut exit = Exit::Done;
    let mut jobs = Vec::new();
    for node in [own, 3 - own] {
        match client.command(&request(node)).await {
            Ok(job) => jobs.push(job),
            Err(error) => {
                exit = complain(&error);
                break;
            }
        }
    }
    for job in jobs {
        match follow(&client, job, options).await {
            Exit::Done => {}
            other => exit = other,
        }
    }
    exit
}

async fn one(places: &Places, command: CommandName, options: &CommandOptions) -> Exit {
    on_one_node(places, &plain(command, options), options).await
}

async fn on_one_node(places: &Places, request: &CommandRequest, options: &CommandOptions) -> Exit {
    if options.all {
        eprintln!("tandem: --all is for start and stop");
        return Exit::Refused;
    }
    let client = Client::new(&places.runtime_dir);
    give(&client, request, options).await
}

fn plain(command: CommandName, options: &CommandOptions) -> CommandRequest {
    CommandRequest {
        node: options.node,
        module: options.module.clone(),
        ..CommandRequest::new(command)
    }
}

fn request(command: CommandName, options: &CommandOptions, node: u8) -> CommandRequest {
    CommandRequest {
        node: Some(node),
        ..plain(command, options)
    }
}

async fn give(client: &Client, request: &CommandRequest, options: &CommandOptions) -> Exit {
    match client.command(request).await {
        Ok(job) => follow(client, job, options).await,
        Err(error) => complain(&error),
    }
}

/// What a command ended with: what it says when it is done, otherwise why it is not.
pub async fn carried_out(
    client: &Client,
    request: &CommandRequest,
    most: Duration,
) -> Result<String, String> {
    let end = Instant::now() + most;
    let mut job = (client.command(request).await).map_err(|error| report(&error))?;
    while !job.state.ended() {
        let asked = timeout_at(end, client.job(&job.job, job.progress.len())).await;
        let Ok(answer) = asked else {
            return Err("it was not done in time".to_owned());
        };
        job = answer.map_err(|error| report(&error))?;
    }
    match job.state {
        JobState::Done => Ok(job.message),
        _ => Err(job.message),
    }
}

/// Tells how a job is getting on, until it ends.
async fn follow(client: &Client, mut job: Job, options: &CommandOptions) -> Exit {
    let end = Instant::now() + options.timeout.unwrap_or(FOREVER);
    let mut told = 0;
    loop {
        if options.no_wait && job.begun && !job.state.ended() {
            println!("{}", job.job);
            return Exit::Done;
        }
        let last = if job.state.ended() { 1 } else { 0 };
        for line in (job.progress.iter())
            .take(job.progress.len() - last.min(job.progress.len()))
            .skip(told)
        {
            println!("node{}: {line}", job.node);
        }
        told = job.progress.len();
        if job.state.ended() {
            return ended(&job);
        }
        match timeout_at(end, ask(client, &job, told)).await {
            Ok(Ok(newer)) => job = newer,
            Ok(Err(error)) => return complain(&error),
            Err(_) => {
                eprintln!("tandem: not done in time; it goes on (job {})", job.job);
                return Exit::TimedOut;
            }
        }
    }
}

/// Asks again while the daemon is away for a moment.
async fn ask(client: &Client, job: &Job, seen: usize) -> Result<Job, ClientError> {
    let end = Instant::now() + AWAY_MAX;
    loop {
        match client.job(&job.job, seen).await {
            Err(ClientError::NoDaemon { .. } | ClientError::Broken) if Instant::now() < end => {
                sleep(AWAY_LOOK).await;
            }
            answer => return answer,
        }
    }
}

fn ended(job: &Job) -> Exit {
    let (node, message) = (job.node, &job.message);
    match job.state {
        JobState::Done => {
            println!("node{node}: done: {message}");
            Exit::Done
        }
        JobState::Refused => {
            eprintln!("tandem: node{node} refused: {message}");
            Exit::Refused
        }
        JobState::Failed if job.command == CommandName::Verify => {
            // That copies were not equal is what it was to find out.
            eprintln!("tandem: node{node}: {message}");
            Exit::Failed
        }
        JobState::Failed | JobState::Lost | JobState::Running => {
            eprintln!("tandem: node{node} failed: {message}");
            Exit::Failed
        }
        JobState::Unreachable => {
            eprintln!("tandem: node{node}: {message}");
            Exit::PeerUnreachable
        }
    }
}
