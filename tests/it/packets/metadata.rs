//! What guests are told of themselves at 169.254.169.254.

use anyhow::{Result, ensure};
use kilonova::api::metadata::{MetadataService, MetadataTokens};

use crate::shared::{SOON, inline};

const PAGES: &str = "http://169.254.169.254";

#[tokio::test]
async fn a_guest_learns_who_it_is_and_nobody_else_does() -> Result<()> {
    let (_turn, tenant) = super::turn().await?;
    tenant.network("front", "10.0.0.0/24", None).await?;
    for (name, node) in [("one", "n1"), ("two", "n2")] {
        tenant
            .plug(name, node, &["front"], |spec| {
                let tokens = match name {
                    "two" => MetadataTokens::Required,
                    _ => MetadataTokens::Optional,
                };
                spec.metadata_service = Some(MetadataService { tokens });
                spec.user_data = Some(inline(&format!("#!/bin/sh\necho data of {name}\n")));
                // Nothing but the service: no rule allows it.
                spec.networks[0].security_groups = Some(Vec::new());
            })
            .await?;
    }
    let guests = tenant.guests(&["one", "two"]).await?;
    let (one, two) = (&guests["one"], &guests["two"]);
    let id = format!("nettool http {PAGES}/latest/meta-data/instance-id timeout-ms=4000");
    let (_, said) = one
        .until(&format!("{id} | grep {}", one.on.uid), SOON)
        .await?;
    ensure!(!said.contains(&two.on.uid), "{said}");
    let name = one
        .run(&format!("nettool http {PAGES}/latest/meta-data/hostname"))
        .await?;
    ensure!(name.contains("one"), "{name}");
    let openstack = format!("nettool http {PAGES}/openstack/latest/meta_data.json");
    let told = one.run(&openstack).await?;
    ensure!(
        told.contains(&format!("\"uuid\":\"{}\"", one.on.uid)),
        "{told}"
    );
    let data = one
        .run(&format!("nettool http {PAGES}/latest/user-data"))
        .await?;
    ensure!(data.contains("data of one"), "{data}");

    let refused = two.on.exec(&id, SOON).await?;
    ensure!(refused.stdout.starts_with("401"), "{refused:?}");
    let token = format!(
        "nettool http {PAGES}/latest/api/token PUT X-aws-ec2-metadata-token-ttl-seconds:60 | tail -1"
    );
    let token = two.run(&token).await?;
    let with = format!("{id} GET X-aws-ec2-metadata-token:{}", token.trim());
    let said = two.run(&with).await?;
    ensure!(said.contains(&two.on.uid), "{said}");
    let foreign = one.on.exec(&with, SOON).await?;
    ensure!(foreign.stdout.starts_with("401"), "{foreign:?}");
    Ok(())
}
