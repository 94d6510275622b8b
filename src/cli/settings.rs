//! What users set of the roles, on the command line, by `KILONOVA_*` variables, and as `operator.settings`,
//! `agent.settings` and `metadata.settings` of the Helm chart.
//!
//! The chart turns a key such as `stateDir` into the variable `KILONOVA_STATE_DIR`; a test holds the names together.
//! What a pod's surroundings decide, such as the node's name, is not a setting and stays with the role's arguments.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    cluster::telemetry::{self, LogFormat},
    ovsdb::{Endpoint, wire::NotEndpoint},
};

const STATE_DIR: &str = "/var/lib/kilonova";
const LIBVIRT_URI: &str = "qemu:///system";

/// The MTU of tenants' networks over hosts' networks of 1500: Geneve over IPv4 takes 58 bytes.
const TENANT_MTU: &str = "1442";

/// Settings of the operator.
#[derive(Serialize, JsonSchema, clap::Args, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct OperatorSettings {
    /// What is logged.
    #[command(flatten)]
    #[serde(flatten)]
    pub logs: LogSettings,
    /// Where OVN's northbound database is: `ssl:HOST:PORT`, `tcp:HOST:PORT` or `unix:PATH`, several with commas between them.
    /// Default: the chart's own OVN where the chart brings one; else nowhere, and networks are off.
    #[arg(long, env = "KILONOVA_OVN_NORTHBOUND", default_value = "", value_parser = endpoints)]
    pub ovn_northbound: String,
    /// The largest packet of a network that does not say its own, in bytes: what the hosts' network carries, less 58 bytes
    /// for Geneve over IPv4, or 78 over IPv6.
    #[arg(long, env = "KILONOVA_TENANT_MTU", default_value = TENANT_MTU, value_parser = clap::value_parser!(u16).range(1280..=9216))]
    #[schemars(range(min = 1280, max = 9216))]
    pub tenant_mtu: u16,
}

/// Checks a list of databases' servers, and leaves it as it is.
fn endpoints(text: &str) -> Result<String, NotEndpoint> {
    endpoints_of(text).map(|_| text.to_owned())
}

/// The servers of a database, from a list with commas.
pub fn endpoints_of(text: &str) -> Result<Vec<Endpoint>, NotEndpoint> {
    let named = text.split(',').map(str::trim).filter(|one| !one.is_empty());
    named.map(str::parse).collect()
}

/// Settings of the agents.
#[derive(Serialize, JsonSchema, clap::Args, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentSettings {
    /// What is logged.
    #[command(flatten)]
    #[serde(flatten)]
    pub logs: LogSettings,
    /// Where images, disks and seeds are kept: a folder of the host, at the same path for the agent as for libvirt.
    #[arg(long, env = "KILONOVA_STATE_DIR", default_value = STATE_DIR)]
    #[schemars(regex(pattern = r"^/[^:]*[^:/]$"))]
    pub state_dir: PathBuf,
    /// How to reach this host's libvirt, in libvirt's words.
    #[arg(long, env = "KILONOVA_LIBVIRT_URI", default_value = LIBVIRT_URI)]
    #[schemars(length(min = 1))]
    pub libvirt_uri: String,
    /// How guests run: `auto` (with the processor's help where that works), `kvm` (with it) or `qemu` (emulated).
    #[arg(long, env = "KILONOVA_VIRT_TYPE", value_enum, default_value = "auto")]
    pub virt_type: VirtTypeSetting,
    /// Whether the agent connects the host's Open vSwitch with OVN: it tells it where OVN is and gives it its certificate, and
    /// never overwrites what an administrator has configured.
    #[arg(long, env = "KILONOVA_MANAGE_OPEN_VSWITCH", default_value = "true", action = clap::ArgAction::Set)]
    pub manage_open_vswitch: bool,
}

/// Settings of the metadata service.
#[derive(Serialize, JsonSchema, clap::Args, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct MetadataSettings {
    /// What is logged.
    #[command(flatten)]
    #[serde(flatten)]
    pub logs: LogSettings,
}

