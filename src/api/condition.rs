//! Conditions: what is true of an object, since when and why.
//!
//! Status is computed afresh on every run; [`merge`] keeps the transition time of what did not change, so that
//! equal facts make an equal status and no write.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// A condition before it is put beside the old ones: it has no time yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The condition's type, e.g. `Ready`.
    pub kind: &'static str,
    /// Whether it holds.
    pub truth: Truth,
    /// One CamelCase word for programs.
    pub reason: Cow<'static, str>,
    /// One sentence for people: what is wrong, with which object, and what to do.
    pub message: String,
}

/// The three values of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody has looked yet, or looking failed.
    Unknown,
}

impl Truth {
    /// The word that Kubernetes uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl Fact {
    /// A condition that holds.
    pub fn yes(
        kind: &'static str,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            truth: Truth::True,
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// A condition that does not hold.
    pub fn no(
        kind: &'static str,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            truth: Truth::False,
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// A condition that nobody can answer yet.
    pub fn unknown(
        kind: &'static str,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            truth: Truth::Unknown,
            reason: reason.into(),
            message: message.into(),
        }
    }
}

/// The conditions that stand for `facts`, in their order.
///
/// Guarantee: a condition whose truth did not change keeps its transition time from `old`.
pub fn merge(
    old: &[Condition],
    facts: Vec<Fact>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    facts
        .into_iter()
        .map(|fact| condition(old, fact, generation, now))
        .collect()
}

fn condition(old: &[Condition], fact: Fact, generation: Option<i64>, now: Timestamp) -> Condition {
    let status = fact.truth.as_str();
    let since = find(old, fact.kind)
        .filter(|before| before.status == status)
        .map_or_else(
            || Time(whole_seconds(now)),
            |before| before.last_transition_time.clone(),
        );
    Condition {
        type_: fact.kind.to_owned(),
        status: status.to_owned(),
        reason: fact.reason.into_owned(),
        message: fact.message,
        last_transition_time: since,
        observed_generation: generation,
    }
}

/// The condition of this type, if it is there.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether the condition of this type is there and True.
pub fn holds(conditions: &[Condition], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == Truth::True.as_str())
}

/// Kubernetes stores times in whole seconds; anything finer would differ from itself once read back.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_only_with_the_truth() {
        let first = merge(
            &[],
            vec![Fact::no("Ready", "Waiting", "for a")],
            Some(1),
            at(10),
        );
        let same = merge(
            &first,
            vec![Fact::no("Ready", "Waiting", "for b")],
            Some(2),
            at(20),
        );
        assert_eq!(same[0].last_transition_time.0, at(10));
        assert_eq!(same[0].message, "for b");
        let changed = merge(&same, vec![Fact::yes("Ready", "Done", "")], Some(2), at(30));
        assert_eq!(changed[0].last_transition_time.0, at(30));
    }

    #[test]
    fn equal_facts_make_an_equal_status() {
        let facts = || {
            vec![
                Fact::yes("Ready", "Done", ""),
                Fact::no("Stalled", "Fine", ""),
            ]
        };
        let first = merge(&[], facts(), Some(1), at(10));
        assert_eq!(merge(&first, facts(), Some(1), at(99)), first);
    }
}
