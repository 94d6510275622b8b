//! `Driver` by libvirt: which link and how much time each verb gets.

use crate::node::plan::domain::Datapath;
use std::time::Duration;

use crate::{
    api::guest::Nic,
    node::{
        driver::{
            DomainId, DomainInfo, Driver, DriverError, Events, Leftovers, Operation, PortId,
            Subject,
        },
        plan::capabilities::HostFacts,
    },
};

use super::{
    connection::{Access, Call, Connection, Settings},
    error::CallError,
    facts,
    link::Link,
    nics, verbs,
};

/// Reading takes milliseconds; more is a daemon that hangs, which keepalive will notice.
const READ_TIME_MAX: Duration = Duration::from_secs(10);

/// libvirt waits up to 30 s for another job on the same domain, and up to 15 s for a process to end.
const ACT_TIME_MAX: Duration = Duration::from_mins(1);

/// Saving and restoring move the guest's whole memory: 256 GiB at 500 MB/s take 9 minutes.
const MOVE_TIME_MAX: Duration = Duration::from_mins(10);

/// A host's capabilities take QEMU being started and asked when nothing is cached yet.
const HOST_TIME_MAX: Duration = Duration::from_mins(1);

/// The hypervisor behind libvirt.
pub struct Libvirt {
    connection: Connection,
}

impl Libvirt {
    /// Starts to connect, and keeps connected until dropped. Needs a tokio runtime. Never fails: verbs report
    /// `Unreachable` as long as libvirt is not there.
    pub fn new(settings: Settings) -> Self {
        Self {
            connection: Connection::new(settings),
        }
    }

    async fn act(
        &self,
        operation: Operation,
        id: DomainId,
        work: impl FnOnce(&Link) -> Result<(), CallError> + Send + 'static,
    ) -> Result<(), DriverError> {
        let call = Call {
            operation,
            subject: Subject::Domain(id),
            access: Access::Act,
            time_max: ACT_TIME_MAX,
        };
        self.connection.run(call, work).await
    }
}

impl Driver for Libvirt {
    async fn list(&self) -> Result<Vec<DomainInfo>, DriverError> {
        let call = Call {
            operation: Operation::List,
            subject: Subject::Host,
            access: Access::Read,
            time_max: READ_TIME_MAX,
        };
        self.connection.run(call, verbs::list).await
    }

    async fn find(&self, id: DomainId) -> Result<Option<DomainInfo>, DriverError> {
        let call = Call {
            operation: Operation::Find,
            subject: Subject::Domain(id),
            access: Access::Read,
            time_max: READ_TIME_MAX,
        };
        self.connection
            .run(call, move |link| verbs::find(link, id))
            .await
    }

    async fn define(&self, id: DomainId, xml: &str) -> Result<(), DriverError> {
        let xml = xml.to_owned();
        self.act(Operation::Define, id, move |link| {
            verbs::define(link, id, &xml)
        })
        .await
    }

    async fn undefine(&self, id: DomainId, leftovers: Leftovers) -> Result<(), DriverError> {
        self.act(Operation::Undefine, id, move |link| {
            verbs::undefine(link, id, leftovers)
        })
        .await
    }

    async fn start(&self, id: DomainId) -> Result<(), DriverError> {
        let call = Call {
            operation: Operation::Start,
            subject: Subject::Domain(id),
            access: Access::Start,
            time_max: MOVE_TIME_MAX,
        };
        self.connection
            .run(call, move |link| verbs::start(link, id))
            .await
    }

    async fn ask_shutdown(&self, id: DomainId) -> Result<(), DriverError> {
        self.act(Operation::AskShutdown, id, move |link| {
            verbs::ask_shutdown(link, id)
        })
        .await
    }

    async fn destroy(&self, id: DomainId) -> Result<(), DriverError> {
        self.act(Operation::Destroy, id, move |link| verbs::destroy(link, id))
            .await
    }

    async fn pause(&self, id: DomainId) -> Result<(), DriverError> {
        self.act(Operation::Pause, id, move |link| verbs::pause(link, id))
            .await
    }

    async fn resume(&self, id: DomainId) -> Result<(), DriverError> {
        self.act(Operation::Resume, id, move |link| verbs::resume(link, id))
            .await
    }

    async fn suspend_to_disk(&self, id: DomainId) -> Result<(), DriverError> {
        let call = Call {
            operation: Operation::SuspendToDisk,
            subject: Subject::Domain(id),
            access: Access::Move,
            time_max: MOVE_TIME_MAX,
        };
        self.connection
            .run(call, move |link| verbs::suspend_to_disk(link, id))
            .await
    }

    async fn discard_saved(&self, id: DomainId) -> Result<(), DriverError> {
        self.act(Operation::DiscardSaved, id, move |link| {
            verbs::discard_saved(link, id)
        })
        .await
    }

    async fn reset(&self, id: DomainId) -> Result<(), DriverError> {
        self.act(Operation::Reset, id, move |link| verbs::reset(link, id))
            .await
    }

    async fn nmi(&self, id: DomainId) -> Result<(), DriverError> {
        self.act(Operation::Nmi, id, move |link| verbs::nmi(link, id))
            .await
    }

    async fn plug(&self, id: DomainId, nic: &Nic, datapath: Datapath) -> Result<(), DriverError> {
        let nic = nic.clone();
        self.act(Operation::Plug, id, move |link| {
            nics::plug(link, id, &nic, datapath)
        })
        .await
    }

    async fn unplug(&self, id: DomainId, port: PortId) -> Result<(), DriverError> {
        self.act(Operation::Unplug, id, move |link| {
            nics::unplug(link, id, port)
        })
        .await
    }

    async fn host(&self) -> Result<HostFacts, DriverError> {
        let wanted = self.connection.virt_type();
        let call = Call {
            operation: Operation::Host,
            subject: Subject::Host,
            access: Access::Act,
            time_max: HOST_TIME_MAX,
        };
        self.connection
            .run(call, move |link| facts::host(link, wanted))
            .await
    }

    fn events(&self) -> Events {
        Events::new(self.connection.events())
    }
}
