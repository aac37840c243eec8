//! Speaks: the one binary, `tandem`.

mod demo;

use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Demo(demo::DemoOptions),
    #[command(flatten)]
    Part(demo::DemoPart),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Demo(options) => demo::run(options),
        Command::Part(part) => demo::run_part(&part),
    }
}
