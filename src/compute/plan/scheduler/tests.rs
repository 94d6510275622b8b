//! The scheduler as a whole: who is placed where, what is counted, what is said, and properties of any history.

use proptest::prelude::*;

use super::{
    fixtures::{MEDIUM, Wish, host, hypervisor, labels},
    *,
};
use crate::{
    api::{
        flavor::{Firmware, Machine},
        hypervisor::{Hypervisor, Offers},
        value::Size,
    },
    compute::plan::needs::Needs,
};

/// A view of hosts of 8 CPUs, 16Gi and 100Gi.
fn view(names: &[&str]) -> View {
    let mut view = View::default();
    for name in names {
        view.set_host(name, host(8, Size::gib(16), Size::gib(100)));
    }
    view
}

fn place(view: &View, uid: &str) -> Option<String> {
    let wish = Wish::of(MEDIUM);
    view.place(&wish.request(uid))
        .ok()
        .map(|placement| placement.node)
}

fn assume(view: &mut View, uid: &str) -> Option<String> {
    let wish = Wish::of(MEDIUM);
    view.place_and_assume(&wish.request(uid))
        .ok()
        .map(|placement| placement.node)
}

fn taken(view: &View, node: &str) -> (u32, u64) {
    let usage = view.usage(node);
    (usage.servers, usage.taken.memory_mib)
}

mod placing {
    use super::*;

    #[test]
    fn equal_weights_go_by_name_and_then_by_load() {
        let mut view = view(&["b", "c", "a"]);
        let nodes: Vec<_> = ["1", "2", "3", "4"]
            .into_iter()
            .filter_map(|uid| assume(&mut view, uid))
            .collect();
        assert_eq!(nodes, ["a", "b", "c", "a"]);
    }

    #[test]
    fn negative_weights_fill_one_host_before_the_next() {
        let mut view = View::new(Weights {
            cpu: -1,
            memory: -1,
            disk: -1,
            spread: -1,
        });
        for name in ["a", "b"] {
            view.set_host(name, host(8, Size::gib(16), Size::gib(100)));
        }
        view.bind("0", "b", MEDIUM);
        let nodes: Vec<_> = ["1", "2", "3", "4"]
            .into_iter()
            .filter_map(|uid| assume(&mut view, uid))
            .collect();
        assert_eq!(nodes, ["b", "b", "b", "a"]);
    }

    #[test]
    fn the_larger_of_two_empty_hosts_is_less_full_with_the_server() {
        let mut view = view(&["a"]);
        view.set_host("b", host(16, Size::gib(32), Size::gib(200)));
        assert_eq!(place(&view, "1").as_deref(), Some("b"));
    }

    #[test]
    fn the_last_slot_is_taken_once() {
        let mut view = View::default();
        view.set_host("a", host(2, Size::gib(4), Size::gib(20)));
        assert_eq!(assume(&mut view, "1").as_deref(), Some("a"));
        assert_eq!(assume(&mut view, "2"), None);
        assert!(view.forget("1"));
        assert_eq!(assume(&mut view, "2").as_deref(), Some("a"));
    }

    #[test]
    fn who_has_the_last_slot_may_ask_again() {
        let mut view = View::default();
        view.set_host("a", host(2, Size::gib(4), Size::gib(20)));
        view.set_host("b", host(1, Size::gib(4), Size::gib(20)));
        for _ in 0..3 {
            assert_eq!(assume(&mut view, "1").as_deref(), Some("a"));
            assert_eq!(taken(&view, "a"), (1, 4096));
        }
    }

    /// Its claim may have been written: elsewhere it would be counted twice, or not at all.
    #[test]
    fn who_has_a_place_gets_the_same_one_though_another_is_lighter_now() {
        let mut view = view(&["a", "b"]);
        assert_eq!(assume(&mut view, "1").as_deref(), Some("a"));
        view.set_host("b", host(64, Size::gib(256), Size::gib(2000)));
        assert_eq!(assume(&mut view, "1").as_deref(), Some("a"));
        assert_eq!(
            assume(&mut view, "2").as_deref(),
            Some("b"),
            "which is lighter"
        );
        view.remove_host("a");
        assert_eq!(assume(&mut view, "1").as_deref(), Some("b"));
    }

