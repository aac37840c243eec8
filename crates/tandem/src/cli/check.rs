//! `tandem config check`

use super::Exit;
use super::arguments::Places;
use tandem_daemon::report;

/// Says everything that is wrong, and changes nothing.
pub async fn run(places: &Places) -> Exit {
    let findings = match tandem_daemon::check::check(&places.settings()).await {
        Ok(findings) => findings,
        Err(error) => {
            eprintln!("{}", report(&error));
            return Exit::Failed;
        }
    };
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
