//! `tandem top`: the overview of the console in a terminal, live.

use super::arguments::Places;
use super::{Exit, amount, complain};
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Wrap};
use std::time::Duration;
use tandem_daemon::client::Client;
use tandem_wire::api::{ClusterStatus, ModuleStatus, NodeStatus};

/// How often it looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Decisions that are shown.
const LATELY_MAX: usize = 50;

/// Shows it until a key ends it.
pub async fn run(places: &Places) -> Exit {
    let client = Client::new(&places.runtime_dir);
    // A terminal is taken over only where there is something to show.
    let mut status = match client.status().await {
        Ok(status) => Ok(status),
        Err(error) => return complain(&error),
    };
    let mut terminal = match ratatui::try_init() {
        Ok(terminal) => terminal,
        Err(error) => {
            eprintln!("tandem: use the terminal: {error}");
            return Exit::Failed;
        }
    };
    let mut chosen = 0;
    let shown = loop {
        if let Err(error) = terminal.draw(|frame| draw(frame, &status, chosen)) {
            break Err(error);
        }
        match key() {
            Ok(Some(Key::End)) => break Ok(()),
            Ok(Some(Key::Next)) => chosen += 1,
            Ok(None) => {}
            Err(error) => break Err(error),
        }
        status = client
            .status()
            .await
            .map_err(|error| tandem_daemon::report(&error));
    };
    ratatui::restore();
    match shown {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("tandem: use the terminal: {error}");
            Exit::Failed
        }
    }
}

enum Key {
    End,
    /// The next module.
    Next,
}

/// Waits for a key, for one interval.
fn key() -> std::io::Result<Option<Key>> {
    if !event::poll(LOOK_INTERVAL)? {
        return Ok(None);
    }
    let Event::Key(key) = event::read()? else {
        return Ok(None);
    };
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Ok(match key.code {
        KeyCode::Char('q') | KeyCode::Esc => Some(Key::End),
        KeyCode::Char('c') if control => Some(Key::End),
        KeyCode::Tab => Some(Key::Next),
        _ => None,
    })
}

fn draw(frame: &mut Frame<'_>, status: &Result<ClusterStatus, String>, chosen: usize) {
    let status = match status {
        Ok(status) => status,
        Err(error) => {
            let text = Paragraph::new(format!("{error}\n\nq ends this"));
            return frame.render_widget(text.wrap(Wrap { trim: true }), frame.area());
        }
    };
    let mut names: Vec<&str> = Vec::new();
    for module in status.nodes.iter().flat_map(|node| &node.modules) {
        if !names.contains(&module.name.as_str()) {
            names.push(&module.name);
        }
    }
    let Some(name) = names.get(chosen % names.len().max(1)) else {
        return;
    };
    let sides: Vec<(&NodeStatus, &ModuleStatus)> = status
        .nodes
        .iter()
        .filter_map(|node| {
            let module = node.modules.iter().find(|module| module.name == *name)?;
            Some((node, module))
        })
        .collect();
    let rows = [
        Constraint::Length(3),
        Constraint::Length(11),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ];
    let [top, nodes, flow, lately, keys] = Layout::vertical(rows).areas(frame.area());
    let (colour, sentence) = sentence(name, &sides);
    let title = format!(" {name} - {} ", status.cluster);
    let bold = Style::new().fg(colour).add_modifier(Modifier::BOLD);
    let said = Paragraph::new(Span::styled(sentence, bold));
    let block = Block::new().borders(Borders::ALL).title(title);
    frame.render_widget(said.block(block.border_style(Style::new().fg(colour))), top);
    let halves = Layout::horizontal([Constraint::Fill(1); 2]).split(nodes);
    for (area, (node, module)) in halves.iter().zip(&sides) {
        draw_node(frame, *area, node, module);
    }
    let told = [exposure(&sides), compared(&sides)];
    let told: Vec<String> = told.into_iter().filter(|text| !text.is_empty()).collect();
    frame.render_widget(Line::from(told.join(" · ")), flow);
    draw_lately(frame, lately, &sides);
    let more = if names.len() > 1 {
        "tab: next module  "
    } else {
        ""
    };
    let hint = format!("{more}q: end");
    frame.render_widget(Line::styled(hint, Style::new().fg(Color::DarkGray)), keys);
}

