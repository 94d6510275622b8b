//! What libvirt's failures mean: which pass, which do not, and which say that libvirt is not there at all.

use std::time::Duration;

use thiserror::Error;
use tokio::task::JoinError;
use virt::error::{Error as VirtError, ErrorDomain, ErrorNumber};

use crate::node::{
    driver::{DriverError, Failure, Operation, Subject},
    plan::{
        capabilities::{CapabilitiesError, Unfit},
        domain::NicsError,
    },
};

/// Why a call failed, before it is known which verb it belonged to.
#[derive(Debug, Error)]
pub(super) enum CallError {
    #[error("{}", .0.message())]
    Libvirt(VirtError),
    #[error("libvirt's event loop does not run: {0}")]
    NoEventLoop(String),
    #[error("there is no connection to libvirt")]
    Disconnected,
    #[error("libvirt did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("other calls took so long that this one could not begin within {} s", .0.as_secs())]
    Crowded(Duration),
    #[error("there is no such domain")]
    Absent,
    #[error("the domain does not carry our mark, so it is not ours to touch")]
    Foreign,
    #[error("the domain is {is}, and must be {must}")]
    WrongState {
        is: &'static str,
        must: &'static str,
    },
    #[error("the definition holds a NUL character")]
    NulInDefinition,
    #[error("the definition is not the domain's own")]
    OtherDefinition,
    #[error("libvirt's definition of the domain makes no sense")]
    Unreadable(#[source] NicsError),
    #[error("could not write the XML of a NIC: {0}")]
    Unwritten(String),
    #[error("the host is not fit for guests")]
    Unfit(#[from] Unfit),
    #[error("libvirt's answer makes no sense")]
    Nonsense(#[source] CapabilitiesError),
    #[error("the call broke off")]
    BrokeOff(#[source] JoinError),
}

impl From<VirtError> for CallError {
    fn from(error: VirtError) -> Self {
        Self::Libvirt(error)
    }
}

impl CallError {
    pub(super) fn into_driver_error(self, operation: Operation, subject: Subject) -> DriverError {
        DriverError {
            operation,
            subject,
            kind: self.kind(),
            source: Box::new(self),
        }
    }

    pub(super) fn kind(&self) -> Failure {
        match self {
            Self::Libvirt(error) => classify(error),
            Self::Disconnected => Failure::Unreachable,
            Self::TimedOut(_)
            | Self::Crowded(_)
            | Self::Absent
            | Self::WrongState { .. }
            | Self::BrokeOff(_) => Failure::Retry,
            Self::NoEventLoop(_)
            | Self::Foreign
            | Self::NulInDefinition
            | Self::OtherDefinition
            | Self::Unreadable(_)
            | Self::Unwritten(_)
            | Self::Unfit(_)
            | Self::Nonsense(_) => Failure::GiveUp,
        }
    }

    /// Whether libvirt says for certain that there is no such domain.
    pub(super) fn is_absent(&self) -> bool {
        match self {
            Self::Libvirt(error) => error.code() == ErrorNumber::NoDomain,
            Self::Absent => true,
            _ => false,
        }
    }
}

/// Everything that is not listed may pass: libvirt uses its catch-all codes for most of what goes wrong on a host.
fn classify(error: &VirtError) -> Failure {
    // A failure of the transport is reported under many codes, but always by the transport.
    if error.domain() == ErrorDomain::Rpc {
        return Failure::Unreachable;
    }
    match error.code() {
        ErrorNumber::NoConnect
        | ErrorNumber::InvalidConn
        | ErrorNumber::Rpc
        | ErrorNumber::AuthFailed
        | ErrorNumber::AuthCancelled => Failure::Unreachable,
        ErrorNumber::NoSupport
        | ErrorNumber::InvalidArg
        | ErrorNumber::OsType
        | ErrorNumber::NoName
        | ErrorNumber::NoOs
        | ErrorNumber::NoRoot
        | ErrorNumber::NoKernel
        | ErrorNumber::NoSource
        | ErrorNumber::NoTarget
        | ErrorNumber::NoDevice
        | ErrorNumber::XmlError
        | ErrorNumber::XmlDetail
        | ErrorNumber::DomExist
        | ErrorNumber::OperationDenied
        | ErrorNumber::ConfigUnsupported
        | ErrorNumber::ArgumentUnsupported
        | ErrorNumber::OperationUnsupported
        | ErrorNumber::AccessDenied
        | ErrorNumber::CpuIncompatible
        | ErrorNumber::XmlInvalidSchema => Failure::GiveUp,
        _ => Failure::Retry,
    }
}