    #[test]
    fn placing_alone_claims_nothing() {
        let view = view(&["a"]);
        let before = view.clone();
        assert_eq!(place(&view, "1").as_deref(), Some("a"));
        assert_eq!(view, before);
    }
}

mod accounting {
    use super::*;

    #[test]
    fn binding_twice_counts_once_and_binding_elsewhere_moves() {
        let mut view = view(&["a", "b"]);
        assert!(!view.bind("1", "a", MEDIUM));
        assert!(!view.bind("1", "a", MEDIUM));
        assert_eq!(taken(&view, "a"), (1, 4096));
        assert!(view.bind("1", "b", MEDIUM));
        assert_eq!((taken(&view, "a"), taken(&view, "b")), ((0, 0), (1, 4096)));
        let smaller = Resources {
            memory: Size::gib(1),
            ..MEDIUM
        };
        assert!(view.bind("1", "b", smaller));
        assert_eq!(taken(&view, "b"), (1, 1024));
    }

    #[test]
    fn forgetting_says_whether_there_was_something() {
        let mut view = view(&["a"]);
        view.bind("1", "a", MEDIUM);
        assert!(view.forget("1"));
        assert!(!view.forget("1"));
        assert_eq!(view, super::view(&["a"]));
    }

    #[test]
    fn a_host_that_vanishes_and_comes_back_finds_its_servers() {
        let mut view = view(&["a"]);
        view.bind("1", "a", MEDIUM);
        view.remove_host("a");
        assert_eq!(taken(&view, "a"), (1, 4096));
        assert_eq!(place(&view, "2"), None);
        assert!(view.set_host("a", host(2, Size::gib(8), Size::gib(100))));
        assert_eq!(place(&view, "2"), None, "its CPUs are taken");
    }

    #[test]
    fn a_server_may_be_bound_before_its_host_is_seen() {
        let mut view = View::default();
        view.bind("1", "a", MEDIUM);
        view.set_host("a", host(2, Size::gib(8), Size::gib(100)));
        assert_eq!(place(&view, "2"), None);
    }

    #[test]
    fn nothing_stays_of_a_node_without_host_and_servers() {
        let mut view = view(&["a"]);
        view.bind("1", "a", MEDIUM);
        view.remove_host("a");
        view.forget("1");
        assert_eq!(view, View::default());
        view.set_host("a", Host::default());
        view.remove_host("a");
        view.remove_host("never-there");
        assert_eq!(view, View::default());
    }

    #[test]
    fn a_new_host_or_a_better_one_is_news_and_the_same_is_not() {
        let mut view = View::default();
        let large = || host(16, Size::gib(32), Size::gib(200));
        let small = || host(8, Size::gib(16), Size::gib(100));
        assert!(view.set_host("a", small()));
        assert!(!view.set_host("a", small()));
        assert!(view.set_host("a", large()));
        assert!(!view.set_host("a", small()));
        view.remove_host("a");
        assert!(view.set_host("a", small()));
    }

    #[test]
    fn a_host_follows_what_is_said_of_it() {
        let mut view = view(&["a"]);
        assert_eq!(place(&view, "1").as_deref(), Some("a"));
        view.set_host("a", Host::default());
        assert_eq!(place(&view, "1"), None);
    }

    #[test]
    fn rebinding_says_whether_room_appeared() {
        let mut view = view(&["a", "b"]);
        view.bind("1", "a", MEDIUM);
        assert!(!view.rebind_all([("1", "a", MEDIUM)]));
        assert!(!view.rebind_all([("1", "a", MEDIUM), ("2", "b", MEDIUM)]));
        assert!(view.rebind_all([("1", "a", MEDIUM), ("2", "a", MEDIUM)]));
        assert_eq!((taken(&view, "a"), taken(&view, "b")), ((2, 8192), (0, 0)));
        assert!(view.rebind_all([]));
        assert_eq!(view, super::view(&["a", "b"]));
    }
}

