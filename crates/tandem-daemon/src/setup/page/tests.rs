//! The page's orders, and who may have the port.

use super::asked::{Page, ask};
use super::*;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Json;
use serde_json::json;
use tokio::time::timeout;

fn page() -> (Page, mpsc::Receiver<Order>) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/presets");
    let view = View {
        version: 1,
        computer: "h1".to_owned(),
        presets: presets::shown(&shipped),
        node: None,
        console: None,
        work: None,
    };
    let board = Board {
        view: Arc::new(watch::Sender::new(view)),
    };
    let (orders, ordered) = mpsc::channel(ORDERS_MAX);
    (Page { board, orders }, ordered)
}

async fn answer(page: &Page, asked: serde_json::Value) -> StatusCode {
    let asked = serde_json::from_value(asked).expect("understood");
    ask(State(page.clone()), Ok(Json(asked))).await.status()
}

fn secondary(password: &str) -> serde_json::Value {
    json!({"step": "secondary", "console": "https", "password": password})
}

#[tokio::test]
async fn one_step_at_a_time_is_handed_on() {
    let (page, mut orders) = page();
    assert_eq!(
        answer(&page, secondary("short")).await,
        StatusCode::BAD_REQUEST
    );
    let accepted = answer(&page, secondary("correct horse")).await;
    assert_eq!(accepted, StatusCode::ACCEPTED);
    let order = orders.recv().await.expect("an order");
    let Order::Secondary(Transport::Https, password) = order else {
        panic!("another order");
    };
    assert_eq!(password.as_str(), "correct horse");
    let second = answer(&page, secondary("correct horse")).await;
    assert_eq!(second, StatusCode::CONFLICT, "one is under way");
    let cancel = answer(&page, json!({"step": "cancel"})).await;
    assert_eq!(cancel, StatusCode::ACCEPTED);
    assert!(matches!(orders.recv().await, Some(Order::Cancel)));
}

#[tokio::test]
async fn the_last_step_is_node2s() {
    let (page, mut orders) = page();
    for (node, status) in [
        (None, StatusCode::BAD_REQUEST),
        (Some(1), StatusCode::BAD_REQUEST),
        (Some(2), StatusCode::ACCEPTED),
    ] {
        page.board.change(|view| view.node = node);
        let asked = json!({"step": "complete"});
        assert_eq!(answer(&page, asked).await, status, "{node:?}");
    }
    assert!(matches!(orders.recv().await, Some(Order::Complete)));
}

#[tokio::test]
async fn a_preset_is_one_of_those_shown_and_no_file() {
    let (page, _orders) = page();
    for preset in ["/etc/shadow", "../x.toml", "hub", "unknown"] {
        let asked = json!({"step": "primary", "console": "https", "password": "correct horse",
            "preset": preset, "peer": "h2", "virtual_address": "192.0.2.100/24"});
        let status = answer(&page, asked).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{preset}");
    }
}

#[tokio::test]
async fn what_is_shown_has_no_password_and_grows() {
    let (page, _orders) = page();
    answer(&page, secondary("correct horse")).await;
    page.board.tell("Writing the configuration.");
    let settings = Settings {
        config: PathBuf::new(),
        state_dir: PathBuf::new(),
        runtime_dir: PathBuf::new(),
    };
    let end = End::Failed {
        reason: "cancelled".to_owned(),
        taken_back: true,
    };
    page.board.ended(end, &settings);
    let view = serde_json::to_value(page.board.view.borrow().clone()).expect("plain data");
    assert!(!view.to_string().contains("correct horse"), "{view}");
    assert_eq!(view["work"]["state"], "failed");
    assert_eq!(view["work"]["lines"][0], "Writing the configuration.");
    assert_eq!(view["work"]["taken_back"], true);
    assert!(view["version"].as_u64() > Some(2), "{view}");
    let hub = (view["presets"].as_array().expect("presets"))
        .iter()
        .find(|preset| preset["name"] == "hub")
        .expect("it is shown");
    assert!(
        hub["refused"]
            .as_str()
            .is_some_and(|why| why.contains("Windows"))
    );
}

#[tokio::test]
async fn a_daemon_waits_while_the_page_has_the_port() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = Settings {
        config: directory.path().join("tandem.toml"),
        state_dir: directory.path().join("state"),
        runtime_dir: directory.path().join("run"),
    };
    // Nobody has it.
    page_closed(&settings).await;
    let door = [IpAddr::from(Ipv4Addr::LOCALHOST)];
    let wizard = Wizard::open_at(&door, 0, &settings).expect("a page");
    let waits = timeout(LOOK * 3, page_closed(&settings)).await;
    assert!(waits.is_err(), "it does not wait");
    drop(wizard);
    page_closed(&settings).await;
    assert!(!super::directory(&settings).exists());
}
