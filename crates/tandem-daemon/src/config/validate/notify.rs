//! Who is told of each change of role. Both ways are secrets: no problem quotes them.

use super::Review;
use crate::config::raw::{self, Text};
use tandem_console::notify::{Ways, Webhook};
use toml::Spanned;

impl Review<'_> {
    pub(super) fn notify(&mut self, typed: Option<&Spanned<raw::Notify>>) -> Ways {
        let Some(typed) = typed else {
            return Ways::default();
        };
        let raw = typed.get_ref();
        if raw.command.is_none() && raw.webhook.is_none() {
            let hint = "`command = \"…\"` or `webhook = \"https://…\"`, or both";
            self.problem(typed.span(), "this tells nobody", hint);
        }
        let command = raw.command.as_ref();
        let command = command.map(|command| self.secret_command(command));
        let webhook = (raw.webhook.as_ref()).and_then(|webhook| self.webhook(webhook));
        Ways { command, webhook }
    }

    fn webhook(&mut self, typed: &Text) -> Option<Webhook> {
        match Webhook::parse(typed.get_ref()) {
            Ok(webhook) => Some(webhook),
            Err(error) => {
                let hint = "as in \"https://alarms.example/tandem\"; what proves who calls goes \
                     into the path or the query";
                self.problem(typed.span(), error.to_string(), hint);
                None
            }
        }
    }
}
