//! The phrases of the language, and how the words of a line fill them in.

use super::parser::{Wrong, first, span};
use super::{Action, COMMANDS, Clause, Face, Presence, Span, Traffic, Who};

const STATES: [&str; 5] = ["STOP", "WAIT", "ALONE", "PRIM", "SECOND"];
const COLOURS: [&str; 3] = ["green", "magenta", "red"];
const DATA: [&str; 5] = [
    "uptodate",
    "not uptodate",
    "resyncing",
    "inconsistent",
    "diverged",
];

/// What a phrase was filled in with.
#[derive(Clone, Debug, Default)]
pub(super) struct Filled {
    nodes: Vec<Who>,
    number: u8,
    span: Option<Span>,
    text: String,
    face: Face,
}

impl Filled {
    fn node(&self) -> Who {
        self.nodes[0]
    }

    fn span(&self) -> Span {
        self.span.expect("the phrase has a time")
    }
}

pub(super) type Phrase<T> = (&'static str, fn(&Filled) -> T);

/// What can be done.
pub(super) const ACTIONS: &[Phrase<Action>] = &[
    ("command NODE COMMAND", |f| {
        Action::Command(f.node(), f.text.clone())
    }),
    ("power off NODES", |f| Action::PowerOff(f.nodes.clone())),
    ("power on NODES", |f| Action::PowerOn(f.nodes.clone())),
    ("reboot NODE", |f| Action::Reboot(f.node())),
    ("cut network NUMBER", |f| Action::Cut(Some(f.number), None)),
    ("cut network NUMBER from NODE", |f| {
        Action::Cut(Some(f.number), Some(f.node()))
    }),
    ("cut every network", |_| Action::Cut(None, None)),
    ("cut every network from NODE", |f| {
        Action::Cut(None, Some(f.node()))
    }),
    ("block the heartbeats", |_| {
        Action::Block(Traffic::Heartbeats)
    }),
    ("block the stream", |_| Action::Block(Traffic::Stream)),
    ("block the control link", |_| {
        Action::Block(Traffic::Control)
    }),
    ("heal the networks", |_| Action::Heal),
    ("pull the cables of NODE", |f| Action::Pull(f.node())),
    ("plug the cables of NODE", |f| Action::Plug(f.node())),
    ("freeze NODE", |f| Action::Freeze(f.node())),
    ("thaw NODE", |f| Action::Thaw(f.node())),
    ("kill the daemon of NODE", |f| Action::KillDaemon(f.node())),
    ("kill the daemon of NODE for SPAN", |f| {
        Action::KillDaemonFor(f.node(), f.span())
    }),
    ("suspend the daemon of NODE", |f| {
        Action::SuspendDaemon(f.node())
    }),
    ("resume the daemon of NODE", |f| {
        Action::ResumeDaemon(f.node())
    }),
    ("kill the mirror of NODE", |f| Action::KillMirror(f.node())),
    ("kill the application of NODE", |f| {
        Action::KillApplication(f.node())
    }),
    ("stop the application of NODE", |f| {
        Action::StopApplication(f.node())
    }),
    ("break the application of NODE", |f| {
        Action::BreakApplication(f.node())
    }),
    ("mask the application of NODE", |f| {
        Action::MaskApplication(f.node())
    }),
    ("repair the application of NODE", |f| {
        Action::RepairApplication(f.node())
    }),
    ("keep the volume of NODE", |f| Action::KeepVolume(f.node())),
    ("put back the volume of NODE", |f| {
        Action::PutBackVolume(f.node())
    }),
    ("keep the machine of NODE", |f| {
        Action::KeepMachine(f.node())
    }),
    ("put back the machine of NODE", |f| {
        Action::PutBackMachine(f.node())
    }),
    ("pause the machine of NODE", |f| {
        Action::PauseMachine(f.node())
    }),
    ("continue the machine of NODE", |f| {
        Action::ContinueMachine(f.node())
    }),
    ("fail a checker of NODE with CHECKER", |f| {
        Action::CheckerDown(f.node(), f.text.clone())
    }),
    ("repair the checker of NODE", |f| {
        Action::CheckerUp(f.node())
    }),
    ("silence the gateway of NODE", |f| {
        Action::LoseGateway(f.node())
    }),
    ("restore the gateway of NODE", |f| {
        Action::FindGateway(f.node())
    }),
    ("a stranger takes the address", |_| Action::StrangerComes),
    ("the stranger leaves", |_| Action::StrangerGoes),
    ("change the configuration of NODE", |f| {
        Action::Misconfigure(f.node())
    }),
    ("restore the configuration of NODE", |f| {
        Action::Reconfigure(f.node())
    }),
    ("hang the state disk of NODE", |f| {
        Action::HangState(f.node())
    }),
    ("repair the state disk of NODE", |f| {
        Action::RepairState(f.node())
    }),
    ("break the volume of NODE", |f| {
        Action::BreakVolume(f.node())
    }),
    ("break applying on NODE", |f| Action::BreakApply(f.node())),
    ("repair the volume of NODE", |f| {
        Action::RepairVolume(f.node())
    }),
    ("set start-alone-after to SPAN", |f| {
        Action::StartAloneAfter(f.span())
    }),
    ("prefer NODE", |f| Action::Prefer(f.node())),
    ("end the licence", |_| Action::EndLicence),
];

/// What can be looked at.
pub(super) const CLAUSES: &[Phrase<Clause>] = &[
    ("NODE is FACE", |f| Clause::Shows(f.node(), f.face.clone())),
    ("NODE is not FACE", |f| {
        Clause::ShowsNot(f.node(), f.face.clone())
    }),
    ("NODE is unconfirmed", |f| Clause::Unconfirmed(f.node())),
    ("NODE serves", |f| Clause::Serves(f.node())),
    ("NODE does not serve", |f| Clause::ServesNot(f.node())),
    ("NODE answers", |f| Clause::Answers(f.node())),
    ("NODE says TEXT", |f| Clause::Says(f.node(), f.text.clone())),
    ("NODE gives advice", |f| Clause::Advises(f.node())),
    ("NODE shows a divergence", |f| Clause::Diverged(f.node())),
    ("NODE has the address", |f| {
        Clause::Address(f.node(), Presence::Here)
    }),
    ("NODE has no address", |f| {
        Clause::Address(f.node(), Presence::Gone)
    }),
    ("NODE has used NUMBER restarts", |f| {
        Clause::RestartsUsed(f.node(), f.number)
    }),
    ("the application of NODE runs", |f| {
        Clause::Application(f.node(), Presence::Here)
    }),
    ("the application of NODE is stopped", |f| {
        Clause::Application(f.node(), Presence::Gone)
    }),
    ("the application was not touched", |_| Clause::Untouched),
    ("the pair serves", |_| Clause::Pair(None)),
    ("the pair serves from NODE", |f| {
        Clause::Pair(Some(f.node()))
    }),
    ("the copies are recorded as level", |_| Clause::Level),
    ("writes go on", |_| Clause::WritesGoOn),
    ("NODE goes on alone", |f| Clause::GoesOnAlone(f.node())),
    ("the mirror of NODE is level with its peer", |f| {
        Clause::MirrorLevel(f.node())
    }),
];

/// Every phrase of the language.
pub fn phrases() -> impl Iterator<Item = &'static str> {
    let actions = ACTIONS.iter().map(|(pattern, _)| *pattern);
    actions.chain(CLAUSES.iter().map(|(pattern, _)| *pattern))
}

