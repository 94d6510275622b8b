#![allow(
    unsafe_code,
    reason = "libvirt tells of events by calling C functions, and the `virt` crate does not wrap them"
)]
//! What libvirt tells unasked: events of domains, and the end of a connection.
//!
//! libvirt calls the functions at the end of this file from the one thread that runs its event loop. They only
//! translate and hand on; they must never block, call libvirt back over the network, or panic (a panic in a C
//! callback ends the process).
//!
//! What every `unsafe` here rests on:
//! - a `Link` keeps its connection open as long as it lives, and `Listening` holds its link;
//! - each registration owns one box, which libvirt hands to the callback and frees by `free` exactly once, after the
//!   last call;
//! - the event loop runs on one thread, so a callback is never called twice at once with the same box, and boxes are
//!   only ever read, as shared references to `Sync` types.

use std::{
    ffi::{c_char, c_int, c_void},
    mem, ptr,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use tokio::sync::{broadcast, watch};
use tracing::warn;
use virt::error::Error as VirtError;
use virt_sys as sys;

use crate::node::driver::{DomainEvent, DomainId, DriverEvent};

use super::{error::CallError, link::Link, words};

type Events = broadcast::Sender<DriverEvent>;

/// How long the event loop rests after a failure, so that one that always fails does not burn a processor.
const LOOP_REST: Duration = Duration::from_millis(100);

/// Starts libvirt's event loop, once for the process. Must come before the first connection.
pub(super) fn start_loop() -> Result<(), CallError> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    STARTED
        .get_or_init(|| {
            // Otherwise libvirt prints every error to stderr, also those that are answers ("no such domain").
            virt::error::clear_error_callback();
            // SAFETY: takes no arguments, initialises libvirt by itself, and `OnceLock` calls it once.
            if unsafe { sys::virEventRegisterDefaultImpl() } < 0 {
                return Err(VirtError::last_error().message().to_owned());
            }
            let thread = thread::Builder::new().name("libvirt-events".into());
            match thread.spawn(run_loop) {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        })
        .clone()
        .map_err(CallError::NoEventLoop)
}

fn run_loop() {
    loop {
        // SAFETY: the default implementation was registered before this thread was started, and no other thread
        // runs it.
        if unsafe { sys::virEventRunDefaultImpl() } < 0 {
            warn!(error = %VirtError::last_error(), "libvirt's event loop failed once");
            thread::sleep(LOOP_REST);
        }
    }
}

/// A link whose events are heard. Dropping it ends the listening, and closes the link if nobody else holds it.
pub(super) struct Listening {
    link: Arc<Link>,
    callbacks: Vec<c_int>,
    closing: bool,
    lost: watch::Receiver<Option<&'static str>>,
}

impl Listening {
    /// Registers for everything that is worth hearing. Blocking.
    pub(super) fn to(link: Arc<Link>, events: &Events) -> Result<Self, CallError> {
        let (sender, lost) = watch::channel(None);
        // Built first and filled step by step, so that a failure on the way undoes what was done.
        let mut listening = Self {
            link,
            callbacks: Vec::new(),
            closing: false,
            lost,
        };
        listening.register_close(sender)?;
        // SAFETY: libvirt casts the callback of a lifecycle event back to exactly this type before it calls it;
        // both types are optional C function pointers.
        let lifecycle = unsafe {
            mem::transmute::<sys::virConnectDomainEventCallback, Callback>(Some(on_lifecycle))
        };
        listening.register(sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle, events)?;
        listening.register(sys::VIR_DOMAIN_EVENT_ID_REBOOT, Some(on_reboot), events)?;
        // SAFETY: as above, for an I/O error event.
        let io_error = unsafe {
            mem::transmute::<sys::virConnectDomainEventIOErrorReasonCallback, Callback>(Some(
                on_io_error,
            ))
        };
        listening.register(sys::VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, io_error, events)?;
        for event in [
            sys::VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
            sys::VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED,
        ] {
            // SAFETY: as above; both events have callbacks of this one shape.
            let unplugged = unsafe {
                mem::transmute::<sys::virConnectDomainEventDeviceRemovedCallback, Callback>(Some(
                    on_unplugged,
                ))
            };
            listening.register(event, unplugged, events)?;
        }
        Ok(listening)
    }

    /// Waits until the connection is lost, and says how.
    pub(super) async fn until_lost(&self) -> &'static str {
        let mut lost = self.lost.clone();
        match lost.wait_for(Option::is_some).await {
            Ok(reason) => reason.unwrap_or("unknown"),
            Err(_) => "the close callback is gone",
        }
    }

    fn register_close(
        &mut self,
        sender: watch::Sender<Option<&'static str>>,
    ) -> Result<(), CallError> {
        let opaque = Box::into_raw(Box::new(sender));
        // SAFETY: the link is open, and `on_close` and `free` take the box for what it is. On success libvirt owns
        // the box; on failure it has not taken it.
        let registered = unsafe {
            sys::virConnectRegisterCloseCallback(
                self.link.as_ptr(),
                Some(on_close),
                opaque.cast(),
                Some(free::<watch::Sender<Option<&'static str>>>),
            )
        };
        if registered < 0 {
            let error = VirtError::last_error();
            // SAFETY: libvirt did not take the box, which came from `into_raw` above.
            drop(unsafe { Box::from_raw(opaque) });
            return Err(error.into());
        }
        self.closing = true;
        Ok(())
    }

    fn register(
        &mut self,
        event: sys::virDomainEventID,
        callback: Callback,
        events: &Events,
    ) -> Result<(), CallError> {
        let opaque = Box::into_raw(Box::new(events.clone()));
        // SAFETY: the link is open; no domain means all domains; the callback's type is the one that libvirt casts
        // to for this event, and it and `free` take the box for what it is. On success libvirt owns the box; on
        // failure it has not taken it.
        let id = unsafe {
            sys::virConnectDomainEventRegisterAny(
                self.link.as_ptr(),
                ptr::null_mut(),
                event.cast_signed(),
                callback,
                opaque.cast(),
                Some(free::<Events>),
            )
        };
        if id < 0 {
            let error = VirtError::last_error();
            // SAFETY: libvirt did not take the box, which came from `into_raw` above.
            drop(unsafe { Box::from_raw(opaque) });
            return Err(error.into());
        }
        self.callbacks.push(id);
        Ok(())
    }
}

impl Drop for Listening {
    /// A registration holds the connection open, so each must be undone before the link can close. Undoing fails on
    /// a dead connection after it has done its part on this side, so failures are of no interest.
    fn drop(&mut self) {
        for id in &self.callbacks {
            // SAFETY: the link is held and the id came from a registration on it that is undone once, here.
            unsafe { sys::virConnectDomainEventDeregisterAny(self.link.as_ptr(), *id) };
        }
        if self.closing {
            // SAFETY: the link is held and `on_close` was registered on it.
            unsafe { sys::virConnectUnregisterCloseCallback(self.link.as_ptr(), Some(on_close)) };
        }
    }
}

/// What `virConnectDomainEventRegisterAny` takes for every kind of event.
type Callback = sys::virConnectDomainEventGenericCallback;

/// Frees a box that libvirt was given.
unsafe extern "C" fn free<T>(opaque: *mut c_void) {
    // SAFETY: libvirt calls this once for each registration, with the pointer that `Box<T>::into_raw` made for it,
    // and never calls the callback again.
    drop(unsafe { Box::from_raw(opaque.cast::<T>()) });
}

/// Hands an event of a domain on.
///
/// # Safety
/// `domain` must be a domain that is valid during the call, `opaque` a pointer to `Events`.
unsafe fn hand_on(domain: sys::virDomainPtr, opaque: *mut c_void, what: DomainEvent) {
    let mut uuid = [0_u8; 16];
    // SAFETY: the domain is valid, and the buffer has the 16 bytes that a UUID needs. Reads memory only.
    if unsafe { sys::virDomainGetUUID(domain, uuid.as_mut_ptr()) } < 0 {
        return;
    }
    // SAFETY: the caller's promise; the box lives until `free`.
    let events = unsafe { &*opaque.cast::<Events>() };
    // Nobody listening is no failure.
    let _ = events.send(DriverEvent::Domain {
        id: DomainId::from(uuid),
        what,
    });
}

unsafe extern "C" fn on_lifecycle(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    event: c_int,
    detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    if let Some(what) = words::lifecycle(event, detail) {
        // SAFETY: libvirt passes a valid domain and the box of this registration.
        unsafe { hand_on(domain, opaque, what) };
    }
    0
}

unsafe extern "C" fn on_reboot(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt passes a valid domain and the box of this registration.
    unsafe { hand_on(domain, opaque, DomainEvent::Rebooted) };
}

unsafe extern "C" fn on_io_error(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _: *const c_char,
    _: *const c_char,
    _: c_int,
    _: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt passes a valid domain and the box of this registration.
    unsafe { hand_on(domain, opaque, DomainEvent::IoError) };
}

unsafe extern "C" fn on_unplugged(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt passes a valid domain and the box of this registration.
    unsafe { hand_on(domain, opaque, DomainEvent::Unplugged) };
}

unsafe extern "C" fn on_close(_: sys::virConnectPtr, reason: c_int, opaque: *mut c_void) {
    // SAFETY: libvirt passes the box of this registration, which lives until `free`.
    let lost = unsafe { &*opaque.cast::<watch::Sender<Option<&'static str>>>() };
    lost.send_replace(Some(words::close_reason(reason)));
}
