//! A real Open vSwitch in a folder, whose devices are in its own memory: it needs neither root nor the kernel.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// Its daemons, which end with it.
pub(in crate::node::controller) struct Switch {
    folder: PathBuf,
    daemons: Vec<Child>,
}

impl Switch {
    /// Starts one with an integration bridge; its sockets are in this folder.
    pub(super) fn start(folder: &Path) -> Self {
        let mut switch = Self {
            folder: folder.to_owned(),
            daemons: Vec::new(),
        };
        let database = folder.join("conf.db");
        let database = database.to_str().unwrap();
        switch.run("ovsdb-tool", &["create", database, SCHEMA]);
        let socket = switch.socket();
        switch.daemon(
            "/usr/sbin/ovsdb-server",
            &["--no-chdir", &format!("--remote=p{socket}"), database],
        );
        while !folder.join("db.sock").exists() {
            std::thread::yield_now();
        }
        switch.vsctl("--no-wait init");
        switch.daemon(
            "/usr/sbin/ovs-vswitchd",
            &["--no-chdir", "--enable-dummy", "--disable-system", &socket],
        );
        switch.vsctl("add-br br-int -- set bridge br-int datapath_type=dummy fail-mode=secure");
        switch
    }

    fn socket(&self) -> String {
        format!("unix:{}", self.folder.join("db.sock").display())
    }

    /// Adds a port as libvirt does for a NIC of a domain; its device is there, or not.
    pub(in crate::node::controller) fn plug(
        &self,
        name: &str,
        domain: &str,
        port: &str,
        there: bool,
    ) {
        self.plug_into("br-int", name, domain, port, there);
    }

    /// The same on another bridge.
    pub(in crate::node::controller) fn plug_into(
        &self,
        bridge: &str,
        name: &str,
        domain: &str,
        port: &str,
        there: bool,
    ) {
        let ids = format!(
            "external_ids:attached-mac=02:00:00:00:00:01 external_ids:iface-id={port} external_ids:vm-id={domain} \
             external_ids:iface-status=active"
        );
        let kind = if there { "type=dummy" } else { "" };
        self.vsctl(&format!(
            "add-port {bridge} {name} -- set interface {name} {ids} {kind}"
        ));
    }

    /// Asks, or tells, the database. Waits until the daemon has done it.
    pub(in crate::node::controller) fn vsctl(&self, words: &str) -> String {
        let socket = self.socket();
        let mut all = vec!["--timeout=30", "--db", &socket];
        all.extend(words.split_whitespace());
        self.run("ovs-vsctl", &all)
    }

    /// The agent's flows, one a line.
    pub(in crate::node::controller) fn flows(&self) -> Vec<String> {
        let bridge = format!("unix:{}", self.folder.join("br-int.mgmt").display());
        let words = [
            "-O",
            "OpenFlow13",
            "--no-stats",
            "--names",
            "dump-flows",
            &bridge,
        ];
        let said = self.run("ovs-ofctl", &words);
        let flows = said.lines().filter(|line| line.contains("cookie="));
        flows.map(|line| line.trim().to_owned()).collect()
    }

    /// Removes all flows, whosever they are.
    pub(in crate::node::controller) fn forget_flows(&self) {
        let bridge = format!("unix:{}", self.folder.join("br-int.mgmt").display());
        self.run("ovs-ofctl", &["-O", "OpenFlow13", "del-flows", &bridge]);
    }

    fn run(&self, program: &str, words: &[&str]) -> String {
        let output = Command::new(program)
            .args(words)
            .env("OVS_RUNDIR", &self.folder)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{program} {words:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn daemon(&mut self, program: &str, words: &[&str]) {
        let daemon = Command::new(program)
            .args(words)
            .env("OVS_RUNDIR", &self.folder)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.daemons.push(daemon);
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}
