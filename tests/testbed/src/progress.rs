//! Tells a person what is going on: a spinner for each step on a terminal, plain lines with elapsed time elsewhere.
//!
//! Writes to stderr only, so that stdout stays for what a program reads. Never decides anything and never fails:
//! a line that cannot be printed is not worth a failed step.

use std::fmt::Display;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How often the elapsed time on a terminal moves.
const TICK: Duration = Duration::from_millis(120);
/// How often a step may say something where lines stay for ever (a CI log).
const PLAIN_MESSAGE_INTERVAL: Duration = Duration::from_secs(10);

/// The place where steps report. Cheap to clone; steps of clones share one screen.
#[derive(Clone, Debug)]
pub struct Progress {
    screen: Screen,
}

#[derive(Clone, Debug)]
enum Screen {
    Terminal(MultiProgress),
    Lines,
    Silent,
}

impl Progress {
    /// Reports on stderr, in the manner that suits it.
    pub fn new() -> Self {
        let screen = if std::io::stderr().is_terminal() {
            Screen::Terminal(MultiProgress::new())
        } else {
            Screen::Lines
        };
        Self { screen }
    }

    /// Reports nothing; for callers whose caller reports.
    pub fn silent() -> Self {
        Self {
            screen: Screen::Silent,
        }
    }

    /// Begins a step. It ends by [`Step::done`] or [`Step::fail`]; when it is dropped before, it counts as failed.
    pub fn step(&self, title: impl Into<String>) -> Step {
        let title = title.into();
        let bar = match &self.screen {
            Screen::Terminal(bars) => Some(bars.add(spinner(&title))),
            Screen::Lines => {
                eprintln!("  ... {title}");
                None
            }
            Screen::Silent => None,
        };
        let now = Instant::now();
        Step {
            screen: self.screen.clone(),
            title,
            bar,
            started: now,
            last_message: Mutex::new(now),
            ended: false,
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

/// One thing that takes time.
#[derive(Debug)]
pub struct Step {
    screen: Screen,
    title: String,
    bar: Option<ProgressBar>,
    started: Instant,
    last_message: Mutex<Instant>,
    ended: bool,
}

impl Step {
    /// Says how far the step is. On a terminal the newest message stands beside the title; elsewhere a line is
    /// printed now and then.
    pub fn message(&self, message: impl Display) {
        match (&self.screen, &self.bar) {
            (Screen::Terminal(_), Some(bar)) => bar.set_message(message.to_string()),
            (Screen::Lines, _) if self.may_print_message() => {
                eprintln!("  ... {}: {message} ({})", self.title, self.elapsed());
            }
            (Screen::Terminal(_) | Screen::Lines | Screen::Silent, _) => {}
        }
    }

    /// Ends the step well.
    pub fn done(self) {
        self.done_with("");
    }

    /// Ends the step well and adds a fact, such as "already there" or a version.
    pub fn done_with(mut self, fact: impl Display) {
        let fact = fact.to_string();
        self.end("ok ", &fact);
    }

    /// Ends the step badly. The error itself is the caller's to return; this line only marks the step.
    pub fn fail(mut self, why: impl Display) {
        let why = why.to_string();
        self.end("FAIL", &why);
    }

    fn end(&mut self, mark: &str, fact: &str) {
        self.ended = true;
        let separator = if fact.is_empty() { "" } else { ": " };
        let line = format!(
            "{mark:>5} {}{separator}{fact} ({})",
            self.title,
            self.elapsed()
        );
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        match &self.screen {
            Screen::Terminal(bars) => bars.suspend(|| eprintln!("{line}")),
            Screen::Lines => eprintln!("{line}"),
            Screen::Silent => {}
        }
    }

    fn elapsed(&self) -> String {
        format!("{:.1} s", self.started.elapsed().as_secs_f64())
    }

    fn may_print_message(&self) -> bool {
        let Ok(mut last) = self.last_message.lock() else {
            return false;
        };
        let due = last.elapsed() >= PLAIN_MESSAGE_INTERVAL;
        if due {
            *last = Instant::now();
        }
        due
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.ended {
            self.end("FAIL", "not finished");
        }
    }
}

fn spinner(title: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_prefix(title.to_owned());
    if let Ok(style) = ProgressStyle::with_template("    {spinner} {prefix} {elapsed} {msg:.dim}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
    bar
}
