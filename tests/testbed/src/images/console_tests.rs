//! Table tests of the console parser: each line alone, then a whole log of a real guest.

use super::*;

fn check(line: &str, expected: &Report) {
    assert_eq!(&parse(&format!("{line}\r\n")), expected, "{line:?}");
}

fn nothing() -> Report {
    Report::default()
}

fn texts(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

#[test]
fn the_seed_and_what_came_of_it() {
    let disk = Seed::Disk {
        device: "/dev/vdb".to_owned(),
        filesystem: "vfat".to_owned(),
    };
    let up = Up {
        hostname: "web-1".to_owned(),
        instance_id: "i-1".to_owned(),
        boot: 3,
    };
    let seeds = |seed| Report {
        seeds: vec![seed],
        ..nothing()
    };
    check("kilonova-tiny: seed none", &seeds(Seed::Missing));
    check("kilonova-tiny: seed /dev/vdb vfat", &seeds(disk));
    check(
        "kilonova-tiny: root-disk boot-count=7",
        &Report {
            boot_counts: vec![7],
            ..nothing()
        },
    );
    let key = "ssh-ed25519 AAAA alice@example with blanks";
    check(
        &format!("kilonova-tiny: key {key}"),
        &Report {
            keys: texts(key),
            ..nothing()
        },
    );
    check(
        "kilonova-tiny: user-data sha256=00ff",
        &Report {
            user_data_sha256: texts("00ff"),
            ..nothing()
        },
    );
    check(
        "kilonova-tiny: user-data exit=127",
        &Report {
            user_data_exits: vec![127],
            ..nothing()
        },
    );
    check(
        "kilonova-tiny: up hostname=web-1 instance-id=i-1 boot=3",
        &Report {
            ups: vec![up],
            ..nothing()
        },
    );
}

#[test]
fn what_happens_while_it_runs() {
    let nics = |address: Option<IpAddr>| Report {
        nics: vec![Nic {
            interface: "eth0".to_owned(),
            mac: "52:54:00:12:34:56".to_owned(),
            address,
        }],
        ..nothing()
    };
    let ticks = || Report {
        ticks_s: vec![12],
        ..nothing()
    };
    let power_buttons = |button| Report {
        power_buttons: vec![button],
        ..nothing()
    };
    let address = IpAddr::from([10, 0, 2, 15]);
    check(
        "kilonova-tiny: nic eth0 52:54:00:12:34:56 10.0.2.15",
        &nics(Some(address)),
    );
    check(
        "kilonova-tiny: nic eth0 52:54:00:12:34:56 none",
        &nics(None),
    );
    check(
        "kilonova-tiny: unplugged eth1",
        &Report {
            unplugged: texts("eth1"),
            ..nothing()
        },
    );
    check("kilonova-tiny: tick 12", &ticks());
    check("/ # kilonova-tiny: tick 12", &ticks());
    check(
        "kilonova-tiny: power-button",
        &power_buttons(PowerButton::Heeded),
    );
    check(
        "kilonova-tiny: power-button ignored",
        &power_buttons(PowerButton::Ignored),
    );
    check(
        "[    3.07] Uhhuh. NMI received for unknown reason 21 on CPU 0.",
        &Report {
            nmis: 1,
            ..nothing()
        },
    );
}

#[test]
fn torn_and_foreign_lines_are_passed_over() {
    for line in [
        "",
        "kilonova-tiny: ",
        "kilonova-tiny",
        "ova-tiny: tick 4",
        "kilonova-tiny: tick x",
        "kilonova-tiny: up hostname=a",
        "kilonova-tiny: nic eth0 52:54:00:12:34:56",
        "kilonova-tiny: nic eth0 52:54:00:12:34:56 10.0.2",
        "kilonova-tiny: power-button maybe",
        "kilonova-tiny: something new",
        "[    1.00] reboot: Restarting system",
    ] {
        check(line, &nothing());
    }
}

#[test]
fn a_line_counts_when_it_has_ended() {
    assert!(parse("kilonova-tiny: tick 1").ticks_s.is_empty());
    assert_eq!(
        parse("kilonova-tiny: tick 1\nkilonova-tiny: tick 2").ticks_s,
        [1]
    );
}

#[test]
fn two_boots_of_a_real_guest() {
    let report = parse(
        "[    0.847708] acpi PNP0A03:00: fail to add MMCONFIG information\r
kilonova-tiny: seed /dev/vdb vfat\r
kilonova-tiny: root-disk boot-count=2\r
kilonova-tiny: key ssh-ed25519 AAA c@d\r
kilonova-tiny: user-data sha256=14b0\r
plain quoted\r
kilonova-tiny: user-data exit=0\r
kilonova-tiny: up hostname=from-ud instance-id=i-0002 boot=1\r
kilonova-tiny: tick 3\r
[    4.179947] reboot: Restarting system\r
kilonova-tiny: root-disk boot-count=3\r
kilonova-tiny: up hostname=from-ud instance-id=i-0002 boot=2\r
kilonova-tiny: power-button\r
",
    );
    assert_eq!(report.boot_counts, [2, 3]);
    assert_eq!(
        report.ups.iter().map(|up| up.boot).collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(
        report.up().map(|up| up.instance_id.as_str()),
        Some("i-0002")
    );
    assert_eq!(report.power_buttons, [PowerButton::Heeded]);
    assert_eq!(report.ticks_s, [3]);
}
