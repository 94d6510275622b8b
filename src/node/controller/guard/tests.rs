//! What the agent tells a real switch, and what it says when it cannot.

use super::*;
use crate::node::{
    controller::stage::{stage, stored},
    plan::fixtures::{UID, guest, port},
};

/// Waits until it stands so.
async fn stands(ctx: &Context<impl Driver>, so: impl Fn(&Guarded) -> bool) -> Guarded {
    let mut standing = ctx.switch.guard().0.subscribe();
    let stands = time::timeout(Duration::from_mins(1), standing.wait_for(so));
    stands.await.unwrap().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_play_router_where_their_ports_have_no_security_and_nowhere_else() {
    let mut guest = guest().with_nics(&[1, 2]);
    guest.spec.nics[1].port_security = false;
    let stage = stage(vec![stored(guest)]).await;
    let switch = stage.start_switch();
    for (name, number) in [("vnet0", 1), ("vnet1", 2), ("vnet2", 3)] {
        switch.plug(name, UID, &port(number).to_string(), true);
    }
    let flow = |name: &str| {
        format!(
            "cookie=0x6b696c6f6e6f7661, priority=60000,icmp6,in_port={name},icmp_type=134 actions=drop"
        )
    };
    let (tell, mut news) = mpsc::channel(1);
    let ctx = Arc::clone(&stage.ctx);
    let guarding = tokio::spawn(async move { keep_guarding(&ctx, tell).await });
    let two = BTreeSet::from([port(1), port(3)]);
    let standing = stands(&stage.ctx, |now| !now.ports.is_empty()).await;
    assert_eq!((standing.ports, standing.trouble), (two.clone(), None));
    assert_eq!(switch.flows(), [flow("vnet0"), flow("vnet2")]);
    // What comes and goes is guarded, and no longer.
    switch.plug("vnet3", UID, &port(4).to_string(), true);
    let four = BTreeSet::from([port(4)]);
    assert!(four.is_subset(&stage.ctx.switch.guard().settled(&four).await.ports));
    switch.vsctl("del-port vnet3 -- del-port vnet2");
    stands(&stage.ctx, |now| now.ports == BTreeSet::from([port(1)])).await;
    assert_eq!(switch.flows(), [flow("vnet0")]);
    // OVN's controller removes all flows when it starts.
    switch.forget_flows();
    let back = async {
        while switch.flows() != [flow("vnet0")] {
            time::sleep(Duration::from_millis(20)).await;
        }
    };
    time::timeout(Duration::from_mins(1), back).await.unwrap();
    // A switch that does not listen is told of, with what to do.
    switch.vsctl("set bridge br-int protocols=OpenFlow10");
    let standing = stands(&stage.ctx, |now| now.trouble.is_some()).await;
    assert!(standing.ports.is_empty());
    let said = standing.trouble.unwrap();
    assert!(
        said.contains("`ovs-vsctl get bridge br-int protocols` must be empty or have OpenFlow13"),
        "{said}"
    );
    assert_eq!(stage.ctx.metrics.unguarded.get(), 1);
    assert_eq!(news.recv().await, Some(()));
    switch.vsctl("clear bridge br-int protocols");
    stands(&stage.ctx, |now| {
        now.trouble.is_none() && now.ports.contains(&port(1))
    })
    .await;
    assert_eq!(stage.ctx.metrics.unguarded.get(), 0);
    assert_eq!(news.recv().await, Some(()));
    guarding.abort();
}
