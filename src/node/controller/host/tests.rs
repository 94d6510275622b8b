//! What the agent sees of a host that is a folder, and what it tells of it.

use std::{
    fs,
    os::{
        fd::AsRawFd as _,
        unix::{fs::PermissionsExt, net::UnixListener},
    },
    path::Path,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::*;
use crate::{
    cluster::{
        metrics,
        mock::{Answer, MockServer},
    },
    node::{
        controller::{
            stage::{Stage, stage},
            storage,
        },
        driver::{Failure, Operation},
        metrics::ImageMetrics,
        plan::host::{Device, Libvirt, SocketState, Switch},
    },
};

const NODE: &str = "/apis/kilonova.dev/v1alpha1/hypervisors/n1";
const STATUS: &str = "/apis/kilonova.dev/v1alpha1/hypervisors/n1/status";

fn site(root: &Path) -> Site {
    Site {
        state_dir: root.join("state"),
        host_dev: root.join("dev"),
        open_vswitch: root.join("db.sock"),
        libvirt_uri: format!(
            "qemu:///system?socket={}",
            root.join("libvirt-sock").display()
        ),
        virt_type: None,
    }
}

#[test]
fn a_device_is_there_or_absent_or_hidden() {
    let root = tempfile::tempdir().unwrap();
    let site = site(root.path());
    assert!(matches!(look::kvm(&site), Device::Hidden(why) if why.contains("/dev: No such file")));
    fs::create_dir(&site.host_dev).unwrap();
    assert_eq!(look::kvm(&site), Device::Absent);
    fs::write(site.host_dev.join("kvm"), "").unwrap();
    assert_eq!(
        look::kvm(&site),
        Device::Hidden("it is no device".to_owned())
    );
    fs::remove_file(site.host_dev.join("kvm")).unwrap();
    // Every machine has this device, open to all.
    std::os::unix::fs::symlink("/dev/null", site.host_dev.join("kvm")).unwrap();
    let (mode, uid, gid) = (0o666, 0, 0);
    assert_eq!(look::kvm(&site), Device::There { mode, uid, gid });
}

#[tokio::test(start_paused = true)]
async fn a_switch_that_does_not_answer_says_how_its_socket_is() {
    let root = tempfile::tempdir().unwrap();
    let path = site(root.path()).open_vswitch;
    let switch = switch::Switch::new(&path);
    let look = async || match switch.look().await {
        Switch::Silent { socket, .. } => socket.state,
        Switch::Answers(facts) => panic!("it answers: {facts:?}"),
    };
    assert_eq!(look().await, SocketState::Absent);
    let listener = UnixListener::bind(&path).unwrap();
    assert_eq!(look().await, SocketState::Listens);
    drop(listener);
    assert_eq!(look().await, SocketState::Dead);
}

#[test]
fn a_folder_is_looked_at_and_left_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    let site = site(root.path());
    assert!(look::storage(&site, None).folder.is_err());
    fs::write(&site.state_dir, "in the way").unwrap();
    assert_eq!(
        look::storage(&site, None).folder.unwrap_err(),
        "not a directory"
    );
    fs::remove_file(&site.state_dir).unwrap();
    fs::create_dir(&site.state_dir).unwrap();
    fs::set_permissions(&site.state_dir, fs::Permissions::from_mode(0o710)).unwrap();
    let folder = look::storage(&site, None).folder.unwrap();
    assert!(folder.writable && !folder.read_only);
    assert_eq!(folder.mode, 0o710);
    assert!(folder.size.as_bytes() > 0);
    assert_eq!(fs::read_dir(&site.state_dir).unwrap().count(), 0);
}

#[tokio::test]
async fn a_silent_libvirt_s_socket_tells_why() {
    let root = tempfile::tempdir().unwrap();
    let stage = stage(Vec::new()).await;
    stage.ctx.driver.set_reachable(false);
    let site = site(root.path());
    let look = async || {
        let said = stage.ctx.driver.host().await;
        let Libvirt::Silent { sockets, why } = super::look::libvirt(&site, said).await else {
            panic!("it answers");
        };
        assert_eq!(
            why,
            "could not learn the facts of the hypervisor: unreachable"
        );
        assert_eq!(sockets.len(), 1);
        sockets[0].state.clone()
    };
    assert_eq!(look().await, SocketState::Absent);
    let listener = UnixListener::bind(root.path().join("libvirt-sock")).unwrap();
    assert_eq!(look().await, SocketState::Listens);
    drop(listener);
    assert_eq!(look().await, SocketState::Dead);
}

