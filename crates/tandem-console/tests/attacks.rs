//! What an attacker sends to port 9010, and what comes of it: nothing.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router, middleware};
use http_body_util::BodyExt;
use std::net::IpAddr;
use std::sync::Arc;
use tandem_console::accounts::{Name, Role};
use tandem_console::routes::{SignedIn, routes};
use tandem_console::{Console, Origin, Secret};
use tower::ServiceExt;

const CLUSTER_TOKEN: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const PASSWORD: &str = "correct horse battery";

struct Server {
    console: Arc<Console>,
    router: Router,
    _directory: tempfile::TempDir,
}

/// A console with one user of each role, and two routes of the daemon.
fn server() -> Server {
    let directory = tempfile::tempdir().expect("a directory");
    let console = Console::open(directory.path(), CLUSTER_TOKEN).expect("it opens");
    for (name, role) in [
        ("admin", Role::Admin),
        ("control", Role::Control),
        ("monitor", Role::Monitor),
    ] {
        let name = Name::parse(name).expect("a name");
        let password = Secret::new(PASSWORD);
        console
            .accounts
            .add_user(name, role, &password)
            .expect("a user");
    }
    let router = Router::new()
        .route("/api/v1/status", get(|| async { "status" }))
        .route("/api/v1/command", post(|| async { "commanded" }))
        .merge(routes(console.clone()))
        .layer(middleware::from_fn_with_state(
            console.clone(),
            Console::guard,
        ));
    Server {
        console,
        router,
        _directory: directory,
    }
}

/// One that is being set up: nobody is in it.
fn server_for_set_up() -> Server {
    let directory = tempfile::tempdir().expect("a directory");
    let console = Console::for_set_up(directory.path()).expect("it opens");
    let router = Router::new()
        .route(
            "/api/v1/setup",
            get(|| async { "view" }).post(|| async { "ordered" }),
        )
        .merge(routes(console.clone()))
        .layer(middleware::from_fn_with_state(
            console.clone(),
            Console::guard,
        ));
    Server {
        console,
        router,
        _directory: directory,
    }
}

struct Ask {
    method: Method,
    path: &'static str,
    headers: Vec<(String, String)>,
    body: String,
    from: [u8; 4],
    secure: bool,
}

fn ask(method: &str, path: &'static str) -> Ask {
    Ask {
        method: method.parse().expect("a method"),
        path,
        headers: vec![("host".into(), "node1:9010".into())],
        body: String::new(),
        from: [192, 0, 2, 1],
        secure: false,
    }
}

impl Ask {
    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn json(mut self, body: &str) -> Self {
        self.body = body.into();
        self.with("content-type", "application/json")
    }

    fn from(mut self, last: u8) -> Self {
        self.from[3] = last;
        self
    }

    async fn send(self, server: &Server) -> Response {
        let mut request = Request::builder().method(self.method).uri(self.path);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(self.body)).expect("a request");
        let origin = Origin::Address {
            address: IpAddr::from(self.from),
            secure: self.secure,
        };
        let router = server.router.clone().layer(Extension(origin));
        router.oneshot(request).await.expect("it always answers")
    }
}

async fn text(response: Response) -> String {
    let body = response.into_body().collect().await.expect("a body");
    String::from_utf8(body.to_bytes().to_vec()).expect("text")
}

struct Browser {
    cookie: String,
    command_token: String,
}

