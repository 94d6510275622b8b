//! How many servers a second the scheduler places, without a cluster: `cargo bench --bench placement`, and with
//! `-- --json` for programs.
//!
//! The cloud is filled to 70 % of its memory first and stays as full: each decision is preceded by forgetting the
//! oldest server. Every decision is by all filters and all weighers, and is assumed. Hosts and requests are of many
//! kinds and the same in every run. A refusal costs most, since every host has to be asked for its reason: it is
//! measured apart, with a server that no host takes.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and its figures need no more digits than a float has"
)]

use std::{
    collections::{BTreeMap, VecDeque},
    process::ExitCode,
    time::{Duration, Instant},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kilonova::{
    api::{
        flavor::{Firmware, Machine},
        hypervisor::{Hypervisor, HypervisorSpec, HypervisorStatus, Offers},
        server::Resources,
        value::Size,
    },
    compute::plan::{
        needs::Needs,
        scheduler::{Host, Request, View},
    },
};

/// Numbers of hosts, and how many decisions are measured with each: a few seconds of work altogether.
const RUNS: [(usize, usize); 2] = [(1_000, 100_000), (10_000, 20_000)];

/// How many refusals are measured with each.
const REFUSALS: usize = 200;

/// How full the cloud is, in percent of its memory.
const FILL_PERCENT: u64 = 70;

/// What the project asks of itself: decisions a second with 1,000 hosts.
const BAR_PER_SECOND: f64 = 5_000.0;

fn main() -> ExitCode {
    let mut json = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--json" => json = true,
            // What cargo itself passes.
            "--bench" => {}
            other => {
                eprintln!("unknown argument {other:?}: there is only --json");
                return ExitCode::from(2);
            }
        }
    }
    let results: Vec<_> = RUNS
        .into_iter()
        .map(|(hosts, decisions)| measure(hosts, decisions))
        .collect();
    if json {
        print_json(&results);
    } else {
        print_table(&results);
    }
    ExitCode::SUCCESS
}

/// What one run showed.
struct Measured {
    hosts: usize,
    servers: usize,
    decisions: usize,
    refused: usize,
    per_second: f64,
    p50: Duration,
    p99: Duration,
    refusal_p50: Duration,
}

fn measure(hosts: usize, decisions: usize) -> Measured {
    let mut dice = Dice(42);
    let mut view = View::default();
    let mut waiting_to_go = fill(&mut view, hosts, &mut dice);
    let servers = waiting_to_go.len();
    let asked: Vec<_> = (0..decisions)
        .map(|number| (format!("new-{number:08}"), Wish::roll(&mut dice)))
        .collect();

    let mut latencies = Vec::with_capacity(decisions);
    let mut refused = 0;
    let begin = Instant::now();
    for (uid, wish) in asked {
        // As many come as go: a refused server takes nobody's place, so nobody goes for the next one.
        if waiting_to_go.len() >= servers
            && let Some(oldest) = waiting_to_go.pop_front()
        {
            view.forget(&oldest);
        }
        let request = wish.request(&uid);
        let start = Instant::now();
        let placed = view.place_and_assume(&request);
        latencies.push(start.elapsed());
        match placed {
            Ok(_) => waiting_to_go.push_back(uid),
            Err(_) => refused += 1,
        }
    }
    let elapsed = begin.elapsed();
    latencies.sort_unstable();
    Measured {
        hosts,
        servers,
        decisions,
        refused,
        per_second: decisions as f64 / elapsed.as_secs_f64(),
        p50: latencies[decisions / 2],
        p99: latencies[decisions * 99 / 100],
        refusal_p50: measure_refusals(&view),
    }
}

/// How long it takes to say no, and why, to a server that passes all but the last filters everywhere.
fn measure_refusals(view: &View) -> Duration {
    let mut wish = Wish::roll(&mut Dice(7));
    wish.resources.disk = Size::gib(1 << 20);
    wish.needs.cpu_model = Some(cpu_model(0));
    let mut latencies: Vec<_> = (0..REFUSALS)
        .map(|_| {
            let start = Instant::now();
            let placed = view.place(&wish.request("too-large"));
            let elapsed = start.elapsed();
            assert!(placed.is_err(), "no host has a disk of 1Pi");
            elapsed
        })
        .collect();
    latencies.sort_unstable();
    latencies[REFUSALS / 2]
}

/// Makes hosts and binds servers to each until it is full enough. Returns the servers, mixed over all hosts.
fn fill(view: &mut View, hosts: usize, dice: &mut Dice) -> VecDeque<String> {
    let mut by_age: Vec<(u64, String)> = Vec::new();
    for number in 0..hosts {
        let name = format!("node-{number:05}");
        let hypervisor = roll_hypervisor(&name, dice);
        let capacity = hypervisor
            .status
            .as_ref()
            .and_then(|status| status.capacity);
        let full = capacity.unwrap_or_default().memory.as_mib() * FILL_PERCENT / 100;
        view.set_host(&name, Host::from_hypervisor(&hypervisor));
        while view.usage(&name).taken.memory_mib < full {
            let uid = format!("old-{:08}", by_age.len());
            view.bind(&uid, &name, Wish::roll(dice).resources);
            by_age.push((dice.roll(u64::MAX), uid));
        }
    }
    by_age.sort_unstable();
    by_age.into_iter().map(|(_, uid)| uid).collect()
}

