//! The description of the API is true: what is served has the described shape, and who may ask is
//! who the description says.

use axum::http::Method;
use serde_json::{Value, json};
use tandem_console::accounts::{Account, Name, Role};
use tandem_console::admission::{Need, need};
use tandem_console::page::DESCRIPTION;
use tandem_console::routes::{SignedIn, SignedOut};
use tandem_console::{audit, history, journal, series};
use tandem_wire::api;

fn description() -> Value {
    serde_json::from_str(DESCRIPTION).expect("JSON")
}

/// What is wrong with a value, as far as a schema of ours can say.
fn wrong(all: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let schema = &all["components"]["schemas"][name.rsplit('/').next().expect("a name")];
        assert!(schema.is_object(), "{name} is not described");
        return wrong(all, schema, value, at);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let bad = choices.iter().map(|choice| wrong(all, choice, value, at));
        let bad: Vec<_> = bad.collect();
        return match bad.iter().any(Option::is_none) {
            true => None,
            false => bad.into_iter().next().flatten(),
        };
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() || number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        one => vec![one.clone()],
    };
    if !allowed
        .iter()
        .any(|one| one == kind || (one == "number" && kind == "integer"))
    {
        return Some(format!("{at} is a {kind}"));
    }
    if let (Some(words), false) = (schema["enum"].as_array(), value.is_null())
        && !words.contains(value)
    {
        return Some(format!("{at} is {value}"));
    }
    match value {
        Value::Array(items) => items
            .iter()
            .find_map(|item| wrong(all, &schema["items"], item, &format!("{at}[]"))),
        Value::Object(fields) => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let missing = required
                .iter()
                .filter_map(Value::as_str)
                .find(|name| !fields.contains_key(*name));
            if let Some(missing) = missing {
                return Some(format!("{at}.{missing} is missing"));
            }
            fields.iter().find_map(|(name, field)| {
                let at = format!("{at}.{name}");
                match schema["properties"].get(name) {
                    Some(schema) => wrong(all, schema, field, &at),
                    None => Some(format!("{at} is not described")),
                }
            })
        }
        _ => None,
    }
}

fn check(name: &str, value: impl serde::Serialize) {
    let all = description();
    let value = serde_json::to_value(value).expect("plain data");
    let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
    assert_eq!(wrong(&all, &schema, &value, name), None);
}