mod saying_why {
    use super::*;

    /// What a server hears that finds these hosts.
    fn message(wish: &Wish, hosts: &[Hypervisor]) -> String {
        let mut view = View::default();
        for (index, hypervisor) in hosts.iter().enumerate() {
            view.set_host(&format!("n{index}"), Host::from_hypervisor(hypervisor));
        }
        match view.place(&wish.request("uid")) {
            Ok(placement) => format!("placed on {}", placement.node),
            Err(refusal) => refusal.to_string(),
        }
    }

    fn changed(change: impl FnOnce(&mut Hypervisor)) -> Hypervisor {
        let mut hypervisor = hypervisor(8, Size::gib(16), Size::gib(100));
        change(&mut hypervisor);
        hypervisor
    }

    fn unready() -> Hypervisor {
        changed(|hypervisor| hypervisor.status = None)
    }

    #[test]
    fn without_hosts() {
        assert_eq!(
            message(&Wish::of(MEDIUM), &[]),
            "there is no hypervisor yet: label a node with kilonova.dev/hypervisor=true"
        );
    }

    #[test]
    fn with_several_reasons() {
        let small = |memory| hypervisor(8, memory, Size::gib(100));
        let hosts = vec![small(Size::gib(1)), unready(), small(Size::mib(512))];
        assert_eq!(
            message(&Wish::of(MEDIUM), &hosts),
            "no hypervisor can take it: of 3, 1 is not ready, 2 have less than the 4Gi of memory it needs \
             (the most that one server may have: 1Gi)"
        );
    }