fn draw_node(frame: &mut Frame<'_>, area: Rect, node: &NodeStatus, module: &ModuleStatus) {
    let colour = colour(&module.colour);
    let state = format!("{} ({})", module.state, module.colour);
    let mut lines = vec![
        Line::from(vec![
            Span::styled(state, Style::new().fg(colour).add_modifier(Modifier::BOLD)),
            Span::raw(format!("  {}", module.data)),
        ]),
        Line::raw(module.reason.clone()),
    ];
    if !node.answers {
        let seconds = node.silent_ms.unwrap_or(0) / 1000;
        lines.push(Line::styled(
            format!("does not answer for {seconds} s"),
            Style::new().fg(Color::Red),
        ));
    }
    for address in module.addresses.iter().filter(|address| address.held) {
        lines.push(Line::raw(format!(
            "holds {} on {}",
            address.address, address.interface
        )));
    }
    for service in module.services.iter().chain(&module.checkers) {
        lines.push(Line::raw(format!("{}: {}", service.name, service.state)));
    }
    if let Some(advice) = &module.advice {
        lines.push(Line::styled(
            format!("advice: {advice}"),
            Style::new().fg(Color::Yellow),
        ));
    }
    let title = format!(" node{} {} ", node.node, node.name);
    let block = Block::new().borders(Borders::ALL).title(title);
    let text = Paragraph::new(lines).wrap(Wrap { trim: true });
    frame.render_widget(
        text.block(block.border_style(Style::new().fg(colour))),
        area,
    );
}

fn draw_lately(frame: &mut Frame<'_>, area: Rect, sides: &[(&NodeStatus, &ModuleStatus)]) {
    let entries = sides.iter().flat_map(|(node, module)| {
        let history = module.history.iter();
        history.map(|entry| (entry.at_ms, node.node, entry))
    });
    let mut entries: Vec<_> = entries.collect();
    entries.sort_by_key(|(at_ms, ..)| std::cmp::Reverse(*at_ms));
    let lines = entries
        .into_iter()
        .take(LATELY_MAX)
        .map(|(_, node, entry)| {
            let style = match entry.kind.as_str() {
                "alarm" => Style::new().fg(Color::Red),
                _ => Style::new(),
            };
            Line::styled(format!("node{node}: {}", entry.because), style)
        });
    let block = Block::new().borders(Borders::TOP).title(" lately ");
    let text = Paragraph::new(lines.collect::<Vec<_>>());
    frame.render_widget(text.block(block), area);
}

fn serves(module: &ModuleStatus) -> bool {
    ["PRIM", "ALONE"].contains(&module.state.as_str())
}

fn colour(word: &str) -> Color {
    match word {
        "green" => Color::Green,
        "magenta" => Color::Magenta,
        _ => Color::Red,
    }
}

/// Whether it runs, and whether it is protected.
fn sentence(name: &str, sides: &[(&NodeStatus, &ModuleStatus)]) -> (Color, String) {
    let serving = sides.iter().find(|(_, module)| serves(module));
    let Some((node, module)) = serving else {
        let moving = sides.iter().any(|(_, module)| module.colour == "magenta");
        return match moving {
            true => (Color::Magenta, format!("{name} is changing over.")),
            false => (Color::Red, format!("{name} does not run.")),
        };
    };
    let follows = sides.iter().any(|(_, other)| {
        other.state == "SECOND" && other.colour == "green" && other.data == "uptodate"
    });
    let on = format!("node{} ({})", node.node, node.name);
    let percent = sides.iter().find_map(|(_, module)| module.resync_percent);
    match percent {
        _ if module.state == "PRIM" && module.colour == "green" && follows => (
            Color::Green,
            format!("{name} is protected. It runs on {on}."),
        ),
        Some(percent) => {
            let text = format!("{name} runs on {on}, and is not protected yet: {percent} %.");
            (Color::Magenta, text)
        }
        None if module.colour == "magenta" => (Color::Magenta, format!("{name} is changing over.")),
        None => (
            Color::Red,
            format!("{name} runs on {on}, and is not protected."),
        ),
    }
}

