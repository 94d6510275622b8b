//! Brings a member to a database: asks the others, asks the plan, and makes the file.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use futures::future::join_all;
use tokio::{process::Command, sync::watch, time};
use tracing::info;

use super::{
    member::{Database, Member, show},
    plan::{self, Answer, Founding},
};

/// How often the others are asked.
const EVERY: Duration = Duration::from_secs(1);

const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Where a member says whether it has a database, and the things that it says.
pub const PAGE: &str = "/database";
const THERE: &str = "there";
const ABSENT: &str = "absent";
const UNREADABLE: &str = "unreadable";

/// What this member says to the others.
pub fn said(member: &Member, database: Database) -> &'static str {
    match member.file(database).try_exists() {
        Ok(true) => THERE,
        Ok(false) => ABSENT,
        // Whoever cannot look must not be taken for one that has none.
        Err(_) => UNREADABLE,
    }
}

/// Returns once there is a file. `port` is where the others' pages are; `ready` says meanwhile what is waited for.
pub async fn found(
    member: &Member,
    database: Database,
    port: u16,
    ready: &watch::Sender<Option<String>>,
) -> anyhow::Result<()> {
    let file = member.file(database);
    let unfinished = file.with_extension("new");
    let client = reqwest::Client::builder().timeout(ANSWER_MAX).build()?;
    let is_there = || {
        let there = file.try_exists();
        there.with_context(|| format!("cannot look for the database {}", file.display()))
    };
    while !is_there()? {
        let answers = join_all(member.others().map(|host| ask(&client, host, port))).await;
        let answers: Vec<_> = member.others().zip(answers).collect();
        match plan::found(member, database, &show(&unfinished), &answers) {
            Founding::Make(words) => {
                info!(
                    how = words.first(),
                    "this member has no database: it gets one"
                );
                make(&words, &unfinished, &file).await?;
            }
            Founding::Wait(why) => {
                ready.send_if_modified(|said| {
                    let is_news = said.as_deref() != Some(&*why);
                    if is_news {
                        info!("this member has no database, and waits: {why}");
                        *said = Some(why.clone());
                    }
                    is_news
                });
                time::sleep(EVERY).await;
            }
        }
    }
    Ok(())
}

async fn ask(client: &reqwest::Client, host: &str, port: u16) -> Answer {
    let asked = async {
        let answer = client.get(format!("http://{host}:{port}{PAGE}")).send();
        answer.await?.error_for_status()?.text().await
    };
    match asked.await {
        Ok(text) if text == THERE => Answer::There,
        Ok(text) if text == ABSENT => Answer::Absent,
        Ok(_) => Answer::Silent("it says something else".to_owned()),
        Err(error) => Answer::Silent(crate::cluster::telemetry::chain(&error)),
    }
}

/// The file appears whole or not at all.
async fn make(words: &[String], unfinished: &Path, file: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let made = Command::new("ovsdb-tool").args(words).output().await?;
    anyhow::ensure!(
        made.status.success(),
        "ovsdb-tool {} failed: {}",
        words.join(" "),
        String::from_utf8_lossy(&made.stderr).trim()
    );
    Ok(std::fs::rename(unfinished, file)?)
}
