//! `tandem setup`: the questions of a set-up, in the order and the words of the product's page, from
//! a person, from flags, or from a file with answers. The work is [`tandem_daemon::setup`]'s.
//!
//! A person is asked only at a terminal; elsewhere a missing answer is a refusal that names its flag.

mod ask;
mod browser;
mod steps;

use super::Exit;
use super::arguments::{Places, PrimaryOptions, SecondaryOptions, SecretOptions, SetupVerb};
use ask::Person;
use std::net::SocketAddr;
use std::path::Path;
use steps::{StepFailure, unless_cancelled};
use tandem_core::NodeId;
use tandem_daemon::check::Asker;
use tandem_daemon::config::{Configuration, HTTP_PORT};
use tandem_daemon::daemon::Settings;
use tandem_daemon::report;
use tandem_daemon::setup::{
    self, ADMIN, Answers, Choices, DEFAULT_CLUSTER, DEFAULT_MODULE, Only, PASSWORD_MIN, Preset,
    SHIPPED, SetUpFailure, Transport,
};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

/// Why there are no choices.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// Nobody is there to be asked.
    #[error("{question}: nobody is there to answer; give {flag}")]
    Nobody {
        /// What would have been asked.
        question: String,
        /// What answers it.
        flag: String,
    },
    /// The person went away.
    #[error("read the answer")]
    Read(#[source] std::io::Error),
    /// A file with a password, or with answers.
    #[error("read {}", path.display())]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Not an answer file.
    #[error("understand the answers")]
    Malformed(#[source] Box<toml::de::Error>),
    /// Too short.
    #[error("the password is shorter than {PASSWORD_MIN} letters")]
    Short,
    /// Typed differently the second time.
    #[error("the two passwords are not the same")]
    Unequal,
    /// Not `KEY=VALUE`, or not two addresses.
    #[error("{0} is not of the form {1}")]
    Form(String, &'static str),
    /// The preset.
    #[error(transparent)]
    Preset(#[from] setup::PresetError),
}

/// Sets up.
pub async fn run(places: &Places, verb: Option<SetupVerb>) -> Exit {
    let mut person = Person::new();
    let verb = match verb {
        Some(verb) => verb,
        None => match which(&mut person) {
            Ok(verb) => verb,
            Err(error) => return refuse(&error),
        },
    };
    let settings = places.settings();
    if matches!(verb, SetupVerb::Complete) {
        return complete(&settings).await;
    }
    let _only = match Only::take(&settings) {
        Ok(only) => only,
        Err(error) => return fail(error),
    };
    match setup::undo(&settings).await {
        Ok(false) => {}
        Ok(true) => println!("An earlier set-up was not finished; it was taken back."),
        Err(error) => return fail(error),
    }
    match verb {
        SetupVerb::Secondary(options) => match prepared(&mut person, options) {
            Ok((transport, password)) => secondary(&settings, transport, &password).await,
            Err(error) => refuse(&error),
        },
        SetupVerb::Primary(options) => match choices(&mut person, *options) {
            Ok((choices, password)) => primary(&settings, &choices, &password).await,
            Err(error) => refuse(&error),
        },
        SetupVerb::Browser => browser::run(&settings).await,
        SetupVerb::Complete | SetupVerb::Undo => Exit::Done,
    }
}

fn which(person: &mut Person) -> Result<SetupVerb, AnswerError> {
    println!("1  Configure the secondary computer");
    println!("2  Configure the primary computer");
    println!("3  I have already configured the primary computer");
    println!("4  Ask me in a browser instead");
    loop {
        let flag = "secondary, primary, complete or browser";
        match person.ask("Which", Some("1"), flag)?.as_str() {
            "1" => return Ok(SetupVerb::Secondary(SecondaryOptions::default())),
            "2" => return Ok(SetupVerb::Primary(Box::default())),
            "3" => return Ok(SetupVerb::Complete),
            "4" => return Ok(SetupVerb::Browser),
            _ => println!("1, 2, 3 or 4."),
        }
    }
}

fn password(
    person: &mut Person,
    options: &SecretOptions,
) -> Result<Zeroizing<String>, AnswerError> {
    let password = match &options.password_file {
        Some(path) => {
            let text = std::fs::read_to_string(path).map(Zeroizing::new);
            let text = text.map_err(|source| AnswerError::File {
                path: path.clone(),
                source,
            })?;
            Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned())
        }
        None => {
            println!("The password of the set-up, and of the console's user {ADMIN}.");
            let first = person.secret("Password", "--password-file FILE")?;
            let again = person.secret("Confirm password", "--password-file FILE")?;
            if first != again {
                return Err(AnswerError::Unequal);
            }
            first
        }
    };
    match password.chars().count() < PASSWORD_MIN {
        true => Err(AnswerError::Short),
        false => Ok(password),
    }
}

fn transport(person: &mut Person, chosen: Option<Transport>) -> Result<Transport, AnswerError> {
    if let Some(transport) = chosen {
        return Ok(transport);
    }
    // Nobody has to be there for what has a default.
    if !person.is_there() {
        return Ok(Transport::default());
    }
    println!("The console, for browsers; the same on both computers:");
    println!("1  HTTP (Non-secure)");
    println!("2  HTTPS (Secure)");
    loop {
        match person
            .ask("Which", Some("2"), "--console http|https")?
            .as_str()
        {
            "1" => return Ok(Transport::Http),
            "2" => return Ok(Transport::Https),
            _ => println!("1 or 2."),
        }
    }
}

/// What node2 is asked.
fn prepared(
    person: &mut Person,
    options: SecondaryOptions,
) -> Result<(Transport, Zeroizing<String>), AnswerError> {
    let options = match &options.answers {
        None => options,
        Some(path) => {
            let file: SecondaryOptions = answers(path)?;
            SecondaryOptions {
                console: options.console.or(file.console),
                answers: None,
                secret: options.secret.or(file.secret),
            }
        }
    };
    let transport = transport(person, options.console)?;
    Ok((transport, password(person, &options.secret)?))
}

fn answers<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, AnswerError> {
    let text = std::fs::read_to_string(path).map_err(|source| AnswerError::File {
        path: path.to_owned(),
        source,
    })?;
    toml::from_str(&text).map_err(|error| AnswerError::Malformed(Box::new(error)))
}

/// Puts the answers of the file under those of the command line.
fn with_file(options: PrimaryOptions) -> Result<PrimaryOptions, AnswerError> {
    let Some(path) = options.answers.clone() else {
        return Ok(options);
    };
    let file: PrimaryOptions = answers(&path)?;
    let longer = |typed: Vec<String>, file: Vec<String>| match typed.is_empty() {
        true => file,
        false => typed,
    };
    Ok(PrimaryOptions {
        peer: options.peer.or(file.peer),
        console: options.console.or(file.console),
        virtual_address: longer(options.virtual_address, file.virtual_address),
        preset: options.preset.or(file.preset),
        set: [file.set, options.set].concat(),
        network: longer(options.network, file.network),
        cluster: options.cluster.or(file.cluster),
        module: options.module.or(file.module),
        takeover_after: options.takeover_after.or(file.takeover_after),
        answers: None,
        secret: options.secret.or(file.secret),
    })
}

fn choices(
    person: &mut Person,
    options: PrimaryOptions,
) -> Result<(Choices, Zeroizing<String>), AnswerError> {
    let options = with_file(options)?;
    let name = match options.preset {
        Some(name) => name,
        None => {
            println!("Presets of {SHIPPED}:");
            for (name, description) in setup_presets() {
                println!("  {name:<12} {description}");
            }
            person.ask(
                "What is to be protected",
                Some("postgresql"),
                "--preset NAME",
            )?
        }
    };
    let preset = Preset::read(&name)?;
    let mut answers = Answers::new();
    for pair in &options.set {
        let form = || AnswerError::Form(pair.clone(), "KEY=VALUE");
        let (key, value) = pair.split_once('=').ok_or_else(form)?;
        answers.insert(key.to_owned(), value.to_owned());
    }
    for question in &preset.questions {
        if answers.contains_key(&question.name) {
            continue;
        }
        let default = Preset::default_answer(question, &answers);
        let answer = match default {
            // Nobody has to be there for what has a default.
            Some(default) if !person.is_there() => default,
            default => {
                let flag = format!("--set {}=VALUE", question.name);
                person.ask(&question.text, default.as_deref(), &flag)?
            }
        };
        answers.insert(question.name.clone(), answer);
    }
    let application = preset.fill(&answers)?;
    let peer = match options.peer {
        Some(peer) => peer,
        None => {
            let question = "Connect to the secondary computer (FQDN recommended, host name or \
                            IPv4 address)";
            person.ask(question, None, "--peer HOST")?
        }
    };
    let transport = transport(person, options.console)?;
    let virtual_addresses = match options.virtual_address.is_empty() {
        false => options.virtual_address,
        true => {
            let question = "Virtual IPv4 address, with its prefix, as in 192.0.2.100/24";
            vec![person.ask(question, None, "--virtual-address ADDRESS/PREFIX")?]
        }
    };
    let mut networks = Vec::new();
    for pair in &options.network {
        let form = || AnswerError::Form(pair.clone(), "ADDRESS1,ADDRESS2");
        let (one, two) = pair.split_once(',').ok_or_else(form)?;
        let address = |text: &str| text.trim().parse().map_err(|_| form());
        networks.push((address(one)?, address(two)?));
    }
    let choices = Choices {
        peer,
        cluster: options
            .cluster
            .unwrap_or_else(|| DEFAULT_CLUSTER.to_owned()),
        module: options.module.unwrap_or_else(|| DEFAULT_MODULE.to_owned()),
        application,
        virtual_addresses,
        takeover_after: options.takeover_after,
        transport,
        networks,
    };
    if person.is_there() {
        person.confirm(&format!(
            "{} is prepared, and the application of this computer is stopped for a moment and its \
             data kept. Confirm",
            choices.peer
        ))?;
    }
    Ok((choices, password(person, &options.secret)?))
}

/// The shipped presets that can be used here, with their descriptions.
fn setup_presets() -> Vec<(String, String)> {
    let Ok(entries) = std::fs::read_dir(SHIPPED) else {
        return Vec::new();
    };
    let mut presets: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let path = entry.path();
            let preset = Preset::read(path.to_str()?).ok()?;
            let name = path.file_stem()?.to_string_lossy().into_owned();
            Some((name, preset.description))
        })
        .collect();
    presets.sort();
    presets
}

