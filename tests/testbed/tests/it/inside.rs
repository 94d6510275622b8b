//! What a test can do inside a tiny guest: run commands, plug cards, send and see packets.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::machine::Machine;

const SOON: Duration = Duration::from_mins(1);
const FIRST: &str = "52:54:00:00:00:01";
const SECOND: &str = "52:54:00:00:00:02";
/// What the first guest gives the second: a router beside the network, as clouds have it, and small packets.
const DHCPD: &str = "interface eth0\nstart 10.7.0.20\nend 10.7.0.20\nmax_leases 1\noption subnet 255.255.255.0\n\
                     option mtu 1342\noption dns 10.7.0.1 10.7.0.2\noption hostname given\n\
                     option staticroutes 172.31.0.0/16 10.7.0.1,0.0.0.0/0 10.7.0.1\nlease_file /run/leases\n";

#[tokio::test]
async fn commands_run_side_by_side_and_after_a_reboot() -> Result<()> {
    let machine = Machine::boot(&[]).await?;
    let console = &machine.console;
    let began = Instant::now();
    let slow = console.exec("sleep 3; echo slow; echo oh >&2; exit 7", SOON);
    let quick = console.exec("echo quick", SOON);
    let (slow, quick) = tokio::try_join!(slow, quick)?;
    assert_eq!(
        (slow.code, &*slow.stdout, &*slow.stderr),
        (7, "slow\n", "oh\n")
    );
    assert_eq!((quick.code, &*quick.stdout), (0, "quick\n"));
    ensure!(began.elapsed() >= Duration::from_secs(3));

    // Longer than a line of a terminal in its usual mode, and more than a few replies.
    let long = "x".repeat(6000);
    assert_eq!(machine.run(&format!("echo {long}")).await?.trim(), long);
    let noise = console.spawn(
        "i=0; while [ $i -lt 400 ]; do echo '<3>noise from the kernel' >/dev/kmsg; i=$((i+1)); done",
        SOON,
    );
    let noise = noise.await?;
    let counted = machine.run("seq 1 4000").await?;
    let counted: Vec<u32> = counted.lines().map(str::parse).collect::<Result<_, _>>()?;
    ensure!(
        counted.iter().copied().eq(1..=4000),
        "torn by the kernel's words: {counted:?}"
    );
    noise.finish().await?.success()?;

    let error = console
        .exec("sleep 600 & sleep 600", Duration::from_secs(2))
        .await;
    let error = format!("{:#}", error.err().context("it had no time for that")?);
    ensure!(error.contains("deadline"), "{error}");
    let server = console
        .spawn("nettool tcp-serve 127.0.0.1 80 me", SOON)
        .await?;
    server.wait_says("serving").await?;
    assert_eq!(machine.run("nettool tcp-get 127.0.0.1 80").await?, "me\n");
    assert_eq!(server.stop().await?.code, 128 + 9);
    let gone = console.exec("nettool tcp-get 127.0.0.1 80", SOON).await?;
    assert_eq!(gone.code, 1);
    // The guest's own tick sleeps as well, and not for so long.
    let sleepers = console.exec("ps | grep -c '[s]leep 600'", SOON).await?;
    assert_eq!(sleepers.stdout.trim(), "0");

    let forgotten = console.spawn("sleep 50", SOON).await?;
    console.spawn("reboot -f", SOON).await?;
    machine
        .wait("to be up again", |report| report.ups.len() == 2)
        .await?;
    assert_eq!(
        machine.run("cat /proc/sys/kernel/hostname").await?,
        "kilonova-tiny\n"
    );
    let error = format!("{:#}", forgotten.stop().await.err().context("it is gone")?);
    ensure!(error.contains("booted"), "{error}");
    Ok(())
}

