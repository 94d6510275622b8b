//! `kilonova check`: asks the cluster whether Kilonova works. For people, for `helm test`, and for the hook that refuses
//! an uninstall which would lose guests.

use std::{fmt::Write as _, io::Write, process::ExitCode};

use clap::ValueEnum;
use serde_json::json;

use crate::{
    cluster::metrics::{self, RequestMetrics},
    compute::{
        check,
        plan::check::{Finding, Verdict},
    },
};

use super::operator::LEASE;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What to look at, and how to tell.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 if Kilonova works, warnings or not; 1 if something does not work."
)]
pub struct CheckArguments {
    /// The namespace of the operator.
    #[arg(
        long,
        short,
        env = "KILONOVA_NAMESPACE",
        default_value = "kilonova-system"
    )]
    namespace: String,
    /// How to tell.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Output,
    /// Whether anything would be lost with the kinds, and nothing else: fails for as long as there is a server, guest,
    /// image or flavor.
    #[arg(long)]
    unused: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Looks, tells, and ends with a failure if something does not work.
pub async fn run(arguments: CheckArguments, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    let CheckArguments {
        namespace,
        output: form,
        unused,
    } = arguments;
    // Nobody reads what it counts: it ends at once.
    let client = super::client(&RequestMetrics::new(&mut metrics::registry())).await?;
    let findings = if unused {
        vec![check::unused(&client).await]
    } else {
        let (kinds, leader, hypervisors) = tokio::join!(
            check::kinds(&client, VERSION),
            check::leader(&client, &namespace, LEASE),
            check::hypervisors(&client),
        );
        vec![kinds, leader, hypervisors]
    };
    match form {
        Output::Text => output.write_all(text(&findings).as_bytes())?,
        Output::Json => {
            let page =
                json!({ "version": VERSION, "verdict": worst(&findings), "findings": findings });
            writeln!(output, "{page:#}")?;
        }
    }
    Ok(match worst(&findings) {
        Verdict::Good | Verdict::Warning => ExitCode::SUCCESS,
        Verdict::Bad => ExitCode::FAILURE,
    })
}

fn worst(findings: &[Finding]) -> Verdict {
    let verdicts = findings.iter().map(|finding| finding.verdict);
    verdicts.max().unwrap_or(Verdict::Good)
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let Finding {
            subject,
            verdict,
            message,
            details,
        } = finding;
        let mark = match verdict {
            Verdict::Good => "ok",
            Verdict::Warning => "warning",
            Verdict::Bad => "BAD",
        };
        // Writing to a String does not fail.
        let _ = writeln!(text, "{mark:<7}  {subject:<11}  {message}");
        for detail in details {
            let _ = writeln!(text, "{:<7}  {:<11}  - {detail}", "", "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_at_a_glance_what_does_not_work() {
        let mut warning = Finding::good("hypervisors", "1 of 2 are Ready");
        warning.verdict = Verdict::Warning;
        warning.details = vec!["n2: silent".to_owned()];
        let findings = [Finding::bad("leader", "no operator runs"), warning];
        let expected = "BAD      leader       no operator runs\n\
                        warning  hypervisors  1 of 2 are Ready\n\
                        \x20                     - n2: silent\n";
        assert_eq!(text(&findings), expected);
        assert_eq!(worst(&findings), Verdict::Bad);
        assert_eq!(worst(&findings[1..]), Verdict::Warning);
    }
}
