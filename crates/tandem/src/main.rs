//! Speaks: the one binary, `tandem`.

mod cli;
mod demo;
mod log;
mod sys;

use clap::Parser;
use cli::{Arguments, Top};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Top::Verb(verb) => cli::run(verb, &arguments.places).into(),
        Top::Demo(options) => demo::run(options),
        Top::Part(part) => demo::run_part(&part),
    }
}
