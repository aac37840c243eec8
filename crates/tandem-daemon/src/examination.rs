//! `tandem doctor` for the page: both nodes examined by a process of its own, one at a time, whoever
//! asks for it; what was found last is kept until the daemon ends.

use crate::machine::{Machine, error, run_self};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde::Deserialize;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tandem_console::admission::Asked;
use tandem_console::scrub::Scrubber;
use tandem_console::{Caller, Origin, Secret, unix_ms};
use tandem_wire::api::{Examination, Found, FoundVerdict};
use tokio::sync::Semaphore;

/// How long it may take. The other node is waited for half as long, and every request takes longer.
const EXAMINATION_MAX: Duration = Duration::from_secs(80);

/// The last one, and whose turn it is.
pub(crate) struct Examinations {
    turn: Arc<Semaphore>,
    last: Mutex<Option<Examination>>,
}

impl Default for Examinations {
    fn default() -> Self {
        Self {
            turn: Arc::new(Semaphore::new(1)),
            last: Mutex::default(),
        }
    }
}

/// What `tandem doctor --json` prints.
#[derive(Deserialize)]
struct Diagnosis {
    result: FoundVerdict,
    findings: Vec<Finding>,
}

#[derive(Deserialize)]
struct Finding {
    check: String,
    node: Option<u8>,
    verdict: FoundVerdict,
    what: String,
    remedy: Option<String>,
    fix: Option<serde::de::IgnoredAny>,
}

/// What was found last.
pub(crate) async fn last(State(machine): State<Machine>) -> Response {
    let last = machine.examinations().last.lock();
    match &*last.unwrap_or_else(PoisonError::into_inner) {
        Some(examination) => Json(examination).into_response(),
        None => error(
            StatusCode::NOT_FOUND,
            "nobody has examined since the daemon of this node was started",
        ),
    }
}

/// Examines both nodes.
pub(crate) async fn examine(
    State(machine): State<Machine>,
    Extension(caller): Extension<Caller>,
    Extension(origin): Extension<Origin>,
) -> Response {
    let Ok(turn) = machine.examinations().turn.clone().try_acquire_owned() else {
        let text = "an examination is under way; ask for what it found";
        return error(StatusCode::SERVICE_UNAVAILABLE, text);
    };
    // Whoever leaves meanwhile finds it when he comes back.
    let work = tokio::spawn(async move {
        let found = run(&machine).await;
        let result = match &found {
            Ok(examination) => format!("done: {}", counts(&examination.findings)),
            Err(failed) => format!("failed: {failed}"),
        };
        let asked = Asked {
            what: "doctor".to_owned(),
            why: None,
            result,
        };
        machine.console().asked(&caller, origin, asked);
        if let Ok(examination) = &found {
            let mut last =
                (machine.examinations().last.lock()).unwrap_or_else(PoisonError::into_inner);
            *last = Some(examination.clone());
        }
        drop(turn);
        found
    });
    match work.await {
        Ok(Ok(examination)) => Json(examination).into_response(),
        Ok(Err(failed)) => {
            let text = format!("examine both nodes: {failed}");
            error(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
        Err(_) => error(StatusCode::INTERNAL_SERVER_ERROR, "the examination ended"),
    }
}

async fn run(machine: &Machine) -> io::Result<Examination> {
    // Its exit status says what it found, too.
    let words = ["doctor", "--json"];
    let (said, status) = run_self(machine.settings(), &words, EXAMINATION_MAX).await?;
    let node = machine.node().number();
    read(&said, node, machine.secrets()).map_err(|unread| {
        io::Error::other(format!(
            "it ended with {status} and said no findings: {unread}"
        ))
    })
}

fn read(said: &[u8], node: u8, secrets: &[Secret]) -> serde_json::Result<Examination> {
    let diagnosis: Diagnosis = serde_json::from_slice(said)?;
    let mut scrubber = Scrubber::new(secrets.to_vec());
    let findings = diagnosis.findings.into_iter().map(|finding| Found {
        check: finding.check,
        node: finding.node,
        verdict: finding.verdict,
        what: scrubber.text(&finding.what),
        remedy: finding.remedy.map(|remedy| scrubber.text(&remedy)),
        fixable: finding.fix.is_some(),
    });
    Ok(Examination {
        at_ms: unix_ms(),
        node,
        result: diagnosis.result,
        findings: findings.collect(),
    })
}

/// How much of what, for the command log.
fn counts(findings: &[Found]) -> String {
    let of = |verdict| findings.iter().filter(|f| f.verdict == verdict).count();
    format!(
        "{} ok, {} warning, {} failed, {} unknown",
        of(FoundVerdict::Ok),
        of(FoundVerdict::Warning),
        of(FoundVerdict::Failed),
        of(FoundVerdict::Unknown),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_doctor::finding::{Fix, Report};

    #[test]
    fn what_doctor_says_is_read_as_it_is_meant_and_without_secrets() {
        let mut report = Report::new("scripts");
        report.ok(None, "it is there");
        report.failed(
            Some(2),
            "with hunter2-canary it cannot be run",
            "chmod +x /opt/probe",
        );
        report.fixable(Fix::Executable {
            path: "/opt/probe".into(),
        });
        let said = serde_json::json!({ "result": "failed", "findings": report.findings });
        let secrets = [Secret::new("hunter2-canary")];
        let read = read(said.to_string().as_bytes(), 1, &secrets).expect("its own words");
        assert_eq!((read.node, read.result), (1, FoundVerdict::Failed));
        assert_eq!(
            counts(&read.findings),
            "1 ok, 0 warning, 1 failed, 0 unknown"
        );
        let failed = &read.findings[1];
        assert!(failed.fixable && failed.node == Some(2) && failed.remedy.is_some());
        assert!(!failed.what.contains("hunter2"), "{}", failed.what);
        assert!(!read.findings[0].fixable && read.findings[0].remedy.is_none());
    }

    #[test]
    fn what_is_no_diagnosis_is_not_taken_for_a_good_one() {
        for said in ["", "{}", "[]", "{\"result\":\"ok\"}"] {
            assert!(read(said.as_bytes(), 1, &[]).is_err(), "{said}");
        }
    }
}
