//! The recipe of the real cloud image: see [`super::debian`] for what it is, and its scripts for how.

use super::recipe::{LIBRARY, Recipe};

pub(super) const RECIPE: Recipe = Recipe {
    name: "debian",
    programs: &[],
    files: &[
        LIBRARY,
        ("build.sh", include_str!("debian/build.sh")),
        ("cloud.cfg", include_str!("debian/cloud.cfg")),
    ],
};
