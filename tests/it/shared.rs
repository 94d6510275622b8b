//! What the end-to-end tests share: one testbed of two nodes for all that can live side by side, a [`Project`] for
//! each test, and the guest as it is on its node.
//!
//! A testbed is made by the first test that asks for it and goes when the process ends. With `KILONOVA_IT_TESTBED` set
//! to a name, testbeds whose names begin with it stay and serve the next run, too: quick turns while one writes tests
//! (`devstack down --name NAME-it` removes them; parts that run an older binary have to be restarted).

mod guest;
mod project;
mod web;

use std::future::Future;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use testbed::{Testbed, unique_name};
use tokio::runtime::Runtime;
use tokio::sync::{OnceCell, Semaphore};

pub use guest::GuestOnNode;
pub use project::{Project, TINY, condition_of, grace, image, inline, message_of};
pub use web::{Page, Web, page_of, sha256};

/// How long anything may take that needs no guest to boot: generous, since machines of tests are slow and busy.
pub const SOON: Duration = Duration::from_mins(1);
/// How long a tiny guest may take from nothing to `up`.
pub const BOOT: Duration = Duration::from_mins(3);
/// How many tests may have guests at once: each boot keeps a core busy.
const GUEST_TESTS_MAX: usize = 4;

/// What names of testbeds begin with that are used again, and kept.
const GIVEN: &str = "KILONOVA_IT_TESTBED";

/// For what is done when a test's own runtime stands still.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Runtime::new().expect("a runtime needs two threads and a file descriptor"));
static TURNS: Semaphore = Semaphore::const_new(GUEST_TESTS_MAX);

/// A testbed that is made by the first test that asks for it.
pub struct OwnTestbed {
    name: &'static str,
    nodes: u8,
    pods: bool,
    made: OnceCell<Result<Testbed, String>>,
}

static SHARED: OwnTestbed = OwnTestbed::with_pods("it", 2);

impl OwnTestbed {
    /// A testbed of so many nodes, to be made when it is needed. Operator and agents are processes, so that each can be
    /// stopped and started by itself.
    pub const fn new(name: &'static str, nodes: u8) -> Self {
        Self::described(name, nodes, false)
    }

    /// The same with Kilonova as users install it: by its chart, in pods.
    pub const fn with_pods(name: &'static str, nodes: u8) -> Self {
        Self::described(name, nodes, true)
    }

    const fn described(name: &'static str, nodes: u8, pods: bool) -> Self {
        let made = OnceCell::const_new();
        Self {
            name,
            nodes,
            pods,
            made,
        }
    }

    /// The testbed.
    pub async fn get(&'static self) -> Result<&'static Testbed> {
        let made = self.made.get_or_init(async || {
            // A testbed holds nothing of the runtime that made it, which goes with the first test.
            self.make().await.map_err(|error| format!("{error:#}"))
        });
        made.await
            .as_ref()
            .map_err(|error| anyhow!("testbed {:?} could not be made: {error}", self.name))
    }

    async fn make(&self) -> Result<Testbed> {
        let binary = env!("CARGO_BIN_EXE_kilonova");
        let given = std::env::var(GIVEN).ok();
        let name = match &given {
            Some(prefix) => format!("{prefix}-{}", self.name),
            None => unique_name(self.name),
        };
        let builder = Testbed::builder(name).nodes(self.nodes).kilonova(binary);
        let builder = if self.pods { builder.pods() } else { builder };
        let builder = if given.is_some() {
            builder
        } else {
            builder.guarded()
        };
        builder.up().await
    }
}

/// The testbed for all tests that disturb nobody: two nodes, and Kilonova as users install it.
pub async fn testbed() -> Result<&'static Testbed> {
    SHARED.get().await
}

/// Watches for a while that something stays true: for what must not happen.
pub async fn stays<F, Fut>(what: &str, span: Duration, mut look: F) -> Result<()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<bool>>,
{
    let began = Instant::now();
    while began.elapsed() < span {
        if !look()
            .await
            .with_context(|| format!("while watching: {what}"))?
        {
            bail!("{what}: no longer true after {:?}", began.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