/// Hosts of four sizes in four zones; some without Secure Boot or TPM, some old, some closed or not ready.
fn roll_hypervisor(name: &str, dice: &mut Dice) -> Hypervisor {
    let (vcpus, memory_gib) = dice.pick(&[(32, 128), (64, 256), (64, 512), (128, 1024)]);
    let disk = Size::gib(memory_gib * 10);
    let spec = HypervisorSpec {
        schedulable: dice.roll(100) >= 3,
        ..HypervisorSpec::default()
    };
    let mut hypervisor = Hypervisor::new(name, spec);
    let zone = dice.pick(&["a", "b", "c", "d"]);
    let media = dice.pick(&["ssd", "nvme"]);
    let labels = [
        ("kubernetes.io/arch", "amd64"),
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", "linux"),
        ("topology.kubernetes.io/zone", zone),
        ("example.com/media", media),
    ];
    hypervisor.metadata.labels = Some(owned(&labels));
    let modern = dice.roll(10) < 8;
    let newest_model = if modern { 60 } else { 30 };
    hypervisor.status = Some(HypervisorStatus {
        capacity: Some(Resources {
            vcpus,
            memory: Size::gib(memory_gib),
            disk,
        }),
        architecture: Some("x86_64".to_owned()),
        offers: Some(Offers {
            machines: vec![Machine::Q35, Machine::Pc],
            uefi: true,
            secure_boot: modern,
            tpm: modern,
            cpu_models: (0..newest_model).map(cpu_model).collect(),
        }),
        conditions: vec![Condition {
            type_: "Ready".to_owned(),
            status: if dice.roll(100) < 2 { "False" } else { "True" }.to_owned(),
            reason: "Bench".to_owned(),
            message: String::new(),
            last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
            observed_generation: None,
        }],
        ..HypervisorStatus::default()
    });
    hypervisor
}

fn cpu_model(number: u64) -> String {
    format!("Generation-{number:02}-Server")
}

/// What a server asks for.
struct Wish {
    resources: Resources,
    needs: Needs,
    node_selector: BTreeMap<String, String>,
}

impl Wish {
    /// Servers of six sizes; every second one starts by UEFI, every fourth wants a zone, every fifth a CPU model.
    fn roll(dice: &mut Dice) -> Self {
        let (vcpus, memory_gib, disk_gib) = dice.pick(&[
            (1, 1, 10),
            (1, 2, 20),
            (2, 4, 40),
            (4, 8, 80),
            (8, 32, 160),
            (16, 64, 320),
        ]);
        let uefi = dice.roll(2) == 0;
        let guarded = uefi && dice.roll(4) == 0;
        let needs = Needs {
            architecture: Some("x86_64".to_owned()),
            machine: dice.pick(&[Machine::Q35, Machine::Q35, Machine::Pc]),
            firmware: if uefi { Firmware::Uefi } else { Firmware::Bios },
            secure_boot: guarded,
            tpm: guarded,
            cpu_model: (dice.roll(5) == 0).then(|| cpu_model(dice.roll(60))),
            network: false,
        };
        let zone = dice.pick(&["a", "b", "c", "d"]);
        let node_selector = match dice.roll(4) {
            0 => owned(&[("topology.kubernetes.io/zone", zone)]),
            _ => BTreeMap::new(),
        };
        Self {
            resources: Resources {
                vcpus,
                memory: Size::gib(memory_gib),
                disk: Size::gib(disk_gib),
            },
            needs,
            node_selector,
        }
    }

    fn request<'a>(&'a self, uid: &'a str) -> Request<'a> {
        Request {
            uid,
            resources: self.resources,
            needs: &self.needs,
            node_selector: &self.node_selector,
        }
    }
}

fn owned(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()))
        .collect()
}

/// Numbers that look random and are the same in every run: Knuth's linear congruential generator (MMIX).
struct Dice(u64);

impl Dice {
    /// A number below `sides`. The upper half of the state is used: the lower bits repeat soon.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) % sides
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        let index = self.roll(items.len() as u64);
        items[usize::try_from(index).unwrap_or_default()]
    }
}

fn print_table(results: &[Measured]) {
    println!(
        "{:>7} {:>9} {:>10} {:>9} {:>12} {:>10} {:>10} {:>12}",
        "hosts", "servers", "decisions", "refused", "decisions/s", "p50", "p99", "refusal p50"
    );
    for measured in results {
        println!(
            "{:>7} {:>9} {:>10} {:>9} {:>12.0} {:>10} {:>10} {:>12}",
            measured.hosts,
            measured.servers,
            measured.decisions,
            measured.refused,
            measured.per_second,
            micros(measured.p50),
            micros(measured.p99),
            micros(measured.refusal_p50),
        );
    }
    println!("bar: {BAR_PER_SECOND:.0} decisions/s with 1000 hosts");
}

fn micros(latency: Duration) -> String {
    format!("{:.1} µs", latency.as_secs_f64() * 1e6)
}

fn print_json(results: &[Measured]) {
    let runs: Vec<_> = results
        .iter()
        .map(|measured| {
            serde_json::json!({
                "hosts": measured.hosts,
                "servers": measured.servers,
                "decisions": measured.decisions,
                "refused": measured.refused,
                "decisions_per_second": measured.per_second.round(),
                "p50_us": measured.p50.as_secs_f64() * 1e6,
                "p99_us": measured.p99.as_secs_f64() * 1e6,
                "refusal_p50_us": measured.refusal_p50.as_secs_f64() * 1e6,
            })
        })
        .collect();
    let report = serde_json::json!({ "bar_decisions_per_second": BAR_PER_SECOND, "runs": runs });
    println!("{report:#}");
}
