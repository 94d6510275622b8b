//! What users set of the roles, on the command line, by `KILONOVA_*` variables, and as `operator.settings` and
//! `agent.settings` of the Helm chart.
//!
//! The chart turns a key such as `stateDir` into the variable `KILONOVA_STATE_DIR`; a test holds the names together.
//! What a pod's surroundings decide, such as the node's name, is not a setting and stays with the role's arguments.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use crate::cluster::telemetry::{self, LogFormat};

const STATE_DIR: &str = "/var/lib/kilonova";
const LIBVIRT_URI: &str = "qemu:///system";

/// Settings of the operator.
#[derive(Serialize, JsonSchema, clap::Args, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct OperatorSettings {
    /// What is logged.
    #[command(flatten)]
    #[serde(flatten)]
    pub logs: LogSettings,
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
        for (command, keys) in [settings::<OperatorSettings>(), settings::<AgentSettings>()] {
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
    fn a_filter_that_is_none_is_refused_at_once() {
        let command = || LogSettings::augment_args(Command::new("role"));
        let parse = |filter| command().try_get_matches_from(["role", "--log-filter", filter]);
        assert!(parse("warn,kilonova=debug").is_ok());
        let refused = parse("kilonova=loud").unwrap_err().to_string();
        assert!(refused.contains("--log-filter"), "{refused}");
    }
}
