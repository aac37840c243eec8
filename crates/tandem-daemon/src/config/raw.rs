//! The file as it was typed: every key, nothing judged yet. Unknown keys are refused here.

use serde::Deserialize;
use toml::Spanned;

/// A text and where it stands.
pub(super) type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Raw {
    pub cluster: Cluster,
    pub node1: Node,
    pub node2: Node,
    pub notify: Option<Spanned<Notify>>,
    pub module: Spanned<Vec<Spanned<Module>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Notify {
    pub command: Option<Text>,
    pub webhook: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Cluster {
    pub name: Text,
    pub takeover_after: Option<Text>,
    pub gateway: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Node {
    pub name: Text,
    pub address: Text,
    pub heartbeat: Option<Spanned<Vec<Text>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Module {
    pub name: Text,
    pub data_port: Option<Spanned<u16>>,
    pub start_alone_after: Option<Text>,
    pub preferred_node: Option<Text>,
    pub restart_budget: Option<Spanned<u8>>,
    pub restart_window: Option<Text>,
    pub durability: Option<Text>,
    #[serde(default)]
    pub volume: Vec<Volume>,
    #[serde(default)]
    pub address: Vec<Address>,
    #[serde(default)]
    pub service: Vec<Spanned<Service>>,
    #[serde(default)]
    pub checker: Vec<Spanned<Checker>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Volume {
    pub name: Text,
    pub path: Text,
    pub wait_for_peer: Option<Text>,
    pub exclude: Option<Spanned<Vec<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Address {
    pub address: Text,
    pub interface: Spanned<Interface>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Interface {
    Same(String),
    Each(Interfaces),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Interfaces {
    pub node1: String,
    pub node2: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Service {
    pub name: Text,
    pub unit: Option<Text>,
    pub start: Option<Text>,
    pub stop: Option<Text>,
    pub check: Option<Text>,
    pub ready: Option<Spanned<Ready>>,
    pub start_limit: Option<Text>,
    pub stop_limit: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Ready {
    pub tcp: Option<Text>,
    pub command: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Checker {
    pub name: Text,
    pub tcp: Option<Text>,
    pub script: Option<Text>,
    pub unit: Option<Text>,
    pub process: Option<Text>,
    pub period: Option<Text>,
    pub timeout: Option<Text>,
    pub rise: Option<Spanned<u32>>,
    pub fall: Option<Spanned<u32>>,
    pub action: Option<Text>,
}