/// What is logged, and how it looks.
#[derive(Serialize, JsonSchema, clap::Args, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct LogSettings {
    /// How log lines look: `text` for people, or `json`, one object a line, for programs.
    #[arg(long, env = "KILONOVA_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// What is logged: a level, or levels by module, such as `warn,kilonova=debug`.
    #[arg(long, env = "KILONOVA_LOG_FILTER", default_value = telemetry::FILTER, value_parser = telemetry::check_filter)]
    #[schemars(length(min = 1))]
    pub log_filter: String,
}

/// How guests run.
#[derive(Serialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum VirtTypeSetting {
    /// With the processor's help where that works, else emulated.
    #[default]
    Auto,
    /// With the processor's help.
    Kvm,
    /// Emulated.
    Qemu,
}

impl Default for OperatorSettings {
    fn default() -> Self {
        Self {
            logs: LogSettings::default(),
            ovn_northbound: String::new(),
            tenant_mtu: TENANT_MTU.parse().unwrap_or(u16::MAX),
        }
    }
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            logs: LogSettings::default(),
            state_dir: PathBuf::from(STATE_DIR),
            libvirt_uri: LIBVIRT_URI.to_owned(),
            virt_type: VirtTypeSetting::default(),
            manage_open_vswitch: true,
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            log_format: LogFormat::default(),
            log_filter: telemetry::FILTER.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command};
    use serde_json::{Map, Value};

    use super::*;

    /// The variable that the chart makes of a key: see `kilonova.environment` in its templates/_helpers.tpl.
    fn variable(key: &str) -> String {
        let snake = key.chars().fold(String::new(), |mut snake, letter| {
            if letter.is_uppercase() {
                snake.push('_');
            }
            snake.push(letter.to_ascii_uppercase());
            snake
        });
        format!("KILONOVA_{snake}")
    }

    fn settings<T: Args + Default + Serialize>() -> (Command, Map<String, Value>) {
        let defaults = serde_json::to_value(T::default()).unwrap();
        let command = T::augment_args(Command::new("role"));
        (command, defaults.as_object().unwrap().clone())
    }

    #[test]
    fn every_key_of_the_chart_is_a_variable_of_the_command_line_with_the_same_default() {
        for (command, keys) in [
            settings::<OperatorSettings>(),
            settings::<AgentSettings>(),
            settings::<MetadataSettings>(),
        ] {
            let arguments: Vec<_> = command.get_arguments().collect();
            assert_eq!(arguments.len(), keys.len(), "{keys:?}");
            for (key, default) in keys {
                let name = variable(&key);
                let is_of_key = |env: &std::ffi::OsStr| env == name.as_str();
                let argument = arguments
                    .iter()
                    .find(|argument| argument.get_env().is_some_and(is_of_key));
                let argument = argument.unwrap_or_else(|| panic!("no argument reads {name}"));
                let default = default
                    .as_str()
                    .map_or_else(|| default.to_string(), str::to_owned);
                assert_eq!(argument.get_default_values()[0].to_str(), Some(&*default));
            }
        }
    }

    #[test]
    fn servers_of_a_database_have_commas_between_them() {
        let three = "ssl:10.0.0.1:6641, ssl:10.0.0.2:6641,ssl:[fd00::3]:6641";
        assert_eq!(endpoints_of(three).unwrap().len(), 3);
        assert_eq!(endpoints_of("").unwrap(), []);
        let command = OperatorSettings::augment_args(Command::new("role"));
        let refused = command.try_get_matches_from(["role", "--ovn-northbound", "10.0.0.1"]);
        assert!(refused.unwrap_err().to_string().contains("ssl:HOST:PORT"));
    }

    #[test]
    fn a_filter_that_is_none_is_refused_at_once() {
        let command = || LogSettings::augment_args(Command::new("role"));
        let parse = |filter| command().try_get_matches_from(["role", "--log-filter", filter]);
        assert!(parse("warn,kilonova=debug").is_ok());
        let refused = parse("kilonova=loud").unwrap_err().to_string();
        assert!(refused.contains("--log-filter"), "{refused}");
    }
}
