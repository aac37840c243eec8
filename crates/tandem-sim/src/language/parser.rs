//! From the text of a file to its steps.

use super::phrases::{ACTIONS, CLAUSES, phrase};
use super::{Act, Clause, Condition, Error, Limit, Only, Player, Scenario, Span, Step};
use std::path::Path;

/// Reads one scenario.
///
/// # Errors
/// A line is not of the language.
pub fn parse(path: &Path, text: &str) -> Result<Scenario, Error> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut scenario = Scenario {
        name: name.into_owned(),
        path: path.to_owned(),
        title: String::new(),
        only: None,
        steps: Vec::new(),
    };
    let mut end = 0;
    for (number, text) in (1..).zip(text.lines()) {
        end = number;
        let refuse = |wrong: Wrong| Error::Line {
            path: path.to_owned(),
            line: number,
            found: wrong.found,
            expected: wrong.expected,
        };
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if scenario.title.is_empty() {
            let title = text.strip_prefix("shows: ");
            let wrong = || Wrong::at(text, "`shows: ` and a sentence, before all else, is");
            scenario.title = title.ok_or_else(wrong).map_err(refuse)?.to_owned();
            continue;
        }
        if let Some(only) = text.strip_prefix("only ") {
            scenario.only = Some(restriction(only).map_err(refuse)?);
            continue;
        }
        let act = step(&words(text)).map_err(refuse)?;
        let allowed = scenario.only.as_ref().map(|only| only.player);
        if act.only().is_some_and(|player| Some(player) != allowed) {
            let wrong = Wrong::at(
                text,
                "`only simulator: ` and a reason, before this line, was",
            );
            return Err(refuse(wrong));
        }
        scenario.steps.push(Step {
            line: number,
            text: text.to_owned(),
            act,
        });
    }
    if scenario.steps.is_empty() {
        return Err(Error::Line {
            path: path.to_owned(),
            line: end,
            found: "the end".to_owned(),
            expected: "at least one step was".to_owned(),
        });
    }
    Ok(scenario)
}

impl Act {
    /// The player that can play it, if not both can.
    fn only(&self) -> Option<Player> {
        match self {
            Self::Do(action) => action.only(),
            Self::Wait(_) => None,
            Self::Expect(condition, _)
            | Self::Throughout(condition, _)
            | Self::Allow(condition, _) => condition.any.iter().flatten().find_map(Clause::only),
        }
    }
}

fn restriction(text: &str) -> Result<Only, Wrong> {
    let (player, reason) = match text.split_once(": ") {
        Some(("simulator", reason)) => (Player::Simulator, reason),
        Some(("hosts", reason)) => (Player::Hosts, reason),
        _ => {
            return Err(Wrong::at(
                text,
                "`simulator: ` or `hosts: ` and a reason is",
            ));
        }
    };
    Ok(Only {
        player,
        reason: reason.trim().to_owned(),
    })
}

/// What does not fit at some place of a line.
#[derive(Debug)]
pub(super) struct Wrong {
    found: String,
    expected: String,
}

impl Wrong {
    pub(super) fn at(found: &str, expected: &str) -> Self {
        Self {
            found: match found {
                "" => "the end of the line".to_owned(),
                _ => format!("`{found}`"),
            },
            expected: expected.to_owned(),
        }
    }
}

/// The words of a line; what stands in quotes is one word, which keeps its first quote.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (place, part) in line.split('"').enumerate() {
        if place % 2 == 1 {
            words.push(format!("\"{part}"));
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

fn step(words: &[String]) -> Result<Act, Wrong> {
    match words.first().map(String::as_str) {
        Some("wait") => {
            let (span, rest) = span(&words[1..])?;
            end(rest).map(|()| Act::Wait(span))
        }
        Some("allow") => {
            let (span, rest) = span(&words[1..])?;
            let rest = after("for", rest)?;
            let (condition, rest) = condition(rest)?;
            end(rest).map(|()| Act::Allow(condition, span))
        }
        Some("expect") => {
            let (condition, rest) = condition(&words[1..])?;
            match first(rest) {
                "" => Ok(Act::Expect(condition, None)),
                "within" => {
                    let (limit, rest) = limit(&rest[1..])?;
                    end(rest).map(|()| Act::Expect(condition, Some(limit)))
                }
                "throughout" => {
                    let (span, rest) = span(&rest[1..])?;
                    end(rest).map(|()| Act::Throughout(condition, span))
                }
                found => {
                    let expected = "`and`, `or`, `within`, `throughout` or the end of the line was";
                    Err(Wrong::at(found, expected))
                }
            }
        }
        _ => {
            let (action, rest) = phrase(ACTIONS, words)?;
            end(rest).map(|()| Act::Do(action))
        }
    }
}

fn end(words: &[String]) -> Result<(), Wrong> {
    match words.first() {
        None => Ok(()),
        Some(word) => Err(Wrong::at(word, "the end of the line was")),
    }
}

fn after<'w>(word: &str, words: &'w [String]) -> Result<&'w [String], Wrong> {
    match words.split_first() {
        Some((found, rest)) if found == word => Ok(rest),
        _ => Err(Wrong::at(first(words), &format!("`{word}` was"))),
    }
}

pub(super) fn first(words: &[String]) -> &str {
    words.first().map_or("", String::as_str)
}

fn condition(words: &[String]) -> Result<(Condition, &[String]), Wrong> {
    let mut any = vec![Vec::new()];
    let mut rest = words;
    loop {
        let (clause, left) = phrase(CLAUSES, rest)?;
        any.last_mut().expect("one at least").push(clause);
        match first(left) {
            "and" => {}
            "or" => any.push(Vec::new()),
            _ => return Ok((Condition { any }, left)),
        }
        rest = &left[1..];
    }
}