    #[test]
    fn when_others_have_taken_the_room() {
        let mut view = View::default();
        view.set_host("a", host(4, Size::gib(7), Size::gib(100)));
        view.set_host("b", host(4, Size::gib(5), Size::gib(100)));
        view.set_host("c", Host::default());
        assume(&mut view, "1");
        assume(&mut view, "2");
        let wish = Wish::of(MEDIUM);
        let refusal = view.place(&wish.request("3")).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "no hypervisor can take it: of 3, 1 is not schedulable, 2 have less than the 4Gi of memory it needs \
             (the most that is free: 3Gi)"
        );
        let counts: Vec<_> = refusal.by_filter().collect();
        assert_eq!(counts, [(Filter::Schedulable, 1), (Filter::Memory, 2)]);
        assert_eq!(refusal.hosts(), 3);
    }

    /// A host that is large enough once others leave is worth waiting for, whatever smaller ones have.
    #[test]
    fn waiting_is_hopeless_only_when_no_host_is_large_enough() {
        let mut view = View::default();
        view.set_host("large", host(16, Size::gib(16), Size::gib(100)));
        view.set_host("small", host(1, Size::gib(16), Size::gib(100)));
        let neighbour = Resources {
            vcpus: 15,
            ..MEDIUM
        };
        view.bind("neighbour", "large", neighbour);
        let wish = Wish::of(MEDIUM);
        assert_eq!(
            view.place(&wish.request("1")).unwrap_err().to_string(),
            "no hypervisor can take it: of 2, 2 have fewer than the 2 vCPUs it needs (the most that is free: 1)"
        );
        view.remove_host("large");
        assert_eq!(
            view.place(&wish.request("1")).unwrap_err().to_string(),
            "no hypervisor can take it: the only one has fewer than the 2 vCPUs it needs \
             (the most that one server may have: 1)"
        );
    }

    #[test]
    fn of_one_virtual_cpu_in_the_singular() {
        let mut view = View::default();
        view.set_host("a", host(1, Size::gib(16), Size::gib(100)));
        let wish = Wish::of(Resources { vcpus: 1, ..MEDIUM });
        view.bind("1", "a", wish.resources);
        assert_eq!(
            view.place(&wish.request("2")).unwrap_err().to_string(),
            "no hypervisor can take it: the only one has less than the 1 vCPU it needs (none is free)"
        );
    }

    #[test]
    fn when_nothing_at_all_is_left() {
        let mut view = View::default();
        view.set_host("a", host(2, Size::gib(4), Size::gib(20)));
        assume(&mut view, "1");
        let wish = Wish::of(MEDIUM);
        assert_eq!(
            view.place(&wish.request("2")).unwrap_err().to_string(),
            "no hypervisor can take it: the only one has fewer than the 2 vCPUs it needs (none is free)"
        );
    }

    fn closed() -> Hypervisor {
        changed(|hypervisor| hypervisor.spec.schedulable = false)
    }

    fn usual() -> Hypervisor {
        changed(|_| ())
    }

    fn bare() -> Hypervisor {
        changed(|hypervisor| {
            let status = hypervisor.status.get_or_insert_default();
            status.offers = Some(Offers {
                machines: vec![Machine::Q35],
                ..Offers::default()
            });
        })
    }

    fn needing(change: impl FnOnce(&mut Needs)) -> Wish {
        let mut wish = Wish::of(MEDIUM);
        change(&mut wish.needs);
        wish
    }

    fn sized(vcpus: u16, memory_gib: u64, disk_gib: u64) -> Wish {
        Wish::of(Resources {
            vcpus,
            memory: Size::gib(memory_gib),
            disk: Size::gib(disk_gib),
        })
    }

    /// What a server hears of one such host, and of two.
    fn check(wish: &Wish, hypervisor: fn() -> Hypervisor, one: &str, two: &str) {
        assert_eq!(
            message(wish, &[hypervisor()]),
            format!("no hypervisor can take it: the only one {one}")
        );
        assert_eq!(
            message(wish, &[hypervisor(), hypervisor()]),
            format!("no hypervisor can take it: of 2, 2 {two}")
        );
    }

    #[test]
    fn what_a_host_is_not() {
        let plain = Wish::of(MEDIUM);
        check(&plain, closed, "is not schedulable", "are not schedulable");
        check(&plain, unready, "is not ready", "are not ready");
        check(
            &needing(|needs| needs.architecture = Some("aarch64".to_owned())),
            usual,
            "is not of the architecture aarch64",
            "are not of the architecture aarch64",
        );
        let selective = Wish {
            node_selector: labels(&[("gpu", "yes"), ("zone", "b")]),
            ..Wish::of(MEDIUM)
        };
        check(
            &selective,
            usual,
            "does not match its node selector (gpu=yes,zone=b)",
            "do not match its node selector (gpu=yes,zone=b)",
        );
    }

    #[test]
    fn what_a_host_does_not_offer() {
        let cases = [
            (
                needing(|needs| needs.machine = Machine::Pc),
                "the machine Pc",
            ),
            (
                needing(|needs| needs.firmware = Firmware::Uefi),
                "the firmware Uefi",
            ),
            (needing(|needs| needs.secure_boot = true), "Secure Boot"),
            (needing(|needs| needs.tpm = true), "a TPM"),
            (
                needing(|needs| needs.cpu_model = Some("EPYC-Rome".to_owned())),
                "the CPU model EPYC-Rome",
            ),
        ];
        for (wish, missing) in cases {
            let (one, two) = (
                format!("does not offer {missing}"),
                format!("do not offer {missing}"),
            );
            check(&wish, bare, &one, &two);
        }
    }

    #[test]
    fn what_a_host_is_too_small_for() {
        let cases = [
            (sized(9, 1, 1), "fewer than the 9 vCPUs", "8"),
            (sized(1, 17, 1), "less than the 17Gi of memory", "16Gi"),
            (sized(1, 1, 101), "less than the 101Gi of disk", "100Gi"),
        ];
        for (wish, missing, most) in cases {
            let rest = format!("{missing} it needs (the most that one server may have: {most})");
            check(
                &wish,
                usual,
                &format!("has {rest}"),
                &format!("have {rest}"),
            );
        }
    }
}

/// Whatever happens, in whatever order.
mod any_history {
    use super::*;

