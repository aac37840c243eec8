//! The live picture in the terminal: both nodes, who has the virtual address, what the client sees.
//!
//! A scene is drawn as plain lines, which is what the tests look at; the screen redraws them in
//! place. Where standard output is no terminal, only the story's own lines are printed.

use super::format::{fitted, grouped, seconds};
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::linux;
use super::status::Sight;

/// The width of the picture in columns; a narrower terminal gets the plain lines.
const WIDTH: usize = 78;
/// The width inside a node's box.
const BOX_WIDTH: usize = 34;

/// What is to be seen of the client.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClientSight {
    /// Events acknowledged so far.
    pub acknowledged: usize,
    /// Events acknowledged in the last second.
    pub per_second: usize,
    /// The time since the last answer, while it writes.
    pub silence: Option<Duration>,
    /// The node that answers at the virtual address.
    pub node: Option<String>,
}

/// Everything that is to be seen.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Scene {
    /// What happens at present.
    pub title: String,
    /// The time since the curtain rose.
    pub elapsed: Duration,
    /// Node 1 and node 2.
    pub nodes: [Sight; 2],
    /// The third machine.
    pub client: ClientSight,
}

/// Silence from which on the client's line speaks of an outage.
const OUTAGE_SHOWN: Duration = Duration::from_millis(300);

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const MAGENTA: &str = "\x1b[35m";
const PLAIN: &str = "\x1b[0m";

impl Scene {
    /// The lines of the picture, with colours.
    pub fn draw(&self, address: &str) -> Vec<String> {
        let clock = format!(
            "{:02}:{:02}",
            self.elapsed.as_secs() / 60,
            self.elapsed.as_secs() % 60
        );
        let title = format!("Tandem · {}", self.title);
        let mut lines = vec![
            String::new(),
            format!("  {BOLD}{}{PLAIN}{clock}", padded(&title, WIDTH - 9)),
        ];
        let boxes = [1, 2].map(|number| self.node_box(number, address));
        for (left, right) in boxes[0].iter().zip(&boxes[1]) {
            lines.push(format!("  {left}  {right}"));
        }
        lines.push(self.client_line(address));
        lines
    }

    fn node_box(&self, number: usize, address: &str) -> Vec<String> {
        let name = format!("node{number}");
        let (state, colour, data, reason) = match &self.nodes[number - 1] {
            Sight::Off => ("off", DIM, "", "no power"),
            Sight::Silent => ("–", DIM, "", "no answer"),
            Sight::Answering(status) => (
                status.state.as_str(),
                match status.tone.as_str() {
                    "ready" => GREEN,
                    "transient" => MAGENTA,
                    _ => RED,
                },
                status.data.as_str(),
                status.reason.as_str(),
            ),
        };
        let holds = self.client.node.as_deref() == Some(name.as_str());
        let below = if holds {
            format!("◀ {address}  recorder")
        } else {
            String::new()
        };
        let row = |text: &str, colour: &str| {
            format!("│ {colour}{}{PLAIN} │", padded(text, BOX_WIDTH - 2))
        };
        let edge = "─".repeat(BOX_WIDTH - name.len() - 2);
        let (first, second) = broken(reason, BOX_WIDTH - 2);
        vec![
            format!("┌ {name} {edge}┐"),
            format!(
                "│ {colour}{BOLD}● {}{PLAIN}{} │",
                padded(state, 8),
                padded(data, BOX_WIDTH - 12)
            ),
            row(&first, DIM),
            row(&second, DIM),
            row(&below, BOLD),
            format!("└{}┘", "─".repeat(BOX_WIDTH)),
        ]
    }

    fn client_line(&self, address: &str) -> String {
        let client = &self.client;
        let state = match client.silence {
            None if client.acknowledged == 0 => format!("{DIM}not begun{PLAIN}"),
            None => format!("{DIM}ended{PLAIN}"),
            Some(silence) if silence >= OUTAGE_SHOWN => {
                format!("{RED}{BOLD}no answer for {}{PLAIN}", seconds(silence))
            }
            Some(_) => format!("{GREEN}{} events/s{PLAIN}", client.per_second),
        };
        format!(
            "  client ─▶ {address}   {} events acknowledged   {state}",
            grouped(client.acknowledged)
        )
    }
}

fn padded(text: &str, width: usize) -> String {
    let mut padded = fitted(text, width);
    padded.extend(std::iter::repeat_n(
        ' ',
        width.saturating_sub(padded.chars().count()),
    ));
    padded
}

/// A text on two lines, broken between words.
fn broken(text: &str, width: usize) -> (String, String) {
    let mut first = String::new();
    let mut words = text.split_whitespace().peekable();
    while let Some(word) = words.peek() {
        let gap = usize::from(!first.is_empty());
        if !first.is_empty() && first.chars().count() + gap + word.chars().count() > width {
            break;
        }
        if gap == 1 {
            first.push(' ');
        }
        first.push_str(word);
        words.next();
    }
    (first, words.collect::<Vec<_>>().join(" "))
}