#[tokio::test]
async fn cards_come_and_go_and_are_configured() -> Result<()> {
    let machine = Machine::boot(&[
        "-netdev",
        "user,id=first,ipv6-prefix=fd00:7::",
        "-device",
        &format!("virtio-net-pci,netdev=first,mac={FIRST}"),
    ])
    .await?;
    let addresses = |mac: &'static str| {
        move |report: &testbed::images::console::Report| {
            let mut nics = report.nics.iter();
            nics.any(|nic| nic.mac == mac && nic.address.is_some())
        }
    };
    machine.wait("to have an address", addresses(FIRST)).await?;
    // By QEMU's router advertisement.
    machine
        .wait_run("ip -6 addr show dev eth0 | grep 'fd00:7::5054:ff:fe00:1/64 scope global'")
        .await?;
    machine
        .wait_run("ip -6 route | grep 'default via fe80::2 dev eth0'")
        .await?;
    machine
        .run("grep 'nameserver 10.0.2.3' /etc/resolv.conf")
        .await?;

    let second = json!({"type": "user", "id": "net-second", "net": "10.9.0.0/24"});
    machine
        .plug("second", "port1", SECOND, second.clone())
        .await?;
    machine.wait("to use a new card", addresses(SECOND)).await?;
    let address = machine.run("ip -4 addr show dev eth1").await?;
    ensure!(address.contains("10.9.0.15/24"), "{address}");
    let routes = machine.run("ip route").await?;
    for gateway in ["10.0.2.2 dev eth0", "10.9.0.2 dev eth1"] {
        ensure!(routes.contains(gateway), "{routes}");
    }
    machine.unplug("second").await?;
    let report = machine
        .wait("to see it go", |report| !report.unplugged.is_empty())
        .await?;
    assert_eq!(report.unplugged, ["eth1"]);
    // Its client was told to end, and does so in its own time.
    machine
        .wait_run("[ $(ps | grep -c '[u]dhcpc') -eq 1 ]")
        .await?;
    let resolvers = machine.run("cat /etc/resolv.conf").await?;
    ensure!(!resolvers.contains("10.9.0.3"), "{resolvers}");
    Ok(())
}

#[tokio::test]
async fn packets_between_two_guests() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let wire = folder.path().join("wire");
    let netdev = |server: &str| {
        format!(
            "stream,id=wire,server={server},addr.type=unix,addr.path={}",
            wire.display()
        )
    };
    let card = |mac: &str| format!("virtio-net-pci,netdev=wire,mac={mac}");
    let one = Machine::boot(&["-netdev", &netdev("on"), "-device", &card(FIRST)]).await?;
    one.run("ip addr add 10.7.0.1/24 dev eth0; ip addr add fd00:7::1/64 dev eth0")
        .await?;
    one.run(&format!(
        "killall udhcpc; printf '{DHCPD}' >/run/udhcpd.conf"
    ))
    .await?;
    let dhcp = one
        .console
        .spawn("udhcpd -f /run/udhcpd.conf", SOON * 10)
        .await?;
    let two = Machine::boot(&["-netdev", &netdev("off"), "-device", &card(SECOND)]).await?;

    two.wait("to have an address", |report| {
        report.nics.iter().any(|nic| nic.address.is_some())
    })
    .await?;
    let link = two
        .run("ip link show eth0; ip route; cat /etc/resolv.conf; hostname")
        .await?;
    for part in [
        "mtu 1342",
        "172.31.0.0/16 via 10.7.0.1 dev eth0",
        "default via 10.7.0.1 dev eth0",
        "nameserver 10.7.0.1\nnameserver 10.7.0.2",
        "given",
    ] {
        ensure!(link.contains(part), "no {part:?} in {link}");
    }
    two.run("ip addr add fd00:7::2/64 dev eth0").await?;

    for address in ["10.7.0.1", "fd00:7::1"] {
        // An IPv6 address is of use once Linux knows that nobody else has it.
        two.wait_run(&format!("ping -c 1 -W 5 {address}")).await?;
        let tcp = one
            .console
            .spawn(&format!("nettool tcp-serve {address} 8080"), SOON * 10)
            .await?;
        let udp = one
            .console
            .spawn(&format!("nettool udp-serve {address} 53 me"), SOON * 10)
            .await?;
        tcp.wait_says("serving").await?;
        udp.wait_says("serving").await?;
        assert_eq!(
            two.run(&format!("nettool tcp-get {address} 8080")).await?,
            "kilonova-tiny\n"
        );
        assert_eq!(
            two.run(&format!("nettool udp-get {address} 53 bytes=900"))
                .await?,
            "me 900 bytes\n"
        );
        let bulk = two
            .run(&format!(
                "nettool tcp-bulk {address} 8080 300000 timeout-ms=20000"
            ))
            .await?;
        // The MTU of 1342 without the headers of IP and TCP, and TCP's time stamps.
        let segment = if address.contains(':') {
            1342 - 72
        } else {
            1342 - 52
        };
        ensure!(
            bulk.contains(&format!("mss={segment} ")) && bulk.contains("intact"),
            "{bulk}"
        );
        for server in [tcp, udp] {
            server.stop().await?;
        }
    }
    let page = two
        .run("nettool http http://10.7.0.1/report timeout-ms=9000")
        .await?;
    ensure!(
        page.starts_with("200\n") && page.contains("kilonova-tiny: up "),
        "{page}"
    );
    assert_eq!(dhcp.stop().await?.code, 137);
    one.run("nettool forge eth0 router-advertisement prefix=fd00:8:: dns=fd00:8::53")
        .await?;
    two.wait_run("ip -6 addr | grep fd00:8::5054:ff:fe00:2/64")
        .await?;
    two.wait_run("grep 'nameserver fd00:8::53' /etc/resolv.conf")
        .await?;
    forgeries_are_seen(&one, &two).await
}

