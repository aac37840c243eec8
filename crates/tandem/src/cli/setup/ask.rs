//! A person at a terminal, or nobody.

use super::AnswerError;
use std::io::{BufRead, IsTerminal, Write};
use std::process::{Command, Stdio};
use zeroize::Zeroizing;

/// Who answers.
pub struct Person {
    there: bool,
}

impl Person {
    /// Looks whether somebody is there.
    pub fn new() -> Self {
        Self {
            there: std::io::stdin().is_terminal() && std::io::stdout().is_terminal(),
        }
    }

    /// Whether somebody can be asked.
    pub const fn is_there(&self) -> bool {
        self.there
    }

    /// Asks until there is an answer. `flag`: what a script would have given.
    pub fn ask(
        &mut self,
        question: &str,
        default: Option<&str>,
        flag: &str,
    ) -> Result<String, AnswerError> {
        self.nobody(question, flag)?;
        loop {
            match default {
                Some(default) => print!("{question} [{default}]: "),
                None => print!("{question}: "),
            }
            let line = line()?;
            match (line.trim(), default) {
                ("", None) => {}
                ("", Some(default)) => return Ok(default.to_owned()),
                (answer, _) => return Ok(answer.to_owned()),
            }
        }
    }

    /// Waits for a yes.
    pub fn confirm(&mut self, question: &str) -> Result<(), AnswerError> {
        loop {
            match self.ask(question, Some("yes"), "--answers FILE")?.as_str() {
                "yes" | "y" => return Ok(()),
                _ => println!("yes, or Ctrl-C."),
            }
        }
    }

    /// Asks for something that is not shown while it is typed.
    pub fn secret(&mut self, question: &str, flag: &str) -> Result<Zeroizing<String>, AnswerError> {
        self.nobody(question, flag)?;
        print!("{question}: ");
        let dark = Dark::new();
        let line = line().map(Zeroizing::new);
        drop(dark);
        println!();
        Ok(Zeroizing::new(
            line?.trim_end_matches(['\n', '\r']).to_owned(),
        ))
    }

    fn nobody(&self, question: &str, flag: &str) -> Result<(), AnswerError> {
        match self.there {
            true => Ok(()),
            false => Err(AnswerError::Nobody {
                question: question.to_owned(),
                flag: flag.to_owned(),
            }),
        }
    }
}

fn line() -> Result<String, AnswerError> {
    let mut line = String::new();
    let flushed = std::io::stdout().flush();
    let read = flushed.and_then(|()| std::io::stdin().lock().read_line(&mut line));
    match read.map_err(AnswerError::Read)? {
        0 => Err(AnswerError::Read(std::io::ErrorKind::UnexpectedEof.into())),
        _ => Ok(line),
    }
}

/// The terminal does not show what is typed, until this is dropped.
struct Dark;

impl Dark {
    fn new() -> Self {
        echo("-echo");
        Self
    }
}

impl Drop for Dark {
    fn drop(&mut self) {
        echo("echo");
    }
}

/// A terminal that cannot do it shows what is typed; the person sees that.
fn echo(word: &str) {
    let _ = Command::new("stty")
        .arg(word)
        .stdin(Stdio::inherit())
        .stderr(Stdio::null())
        .status();
}
