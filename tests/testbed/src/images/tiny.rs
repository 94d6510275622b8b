//! The recipe of the tiny guest: see [`super::tiny`] for what it does, and its scripts for how.

use super::program::GuestProgram;
use super::recipe::{LIBRARY, Recipe};

pub(super) const RECIPE: Recipe = Recipe {
    name: "tiny",
    programs: &[GuestProgram::Nettool],
    files: &[
        LIBRARY,
        ("build.sh", include_str!("tiny/build.sh")),
        // From here on, files of the guest, in the order in which they matter at boot.
        ("init.sh", include_str!("tiny/init.sh")),
        ("inittab", include_str!("tiny/inittab")),
        ("common.sh", include_str!("tiny/common.sh")),
        ("start.sh", include_str!("tiny/start.sh")),
        ("metadata.awk", include_str!("tiny/metadata.awk")),
        ("userdata.awk", include_str!("tiny/userdata.awk")),
        ("nics.sh", include_str!("tiny/nics.sh")),
        ("dhcp.sh", include_str!("tiny/dhcp.sh")),
        ("tick.sh", include_str!("tiny/tick.sh")),
        ("power-button.sh", include_str!("tiny/power-button.sh")),
        ("console.sh", include_str!("tiny/console.sh")),
    ],
};

#[cfg(test)]
#[path = "tiny_tests.rs"]
mod tests;