    /// Something that happens to the view. Names are few, so that histories meet themselves.
    #[derive(Clone, Debug)]
    enum Event {
        Place { uid: u8, wish: Ask },
        Forget { uid: u8 },
        Bind { uid: u8, node: u8, wish: Ask },
        SetHost { node: u8, shape: Shape },
        RemoveHost { node: u8 },
    }

    #[derive(Clone, Debug)]
    struct Ask {
        vcpus: u16,
        memory_mib: u64,
        disk_mib: u64,
        zone: Option<bool>,
        uefi: bool,
    }

    #[derive(Clone, Debug)]
    #[allow(
        clippy::struct_excessive_bools,
        reason = "each is one toss of a coin for the generator"
    )]
    struct Shape {
        vcpus: u16,
        memory_mib: u64,
        disk_mib: u64,
        zone: bool,
        uefi: bool,
        ready: bool,
        schedulable: bool,
        overcommit_percent: u32,
    }

    fn zone(zone: bool) -> &'static str {
        if zone { "a" } else { "b" }
    }

    fn uid(number: u8) -> String {
        format!("uid-{number}")
    }

    fn node(number: u8) -> String {
        format!("node-{number}")
    }

    impl Ask {
        fn wish(&self) -> Wish {
            let firmware = if self.uefi {
                Firmware::Uefi
            } else {
                Firmware::Bios
            };
            Wish {
                resources: Resources {
                    vcpus: self.vcpus,
                    memory: Size::mib(self.memory_mib),
                    disk: Size::mib(self.disk_mib),
                },
                needs: Needs {
                    firmware,
                    ..Needs::default()
                },
                node_selector: self
                    .zone
                    .map(|asked| labels(&[("zone", zone(asked))]))
                    .unwrap_or_default(),
            }
        }
    }

    impl Shape {
        fn host(&self) -> Host {
            let (memory, disk) = (Size::mib(self.memory_mib), Size::mib(self.disk_mib));
            let mut hypervisor = hypervisor(self.vcpus, memory, disk);
            hypervisor.metadata.labels = Some(labels(&[("zone", zone(self.zone))]));
            hypervisor.spec.schedulable = self.schedulable;
            hypervisor.spec.overcommit.cpu_percent = self.overcommit_percent;
            hypervisor.spec.overcommit.memory_percent = self.overcommit_percent;
            let status = hypervisor.status.get_or_insert_default();
            status.offers.get_or_insert_default().uefi = self.uefi;
            if !self.ready {
                status.conditions.clear();
            }
            Host::from_hypervisor(&hypervisor)
        }
    }

    prop_compose! {
        fn ask()(
            vcpus in 0_u16..6,
            memory_mib in 0_u64..6,
            disk_mib in 0_u64..6,
            zone in any::<Option<bool>>(),
            uefi in any::<bool>(),
        ) -> Ask {
            Ask { vcpus, memory_mib, disk_mib, zone, uefi }
        }
    }

    prop_compose! {
        fn shape()(
            vcpus in 0_u16..12,
            memory_mib in 0_u64..12,
            disk_mib in 0_u64..12,
            zone in any::<bool>(),
            uefi in any::<bool>(),
            ready in prop::bool::weighted(0.9),
            schedulable in prop::bool::weighted(0.9),
            overcommit_percent in prop::sample::select(vec![50_u32, 100, 150, 400]),
        ) -> Shape {
            Shape { vcpus, memory_mib, disk_mib, zone, uefi, ready, schedulable, overcommit_percent }
        }
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => (0_u8..12, ask()).prop_map(|(uid, wish)| Event::Place { uid, wish }),
            2 => (0_u8..12).prop_map(|uid| Event::Forget { uid }),
            1 => (0_u8..12, 0_u8..5, ask())
                .prop_map(|(uid, node, wish)| Event::Bind { uid, node, wish }),
            2 => (0_u8..5, shape()).prop_map(|(node, shape)| Event::SetHost { node, shape }),
            1 => (0_u8..5).prop_map(|node| Event::RemoveHost { node }),
        ]
    }

    fn happen(view: &mut View, event: &Event) {
        match event {
            Event::Place { uid: number, wish } => {
                let _ = view.place_and_assume(&wish.wish().request(&uid(*number)));
            }
            Event::Forget { uid: number } => {
                view.forget(&uid(*number));
            }
            Event::Bind {
                uid: number,
                node: place,
                wish,
            } => {
                view.bind(&uid(*number), &node(*place), wish.wish().resources);
            }
            Event::SetHost { node: place, shape } => {
                view.set_host(&node(*place), shape.host());
            }
            Event::RemoveHost { node: place } => view.remove_host(&node(*place)),
        }
    }

    fn view_after(events: &[Event]) -> View {
        let mut view = View::default();
        for event in events {
            happen(&mut view, event);
        }
        view
    }

    fn cloud() -> impl Strategy<Value = View> {
        prop::collection::vec(event(), 0..40).prop_map(|events| view_after(&events))
    }

    proptest! {
        /// Servers come and go through the scheduler alone, on hosts that stay as they are: no host ever promises
        /// more than it may, and the counts are those of an account kept by hand.
        #[test]
        fn no_host_promises_more_than_it_may(
            shapes in prop::collection::vec(shape(), 1..5),
            calls in prop::collection::vec((0_u8..12, prop::option::weighted(0.8, ask())), 0..60),
        ) {
            let mut view = View::default();
            for (index, shape) in shapes.iter().enumerate() {
                view.set_host(&format!("node-{index}"), shape.host());
            }
            let mut book: BTreeMap<String, (String, Resources)> = BTreeMap::new();
            for (number, ask) in calls {
                let uid = uid(number);
                match ask.map(|ask| ask.wish()) {
                    None => prop_assert_eq!(view.forget(&uid), book.remove(&uid).is_some()),
                    Some(wish) => if let Ok(placement) = view.place_and_assume(&wish.request(&uid)) {
                        book.insert(uid, (placement.node, wish.resources));
                    },
                }
                for (index, shape) in shapes.iter().enumerate() {
                    let name = format!("node-{index}");
                    let mine = || book.values().filter(|(node, _)| *node == name).map(|(_, taken)| taken);
                    let usage = view.usage(&name);
                    let vcpus: u64 = mine().map(|taken| u64::from(taken.vcpus)).sum();
                    let memory: u64 = mine().map(|taken| taken.memory.as_mib()).sum();
                    let disk: u64 = mine().map(|taken| taken.disk.as_mib()).sum();
                    let by_hand = Amounts { vcpus, memory_mib: memory, disk_mib: disk };
                    prop_assert_eq!(usage.taken, by_hand);
                    prop_assert_eq!(usage.servers as usize, mine().count());
                    let percent = u64::from(shape.overcommit_percent);
                    prop_assert!(vcpus <= u64::from(shape.vcpus) * percent / 100);
                    prop_assert!(memory <= shape.memory_mib * percent / 100);
                    prop_assert!(disk <= shape.disk_mib);
                }
            }
        }

        /// The answer depends on what is there, not on the order in which it became known.
        #[test]
        fn equal_clouds_give_equal_answers(
            shapes in prop::collection::vec(shape(), 0..5),
            bound in prop::collection::vec((0_u8..5, ask()), 0..12),
            ask in ask(),
        ) {
            let hosts: Vec<_> = (0..).zip(&shapes).map(|(number, shape)| (node(number), shape.host())).collect();
            let servers: Vec<_> = (0..).zip(&bound).map(|(number, (place, ask))| (uid(number), node(*place), ask.wish().resources)).collect();
            let mut forwards = View::default();
            for (name, host) in &hosts {
                forwards.set_host(name, host.clone());
            }
            for (uid, node, resources) in &servers {
                forwards.bind(uid, node, *resources);
            }
            let mut backwards = View::default();
            for (uid, node, resources) in servers.iter().rev() {
                backwards.bind(uid, node, *resources);
            }
            for (name, host) in hosts.iter().rev() {
                backwards.set_host(name, host.clone());
            }
            let wish = ask.wish();
            let answer = forwards.place(&wish.request("new"));
            prop_assert_eq!(&answer, &backwards.place(&wish.request("new")));
            prop_assert_eq!(&answer, &forwards.place(&wish.request("new")));
            prop_assert_eq!(forwards, backwards);
        }

        /// The winner accepts the server and no other host that does is lighter, or as light with a lesser name.
        #[test]
        fn the_winner_is_the_lightest_of_those_that_accept(view in cloud(), ask in ask()) {
            let wish = ask.wish();
            let answer = view.place(&wish.request("new")).ok().map(|placement| placement.node);
            let demand = Amounts::taken(wish.resources);
            let alone = |name: &str| {
                let mut only = view.clone();
                (0..5).map(node).filter(|other| other != name).for_each(|other| only.remove_host(&other));
                only.place(&wish.request("new")).is_ok()
            };
            let expected = (0..5)
                .map(node)
                .filter(|name| alone(name))
                .map(|name| (view.weight_on(&name, &demand), name))
                .min()
                .map(|(_, name)| name);
            prop_assert_eq!(answer, expected);
        }

        #[test]
        fn forgetting_undoes_binding(view in cloud(), place in 0_u8..8, ask in ask()) {
            let mut bound = view.clone();
            bound.bind("new", &node(place), ask.wish().resources);
            prop_assert_ne!(&bound, &view);
            prop_assert!(bound.forget("new"));
            prop_assert_eq!(bound, view);
        }

        /// Rebuilding from a list of bindings gives what binding them one by one gives, whatever was bound before.
        #[test]
        fn rebinding_equals_binding_one_by_one(
            events in prop::collection::vec(event(), 0..40),
            bound in prop::collection::vec((0_u8..12, 0_u8..5, ask()), 0..12),
        ) {
            let bound: Vec<_> = bound
                .iter()
                .map(|(number, place, ask)| (uid(*number), node(*place), ask.wish().resources))
                .collect();
            let mut rebuilt = view_after(&events);
            rebuilt.rebind_all(bound.iter().map(|(uid, node, resources)| (uid.as_str(), node.as_str(), *resources)));
            let hosts_alone: Vec<_> = events
                .into_iter()
                .filter(|event| matches!(event, Event::SetHost { .. } | Event::RemoveHost { .. }))
                .collect();
            let mut incremental = view_after(&hosts_alone);
            for (uid, node, resources) in &bound {
                incremental.bind(uid, node, *resources);
            }
            prop_assert_eq!(rebuilt, incremental);
        }

        #[test]
        fn every_host_is_counted_once(view in cloud(), ask in ask()) {
            let wish = ask.wish();
            if let Err(refusal) = view.place(&wish.request("new")) {
                let counted: u32 = refusal.by_filter().map(|(_, count)| count).sum();
                let hosts = (0..5).filter(|number| view.has_host(&node(*number))).count();
                prop_assert_eq!(counted as usize, hosts);
                prop_assert_eq!(refusal.hosts(), counted);
                prop_assert!(refusal.by_filter().all(|(_, count)| count > 0));
            }
        }

        /// What is not reported as news must not be: a server that no host took is still not taken after it.
        #[test]
        fn room_never_appears_unannounced(view in cloud(), ask in ask(), event in event()) {
            let wish = ask.wish();
            prop_assume!(view.place(&wish.request("new")).is_err());
            let mut after = view.clone();
            let announced = match &event {
                Event::Place { uid: number, wish } => {
                    // A server that is placed again may move; its caller knows of that.
                    prop_assume!(!after.forget(&uid(*number)));
                    let _ = after.place_and_assume(&wish.wish().request(&uid(*number)));
                    false
                }
                Event::Forget { uid: number } => after.forget(&uid(*number)),
                Event::Bind { uid: number, node: place, wish } => {
                    after.bind(&uid(*number), &node(*place), wish.wish().resources)
                }
                Event::SetHost { node: place, shape } => after.set_host(&node(*place), shape.host()),
                Event::RemoveHost { node: place } => {
                    after.remove_host(&node(*place));
                    false
                }
            };
            if !announced {
                prop_assert!(after.place(&wish.request("new")).is_err());
            }
        }
    }
}
