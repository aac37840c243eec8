//! The command line's own description, in the forms that are shipped: a reference page, manual
//! pages and completions for shells. All are made from the arguments' types, so that none can say
//! what the program does not do.

use super::Exit;
use super::arguments::Arguments;
use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// How wide a line of the reference may be, whatever the terminal is.
const WIDTH: usize = 100;

const HEAD: &str = "# Commands

Made from the program by `cargo xtask docs`; a test keeps it fresh. `tandem COMMAND --help` says the
same.

Exit status: 0 done · 1 failed · 2 usage · 3 refused (the reason is printed) · 4 timed out waiting ·
5 no daemon runs here · 6 the other node does not answer.
";

/// Writes all of it below the root of the repository.
pub fn write(root: &Path) -> Exit {
    for (path, text) in files() {
        let path = root.join(path);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        if let Err(error) = made.and_then(|()| std::fs::write(&path, text)) {
            eprintln!("tandem: write {}: {error}", path.display());
            return Exit::Failed;
        }
    }
    Exit::Done
}

/// Everything that is generated, by its path in the repository.
fn files() -> Vec<(PathBuf, Vec<u8>)> {
    let mut command = visible(&Arguments::command());
    command.build();
    let mut files = vec![("docs/commands.md".into(), page(&command).into_bytes())];
    manuals(&command, &mut files);
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command.clone(), "tandem", &mut text);
        files.push((format!("packaging/completions/tandem.{shell}").into(), text));
    }
    files
}

/// The command without what is not for people.
fn visible(command: &Command) -> Command {
    let mut shown = Command::new(command.get_name().to_owned())
        .disable_help_subcommand(true)
        .term_width(WIDTH);
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        shown = shown.version(version.to_owned());
    }
    let arguments = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let subcommands = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    shown
        .args(arguments.cloned())
        .subcommands(subcommands.map(visible))
}

fn manuals(command: &Command, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    let name = command.get_display_name().unwrap_or("tandem");
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone())
        .date("")
        .render(&mut text)
        .expect("memory can be written to");
    files.push((format!("packaging/man/{name}.1").into(), text));
    for subcommand in command.get_subcommands() {
        manuals(subcommand, files);
    }
}

fn page(command: &Command) -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\n## Options of every command\n\n");
    options(
        &mut text,
        command.get_arguments().filter(|a| a.is_global_set()),
    );
    for subcommand in command.get_subcommands() {
        section(&mut text, subcommand, "tandem");
    }
    text
}

fn section(text: &mut String, command: &Command, above: &str) {
    let name = format!("{above} {}", command.get_name());
    if command.has_subcommands() {
        for subcommand in command.get_subcommands() {
            section(text, subcommand, &name);
        }
        return;
    }
    let about = command.get_about().map(ToString::to_string);
    let own = || {
        let arguments = command.get_arguments();
        arguments.filter(|a| !a.is_global_set() && a.get_id() != "help")
    };
    let positional: String = (own().filter(|a| a.is_positional()))
        .map(|argument| format!(" {}", argument.to_string().trim()))
        .collect();
    let optional = match own().any(|a| !a.is_positional()) {
        true => " [OPTIONS]",
        false => "",
    };
    let words = format!("\n## `{name}{optional}{positional}`\n\n");
    text.push_str(&words);
    text.push_str(&about.unwrap_or_default());
    text.push_str(".\n\n");
    options(text, own());
}

fn options<'a>(text: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    let mut any = false;
    for argument in arguments {
        any = true;
        let help = argument.get_help().map(ToString::to_string);
        let defaults = argument.get_default_values().iter();
        let default = match defaults.map(|d| d.to_string_lossy()).next() {
            Some(default) if argument.get_action().takes_values() => {
                format!(" (default: `{default}`)")
            }
            Some(_) | None => String::new(),
        };
        let line = format!(
            "- `{}`: {}{default}\n",
            argument.to_string().trim(),
            help.unwrap_or_default().replace('\n', " ")
        );
        write!(text, "{line}").expect("writing to a string");
    }
    if !any && text.ends_with("\n\n") {
        text.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_manuals_and_completions_are_fresh() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let stale: Vec<PathBuf> = files()
            .into_iter()
            .filter(|(path, text)| std::fs::read(root.join(path)).ok().as_ref() != Some(text))
            .map(|(path, _)| path)
            .collect();
        assert!(stale.is_empty(), "run `cargo xtask docs`: {stale:?}");
    }

    #[test]
    fn nothing_that_is_not_for_people_is_described() {
        for (path, text) in files() {
            let text = String::from_utf8(text).expect("text");
            for hidden in ["demo-node", "serve-invitation", "generate", "sabotage"] {
                assert!(!text.contains(hidden), "{}: {hidden}", path.display());
            }
        }
    }
}
