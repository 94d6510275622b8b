//! Percentiles. Pure.

use std::time::Duration;

use serde::Serialize;

/// How long something took, over many times. All in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// How often it was measured.
    pub count: usize,
    /// The shortest.
    pub min_ms: f64,
    /// Half of them took at most so long.
    pub p50_ms: f64,
    /// 95 of a hundred took at most so long.
    pub p95_ms: f64,
    /// 99 of a hundred took at most so long.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Spread {
    /// Of these measurements, in any order. Percentiles are by nearest rank: always one that was measured.
    pub fn of(durations: impl IntoIterator<Item = Duration>) -> Self {
        let mut sorted: Vec<f64> = durations.into_iter().map(milliseconds).collect();
        sorted.sort_by(f64::total_cmp);
        let ranked = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100);
            sorted
                .get(rank.saturating_sub(1))
                .copied()
                .unwrap_or_default()
        };
        Self {
            count: sorted.len(),
            min_ms: ranked(0),
            p50_ms: ranked(50),
            p95_ms: ranked(95),
            p99_ms: ranked(99),
            max_ms: ranked(100),
        }
    }

    /// The figures as cells of a table, in the order of [`Self::HEADER`].
    pub fn cells(&self) -> [String; 6] {
        let shown = |ms: f64| format!("{ms:.1}");
        [
            self.count.to_string(),
            shown(self.min_ms),
            shown(self.p50_ms),
            shown(self.p95_ms),
            shown(self.p99_ms),
            shown(self.max_ms),
        ]
    }

    /// What stands above the cells.
    pub const HEADER: [&'static str; 6] = ["n", "min ms", "p50 ms", "p95 ms", "p99 ms", "max ms"];
}

/// In milliseconds, to a microsecond: more digits are noise.
pub fn milliseconds(duration: Duration) -> f64 {
    let microseconds = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    f64::from(microseconds) / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let spread = Spread::of((1..=20).rev().map(Duration::from_millis));
        let expected = ["20", "1.0", "10.0", "19.0", "20.0", "20.0"];
        assert_eq!(spread.cells(), expected);
        assert_eq!(Spread::of([]), Spread::default());
    }
}
