//! `tandem-sim`: runs seeds, scenarios and mutations, and prints what they found.

use std::process::ExitCode;
use std::time::Instant;
use tandem_sim::language::Scenario;
use tandem_sim::mutation::planned;
use tandem_sim::run::{Job, run};
use tandem_sim::scenario::{all, not_played};
use tandem_sim::settings::Profile;
use tandem_sim::statistics::{ROWS, Statistics};

const USAGE: &str = "usage: tandem-sim [--seeds A..B] [--seed N] [--profile WORD] [--scenario NAME]
                  [--trace] [--rows] [--keep-going] [--mutations]
Without arguments: every scenario and the seeds 0..2000.";

/// The lines of the trace that a failure shows.
const TRACE_LINES: usize = 120;
/// The seeds with which every scenario is played.
const SCENARIO_SEEDS: u64 = 8;
/// The rules of `docs/safety.md`: each is broken by a wrong change at least.
const RULES: [&str; 8] = ["R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8"];
/// The random runs in which a wrong change has to be seen, after the scenarios.
const MUTATION_SEEDS: u64 = 2000;

#[derive(Debug, Default)]
struct Arguments {
    seeds: Option<(u64, u64)>,
    profile: Option<Profile>,
    scenario: Option<String>,
    trace: bool,
    rows: bool,
    keep_going: bool,
    mutations: bool,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if arguments.mutations {
        return mutations();
    }
    simulate(&arguments)
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments::default();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        let number = |text: &str| {
            text.parse::<u64>()
                .map_err(|_| format!("no number: {text}"))
        };
        match word.as_str() {
            "--seeds" => {
                let text = value()?;
                let (from, to) = text.split_once("..").ok_or(format!("no range: {text}"))?;
                arguments.seeds = Some((number(from)?, number(to)?));
            }
            "--seed" => {
                let seed = number(&value()?)?;
                arguments.seeds = Some((seed, seed + 1));
            }
            "--profile" => {
                let text = value()?;
                let profile = Profile::from_word(&text).ok_or(format!("no profile: {text}"))?;
                arguments.profile = Some(profile);
            }
            "--scenario" => arguments.scenario = Some(value()?),
            "--trace" => arguments.trace = true,
            "--rows" => arguments.rows = true,
            "--keep-going" => arguments.keep_going = true,
            "--mutations" => arguments.mutations = true,
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    Ok(arguments)
}

fn jobs(arguments: &Arguments) -> Result<Vec<Job>, String> {
    let everything = arguments.seeds.is_none() && arguments.scenario.is_none();
    let mut jobs = Vec::new();
    let named = arguments.scenario.as_deref();
    let chosen = |scenario: &Scenario| everything || named == Some(&scenario.name);
    for scenario in all()?.iter().filter(|scenario| chosen(scenario)) {
        if let Some(reason) = not_played(scenario) {
            println!("scenario {} only on hosts: {reason}", scenario.name);
        } else {
            let (from, to) = arguments.seeds.unwrap_or((0, SCENARIO_SEEDS));
            jobs.extend((from..to).map(|seed| Job {
                scenario: Some(scenario),
                profile: Profile::Calm,
                ..Job::seed(seed)
            }));
        }
    }
    if let Some(name) = named {
        if jobs.is_empty() {
            return Err(format!("no scenario {name}"));
        }
    } else {
        let (from, to) = arguments.seeds.unwrap_or((0, 2000));
        jobs.extend((from..to).map(|seed| Job {
            profile: arguments.profile.unwrap_or(Profile::of_seed(seed)),
            ..Job::seed(seed)
        }));
    }
    Ok(jobs)
}

fn simulate(arguments: &Arguments) -> ExitCode {
    let jobs = match jobs(arguments) {
        Ok(jobs) => jobs,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let many = jobs.len() > 1;
    let begun = Instant::now();
    let mut total = Statistics::default();
    let mut failures: Vec<(Job, String)> = Vec::new();
    for job in &jobs {
        let verdict = run(*job, arguments.trace);
        total.add(&verdict.statistics);
        for line in &verdict.trace {
            println!("{line}");
        }
        let Some(violation) = verdict.violation else {
            continue;
        };
        println!("{}: {violation}", name(*job));
        failures.push((*job, violation.checker.to_string()));
        if !arguments.keep_going {
            if !arguments.trace {
                show(*job);
            }
            break;
        }
    }
    println!(
        "{} runs in {:.1} s: {} happenings, {} turns of a core, {} faults, {} acknowledgements, {} \
         forced",
        jobs.len(),
        begun.elapsed().as_secs_f64(),
        total.happenings,
        total.turns,
        total.faults,
        total.acknowledgements,
        total.forced
    );
    summary(&failures);
    if many || arguments.rows {
        rows(&total);
    }
    let untaken = total.untaken();
    let complete = arguments.seeds.is_none() && arguments.scenario.is_none();
    if complete && !untaken.is_empty() && failures.is_empty() {
        println!("rows never taken: {untaken:?}");
        return ExitCode::FAILURE;
    }
    if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn name(job: Job) -> String {
    match job.scenario {
        Some(scenario) => format!("scenario {} seed {}", scenario.name, job.seed),
        None => format!("seed {} ({})", job.seed, job.profile),
    }
}

fn replay(job: Job) -> String {
    let what = match job.scenario {
        Some(scenario) => format!("--scenario {}", scenario.name),
        None => format!("--profile {}", job.profile),
    };
    format!(
        "cargo run -p tandem-sim -- --seed {} {what} --trace",
        job.seed
    )
}

/// The end of a failing run, and how to see all of it.
fn show(job: Job) {
    let verdict = run(job, true);
    let from = verdict.trace.len().saturating_sub(TRACE_LINES);
    for line in &verdict.trace[from..] {
        println!("{line}");
    }
    println!("replay: {}", replay(job));
}

fn summary(failures: &[(Job, String)]) {
    let mut checkers: Vec<&str> = failures.iter().map(|(_, c)| c.as_str()).collect();
    checkers.sort_unstable();
    checkers.dedup();
    for checker in checkers {
        let of = failures.iter().filter(|(_, c)| c == checker);
        let names: Vec<String> = of.clone().take(8).map(|(job, _)| name(*job)).collect();
        println!("{checker}: {} runs, {}", of.count(), names.join(", "));
    }
}

fn rows(total: &Statistics) {
    println!("rows of the transition table, and how often each was taken:");
    for row in 1..=ROWS {
        println!("  {row:2}: {}", total.rows[row - 1]);
    }
}

/// The scenarios and seeds in which a wrong change has to be seen.
fn mutation_jobs() -> Result<Vec<Job>, String> {
    let played = all()?.iter().filter(|s| not_played(s).is_none());
    let scenarios = played.flat_map(|scenario| {
        (0..SCENARIO_SEEDS).map(move |seed| Job {
            scenario: Some(scenario),
            profile: Profile::Calm,
            ..Job::seed(seed)
        })
    });
    let random = (0..MUTATION_SEEDS).map(Job::seed);
    Ok(scenarios.chain(random).collect())
}

/// Shows that each wrong change is seen by a checker that is meant to see it, and that none of
/// them sees anything in the same runs without it.
fn mutations() -> ExitCode {
    if !cfg!(feature = "mutations") {
        eprintln!("the changes of the core need a build with the feature `mutations`");
        return ExitCode::from(2);
    }
    let begun = Instant::now();
    let planned = planned();
    let jobs = match mutation_jobs() {
        Ok(jobs) => jobs,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    for rule in RULES {
        if !planned.iter().any(|plan| plan.sentence.starts_with(rule)) {
            println!("no wrong change breaks {rule}");
            return ExitCode::FAILURE;
        }
    }
    // Panics of a mutated core are findings, not news.
    std::panic::set_hook(Box::new(|_| {}));
    let mut used = 0;
    let mut missed = 0;
    for plan in &planned {
        let caught = jobs.iter().enumerate().find_map(|(place, job)| {
            let job = Job {
                mutation: Some(plan.chosen),
                ..*job
            };
            let violation = run(job, false).violation?;
            let meant = plan.checkers.contains(&violation.checker);
            meant.then_some((place, job, violation.checker))
        });
        match caught {
            Some((place, job, checker)) => {
                used = used.max(place + 1);
                println!("caught by {checker} in {}: {}", name(job), plan.sentence);
            }
            None => {
                missed += 1;
                used = jobs.len();
                println!("NOT CAUGHT by {:?}: {}", plan.checkers, plan.sentence);
            }
        }
    }
    let innocent = jobs[..used]
        .iter()
        .find_map(|job| Some((*job, run(*job, false).violation?)));
    match &innocent {
        Some((job, violation)) => println!("without a change, {}: {violation}", name(*job)),
        None => println!("without a change, the same {used} runs show nothing"),
    }
    println!(
        "{} of {} wrong changes caught in {:.1} s",
        planned.len() - missed,
        planned.len(),
        begun.elapsed().as_secs_f64()
    );
    if missed == 0 && innocent.is_none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
