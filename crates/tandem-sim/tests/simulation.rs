//! The simulator itself: that a seed is one history, that the unchanged core holds, and that its
//! checkers see what they are for.

use tandem_sim::language::{Scenario, directory, phrases};
use tandem_sim::mutation::Chosen;
use tandem_sim::run::{Job, run};
use tandem_sim::scenario::{all, not_played};
use tandem_sim::settings::Profile;

fn assert_holds(job: Job) {
    if let Some(violation) = run(job, false).violation {
        let name = job.scenario.map_or("random", |s| &s.name);
        panic!("{name}, seed {}: {violation}", job.seed);
    }
}

#[test]
fn one_seed_is_one_history() {
    for seed in [3, 5, 11] {
        let (one, other) = (run(Job::seed(seed), true), run(Job::seed(seed), true));
        assert!(one.trace.len() > 100, "a history of some length");
        assert_eq!(one.trace, other.trace);
    }
}

#[test]
fn a_trace_does_not_change_what_happens() {
    let (quiet, traced) = (run(Job::seed(29), false), run(Job::seed(29), true));
    assert_eq!(quiet.statistics.happenings, traced.statistics.happenings);
}

fn scenarios() -> &'static [Scenario] {
    all().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_scenario_holds_with_its_first_seed() {
    for scenario in scenarios().iter().filter(|s| not_played(s).is_none()) {
        assert_holds(Job {
            scenario: Some(scenario),
            profile: Profile::Calm,
            ..Job::seed(0)
        });
    }
}

#[test]
fn the_first_seeds_of_every_profile_hold() {
    for seed in 0..60 {
        assert_holds(Job::seed(seed));
    }
}

#[test]
fn a_mirror_that_breaks_a_rule_is_seen() {
    for (wrong, checkers) in [
        (Chosen::EarlyAck, ["nothing-lost", "status-true"]),
        (Chosen::LevelEarly, ["level-means-equal", "status-true"]),
        (
            Chosen::CompareWithoutLock,
            ["level-means-equal", "status-true"],
        ),
        (Chosen::TrustPosition, ["level-means-equal", "status-true"]),
    ] {
        let seen = (0..120).any(|seed| {
            let job = Job {
                mutation: Some(wrong),
                ..Job::seed(seed)
            };
            run(job, false)
                .violation
                .is_some_and(|v| checkers.contains(&v.checker))
        });
        assert!(seen, "{wrong:?} was not seen by any of {checkers:?}");
    }
}

#[test]
fn a_standby_stays_ready_while_its_primary_stops_in_order() {
    let name = "stop-and-start-the-primary";
    let scenario = scenarios().iter().find(|s| s.name == name);
    assert!(scenario.is_some(), "{name}");
    for seed in 0..40 {
        let job = Job {
            scenario,
            profile: Profile::Calm,
            ..Job::seed(seed)
        };
        let trace = run(job, true).trace;
        let unready = trace
            .iter()
            .find(|line| line.contains("this standby is not ready"));
        assert_eq!(unready, None, "seed {seed}");
    }
}

#[test]
fn the_readme_of_the_scenarios_has_every_phrase_of_the_language() {
    let readme = std::fs::read_to_string(directory().join("README.md")).expect("it is there");
    for phrase in phrases() {
        assert!(readme.contains(&format!("`{phrase}`")), "{phrase}");
    }
}
