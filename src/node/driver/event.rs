//! What happens on the hypervisor, as a listener hears it.

use futures::{Stream, stream};
use tokio::sync::broadcast;

use super::{DomainId, PauseReason, StopReason};

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DriverEvent {
    /// To one domain, ours or not.
    Domain {
        /// Which one.
        id: DomainId,
        /// What.
        what: DomainEvent,
    },
    /// The hypervisor cannot be reached; what happens meanwhile is not heard.
    Disconnected,
    /// The hypervisor is reached (again): look at every domain.
    Connected,
    /// The listener was too slow and events were lost: look at every domain.
    Missed,
}

/// What happened to a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DomainEvent {
    /// It has a new definition.
    Defined,
    /// Its definition is gone.
    Undefined,
    /// It was started, or restored from saved memory.
    Started,
    /// Its processors stopped.
    Paused(PauseReason),
    /// Its processors go on.
    Resumed,
    /// It is powering off, by the guest's will or because its process was told to end.
    ShuttingDown,
    /// The guest's kernel panicked. `Stopped` follows.
    Panicked,
    /// It is off.
    Stopped(StopReason),
    /// The guest rebooted or was reset; the domain stayed.
    Rebooted,
    /// A disk refused to read or write.
    IoError,
    /// The guest has let go of a device, or refused to.
    Unplugged,
}

/// A listener's end of the events.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<DriverEvent>);

impl Events {
    /// Wraps the receiver of a driver.
    pub fn new(receiver: broadcast::Receiver<DriverEvent>) -> Self {
        Self(receiver)
    }

    /// The next event; `None` once the driver is gone. Safe to cancel.
    pub async fn next(&mut self) -> Option<DriverEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(DriverEvent::Missed),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The same, as a stream.
    pub fn into_stream(self) -> impl Stream<Item = DriverEvent> + Send {
        stream::unfold(self, |mut events| async move {
            events.next().await.map(|event| (event, events))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_listener_learns_that_it_missed_something() {
        let (sender, receiver) = broadcast::channel(1);
        let mut events = Events::new(receiver);
        for event in [DriverEvent::Disconnected, DriverEvent::Connected] {
            sender.send(event).unwrap();
        }
        drop(sender);
        assert_eq!(events.next().await, Some(DriverEvent::Missed));
        assert_eq!(events.next().await, Some(DriverEvent::Connected));
        assert_eq!(events.next().await, None);
    }
}
