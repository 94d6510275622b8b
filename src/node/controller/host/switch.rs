//! The host's Open vSwitch, as its database tells of it. Reads only: whatever is in it is OVN's and libvirt's to write.

use crate::node::plan::domain::Datapath;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{sync::mpsc, time::timeout};

use crate::{
    node::plan::{
        domain::INTEGRATION_BRIDGE,
        host::{Socket, SocketState, Switch as Said, SwitchFacts},
    },
    ovsdb::{
        Endpoint, Limits, Member, Monitors, Readiness, Session, Settings,
        vswitch::{
            self,
            settled::{Bridge, OpenVswitch},
        },
    },
};

use super::look::socket;
use crate::node::controller::guard::Guard;

/// How long a database whose socket takes connections may take to be read.
const READ_TIME_MAX: Duration = Duration::from_secs(2);

/// The switch of this host. Keeps a session with its database, and looks for one as long as there is none.
pub struct Switch {
    socket: PathBuf,
    session: Session,
    guard: Guard,
}

impl Switch {
    /// Begins to look for the database behind this socket. Needs a tokio runtime.
    pub fn new(socket: &Path) -> Self {
        let session = Session::start(Settings {
            database: vswitch::DATABASE.to_owned(),
            endpoints: vec![Endpoint::Unix(socket.to_owned())],
            tls: None,
            member: Member::Any,
            monitors: Monitors::new().table::<OpenVswitch>().table::<Bridge>(),
            limits: Limits::default(),
        });
        Self {
            socket: socket.to_owned(),
            session,
            guard: Guard::default(),
        }
    }

    /// How its guests' ports are guarded.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Where its database is.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Where the integration bridge is told what to do, in `OpenFlow`.
    pub fn bridge_socket(&self) -> PathBuf {
        self.socket
            .with_file_name(format!("{INTEGRATION_BRIDGE}.mgmt"))
    }

    /// What it says now.
    pub async fn look(&self) -> Said {
        let socket = socket(self.socket.clone()).await;
        if socket.state == SocketState::Listens {
            // A daemon that was started a moment ago is still being read.
            let _ = timeout(READ_TIME_MAX, self.session.ready()).await;
        }
        let readiness = self.session.readiness().borrow().clone();
        match readiness {
            Readiness::Ready { .. } if socket.state == SocketState::Listens => self.read(socket),
            // Who still has a connection to a daemon that was replaced reads what nobody writes any more.
            Readiness::Ready { .. } => silent("its socket is another one by now", socket),
            Readiness::Waiting { reason } => silent(&reason, socket),
        }
    }

    /// Where it looks at packets, as far as it has told.
    pub fn datapath(&self) -> Datapath {
        let view = self.session.replica().view();
        let is_userspace =
            |bridge: Bridge| bridge.name == INTEGRATION_BRIDGE && bridge.datapath_type == "netdev";
        let mut bridges = view.rows::<Bridge>();
        if bridges.any(|row| row.is_ok_and(|(_, bridge)| is_userspace(bridge))) {
            Datapath::Userspace
        } else {
            Datapath::Kernel
        }
    }

    fn read(&self, socket: Socket) -> Said {
        let view = self.session.replica().view();
        let mut switches = view.rows::<OpenVswitch>();
        let external_ids = match switches.next() {
            Some(Ok((_, switch))) => switch.external_ids,
            Some(Err(error)) => return silent(&error.to_string(), socket),
            None => return silent("it was never initialised: `ovs-vsctl init`", socket),
        };
        let is_bridge = |bridge: Bridge| bridge.name == INTEGRATION_BRIDGE;
        let has_bridge = view
            .rows::<Bridge>()
            .any(|row| row.is_ok_and(|(_, bridge)| is_bridge(bridge)));
        Said::Answers(SwitchFacts {
            external_ids,
            has_bridge,
            unguarded: self.guard.standing().trouble,
        })
    }

    /// Says `news` whenever it may say something else. Never returns.
    pub async fn keep_telling(&self, news: mpsc::Sender<()>) {
        let mut changes = self.session.replica().changes();
        let mut readiness = self.session.readiness();
        loop {
            tokio::select! {
                told = readiness.changed() => if told.is_err() { return },
                event = changes.next() => if event.is_none() { return },
            }
            // One word of news is as good as ten.
            let _ = news.try_send(());
        }
    }
}

fn silent(why: &str, socket: Socket) -> Said {
    Said::Silent {
        why: why.to_owned(),
        socket,
    }
}
