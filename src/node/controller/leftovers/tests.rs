//! What is removed from a real switch, and what stays.

use super::*;
use crate::node::{
    controller::stage::stage,
    driver::{DomainState, StopReason},
    plan::fixtures::{UID, domain, port},
};

const OTHER: &str = "11111111-2222-4333-8444-555555555555";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_guests_goes_and_nothing_else() {
    let stage = stage(Vec::new()).await;
    let switch = stage.start_switch();
    let info = domain(DomainState::Running);
    let runs = info.id;
    stage.ctx.driver.put(info);
    switch.plug("vnet0", UID, &port(1).to_string(), false);
    switch.plug("vnet1", OTHER, &port(2).to_string(), false);
    switch.plug("vnet2", OTHER, &port(3).to_string(), true);
    switch.vsctl(
        "add-port br-int md-1 -- set interface md-1 type=internal external_ids:iface-id=md-1",
    );
    switch.vsctl(
        "add-port br-int ovn-n2-0 -- set interface ovn-n2-0 type=geneve options:remote_ip=192.0.2.12",
    );
    switch.vsctl("add-br br-ex -- set bridge br-ex datapath_type=dummy");
    switch.plug_into("br-ex", "vnet9", OTHER, &port(9).to_string(), false);
    let ports = |bridge: &str| -> Vec<String> {
        let ports = switch.vsctl(&format!("list-ports {bridge}"));
        ports.lines().map(str::to_owned).collect()
    };
    let session = open(&stage.ctx.switch);
    session.ready().await;
    let all = ["md-1", "ovn-n2-0", "vnet0", "vnet1", "vnet2"];
    // Nothing goes while it is not known what runs.
    stage.ctx.driver.set_reachable(false);
    remove(&stage.ctx, &session).await;
    assert_eq!(ports("br-int"), all);
    stage.ctx.driver.set_reachable(true);
    remove(&stage.ctx, &session).await;
    assert_eq!(ports("br-int"), all, "they are marked first");
    remove(&stage.ctx, &session).await;
    assert_eq!(ports("br-int"), ["md-1", "ovn-n2-0", "vnet0", "vnet2"]);
    // Again makes no difference, until the domain has ended.
    remove(&stage.ctx, &session).await;
    assert_eq!(stage.ctx.metrics.leftovers.get(), 1);
    stage.ctx.driver.stop(runs, StopReason::Crashed);
    remove(&stage.ctx, &session).await;
    remove(&stage.ctx, &session).await;
    assert_eq!(ports("br-int"), ["md-1", "ovn-n2-0", "vnet2"]);
    assert_eq!(ports("br-ex"), ["vnet9"]);
    assert_eq!(stage.ctx.metrics.leftovers.get(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_a_guest_takes_meanwhile_stays() {
    let stage = stage(Vec::new()).await;
    let switch = stage.start_switch();
    switch.plug("vnet0", UID, &port(1).to_string(), false);
    let session = open(&stage.ctx.switch);
    session.ready().await;
    remove(&stage.ctx, &session).await;
    let seen = look(&session).unwrap();
    let useless: Vec<&Leftover> = seen.left.iter().collect();
    assert!(useless[0].is_marked());
    // As libvirt does for the guest when it starts again.
    switch.vsctl(&format!(
        "--may-exist add-port br-int vnet0 -- set interface vnet0 external_ids:vm-id={UID} external_ids:iface-status=active"
    ));
    let refused = session.transact(&removal(&seen, &useless)).await;
    assert!(
        matches!(refused, Err(TransactError::Failed { .. })),
        "{refused:?}"
    );
    assert_eq!(switch.vsctl("list-ports br-int"), "vnet0\n");
}