/// Between two guests that no switch parts, each forgery arrives, and a filter sees nothing but what it is for.
async fn forgeries_are_seen(one: &Machine, two: &Machine) -> Result<()> {
    for (forgery, words) in [
        (
            "echo source=10.7.0.99 to=10.7.0.1",
            "10.7.0.99 echo-request",
        ),
        (
            "echo source=10.7.0.2 to=10.7.0.1 source-mac=52:54:00:00:00:99",
            "52:54:00:00:00:99",
        ),
        ("arp-reply claim=10.7.0.1 to=10.7.0.9", "arp reply 10.7.0.1"),
        ("arp-gratuitous claim=10.7.0.88", "arp 10.7.0.88"),
        (
            "neighbour-advertisement claim=fd00:7::66",
            "neighbour-advertisement fd00:7::66",
        ),
        (
            "router-advertisement prefix=fd00:bad::",
            "router-advertisement",
        ),
        (
            "dhcp-offer source=10.7.0.66 offer=10.7.0.77",
            "dhcp offer 10.7.0.66",
        ),
        ("dhcpv6-advertise offer=fd00:7::77", "dhcpv6 advertise"),
        ("hex bytes=ffffffffffff52540000000288b50000", "0x88b5"),
    ] {
        let capture = one
            .console
            .spawn(&format!("nettool capture eth0 4 {words}"), SOON)
            .await?;
        let quiet = one
            .console
            .spawn("nettool capture eth0 4 0x88b6", SOON)
            .await?;
        capture.wait_says("capturing").await?;
        quiet.wait_says("capturing").await?;
        let sent = two
            .run(&format!(
                "nettool forge eth0 {forgery} count=2 interval-ms=50"
            ))
            .await?;
        ensure!(sent.starts_with("sent 2 frames"), "{sent}");
        let seen = capture.finish().await?.success()?;
        ensure!(seen.ends_with("\n2 frames\n"), "{forgery}: {seen}");
        assert_eq!(quiet.finish().await?.success()?, "capturing\n0 frames\n");
    }
    Ok(())
}