/// How far a resynchronisation is, or what a verification came to.
fn compared(sides: &[(&NodeStatus, &ModuleStatus)]) -> String {
    let serving = sides.iter().find(|(_, module)| serves(module));
    let Some((_, module)) = serving else {
        return String::new();
    };
    let mirror = &module.mirror;
    match (mirror.resync_done_bytes, mirror.resync_total_bytes) {
        (Some(done), Some(total)) => {
            let (done, total) = (amount::bytes(done), amount::bytes(total));
            format!(
                "{done} of {total} compared{}",
                amount::left(mirror.resync_left_seconds)
            )
        }
        _ => mirror
            .verification
            .as_ref()
            .map_or_else(String::new, |found| format!("verify: {}", found.text)),
    }
}

fn exposure(sides: &[(&NodeStatus, &ModuleStatus)]) -> String {
    let serving = sides.iter().find(|(_, module)| serves(module));
    let Some((_, module)) = serving else {
        return String::new();
    };
    match module.mirror.exposure_bytes {
        0 if module.state == "PRIM" => "every acknowledged write is on both nodes".to_owned(),
        0 => String::new(),
        bytes => format!(
            "{} exist only on the serving node, the oldest for {}",
            amount::bytes(bytes),
            amount::time(module.mirror.exposure_ms / 1000)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn cluster(faces: [[&str; 3]; 2]) -> ClusterStatus {
        let node = |number: u8, [state, colour, data]: [&str; 3]| NodeStatus {
            node: number,
            name: format!("h{number}"),
            answers: true,
            modules: vec![ModuleStatus {
                name: "videeos".into(),
                state: state.into(),
                colour: colour.into(),
                data: data.into(),
                ..ModuleStatus::default()
            }],
            ..NodeStatus::default()
        };
        ClusterStatus {
            cluster: "cluster1".into(),
            nodes: vec![node(1, faces[0]), node(2, faces[1])],
            ..ClusterStatus::default()
        }
    }

    fn screen(status: ClusterStatus) -> String {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("a screen in memory");
        let status = Ok(status);
        terminal
            .draw(|frame| draw(frame, &status, 0))
            .expect("a screen in memory");
        terminal.backend().to_string()
    }

    #[test]
    fn what_exists_on_one_node_only_is_said_as_elsewhere() {
        let mut status = cluster([
            ["ALONE", "green", "uptodate"],
            ["unknown", "red", "unknown"],
        ]);
        status.nodes[0].modules[0].mirror.exposure_bytes = 52_428;
        status.nodes[0].modules[0].mirror.exposure_ms = 150_000;
        let exposed = screen(status);
        assert!(
            exposed.contains("52.4 kB exist only on the serving node, the oldest for 3 min"),
            "{exposed}"
        );
    }

    #[test]
    fn one_sentence_says_whether_it_is_protected() {
        let level = screen(cluster([
            ["PRIM", "green", "uptodate"],
            ["SECOND", "green", "uptodate"],
        ]));
        assert!(
            level.contains("videeos is protected. It runs on node1 (h1)."),
            "{level}"
        );
        assert!(
            level.contains("every acknowledged write is on both nodes"),
            "{level}"
        );
        let alone = screen(cluster([
            ["unknown", "red", "unknown"],
            ["ALONE", "green", "uptodate"],
        ]));
        assert!(alone.contains("and is not protected."), "{alone}");
        let none = screen(cluster([
            ["STOP", "red", "not uptodate"],
            ["STOP", "red", "not uptodate"],
        ]));
        assert!(none.contains("videeos does not run."), "{none}");
    }

    #[test]
    fn a_resynchronisation_says_how_long_it_still_takes() {
        let mut status = cluster([
            ["ALONE", "green", "uptodate"],
            ["SECOND", "magenta", "resyncing 42 %"],
        ]);
        let mirror = &mut status.nodes[0].modules[0].mirror;
        mirror.resync_done_bytes = Some(420_000_000);
        mirror.resync_total_bytes = Some(1_000_000_000);
        mirror.resync_left_seconds = Some(12);
        let shown = screen(status);
        let expected = "420.0 MB of 1.0 GB compared, about 12 s left";
        assert!(shown.contains(expected), "{shown}");
    }
}
