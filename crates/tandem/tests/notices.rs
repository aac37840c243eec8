//! Who is told of changes of role of a real pair: a command and a webhook, on the node that took over.

mod stage;

use stage::configuration::{cluster, module};
use stage::{Stage, first_start, is_root, lines, pair_offline, until};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;

/// Takes notices, answers each with success, and hands their texts on.
fn webhook(stage: &Stage) -> mpsc::Receiver<String> {
    // In machine 2's network, where it outlives the machine that is killed.
    let listener = stage.in_network(2, || TcpListener::bind("10.99.0.2:8099").expect("a port"));
    let (sender, told) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut text = String::new();
            let mut bytes = [0; 4096];
            // The body is JSON and ends with its bracket.
            while !text.trim_end().ends_with('}') {
                let length = stream.read(&mut bytes).expect("a notice");
                if length == 0 {
                    break;
                }
                text += &String::from_utf8_lossy(&bytes[..length]);
            }
            let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer);
            if sender.send(text).is_err() {
                return;
            }
        }
    });
    told
}

#[test]
fn a_command_and_a_webhook_are_told_of_a_failover() {
    if !is_root("a_command_and_a_webhook_are_told_of_a_failover") {
        return;
    }
    let notify = "\n[notify]\nwebhook = \"http://10.99.0.2:8099/hook\"\n\
         command = \"echo $TANDEM_NODE $TANDEM_WAS $TANDEM_STATE: $TANDEM_REASON >> {shared}/told\"\n";
    let configuration = cluster("") + notify + &module("files", "volume", "");
    let stage = Stage::build("notice", &configuration);
    let told = webhook(&stage);
    let (one, two) = pair_offline(&stage);
    first_start(&one, &two);
    one.kill();
    two.wait_for(["ALONE", "green", "uptodate"]);

    let by_command = || lines(&stage.shared().join("told"));
    until("the command is told", || {
        let lines = by_command().into_iter();
        let mut taken = lines.filter(|line| line.contains("2 SECOND ALONE: "));
        taken.next()
    });
    let mut posted = Vec::new();
    until("the webhook is told", || {
        posted.extend(told.try_iter());
        let mut taken = posted.iter();
        taken
            .find(|text| text.contains("\"SECOND\"") && text.contains("\"ALONE\""))
            .map(|_| ())
    });
    // Once, and each change before it in its order.
    let taken = by_command().into_iter();
    assert_eq!(
        taken
            .filter(|line| line.contains("2 SECOND ALONE: "))
            .count(),
        1
    );
    assert!(
        posted
            .iter()
            .all(|text| text.starts_with("POST /hook HTTP/1.1\r\n")),
        "{posted:#?}"
    );
}
