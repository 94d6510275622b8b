//! Inside a server: what other tests measure by.

use anyhow::Result;

use crate::actions::reboot;
use crate::shared::{Project, SOON};
use kilonova::api::server_action::RebootKind;

#[tokio::test]
async fn commands_run_inside_a_server_before_and_after_a_reboot() -> Result<()> {
    let project = Project::shared().await?;
    let (guest, _) = project.boot("inside", |_| {}).await?;
    let server = guest.spawn("nettool tcp-serve ::1 80", SOON).await?;
    server.wait_says("serving").await?;
    let get = guest.exec("nettool tcp-get ::1 80", SOON);
    let two = guest.exec("echo two; exit 2", SOON);
    let (get, two) = tokio::try_join!(get, two)?;
    assert_eq!(get.success()?, "inside\n");
    assert_eq!((two.code, &*two.stdout), (2, "two\n"));
    server.stop().await?;

    let hard = reboot("inside-hard", "inside", RebootKind::Hard);
    project.create(&hard).await?;
    guest.wait_up(2).await?;
    let uptime = guest.exec("cat /proc/uptime", SOON).await?.success()?;
    assert_eq!(uptime.split_whitespace().count(), 2, "{uptime}");
    Ok(())
}
