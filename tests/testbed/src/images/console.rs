//! What the tiny guest says on its serial console, as data. Pure; the guest's side is `tiny/start.sh` and its
//! neighbours.
//!
//! Each line begins with `kilonova-tiny: `. In the order in which they usually come:
//!
//! ```text
//! seed DEVICE vfat|iso9660            where the seed was found, or `seed none`
//! root-disk boot-count=N              boots of this disk, this one included; 0 if it cannot count
//! key KEY                             one for each of public-keys, whole
//! user-data sha256=HEX                before it runs
//! user-data exit=N                    after it ran
//! up hostname=H instance-id=I boot=N  ready; N counts the boots of this disk since its instance-id changed
//! nic INTERFACE MAC ADDRESS           when its address is there or changes, by DHCPv4 or DHCPv6; `none` after 8 s
//!                                     without an answer by DHCPv4
//! unplugged INTERFACE                 a network card is gone
//! tick SECONDS                        about each second, by the guest's own clock (a number may be missing)
//! power-button                        heeded: power goes off now
//! power-button ignored                as user-data asked for
//! ```
//!
//! Beside these lines, the guest runs what a test asks for: `kilonova-tiny: exec …` is the runner's, whose protocol
//! [`nettool::protocol`] describes, and [`GuestConsole`](crate::guest_console::GuestConsole) speaks.
//!
//! An NMI is reported by the kernel, not by the guest's scripts: `Uhhuh. NMI received ...`.

use std::net::IpAddr;

/// What a line of the report begins with. A prompt or a kernel message may stand before it.
const MARK: &str = "kilonova-tiny: ";
/// What the kernel says when an NMI comes that no driver claims.
const NMI: &str = "Uhhuh. NMI received";

/// Everything a console log says, over all boots in it; the newest last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The seeds that were looked for.
    pub seeds: Vec<Seed>,
    /// For each boot, how often the disk has booted.
    pub boot_counts: Vec<u64>,
    /// The keys of the seed.
    pub keys: Vec<String>,
    /// The digests of user-data, in hexadecimal.
    pub user_data_sha256: Vec<String>,
    /// How user-data ended.
    pub user_data_exits: Vec<i32>,
    /// The boots that came to their end.
    pub ups: Vec<Up>,
    /// Network cards, each as often as its address changed.
    pub nics: Vec<Nic>,
    /// Network cards that were there, each as often as it went.
    pub unplugged: Vec<String>,
    /// Seconds since boot, about one for each second.
    pub ticks_s: Vec<u64>,
    /// The power button.
    pub power_buttons: Vec<PowerButton>,
    /// How many NMIs the kernel has seen.
    pub nmis: usize,
}

/// What a guest found when it looked for a `NoCloud` seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seed {
    /// No disk with the label.
    Missing,
    /// A disk with the label.
    Disk {
        /// Such as `/dev/vdb`.
        device: String,
        /// `vfat` or `iso9660`.
        filesystem: String,
    },
}

/// A guest that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Up {
    /// As it is after user-data.
    pub hostname: String,
    /// Of the seed, or `none`. Blanks are reported as underscores.
    pub instance_id: String,
    /// How often this disk has booted with this instance-id.
    pub boot: u64,
}

/// A network card and an address of it, if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// Such as `eth0`.
    pub interface: String,
    /// In lower case.
    pub mac: String,
    /// From `DHCPv4` or `DHCPv6`; what IPv6's own configuration gave is not reported.
    pub address: Option<IpAddr>,
}

/// What became of a push of the power button.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerButton {
    /// The guest goes off.
    Heeded,
    /// The guest was told not to listen.
    Ignored,
}

impl Report {
    /// The last boot that came to its end.
    pub fn up(&self) -> Option<&Up> {
        self.ups.last()
    }
}

/// Reads a console log. Lines that are torn (a log that was rotated, or is still being written) are passed over.
pub fn parse(log: &str) -> Report {
    let mut report = Report::default();
    for line in log.split_inclusive('\n') {
        let Some(line) = line.strip_suffix('\n') else {
            break; // still being written
        };
        let line = line.trim_end_matches('\r');
        report.nmis += usize::from(line.contains(NMI));
        if let Some((_, words)) = line.split_once(MARK) {
            // `None` is a torn line.
            let _: Option<()> = report.add(words);
        }
    }
    report
}

impl Report {
    fn add(&mut self, line: &str) -> Option<()> {
        let (topic, rest) = line.split_once(' ').unwrap_or((line, ""));
        match topic {
            "seed" => self.seeds.push(seed(rest)?),
            "root-disk" => self
                .boot_counts
                .push(field(rest, "boot-count")?.parse().ok()?),
            "key" => self.keys.push(rest.to_owned()),
            "user-data" => self.add_user_data(rest)?,
            "up" => self.ups.push(up(rest)?),
            "nic" => self.nics.push(nic(rest)?),
            "unplugged" => self.unplugged.push(rest.to_owned()),
            "tick" => self.ticks_s.push(rest.parse().ok()?),
            "power-button" => self.power_buttons.push(power_button(rest)?),
            _ => return None,
        }
        Some(())
    }

    fn add_user_data(&mut self, rest: &str) -> Option<()> {
        if let Some(sha256) = field(rest, "sha256") {
            self.user_data_sha256.push(sha256.to_owned());
        } else {
            self.user_data_exits
                .push(field(rest, "exit")?.parse().ok()?);
        }
        Some(())
    }
}

/// The value of `name=value` among words.
fn field<'a>(words: &'a str, name: &str) -> Option<&'a str> {
    words
        .split(' ')
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

fn seed(rest: &str) -> Option<Seed> {
    if rest == "none" {
        return Some(Seed::Missing);
    }
    let (device, filesystem) = rest.split_once(' ')?;
    Some(Seed::Disk {
        device: device.to_owned(),
        filesystem: filesystem.to_owned(),
    })
}

fn up(rest: &str) -> Option<Up> {
    Some(Up {
        hostname: field(rest, "hostname")?.to_owned(),
        instance_id: field(rest, "instance-id")?.to_owned(),
        boot: field(rest, "boot")?.parse().ok()?,
    })
}

fn nic(rest: &str) -> Option<Nic> {
    let mut words = rest.split(' ');
    let (interface, mac, address) = (words.next()?, words.next()?, words.next()?);
    let address = match address {
        "none" => None,
        address => Some(address.parse().ok()?),
    };
    Some(Nic {
        interface: interface.to_owned(),
        mac: mac.to_owned(),
        address,
    })
}

fn power_button(rest: &str) -> Option<PowerButton> {
    match rest {
        "" => Some(PowerButton::Heeded),
        "ignored" => Some(PowerButton::Ignored),
        _ => None,
    }
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
