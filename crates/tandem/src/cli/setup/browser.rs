//! `tandem setup browser`: the same steps, asked for on a page. Whoever can read this terminal is
//! root here; the code that stands on it lets one browser in.

use super::super::Exit;
use super::steps::{self, Ended, unless_cancelled};
use super::told_to_end;
use std::pin::pin;
use std::time::Duration;
use tandem_daemon::check::Asker;
use tandem_daemon::daemon::Settings;
use tandem_daemon::report;
use tandem_daemon::setup::page::{Board, End, Event, Order, PageError, Wizard};
use tokio::time::{Instant, sleep_until};

/// How long a code counts.
const CODE_LASTS: Duration = Duration::from_secs(15 * 60);
/// After so many codes that nobody used, with nobody signed in, nobody will come.
const UNUSED_MAX: u32 = 4;

/// How long the page stays after this computer's last step: time to read it. The console, its API and
/// what load balancers ask for wait for the port meanwhile.
const READ_MAX: Duration = Duration::from_secs(5 * 60);

/// The code that stands on the terminal.
struct Codes {
    until: Instant,
    unused: u32,
}

impl Codes {
    fn draw(&mut self, wizard: &Wizard) -> Result<(), PageError> {
        let code = wizard.draw_code()?;
        println!(
            "Code: {}   (for one sign-in, within 15 minutes)",
            code.reveal()
        );
        self.until = Instant::now() + CODE_LASTS;
        Ok(())
    }
}

/// Serves the page until it is closed there, or here.
pub async fn run(settings: &Settings) -> Exit {
    match serve(settings).await {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("tandem: {}", report(&error));
            Exit::Failed
        }
    }
}

async fn serve(settings: &Settings) -> Result<Exit, PageError> {
    let mut wizard = Wizard::open(settings)?;
    println!("Open one of these in a browser; Ctrl-C here ends it.");
    for address in &wizard.addresses {
        println!("  {address}");
    }
    println!("The certificate is this computer's own. SHA-256:");
    println!("  {}", wizard.fingerprint);
    let mut codes = Codes {
        until: Instant::now(),
        unused: 0,
    };
    codes.draw(&wizard)?;
    let mut ended_here = pin!(told_to_end());
    let mut read_until = None;
    loop {
        let order = tokio::select! {
            () = &mut ended_here => return Ok(Exit::Done),
            () = passed(read_until) => return Ok(Exit::Done),
            order = ordered(&mut wizard, &mut codes) => order?,
        };
        let Some(order) = order else {
            println!("Nobody came: tandem setup browser begins again.");
            return Ok(Exit::TimedOut);
        };
        let board = wizard.board.clone();
        let mut tell = |words: &str| {
            println!("{words}");
            board.tell(words);
        };
        let mut here = false;
        let cancelled = async {
            tokio::select! {
                () = &mut ended_here => here = true,
                () = not_wanted(&mut wizard, &mut codes) => {}
            }
        };
        let last = !matches!(order, Order::Secondary(..));
        let done = match order {
            Order::Close => return Ok(Exit::Done),
            Order::Cancel => continue,
            Order::Secondary(transport, password) => {
                let asker = Asker::Wizard;
                let step = steps::secondary(settings, asker, transport, &password, &mut tell);
                unless_cancelled(settings, step, cancelled).await
            }
            Order::Primary(choices, password) => {
                let asker = Asker::Wizard;
                let step = steps::primary(settings, asker, &choices, &password, &mut tell);
                unless_cancelled(settings, step, cancelled).await
            }
            Order::Complete => {
                let step = steps::complete(settings, &mut tell);
                unless_cancelled(settings, step, cancelled).await
            }
        };
        read_until = (last && done.is_ok()).then(|| Instant::now() + READ_MAX);
        ended(&board, done, settings);
        if here {
            return Ok(Exit::Failed);
        }
    }
}

async fn passed(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Waits for an order, with a fresh code whenever one was used or is too old. `None`: nobody comes.
async fn ordered(wizard: &mut Wizard, codes: &mut Codes) -> Result<Option<Order>, PageError> {
    loop {
        tokio::select! {
            event = wizard.next() => match event {
                Event::Order(order) => return Ok(Some(order)),
                Event::SignedIn => {
                    println!("A browser is signed in. For another one:");
                    codes.unused = 0;
                    codes.draw(wizard)?;
                }
            },
            () = sleep_until(codes.until) => {
                codes.unused = if wizard.is_looked_at() { 0 } else { codes.unused + 1 };
                if codes.unused >= UNUSED_MAX {
                    return Ok(None);
                }
                codes.draw(wizard)?;
            }
        }
    }
}

/// Until the page says that the step under way is not wanted any more.
async fn not_wanted(wizard: &mut Wizard, codes: &mut Codes) {
    loop {
        match ordered(wizard, codes).await {
            Ok(Some(Order::Cancel)) => return,
            // Nothing else can be begun meanwhile, and what is under way needs nobody who looks.
            Ok(Some(_) | None) => {}
            Err(error) => {
                eprintln!("tandem: {}", report(&error));
                codes.until = Instant::now() + CODE_LASTS;
            }
        }
    }
}

fn ended(board: &Board, done: Result<(), Ended>, settings: &Settings) {
    let end = match done {
        Ok(()) => End::Done,
        Err(Ended {
            failure,
            taken_back,
        }) => {
            super::say(&failure, &taken_back);
            let reason = match &taken_back {
                Ok(_) => report(&failure),
                Err(error) => format!(
                    "{}; take the set-up back: {}",
                    report(&failure),
                    report(error)
                ),
            };
            End::Failed {
                reason,
                taken_back: matches!(taken_back, Ok(true)),
            }
        }
    };
    board.ended(end, settings);
}
