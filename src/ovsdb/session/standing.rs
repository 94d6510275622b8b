//! What a server says of itself in its database `_Server` (ovsdb-server(5)), and whether it will do.

use super::Member;
use crate::ovsdb::table;
use crate::ovsdb::transaction::Condition;
use crate::ovsdb::uuid::Uuid;

/// The database in which servers speak of themselves.
pub const SERVER: &str = "_Server";

table! {
    /// A database that the server has, or is about to have.
    pub struct Database in "Database" {
        /// What it is called.
        pub name: String,
        /// How it is stored: `standalone`, `clustered` or `relay`.
        pub model: String,
        /// Whether the server is in contact with the cluster.
        pub connected: bool,
        /// Whether the server leads the cluster.
        pub leader: bool,
        /// Which cluster it is.
        pub cid: Option<Uuid>,
        /// How far the server has come in the cluster's log.
        pub index: Option<i64>,
    }
}

/// Why a server will not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The server does not have it (yet).
    #[error("it has no database {0}")]
    Lacking(String),
    /// It is cut off from the cluster, or there is no leader.
    #[error("it is not in contact with its cluster")]
    Disconnected,
    /// It follows.
    #[error("it is not the cluster's leader")]
    Follower,
    /// It tells what was true before what this session has seen.
    #[error("it is behind what was seen already (at {index}, and {seen} was seen)")]
    Behind {
        /// Where it is.
        index: i64,
        /// What was seen.
        seen: i64,
    },
    /// Somebody has put another database at the endpoint.
    #[error("it belongs to another cluster ({found}) than what was seen already ({seen})")]
    OtherCluster {
        /// Its.
        found: Uuid,
        /// What was seen.
        seen: Uuid,
    },
}

/// What a session has seen of a cluster: servers that know less tell of the past.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    cluster: Option<Uuid>,
    index: i64,
    /// How often another cluster was met since one that will do.
    others: u32,
}

/// After so many meetings with another cluster and none with the one that was seen, that one is lost, and this one has taken
/// its place.
const OTHERS_MAX: u32 = 12;

impl Seen {
    /// Whether a server will do; if so, what it has told is seen from now on.
    pub fn judge(
        &mut self,
        name: &str,
        row: Option<&Database>,
        member: Member,
    ) -> Result<(), Unfit> {
        let Some(database) = row else {
            return Err(Unfit::Lacking(name.to_owned()));
        };
        if database.model != "clustered" {
            return if database.connected || database.model == "standalone" {
                Ok(())
            } else {
                Err(Unfit::Disconnected)
            };
        }
        if let (Some(found), Some(seen)) = (database.cid, self.cluster)
            && found != seen
        {
            self.others += 1;
            if self.others < OTHERS_MAX {
                return Err(Unfit::OtherCluster { found, seen });
            }
            *self = Self::default();
        }
        if !database.connected {
            return Err(Unfit::Disconnected);
        }
        if member == Member::Leader && !database.leader {
            return Err(Unfit::Follower);
        }
        let index = database.index.unwrap_or_default();
        if index < self.index {
            return Err(Unfit::Behind {
                index,
                seen: self.index,
            });
        }
        self.index = index;
        self.cluster = database.cid.or(self.cluster);
        self.others = 0;
        Ok(())
    }
}

/// The condition under which `_Server` speaks of a database.
pub fn named(name: &str) -> Condition {
    Condition::equal("name", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clustered(leader: bool, index: i64) -> Database {
        Database {
            name: "db".to_owned(),
            model: "clustered".to_owned(),
            connected: true,
            leader,
            cid: Some(Uuid::from(1)),
            index: Some(index),
        }
    }

    #[test]
    fn the_leader_will_do_and_others_if_any_will() {
        let mut seen = Seen::default();
        let follower = clustered(false, 5);
        assert_eq!(
            seen.judge("db", Some(&follower), Member::Leader),
            Err(Unfit::Follower)
        );
        assert_eq!(seen.judge("db", Some(&follower), Member::Any), Ok(()));
        assert_eq!(
            seen.judge("db", Some(&clustered(true, 6)), Member::Leader),
            Ok(())
        );
        assert_eq!(
            seen.judge("db", None, Member::Any),
            Err(Unfit::Lacking("db".to_owned()))
        );
    }

    #[test]
    fn nobody_tells_of_the_past_or_of_another_cluster() {
        let mut seen = Seen::default();
        seen.judge("db", Some(&clustered(true, 7)), Member::Leader)
            .unwrap();
        let behind = seen.judge("db", Some(&clustered(false, 6)), Member::Any);
        assert_eq!(behind, Err(Unfit::Behind { index: 6, seen: 7 }));
        let other = Database {
            cid: Some(Uuid::from(2)),
            ..clustered(true, 9)
        };
        assert!(matches!(
            seen.judge("db", Some(&other), Member::Leader),
            Err(Unfit::OtherCluster { .. })
        ));
        // Whoever does not come back is lost.
        seen.judge("db", Some(&clustered(true, 7)), Member::Leader)
            .unwrap();
        let met = (0..OTHERS_MAX).map(|_| seen.judge("db", Some(&other), Member::Leader));
        let met: Vec<bool> = met.map(|judged| judged.is_ok()).collect();
        assert_eq!(met.iter().filter(|ok| **ok).count(), 1, "{met:?}");
        assert!(met.ends_with(&[true]));
        let cut_off = Database {
            connected: false,
            ..other
        };
        assert_eq!(
            seen.judge("db", Some(&cut_off), Member::Any),
            Err(Unfit::Disconnected)
        );
    }

    #[test]
    fn a_server_that_is_alone_leads() {
        let alone = Database {
            model: "standalone".to_owned(),
            connected: true,
            ..Database::default()
        };
        assert_eq!(
            Seen::default().judge("db", Some(&alone), Member::Leader),
            Ok(())
        );
        let relay = Database {
            model: "relay".to_owned(),
            ..Database::default()
        };
        assert_eq!(
            Seen::default().judge("db", Some(&relay), Member::Any),
            Err(Unfit::Disconnected)
        );
    }
}
