//! `docs/benchmarks.md`: its table between two marks, and its charts beside it.

use super::{Measured, Report};
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- figures: begin -->";
const END: &str = "<!-- figures: end -->";

/// What each benchmark is, for its chart.
const CHARTS: [(&str, &str, &str); 3] = [
    (
        "P1",
        "pgbench, transactions per second",
        "streaming replication",
    ),
    ("P2", "pgbench, transactions per second", "not mirrored"),
    ("P11", "outage seen by a client, seconds", "database alone"),
];

/// Refreshes the page and the charts in `docs`.
///
/// # Errors
/// The page has lost its marks, or cannot be written.
pub fn refresh(docs: &Path, report: &Report) -> Result<()> {
    let file = docs.join("benchmarks.md");
    let page = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let (Some((before, _)), Some((_, after))) = (page.split_once(BEGIN), page.split_once(END))
    else {
        bail!("{} has lost the marks of its figures", file.display());
    };
    let mut text = format!("{before}{BEGIN}\n{}\n", table(report));
    for (id, title, peer) in CHARTS {
        let results = (report.results.iter())
            .filter(|r| r.id == id)
            .collect::<Vec<_>>();
        if results.is_empty() {
            continue;
        }
        let name = format!("benchmark-{}.svg", id.to_lowercase());
        fs::write(docs.join(&name), chart(id, title, peer, &results))?;
        writeln!(text, "![{id}: {title}]({name})")?;
    }
    write!(text, "\n{END}{after}")?;
    fs::write(&file, text).with_context(|| file.display().to_string())
}

/// The figures as a table for people.
#[must_use]
pub fn table(report: &Report) -> String {
    let machine = &report.machine;
    let mut text = format!(
        "Measured on {} × {}, {} GiB, kernel {}.\n\n\
         | # | case | Tandem | against | unit | ratio | to reach | reached | rounds |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        machine.cores, machine.processor, machine.memory_gib, machine.kernel
    );
    for r in &report.results {
        let digits = if r.unit == "s" { 2 } else { 0 };
        text += &format!(
            "| {} | {} | {:.digits$} | {:.digits$} | {} | {:.2} | {} | {} | {} |\n",
            r.id,
            r.case,
            r.tandem,
            r.peer,
            r.unit,
            r.ratio,
            r.reach,
            if r.reached { "yes" } else { "no" },
            r.rounds
        );
    }
    text
}

/// Two bars for each case.
fn chart(id: &str, title: &str, peer: &str, results: &[&Measured]) -> String {
    const BAR: usize = 22;
    const GROUP: usize = 2 * BAR + 22;
    const LEFT: usize = 130;
    const WIDTH: f64 = 420.0;
    let most = (results.iter())
        .flat_map(|r| [r.tandem, r.peer])
        .fold(f64::MIN_POSITIVE, f64::max);
    let height = 70 + GROUP * results.len();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"640\" height=\"{height}\" \
         viewBox=\"0 0 640 {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"640\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"15\" font-weight=\"bold\">{id}: {title}</text>\n\
         <rect x=\"12\" y=\"36\" width=\"12\" height=\"12\" fill=\"#1b6ca8\"/>\
         <text x=\"30\" y=\"47\">Tandem</text>\n\
         <rect x=\"110\" y=\"36\" width=\"12\" height=\"12\" fill=\"#b8bfc6\"/>\
         <text x=\"128\" y=\"47\">{peer}</text>\n"
    );
    for (place, result) in results.iter().enumerate() {
        let top = 62 + place * GROUP;
        svg += &format!(
            "<text x=\"12\" y=\"{}\">{}</text>\n",
            top + BAR + 4,
            result.case
        );
        let digits = if result.unit == "s" { 2 } else { 0 };
        for (row, (figure, colour)) in [(result.tandem, "#1b6ca8"), (result.peer, "#b8bfc6")]
            .into_iter()
            .enumerate()
        {
            let y = top + row * BAR;
            let width = WIDTH * figure / most;
            svg += &format!(
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" \
                 fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{}\">{figure:.digits$}</text>\n",
                BAR - 3,
                LEFT as f64 + width + 6.0,
                y + 15
            );
        }
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Machine;

    fn report() -> Report {
        Report {
            machine: Machine {
                processor: "a processor".into(),
                cores: 2,
                memory_gib: 24,
                kernel: "6.1".into(),
            },
            results: vec![Measured {
                id: "P1".into(),
                case: "c=4".into(),
                tandem: 2310.0,
                peer: 2205.0,
                unit: "tps".into(),
                ratio: 1.0476,
                rounds: 5,
                reach: "≥ 1.10".into(),
                reached: false,
            }],
        }
    }

    #[test]
    fn a_refreshed_page_keeps_its_text_and_can_be_refreshed_again() {
        let docs = tempfile::TempDir::new().expect("a directory");
        let page = docs.path().join("benchmarks.md");
        fs::write(&page, format!("before\n{BEGIN}\nold\n{END}\nafter\n")).expect("written");
        for _ in 0..2 {
            refresh(docs.path(), &report()).expect("refreshed");
        }
        let text = fs::read_to_string(&page).expect("there");
        assert!(text.starts_with("before\n") && text.ends_with("\nafter\n"));
        assert!(!text.contains("old"));
        assert_eq!(text.matches("| P1 | c=4 | 2310 | 2205 |").count(), 1);
        let chart = fs::read_to_string(docs.path().join("benchmark-p1.svg")).expect("there");
        assert!(chart.contains("streaming replication") && chart.ends_with("</svg>\n"));
    }
}