/// The longest phrase that the words begin with, filled in, and the words behind it. Otherwise what
/// would have gone on furthest.
pub(super) fn phrase<'w, T>(
    phrases: &[Phrase<T>],
    words: &'w [String],
) -> Result<(T, &'w [String]), Wrong> {
    let mut best: Option<(T, &[String])> = None;
    let mut furthest: (usize, Vec<&str>) = (0, Vec::new());
    for (pattern, build) in phrases {
        match fill(pattern, words) {
            Ok((filled, rest)) => {
                if best
                    .as_ref()
                    .is_none_or(|(_, left)| rest.len() < left.len())
                {
                    best = Some((build(&filled), rest));
                }
            }
            Err((matched, expected)) => {
                if matched > furthest.0 {
                    furthest = (matched, Vec::new());
                }
                if matched == furthest.0 && !furthest.1.contains(&expected) {
                    furthest.1.push(expected);
                }
            }
        }
    }
    best.ok_or_else(|| {
        let expected = format!("{} was", furthest.1.join(" or "));
        Wrong::at(first(&words[furthest.0.min(words.len())..]), &expected)
    })
}

/// The words that a pattern takes. Otherwise how many fit, and what was expected then.
fn fill<'w>(
    pattern: &'static str,
    words: &'w [String],
) -> Result<(Filled, &'w [String]), (usize, &'static str)> {
    let mut filled = Filled::default();
    let mut rest = words;
    for expected in pattern.split(' ') {
        let failed = (words.len() - rest.len(), expected);
        let word = first(rest);
        let taken = match expected {
            "NODE" | "NODES" => {
                let nodes = match (word, rest) {
                    ("A", [_, and, b, ..]) if expected == "NODES" && and == "and" && b == "B" => {
                        vec![Who::A, Who::B]
                    }
                    ("A", _) => vec![Who::A],
                    ("B", _) => vec![Who::B],
                    _ => return Err(failed),
                };
                filled.nodes = nodes;
                filled.nodes.len() * 2 - 1
            }
            "NUMBER" => {
                filled.number = word.parse().map_err(|_| failed)?;
                1
            }
            "SPAN" => {
                let (time, left) = span(rest).map_err(|_| failed)?;
                filled.span = Some(time);
                rest.len() - left.len()
            }
            "TEXT" => {
                filled.text = word.strip_prefix('"').ok_or(failed)?.to_owned();
                1
            }
            "CHECKER" => {
                let known = ["stopstart", "swap", "wait", "stop"].contains(&word);
                filled.text = known.then(|| word.to_owned()).ok_or(failed)?;
                1
            }
            "COMMAND" => {
                filled.text = rest.join(" ");
                if !COMMANDS.contains(&filled.text.as_str()) {
                    return Err(failed);
                }
                rest.len()
            }
            "FACE" => {
                let (face, taken) = face(rest);
                if taken == 0 {
                    return Err(failed);
                }
                filled.face = face;
                taken
            }
            literal if literal == word => 1,
            _ => return Err(failed),
        };
        rest = &rest[taken..];
    }
    Ok((filled, rest))
}

/// State, colour and data, each of which may be missing, and how many words they are.
fn face(words: &[String]) -> (Face, usize) {
    let mut face = Face::default();
    let mut taken = 0;
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    if STATES.contains(&word(taken)) {
        face.state = Some(word(taken).to_owned());
        taken += 1;
    }
    if COLOURS.contains(&word(taken)) {
        face.colour = Some(word(taken).to_owned());
        taken += 1;
    }
    // At the beginning `not` denies the whole face.
    let length = if taken > 0 && word(taken) == "not" {
        2
    } else {
        1
    };
    let end = words.len().min(taken + length);
    let data = words[taken..end].join(" ");
    if DATA.contains(&data.as_str()) {
        face.data = Some(data);
        taken += length;
    }
    (face, taken)
}
