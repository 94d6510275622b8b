//! The certificates by which the parts of OVN know each other: made and renewed by the operator that leads.
//!
//! ```text
//!   kilonova-ovn-ca ─ signs ─► kilonova-ovn-database   servers of the databases, ovn-northd   (operator's namespace)
//!                         ├──► kilonova-ovn-operator   this operator                          (operator's namespace)
//!                         └──► ovn                     one for each hypervisor, with its name (the node's namespace)
//! ```
//!
//! An authority's key that is there is never replaced: every certificate would be worthless at once. When the authority's
//! own certificate has lived for two thirds of its life it is made anew with the same key and name, so that what it has
//! signed stays good. Others are issued anew, with another key, at two thirds of their lives, or when what they must say
//! has changed; nothing has to be restarted for that.

pub mod certificate;
mod files;
pub mod keeper;
pub mod plan;
mod remote;