/// Where the story is told: a terminal with the picture below the lines, or lines alone.
#[derive(Clone)]
pub struct Screen {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    begun: Instant,
    live: bool,
    drawn: usize,
    scene: Scene,
    address: String,
}

impl Screen {
    /// Opens standard output.
    pub fn new(address: String) -> Self {
        let live = io::stdout().is_terminal()
            && linux::terminal_columns().is_some_and(|columns| columns >= WIDTH);
        Self {
            inner: Arc::new(Mutex::new(Inner {
                begun: Instant::now(),
                live,
                drawn: 0,
                scene: Scene::default(),
                address,
            })),
        }
    }

    /// Begins a part of the story: a heading.
    pub fn begin(&self, title: &str) {
        let mut inner = self.lock();
        inner.scene.title = title.to_owned();
        let line = inner.line(title);
        inner.print(&line);
    }

    /// Tells something that has happened.
    pub fn say(&self, text: &str) {
        let mut inner = self.lock();
        let line = inner.line(&format!("  {text}"));
        inner.print(&line);
    }

    /// Prints lines as they are, below everything.
    pub fn print(&self, text: &str) {
        self.lock().print(text);
    }

    /// Shows a new picture, if this is a terminal.
    pub fn show(&self, nodes: [Sight; 2], client: ClientSight) {
        let mut inner = self.lock();
        inner.scene.nodes = nodes;
        inner.scene.client = client;
        inner.scene.elapsed = inner.begun.elapsed();
        inner.redraw();
    }

    /// Leaves the last picture standing, or removes it.
    pub fn close(&self) {
        let mut inner = self.lock();
        inner.erase();
        inner.live = false;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of the screen panics")
    }
}

impl Inner {
    fn line(&self, text: &str) -> String {
        let elapsed = self.begun.elapsed();
        format!("{:6.2} s  {text}", elapsed.as_secs_f64())
    }

    fn print(&mut self, text: &str) {
        self.erase();
        put(&format!("{text}\n"));
        self.redraw();
    }

    fn erase(&mut self) {
        if self.drawn > 0 {
            put(&format!("\x1b[{}A\x1b[J", self.drawn));
            self.drawn = 0;
        }
    }

    fn redraw(&mut self) {
        if !self.live {
            return;
        }
        let lines = self.scene.draw(&self.address);
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        for line in &lines {
            text.push_str(line);
            text.push_str("\x1b[K\n");
        }
        put(&text);
        self.drawn = lines.len();
    }
}

/// A reader who has gone away is no reason to leave the stage as it is.
fn put(text: &str) {
    let mut output = io::stdout().lock();
    let _ = output.write_all(text.as_bytes());
    let _ = output.flush();
}

#[cfg(test)]
mod tests {
    use super::super::status::NodeStatus;
    use super::*;

    fn bare(line: &str) -> String {
        let mut text = String::new();
        let mut inside = false;
        for character in line.chars() {
            match character {
                '\x1b' => inside = true,
                'm' if inside => inside = false,
                _ if inside => {}
                other => text.push(other),
            }
        }
        text
    }

    fn scene() -> Scene {
        Scene {
            title: "the power of node1 is cut".to_owned(),
            elapsed: Duration::from_secs(61),
            nodes: [
                Sight::Off,
                Sight::Answering(NodeStatus {
                    state: "ALONE".to_owned(),
                    tone: "ready".to_owned(),
                    data: "uptodate".to_owned(),
                    reason: "the primary is silent on every channel for the timeout".to_owned(),
                }),
            ],
            client: ClientSight {
                acknowledged: 1234,
                per_second: 97,
                silence: Some(Duration::from_millis(5)),
                node: Some("node2".to_owned()),
            },
        }
    }

    #[test]
    fn every_line_of_the_boxes_has_the_same_width() {
        let lines: Vec<String> = scene()
            .draw("10.99.0.100")
            .iter()
            .map(|l| bare(l))
            .collect();
        for line in &lines[2..8] {
            assert_eq!(line.chars().count(), WIDTH - 2, "{line}");
        }
    }

    #[test]
    fn the_virtual_address_stands_in_the_box_of_the_node_that_answers() {
        let lines: Vec<String> = scene()
            .draw("10.99.0.100")
            .iter()
            .map(|l| bare(l))
            .collect();
        let row = lines
            .iter()
            .find(|line| line.contains("◀ 10.99.0.100"))
            .expect("somebody holds it");
        let column = row.chars().position(|c| c == '◀').expect("just found");
        assert!(column > WIDTH / 2, "node2 is on the right: {row}");
    }

    #[test]
    fn a_silent_client_line_speaks_of_the_outage() {
        let mut scene = scene();
        scene.client.silence = Some(Duration::from_millis(1250));
        let lines = scene.draw("10.99.0.100");
        let last = lines.last().expect("there is a line");
        assert!(bare(last).contains("no answer for 1.2 s"), "{last}");
    }

    #[test]
    fn a_reason_is_broken_between_words() {
        let (first, second) = broken("the primary is silent on every channel", 20);
        assert_eq!(first, "the primary is");
        assert_eq!(second, "silent on every channel");
    }
}
