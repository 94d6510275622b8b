//! What both ends of a guest's serial console share: a test's commands to the guest, and the guest's replies.
//!
//! The program `nettool` is the guest's end, and more: see `main.rs`. This library is pure, and all that the testbed
//! needs of it.

pub mod protocol;
