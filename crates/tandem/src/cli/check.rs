//! `tandem config check`

use super::arguments::Places;
use super::{Exit, volumes};
use tandem_daemon::check::{self, Asker};
use tandem_daemon::config::Configuration;
use tandem_daemon::report;

/// Says everything that is wrong, and changes nothing.
pub async fn run(places: &Places) -> Exit {
    let mut findings = match check::check(&places.settings(), Asker::Anybody).await {
        Ok(findings) => findings,
        Err(error) => {
            eprintln!("{}", report(&error));
            return Exit::Failed;
        }
    };
    if let Ok(configuration) = Configuration::read(&places.config) {
        findings.extend(volumes::check(&configuration));
    }
    for finding in &findings {
        eprintln!("{}", finding.what);
        eprintln!("  = remedy: {}", finding.remedy);
    }
    match findings.len() {
        0 => {
            println!(
                "{} is good, and this machine is as it says",
                places.config.display()
            );
            Exit::Done
        }
        count => {
            eprintln!("{count} finding(s)");
            Exit::Failed
        }
    }
}
