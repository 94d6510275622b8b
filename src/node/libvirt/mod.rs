//! libvirt behind the `Driver` trait: the only room that names `virt` and `virt-sys`.
//!
//! ```text
//!   Driver (driver.rs)       async; chooses the link and the time limit of each verb
//!     │  connection.rs       links to libvirtd, kept alive and replaced; every call on a blocking thread
//!     ▼
//!   verbs.rs, nics.rs,       blocking; what one verb does on one link
//!   facts.rs
//!     │  words.rs error.rs   libvirt's numbers → our words
//!     ▼
//!   link.rs, events.rs       one connection; what libvirt tells unasked (unsafe lives here and in raw.rs alone)
//! ```
//!
//! It must never decide what a guest shall do, never touch a domain without our mark, and never block a thread that
//! runs async code.

mod connection;
mod driver;
mod error;
mod events;
mod facts;
mod link;
mod nics;
mod raw;
mod verbs;
mod words;

pub use self::{connection::Settings, driver::Libvirt};