#[test]
fn what_is_served_has_the_described_shape() {
    let module = api::ModuleStatus {
        switches: Some(api::SwitchesStatus {
            failover: true,
            checkers: true,
            boot_start: false,
        }),
        divergence: Some(api::DivergenceStatus::default()),
        record: Some(api::RecordStatus::default()),
        addresses: vec![api::AddressStatus::default()],
        services: vec![api::ResourceStatus::default()],
        checkers: vec![api::ResourceStatus::default()],
        channels: vec![api::ChannelStatus::default()],
        history: vec![api::HistoryEntry::default()],
        volumes: vec![api::VolumeStatus::default()],
        ..api::ModuleStatus::default()
    };
    let node = api::NodeStatus {
        modules: vec![module, api::ModuleStatus::default()],
        certificate: Some(api::CertificateStatus::default()),
        ..api::NodeStatus::default()
    };
    let status = api::ClusterStatus {
        nodes: vec![node, api::NodeStatus::default()],
        ..api::ClusterStatus::default()
    };
    check("ClusterStatus", status);
    check(
        "Job",
        api::Job {
            job: "j".into(),
            node: 1,
            module: "m".into(),
            command: api::CommandName::Swap,
            begun: true,
            state: api::JobState::Running,
            message: String::new(),
            progress: vec![String::new()],
            took_ms: Some(1),
        },
    );
    for state in [
        "running",
        "done",
        "refused",
        "failed",
        "unreachable",
        "lost",
    ] {
        let known: Result<api::JobState, _> = serde_json::from_value(json!(state));
        assert!(known.is_ok(), "{state}");
    }
    let hint = Some(String::new());
    let error = String::new();
    check(
        "Error",
        api::ApiError {
            error: error.clone(),
            hint,
        },
    );
    check(
        "Error",
        api::ApiError {
            error: error.clone(),
            hint: None,
        },
    );
    let name = Name::parse("anna").expect("a name");
    check(
        "Account",
        Account {
            name,
            role: Role::Control,
            changed_at_ms: 1,
        },
    );
    check(
        "SignedIn",
        SignedIn {
            name: String::new(),
            role: Role::Admin,
            command_token: String::new(),
            ends_in_ms: 1,
            secure: true,
            setting_up: false,
        },
    );
    check(
        "SignedOut",
        SignedOut {
            error,
            secure: false,
            users_exist: true,
            setting_up: false,
        },
    );
    check("AuditEntry", audit::Entry::default());
    check("PastEntry", history::Entry::default());
    check("Point", series::Point::default());
    check("CertificateStatus", api::CertificateStatus::default());
    check("OwnLicense", api::OwnLicense::default());
    check("ConfigurationFile", api::ConfigurationFile::default());
    let change = api::FieldChange {
        before: Some(String::new()),
        stops: vec![String::new()],
        ..api::FieldChange::default()
    };
    for refused in [None, Some(String::new())] {
        check(
            "ConfigurationPlan",
            api::ConfigurationPlan {
                changes: vec![change.clone(), api::FieldChange::default()],
                lines: vec![String::new()],
                refused,
            },
        );
    }
    for state in [
        api::ApplicationState::Running,
        api::ApplicationState::Done,
        api::ApplicationState::Refused,
        api::ApplicationState::Failed,
        api::ApplicationState::Interrupted,
    ] {
        check(
            "Application",
            api::Application {
                node: 1,
                at_ms: 1,
                who: String::new(),
                state,
                lines: vec![String::new()],
            },
        );
    }
    for verdict in [
        api::FoundVerdict::Ok,
        api::FoundVerdict::Unknown,
        api::FoundVerdict::Warning,
        api::FoundVerdict::Failed,
    ] {
        let found = |node, remedy: Option<&str>| api::Found {
            check: "clock".into(),
            node,
            verdict,
            what: "w".into(),
            remedy: remedy.map(str::to_owned),
            fixable: false,
        };
        check(
            "Examination",
            api::Examination {
                at_ms: 1,
                node: 1,
                result: verdict,
                findings: vec![found(None, None), found(Some(2), Some("r"))],
            },
        );
    }
    let lines = vec![journal::Line::default()];
    check(
        "LogLines",
        journal::Lines {
            lines,
            ..journal::Lines::default()
        },
    );
}

#[test]
fn a_shape_that_is_not_described_is_found() {
    let all = description();
    let schema = json!({ "$ref": "#/components/schemas/Point" });
    let mut point = serde_json::to_value(series::Point::default()).expect("plain data");
    assert_eq!(wrong(&all, &schema, &point, "p"), None);
    point["surprise"] = json!(1);
    assert_eq!(
        wrong(&all, &schema, &point, "p"),
        Some("p.surprise is not described".into())
    );
    point.as_object_mut().expect("an object").remove("surprise");
    point["waiting"] = json!("1");
    assert_eq!(
        wrong(&all, &schema, &point, "p"),
        Some("p.waiting is a string".into())
    );
}

#[test]
fn who_may_ask_is_as_described() {
    let all = description();
    let paths = all["paths"].as_object().expect("paths");
    assert!(paths.len() >= 15);
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().expect("operations") {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let described = operation["x-role"].as_str().expect("a role");
            let real = match need(&method, &path.replace(['{', '}'], "")) {
                Need::Nothing => "none",
                Need::Role(role) => role.word(),
            };
            assert_eq!(described, real, "{method} {path}");
        }
    }
}
