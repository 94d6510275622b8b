//! Waiting: always for a condition, always with a deadline, and a failure says what was waited for and what was
//! seen last. Nothing else in the testbed sleeps.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Pause between two looks; short beside anything that is waited for, long beside one look.
const INTERVAL: Duration = Duration::from_millis(50);

/// What is seen before the first look has ended.
const NOTHING: &str = "nothing";

/// What one look showed.
#[derive(Debug)]
pub enum Seen<T> {
    /// What was waited for.
    Wanted(T),
    /// Something else, in words.
    NotYet(String),
}

impl<T> Seen<T> {
    /// Takes every error as "not yet"; for looks at things that may not answer so far.
    pub fn of(result: Result<T>) -> Self {
        match result {
            Ok(value) => Self::Wanted(value),
            Err(error) => Self::NotYet(format!("{error:#}")),
        }
    }
}

impl Seen<()> {
    /// A plain condition.
    pub fn when(condition: bool, otherwise: impl Into<String>) -> Self {
        if condition {
            Self::Wanted(())
        } else {
            Self::NotYet(otherwise.into())
        }
    }
}

/// Looks again and again until `look` sees what it wants.
///
/// # Errors
/// When the deadline passes (with what was seen last), or at once when `look` itself returns an error: that is how
/// a look says that waiting has no sense any more.
pub async fn wait_for<T, F, Fut>(what: &str, deadline: Duration, mut look: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Seen<T>>>,
{
    let started = Instant::now();
    let mut last = String::from(NOTHING);
    loop {
        let left = deadline.saturating_sub(started.elapsed());
        // A look that hangs must not outlive the deadline. One that answers at once is never cut off, not even when
        // no time is left: the last look counts.
        match tokio::time::timeout(left, look()).await {
            Ok(seen) => match seen.with_context(|| format!("gave up waiting for {what}"))? {
                Seen::Wanted(value) => return Ok(value),
                Seen::NotYet(instead) => last = instead,
            },
            Err(_elapsed) if last == NOTHING => "a look that did not end".clone_into(&mut last),
            Err(_elapsed) => {}
        }
        if started.elapsed() >= deadline {
            bail!(
                "{what}: not within {} s; last seen: {last}",
                deadline.as_secs()
            );
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn says_what_it_saw_last() {
        let result: Result<()> = wait_for("the sun", Duration::from_millis(120), async || {
            Ok(Seen::NotYet("clouds".to_owned()))
        })
        .await;
        let message = format!("{:#}", result.unwrap_err());
        assert!(
            message.contains("the sun") && message.contains("clouds"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn stops_at_a_hopeless_look() {
        let started = Instant::now();
        let result: Result<()> = wait_for("the sun", Duration::from_mins(5), async || {
            bail!("it is night")
        })
        .await;
        assert!(format!("{:#}", result.unwrap_err()).contains("it is night"));
        assert!(started.elapsed() < Duration::from_mins(1));
    }
}