async fn secondary(
    settings: &Settings,
    transport: Transport,
    password: &Zeroizing<String>,
) -> Exit {
    let mut tell = |words: &str| println!("{words}");
    let step = steps::secondary(settings, Asker::Anybody, transport, password, &mut tell);
    match unless_cancelled(settings, step, told_to_end()).await {
        Ok(()) => {
            println!("When the primary computer is done: tandem setup complete");
            Exit::Done
        }
        Err(ended) => say(&ended.failure, &ended.taken_back),
    }
}

async fn primary(settings: &Settings, choices: &Choices, password: &Zeroizing<String>) -> Exit {
    let mut tell = |words: &str| println!("{words}");
    let step = steps::primary(settings, Asker::Anybody, choices, password, &mut tell);
    match unless_cancelled(settings, step, told_to_end()).await {
        Ok(()) => {
            println!("On the secondary computer: tandem setup complete");
            let word = choices.transport.to_string().to_lowercase();
            if let Some(address) = own_address(settings) {
                println!("The console, user {ADMIN}: {word}://{address}");
            }
            Exit::Done
        }
        Err(ended) => say(&ended.failure, &ended.taken_back),
    }
}

async fn complete(settings: &Settings) -> Exit {
    let mut tell = |words: &str| println!("{words}");
    match steps::complete(settings, &mut tell).await {
        Ok(()) => Exit::Done,
        Err(failure) => {
            eprintln!("tandem: {}", report(&failure));
            failure.exit()
        }
    }
}

fn own_address(settings: &Settings) -> Option<SocketAddr> {
    let configuration = Configuration::read(&settings.config).ok()?;
    let address = configuration.node(NodeId::One).address;
    Some(SocketAddr::new(address, HTTP_PORT))
}

/// Says why a step ended, and what became of this computer.
fn say(failure: &StepFailure, taken_back: &Result<bool, SetUpFailure>) -> Exit {
    eprintln!("tandem: {}", report(failure));
    match taken_back {
        Ok(true) => eprintln!("This computer is as it was."),
        // It failed before anything was changed, or after both nodes had stored everything.
        Ok(false) => {}
        Err(error) => {
            eprintln!("tandem: take the set-up back: {}", report(error));
            eprintln!("hint: tandem setup goes on with that");
        }
    }
    failure.exit()
}

async fn told_to_end() {
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = kinds.map(signal) else {
        // Then a signal just ends it, and the next set-up takes it back.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

fn refuse(error: &AnswerError) -> Exit {
    eprintln!("tandem: {}", report(error));
    Exit::Refused
}

fn fail(error: SetUpFailure) -> Exit {
    let failure = StepFailure::SetUp(error);
    eprintln!("tandem: {}", report(&failure));
    failure.exit()
}