fn limit(words: &[String]) -> Result<(Limit, &[String]), Wrong> {
    let named = [
        ("the stall limit", Limit::Stall),
        ("the time of a restart", Limit::Restart),
    ];
    for (name, limit) in named {
        let length = name.split(' ').count();
        if words.len() >= length && words[..length].join(" ") == name {
            return Ok((limit, &words[length..]));
        }
    }
    span(words).map(|(span, rest)| (Limit::Span(span), rest))
}

/// `1.5 takeover-after`
pub(super) fn span(words: &[String]) -> Result<(Span, &[String]), Wrong> {
    let wrong = || Wrong::at(first(words), "a time as in `1.5 takeover-after` was");
    let [number, unit, rest @ ..] = words else {
        return Err(wrong());
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    if unit != "takeover-after" || part.len() > 3 || !digits(whole) || !digits(part) {
        return Err(wrong());
    }
    let thousandths = format!("{whole}{part:0<3}").parse();
    let thousandths = thousandths.map_err(|_| wrong())?;
    Ok((Span { thousandths }, rest))
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::language::{Act, Action, Clause, Face, Limit, Player, Scenario, Span, Who};
    use std::path::Path;

    fn read(text: &str) -> Result<Scenario, String> {
        let text = format!("# why\nshows: something\n{text}\n");
        parse(Path::new("scenarios/x.scenario"), &text).map_err(|e| e.to_string())
    }

    fn one(line: &str) -> Act {
        read(line).expect(line).steps.remove(0).act
    }

    fn wrong(line: &str) -> String {
        read(line).expect_err(line)
    }

    #[test]
    fn a_file_is_a_sentence_and_its_steps() {
        let scenario = read("power off A and B\n\n  wait 0.25 takeover-after").expect("it is one");
        assert_eq!(
            (scenario.name.as_str(), scenario.title.as_str()),
            ("x", "something")
        );
        assert_eq!(scenario.only, None);
        let lines: Vec<usize> = scenario.steps.iter().map(|s| s.line).collect();
        assert_eq!(lines, [3, 5]);
        let both = Action::PowerOff(vec![Who::A, Who::B]);
        assert_eq!(scenario.steps[0].act, Act::Do(both));
        assert_eq!(scenario.steps[1].act, Act::Wait(Span { thousandths: 250 }));
    }

    #[test]
    fn a_condition_has_alternatives_of_clauses() {
        let line = "expect A is ALONE green uptodate and B says \"no data, and more\" or the pair \
                    serves from B within 12 takeover-after";
        let Act::Expect(condition, within) = one(line) else {
            panic!("it expects")
        };
        let limit = |line| match one(line) {
            Act::Expect(_, limit) => limit,
            act => panic!("it does not expect: {act:?}"),
        };
        let thousandths = 12_000;
        assert_eq!(within, Some(Limit::Span(Span { thousandths })));
        assert_eq!(
            limit("expect writes go on within the stall limit"),
            Some(Limit::Stall)
        );
        let face = Face {
            state: Some("ALONE".into()),
            colour: Some("green".into()),
            data: Some("uptodate".into()),
        };
        let first = vec![
            Clause::Shows(Who::A, face),
            Clause::Says(Who::B, "no data, and more".into()),
        ];
        assert_eq!(condition.any, [first, vec![Clause::Pair(Some(Who::B))]]);
    }

    #[test]
    fn not_before_a_face_denies_it_and_within_it_is_a_word_of_the_data() {
        let data = |word: &str| Face {
            data: Some(word.into()),
            ..Face::default()
        };
        let Act::Throughout(condition, _) =
            one("expect A is not uptodate and B is not diverged throughout 2 takeover-after")
        else {
            panic!("it lasts")
        };
        let clauses = vec![
            Clause::ShowsNot(Who::A, data("uptodate")),
            Clause::ShowsNot(Who::B, data("diverged")),
        ];
        assert_eq!(condition.any, [clauses]);
        let Act::Expect(condition, None) = one("expect A is SECOND red not uptodate") else {
            panic!("it comes")
        };
        let Clause::Shows(Who::A, face) = &condition.any[0][0] else {
            panic!("it shows")
        };
        assert_eq!(face.data.as_deref(), Some("not uptodate"));
    }

    #[test]
    fn an_error_names_file_and_line_and_what_was_expected() {
        let said = wrong("power off C");
        assert_eq!(
            said,
            "scenarios/x.scenario:3: `C` was found, but NODES was expected"
        );
        for (line, parts) in [
            ("power A", "off or on was expected"),
            ("command A explode", "`explode` was found, but COMMAND was"),
            ("wait 3 s", "a time as in `1.5 takeover-after` was"),
            ("wait", "the end of the line was found"),
            ("expect A is ALONE soon", "`soon` was found, but `and`"),
            ("allow 1 takeover-after until A serves", "`for` was"),
            (
                "freeze A now",
                "`now` was found, but the end of the line was",
            ),
            (
                "hang the state disk of A",
                "`only simulator: ` and a reason",
            ),
        ] {
            let said = wrong(line);
            assert!(said.contains(parts), "{line}: {said}");
        }
        assert!(wrong("").contains("at least one step"));
    }

    #[test]
    fn what_one_player_cannot_do_says_why() {
        let scenario = read("only simulator: no disk hangs on demand\nhang the state disk of A");
        let only = scenario.expect("it says why").only.expect("it is there");
        assert_eq!(only.player, Player::Simulator);
        assert_eq!(only.reason, "no disk hangs on demand");
        assert!(wrong("only elsewhere: x").contains("`simulator: ` or `hosts: `"));
        assert!(wrong("only hosts: x\nhang the state disk of A").contains("only simulator"));
    }
}