/// As a pod sees a folder of its host that was removed, and made anew, under its mount.
#[tokio::test]
async fn a_folder_that_was_removed_is_not_one_without_a_socket() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("run");
    fs::create_dir(&folder).unwrap();
    let open = fs::File::open(&folder).unwrap();
    fs::remove_dir(&folder).unwrap();
    let seen = format!("/proc/self/fd/{}", open.as_raw_fd());
    let stage = stage(Vec::new()).await;
    stage.ctx.driver.set_reachable(false);
    let site = Site {
        libvirt_uri: format!("qemu:///system?socket={seen}/libvirt-sock"),
        ..site(root.path())
    };
    let said = stage.ctx.driver.host().await;
    let Libvirt::Silent { sockets, .. } = super::look::libvirt(&site, said).await else {
        panic!("it answers");
    };
    assert_eq!(sockets[0].state, SocketState::Removed);
}

/// An API server that keeps the `Hypervisor` as it is told, with a word of the operator's first among the conditions.
fn keeps(server: &MockServer) -> Arc<Mutex<Value>> {
    let kept = Arc::new(Mutex::new(json!({
        "apiVersion": "kilonova.dev/v1alpha1", "kind": "Hypervisor",
        "metadata": { "name": "n1", "uid": "u" }, "spec": {},
    })));
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "Heard", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let (read, write) = (Arc::clone(&kept), Arc::clone(&kept));
    server
        .on(
            "GET",
            NODE,
            Answer::by(move |_| Answer::ok(&*read.lock().unwrap())),
        )
        .on(
            "PATCH",
            STATUS,
            Answer::by(move |asked| {
                let mut kept = write.lock().unwrap();
                kept["status"] = asked.body["status"].clone();
                let conditions = kept["status"]["conditions"].as_array_mut().unwrap();
                conditions.push(ready.clone());
                conditions.reverse();
                Answer::ok(&*kept)
            }),
        );
    kept
}

fn writes(server: &MockServer) -> usize {
    let asked = server.asked();
    asked.iter().filter(|asked| asked.verb == "PATCH").count()
}

fn condition(kept: &Mutex<Value>, kind: &str) -> (String, String) {
    let kept = kept.lock().unwrap();
    let conditions = kept["status"]["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|it| it["type"] == kind).unwrap();
    let word = |key: &str| found[key].as_str().unwrap().to_owned();
    (word("status"), word("reason"))
}

async fn report(stage: &Stage, server: &MockServer) {
    let writer = crate::cluster::Writer::new(server.client(), "kilonova-agent");
    let source = report::Source {
        writer: &writer,
        ..stage.ctx.source()
    };
    report::report(&source, Some(&stage.ctx.images), None)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_equal_report_is_never_written_twice() {
    let (stage, server) = (stage(Vec::new()).await, MockServer::new());
    let kept = keeps(&server);
    for _ in 0..3 {
        report(&stage, &server).await;
    }
    assert_eq!(writes(&server), 1);
    assert_eq!(condition(&kept, "LibvirtReady").0, "True");
    let failed = (Operation::Host, Failure::GiveUp);
    stage.ctx.driver.fail_next(failed.0, failed.1);
    report(&stage, &server).await;
    assert_eq!(writes(&server), 2);
    assert_eq!(condition(&kept, "LibvirtReady").0, "False");
}

/// An agent that cannot make its folder says so in the host's report, and goes on when somebody has mended it.
#[tokio::test(start_paused = true)]
async fn a_folder_that_cannot_be_used_is_reported_and_waited_for() {
    let (stage, server) = (stage(Vec::new()).await, MockServer::new());
    let kept = keeps(&server);
    let root = tempfile::tempdir().unwrap();
    let site = site(root.path());
    fs::write(&site.state_dir, "in the way").unwrap();
    let writer = crate::cluster::Writer::new(server.client(), "kilonova-agent");
    let source = report::Source {
        writer: &writer,
        site: &site,
        ..stage.ctx.source()
    };
    let images = ImageMetrics::new(&mut metrics::registry());
    let (ready, readiness) = watch::channel::<Option<String>>(None);
    let mended = async {
        server.until_asked(|asked| asked.verb == "PATCH").await;
        let why = readiness.borrow().clone().unwrap();
        assert!(why.starts_with("cannot work in /"), "{why}");
        fs::remove_file(&site.state_dir).unwrap();
    };
    tokio::join!(storage::open(source, &images, &ready), mended);
    let expected = ("False".to_owned(), "NotFound".to_owned());
    assert_eq!(condition(&kept, "StorageReady"), expected);
    assert!(site.state_dir.join("guests").is_dir());
}