async fn sign_in(server: &Server, name: &str) -> Browser {
    let body = format!(r#"{{"name":"{name}","password":"{PASSWORD}"}}"#);
    let response = ask("POST", "/api/v1/session")
        .json(&body)
        .send(server)
        .await;
    browser(response).await
}

/// What the browser has after that.
async fn browser(response: Response) -> Browser {
    assert_eq!(response.status(), StatusCode::OK);
    let cookie = response.headers()[header::SET_COOKIE]
        .to_str()
        .expect("text");
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().expect("a cookie").to_owned();
    let signed_in: SignedIn = serde_json::from_str(&text(response).await).expect("an answer");
    Browser {
        cookie,
        command_token: signed_in.command_token,
    }
}

#[tokio::test]
async fn nothing_but_the_entrance_is_open() {
    let server = server();
    for (method, path) in [
        ("GET", "/api/v1/status"),
        ("POST", "/api/v1/command"),
        ("GET", "/api/v1/users"),
        ("POST", "/api/v1/users"),
        ("PATCH", "/api/v1/users/admin"),
        ("DELETE", "/api/v1/users/admin"),
        ("GET", "/api/v1/tokens"),
        ("POST", "/api/v1/password"),
        ("GET", "/api/v1/audit"),
        ("GET", "/api/v1/openapi.json"),
        ("GET", "/api/v1/nothing"),
        ("PUT", "/anything"),
        ("GET", "/assets/../../etc/passwd"),
        ("GET", "/assets/..%2f..%2fetc%2fpasswd"),
        ("GET", "/etc/passwd"),
    ] {
        let response = ask(method, path).send(&server).await;
        assert_eq!(
            response.status(),
            StatusCode::UNAUTHORIZED,
            "{method} {path}"
        );
    }
    assert_eq!(ask("GET", "/").send(&server).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn forged_cookies_and_tokens_open_nothing() {
    let server = server();
    let browser = sign_in(&server, "admin").await;
    let good = browser
        .cookie
        .split_once('=')
        .expect("a cookie")
        .1
        .to_owned();
    let mut off_by_one = good.clone();
    let last = off_by_one.pop().expect("digits");
    off_by_one.push(if last == '0' { '1' } else { '0' });
    let huge = "x".repeat(100_000);
    for forged in [
        "",
        "admin",
        "0",
        off_by_one.as_str(),
        &huge,
        &good.to_uppercase(),
    ] {
        let cookie = format!("tandem={forged}");
        let response = ask("GET", "/api/v1/status")
            .with("cookie", &cookie)
            .send(&server)
            .await;
        // An upper-case spelling without letters would be the same.
        if forged != good {
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        }
    }
    for forged in [
        "Bearer",
        "Bearer ",
        "Basic YWRtaW46YWRtaW4=",
        "Bearer 0011",
        "bearer x",
    ] {
        let ask = ask("GET", "/api/v1/status").with("authorization", forged);
        assert_eq!(ask.send(&server).await.status(), StatusCode::UNAUTHORIZED);
    }
    let right = format!("Bearer {CLUSTER_TOKEN}");
    let response = ask("GET", "/api/v1/status")
        .with("authorization", &right)
        .send(&server)
        .await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn another_site_commands_nothing_with_the_operators_cookie() {
    let server = server();
    let Browser {
        cookie,
        command_token,
    } = sign_in(&server, "admin").await;
    let command = || {
        ask("POST", "/api/v1/command")
            .with("cookie", &cookie)
            .json("{}")
    };
    let meant = || command().with("x-tandem-command", &command_token);
    for (what, forged) in [
        ("without the token", command()),
        (
            "with a wrong token",
            command().with("x-tandem-command", "0000"),
        ),
        (
            "with an origin",
            meant().with("origin", "http://evil.example"),
        ),
        ("with a null origin", meant().with("origin", "null")),
        (
            "with another port",
            meant().with("origin", "http://node1:80"),
        ),
        (
            "by a cross-site fetch",
            meant().with("sec-fetch-site", "cross-site"),
        ),
        (
            "by a sister site",
            meant().with("sec-fetch-site", "same-site"),
        ),
    ] {
        assert_eq!(
            forged.send(&server).await.status(),
            StatusCode::FORBIDDEN,
            "{what}"
        );
    }
    let response = meant()
        .with("origin", "http://node1:9010")
        .send(&server)
        .await;
    assert_eq!(response.status(), StatusCode::OK);
    let response = ask("POST", "/api/v1/session")
        .json(&format!(r#"{{"name":"admin","password":"{PASSWORD}"}}"#))
        .with("origin", "http://evil.example")
        .send(&server)
        .await;
    assert_eq!(
        response.status(),
        StatusCode::FORBIDDEN,
        "nobody is signed in by another site"
    );
}

#[tokio::test]
async fn each_role_does_what_it_may() {
    let server = server();
    for (name, see, command, users) in [
        ("monitor", 200, 403, 403),
        ("control", 200, 200, 403),
        ("admin", 200, 200, 200),
    ] {
        let browser = sign_in(&server, name).await;
        for (method, path, status) in [
            ("GET", "/api/v1/status", see),
            ("POST", "/api/v1/command", command),
            ("GET", "/api/v1/users", users),
            ("GET", "/api/v1/audit", users),
        ] {
            let ask = ask(method, path)
                .with("cookie", &browser.cookie)
                .with("x-tandem-command", &browser.command_token);
            assert_eq!(
                ask.send(&server).await.status(),
                status,
                "{name} {method} {path}"
            );
        }
    }
}

#[tokio::test]
async fn guessing_is_slowed_down_and_the_operator_is_not() {
    let server = server();
    sign_in(&server, "admin").await;
    // From elsewhere at the operator's name, and at other names from where the operator is.
    for (last, name) in [(66, "admin"), (1, "mallory")] {
        let mut refused = 0;
        for _ in 0..8 {
            let body = format!(r#"{{"name":"{name}","password":"guess"}}"#);
            let guess = ask("POST", "/api/v1/session").from(last).json(&body);
            let response = guess.send(&server).await;
            if response.status() == StatusCode::TOO_MANY_REQUESTS {
                assert!(response.headers().contains_key(header::RETRY_AFTER));
                refused += 1;
            }
        }
        assert!(refused >= 3, "{refused} of 8 had to wait");
        // From where the operator has signed in before, the password still opens.
        sign_in(&server, "admin").await;
    }
}

#[tokio::test]
async fn signing_out_everywhere_ends_every_session() {
    let server = server();
    let first = sign_in(&server, "admin").await;
    let second = sign_in(&server, "admin").await;
    let other = sign_in(&server, "monitor").await;
    ask("DELETE", "/api/v1/session?everywhere=true")
        .with("cookie", &first.cookie)
        .send(&server)
        .await;
    for (browser, status) in [(&first, 401), (&second, 401), (&other, 200)] {
        let ask = ask("GET", "/api/v1/status").with("cookie", &browser.cookie);
        assert_eq!(ask.send(&server).await.status(), status);
    }
}

#[tokio::test]
async fn a_changed_password_and_a_lost_role_end_the_sessions() {
    let server = server();
    let admin = sign_in(&server, "admin").await;
    let control = sign_in(&server, "control").await;
    let response = ask("PATCH", "/api/v1/users/control")
        .with("cookie", &admin.cookie)
        .with("x-tandem-command", &admin.command_token)
        .json(r#"{"role":"monitor"}"#)
        .send(&server)
        .await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let ask = ask("GET", "/api/v1/status").with("cookie", &control.cookie);
    assert_eq!(ask.send(&server).await.status(), StatusCode::UNAUTHORIZED);
    let log = server.console.audit.recent();
    assert!(
        log.iter()
            .any(|entry| entry.who == "admin" && entry.what.contains("control"))
    );
}

#[tokio::test]
async fn no_answer_and_no_log_repeats_a_password() {
    let server = server();
    for body in [
        r#"{"name":"admin","password":"CANARY"}"#,
        r#"{"name":"CANARY","password":"CANARY"}"#,
        r#"{"name":7,"password":"CANARY"}"#,
        r#""CANARY"#,
        r#"{"token":"CANARY"}"#,
    ] {
        let response = ask("POST", "/api/v1/session")
            .from(99)
            .json(body)
            .send(&server)
            .await;
        assert!(response.status().is_client_error());
        assert!(!text(response).await.contains("CANARY"), "{body}");
    }
    let log = format!("{:?}", server.console.audit.recent());
    assert!(!log.contains("CANARY"));
}

#[tokio::test]
async fn over_https_the_cookie_never_leaves_it() {
    let server = server();
    let mut ask = ask("POST", "/api/v1/session")
        .json(&format!(r#"{{"name":"admin","password":"{PASSWORD}"}}"#));
    ask.secure = true;
    let response = ask.send(&server).await;
    let cookie = response.headers()[header::SET_COOKIE]
        .to_str()
        .expect("text");
    assert!(
        cookie.starts_with("__Host-tandem=") && cookie.contains("; Secure"),
        "{cookie}"
    );
}

#[tokio::test]
async fn unknown_names_are_answered_as_wrong_passwords_are() {
    // That the same work is done for both, a test of the accounts says.
    let server = server();
    let mut answers = Vec::new();
    for (last, name) in [(10, "admin"), (11, "nobody"), (12, ""), (13, "../admin")] {
        let body = format!(r#"{{"name":"{name}","password":"wrong wrong"}}"#);
        let ask = ask("POST", "/api/v1/session").from(last).json(&body);
        let response = ask.send(&server).await;
        let headers: Vec<_> = response.headers().keys().cloned().collect();
        answers.push((response.status(), headers, text(response).await));
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:#?}"
    );
}

impl Browser {
    fn ask(&self, method: &str, path: &'static str) -> Ask {
        ask(method, path)
            .with("cookie", &self.cookie)
            .with("x-tandem-command", &self.command_token)
    }
}

/// What the command log says, newest last: who, from where, what, how it went.
fn log(server: &Server) -> Vec<[String; 4]> {
    let entries = server.console.audit.recent().into_iter();
    entries.map(|e| [e.who, e.from, e.what, e.result]).collect()
}

#[tokio::test]
async fn a_change_that_is_half_wrong_changes_nothing() {
    let server = server();
    let admin = sign_in(&server, "admin").await;
    for body in [
        r#"{"role":"monitor","password":"short"}"#,
        r#"{"role":"monitor","roll":"admin"}"#,
        r#"{"role":null}"#,
        "[null,null]",
    ] {
        let ask = admin.ask("PATCH", "/api/v1/users/control").json(body);
        let status = ask.send(&server).await.status();
        assert!(status.is_client_error(), "{body}: {status}");
        // A lost role would have left sessions behind that still have it.
        let users = server.console.accounts.users();
        let control = users.iter().find(|user| user.name.as_str() == "control");
        assert_eq!(control.map(|user| user.role), Some(Role::Control), "{body}");
    }
}

#[tokio::test]
async fn a_session_that_was_planted_becomes_nobodys() {
    let server = server();
    let body = format!(r#"{{"name":"admin","password":"{PASSWORD}"}}"#);
    let planted = "f".repeat(64);
    let victim = ask("POST", "/api/v1/session")
        .with("cookie", &format!("tandem={planted}"))
        .json(&body);
    let response = victim.send(&server).await;
    let cookie = response.headers()[header::SET_COOKIE].to_str();
    assert!(!cookie.expect("text").contains(&planted));
    let attacker = ask("GET", "/api/v1/status").with("cookie", &format!("tandem={planted}"));
    assert_eq!(attacker.send(&server).await.status(), 401);

    // Whoever signs in ends what this browser was before.
    let monitor = sign_in(&server, "monitor").await;
    let again = ask("POST", "/api/v1/session")
        .with("cookie", &monitor.cookie)
        .json(&body);
    assert_eq!(again.send(&server).await.status(), StatusCode::OK);
    let before = monitor.ask("GET", "/api/v1/status");
    assert_eq!(before.send(&server).await.status(), 401);

    // Over HTTPS a cookie that another server on this host could have set opens nothing.
    let mine = sign_in(&server, "monitor").await;
    let mut over_https = mine.ask("GET", "/api/v1/status");
    over_https.secure = true;
    assert_eq!(over_https.send(&server).await.status(), 401);
    let over_http = mine.ask("GET", "/api/v1/status").send(&server).await;
    assert_eq!(over_http.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_own_account_buys_no_guesses_at_another_one() {
    let server = server();
    sign_in(&server, "admin").await;
    let mut refused = 0;
    for _ in 0..8 {
        let guess = ask("POST", "/api/v1/session").json(r#"{"name":"admin","password":"guess"}"#);
        let status = guess.send(&server).await.status();
        refused += usize::from(status == StatusCode::TOO_MANY_REQUESTS);
        let body = format!(r#"{{"name":"monitor","password":"{PASSWORD}"}}"#);
        ask("POST", "/api/v1/session")
            .json(&body)
            .send(&server)
            .await;
    }
    assert!(refused >= 3, "{refused} of 8 had to wait");
}

#[tokio::test]
async fn everything_that_was_asked_is_in_the_command_log() {
    let server = server();
    let admin = sign_in(&server, "admin").await;
    let new = r#"{"name":"anna","role":"monitor","password":"long enough"}"#;
    let wrong = r#"{"old":"not this one","new":"battery staple"}"#;
    for (asked, what, result) in [
        (
            admin.ask("POST", "/api/v1/users").json(new),
            "add user anna as monitor",
            "done",
        ),
        (
            admin.ask("POST", "/api/v1/users").json(new),
            "add user anna as monitor",
            "refused: there is an account anna already",
        ),
        (
            admin
                .ask("PATCH", "/api/v1/users/anna")
                .json(r#"{"role":"control"}"#),
            "change role of user anna",
            "done",
        ),
        (
            admin.ask("DELETE", "/api/v1/users/anna"),
            "remove user anna",
            "done",
        ),
        (
            // Nobody forges a line, or a name.
            admin.ask(
                "DELETE",
                "/api/v1/users/x%0aERROR%20forged%1b%5b2J%e2%80%ae",
            ),
            "remove user x ERROR forged [2J ",
            "refused: there is no account x ERROR forged [2J ",
        ),
        (
            admin
                .ask("POST", "/api/v1/tokens")
                .json(r#"{"name":"backup","role":"monitor"}"#),
            "add token backup as monitor",
            "done",
        ),
        (
            admin.ask("DELETE", "/api/v1/tokens/backup"),
            "remove token backup",
            "done",
        ),
        (
            admin.ask("POST", "/api/v1/password").json(wrong),
            "change the own password",
            "refused: the present password is wrong",
        ),
        (
            admin.ask("DELETE", "/api/v1/session?everywhere=true"),
            "sign out everywhere",
            "done",
        ),
    ] {
        asked.send(&server).await;
        let log = log(&server);
        let expected = ["admin", "192.0.2.1", what, result].map(str::to_owned);
        assert_eq!(log.last(), Some(&expected));
    }
}

#[tokio::test]
async fn a_removed_token_sees_nothing_more() {
    let server = server();
    let admin = sign_in(&server, "admin").await;
    let new = r#"{"name":"backup","role":"monitor"}"#;
    let made = admin.ask("POST", "/api/v1/tokens").json(new);
    let made: serde_json::Value =
        serde_json::from_str(&text(made.send(&server).await).await).expect("JSON");
    let bearer = format!("Bearer {}", made["token"].as_str().expect("a token"));
    let look = || ask("GET", "/api/v1/status").with("authorization", &bearer);
    assert_eq!(look().send(&server).await.status(), StatusCode::OK);
    let mut headers = axum::http::HeaderMap::new();
    headers.insert(header::AUTHORIZATION, bearer.parse().expect("a value"));
    let origin = Origin::Address {
        address: IpAddr::from([192, 0, 2, 1]),
        secure: false,
    };
    assert!(server.console.still(origin, &headers));
    let removed = admin
        .ask("DELETE", "/api/v1/tokens/backup")
        .send(&server)
        .await;
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        look().send(&server).await.status(),
        StatusCode::UNAUTHORIZED
    );
    // Nor does an event stream that it had opened.
    assert!(!server.console.still(origin, &headers));
}

#[tokio::test]
async fn a_stolen_session_tries_no_more_passwords_at_once_than_one_after_the_other() {
    let server = Arc::new(server());
    let stolen = sign_in(&server, "admin").await;
    let mut guesses = tokio::task::JoinSet::new();
    for guess in 0..50 {
        let body = format!(r#"{{"old":"guess number {guess}","new":"battery staple"}}"#);
        let guess = stolen.ask("POST", "/api/v1/password").json(&body);
        let server = server.clone();
        guesses.spawn(async move { guess.send(&server).await.status() });
    }
    let answers = guesses.join_all().await;
    let of = |status| answers.iter().filter(|answer| **answer == status).count();
    assert_eq!(of(StatusCode::FORBIDDEN), 4, "so many are examined");
    assert_eq!(of(StatusCode::TOO_MANY_REQUESTS), 46);
}

#[tokio::test]
async fn a_session_lasts_no_longer_than_the_token_that_opened_it_and_is_nobody_elses() {
    let server = server();
    let admin = sign_in(&server, "admin").await;
    // A token with the name of a user.
    let new = r#"{"name":"control","role":"monitor"}"#;
    let made = admin.ask("POST", "/api/v1/tokens").json(new);
    let made: serde_json::Value =
        serde_json::from_str(&text(made.send(&server).await).await).expect("JSON");
    let shown = format!(r#"{{"token":{}}}"#, made["token"]);
    let control = sign_in(&server, "control").await;
    let open = || ask("POST", "/api/v1/session").json(&shown).send(&server);
    let by_token = browser(open().await).await;
    let last = log(&server).pop().expect("an entry");
    assert_eq!(last[0], "token control", "not the user");
    let looks = async |browser: &Browser| {
        let look = browser.ask("GET", "/api/v1/status").send(&server);
        look.await.status() == StatusCode::OK
    };
    assert!(looks(&by_token).await && looks(&control).await);

    let body = format!(r#"{{"old":"{PASSWORD}","new":"battery staple"}}"#);
    let change = by_token.ask("POST", "/api/v1/password").json(&body);
    assert_eq!(change.send(&server).await.status(), StatusCode::BAD_REQUEST);

    let everywhere = by_token.ask("DELETE", "/api/v1/session?everywhere=true");
    assert_eq!(
        everywhere.send(&server).await.status(),
        StatusCode::NO_CONTENT
    );
    assert!(!looks(&by_token).await && looks(&control).await);

    let by_token = browser(open().await).await;
    let removed = admin.ask("DELETE", "/api/v1/tokens/control");
    assert_eq!(removed.send(&server).await.status(), StatusCode::NO_CONTENT);
    assert!(!looks(&by_token).await, "the token is gone");
    assert!(looks(&control).await);
}

#[tokio::test]
async fn no_other_spelling_of_an_address_leads_past_the_role_that_it_needs() {
    let server = server();
    let monitor = sign_in(&server, "monitor").await;
    for spelling in [
        "/api/v1/%61udit",
        "/api/v1/audit/",
        "/api/v1/audit?",
        "/api/v1/audit;x",
        "/api/v1//audit",
        "/api/v1/./audit",
        "/api/v1/session/../audit",
        "/api/v1/session/..%2faudit",
        "/API/V1/audit",
        "/api/v1/%75sers",
        "/api/v1/users/",
        "/assets/../api/v1/users",
        "//api/v1/users",
        "http://node1:9010/api/v1/users",
    ] {
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "TRACE", "get"] {
            let asked = monitor.ask(method, spelling).send(&server).await;
            let status = asked.status();
            assert!(status.is_client_error(), "{method} {spelling}: {status}");
        }
    }
}

#[tokio::test]
async fn a_code_opens_one_session_and_nothing_else_opens_any() {
    let server = server_for_set_up();
    let outside = ask("GET", "/api/v1/setup").send(&server).await;
    assert_eq!(outside.status(), StatusCode::UNAUTHORIZED);
    let old = server.console.draw_code().expect("random numbers");
    let code = server.console.draw_code().expect("random numbers");
    let enter = |code: &str| {
        let body = format!("{{\"name\": \"setup\", \"password\": \"{code}\"}}");
        ask("POST", "/api/v1/session").json(&body)
    };
    for wrong in ["", "AAAA-BBBB-CCCC", old.reveal()] {
        let refused = enter(wrong).send(&server).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{wrong}");
    }
    let entered = enter(code.reveal()).send(&server).await;
    assert_eq!(entered.status(), StatusCode::OK);
    let signed_in: SignedIn = serde_json::from_str(&text(entered).await).expect("JSON");
    assert!(signed_in.setting_up);
    // Whoever was asked to tell of it is told at once.
    server.console.code_used().await;
    let again = enter(code.reveal()).from(2).send(&server).await;
    assert_eq!(again.status(), StatusCode::UNAUTHORIZED, "it was used");
}

#[tokio::test]
async fn who_guesses_at_a_code_waits() {
    let server = server_for_set_up();
    let code = server.console.draw_code().expect("random numbers");
    let guess = |code: &str| {
        let body = format!("{{\"name\": \"setup\", \"password\": \"{code}\"}}");
        ask("POST", "/api/v1/session").json(&body)
    };
    for _ in 0..5 {
        guess("AAAA-BBBB-CCCC").send(&server).await;
    }
    let right = guess(code.reveal()).send(&server).await;
    assert_eq!(right.status(), StatusCode::TOO_MANY_REQUESTS);
}
