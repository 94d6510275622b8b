//! What a benchmark answers: figures with the machine they were measured on, and the bars they are held against.

use serde::Serialize;

use super::machine::Machine;

/// All that a benchmark has to say.
#[derive(Debug, Serialize)]
pub struct Report<F> {
    /// Which benchmark.
    pub bench: &'static str,
    /// Where, when and of what.
    pub machine: Machine,
    /// What came out.
    pub figures: F,
    /// What the project asks of itself.
    pub bars: Vec<Bar>,
}

impl<F> Report<F> {
    /// Whether every bar is passed.
    pub fn passed(&self) -> bool {
        self.bars.iter().all(|bar| bar.pass)
    }
}

/// A figure and what it has to be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bar {
    /// What is measured.
    pub what: &'static str,
    /// What came out.
    pub value: f64,
    /// Which side of the limit is right.
    pub side: Side,
    /// The limit.
    pub limit: f64,
    /// Of both.
    pub unit: &'static str,
    /// Whether it is.
    pub pass: bool,
}

/// On which side of its limit a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The limit, or less.
    AtMost,
    /// The limit, or more.
    AtLeast,
}

impl Bar {
    /// Holds a figure against the most that it may be.
    pub fn at_most(what: &'static str, value: f64, limit: f64, unit: &'static str) -> Self {
        Self {
            what,
            value,
            side: Side::AtMost,
            limit,
            unit,
            pass: value <= limit,
        }
    }

    /// Holds a figure against the least that it may be.
    pub fn at_least(what: &'static str, value: f64, limit: f64, unit: &'static str) -> Self {
        Self {
            what,
            value,
            side: Side::AtLeast,
            limit,
            unit,
            pass: value >= limit,
        }
    }

    /// The limit, for people.
    pub fn asked(&self) -> String {
        match self.side {
            Side::AtMost => format!("≤ {}", self.limit),
            Side::AtLeast => format!("≥ {}", self.limit),
        }
    }
}

/// Figures that people can read.
pub trait Figures: Serialize {
    /// As tables.
    fn tables(&self) -> Vec<Table>;
}

/// Words in rows and columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// What stands above each column.
    pub header: Vec<String>,
    /// Its rows.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new<'a>(title: impl Into<String>, header: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            title: title.into(),
            header: header.into_iter().map(str::to_owned).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}
