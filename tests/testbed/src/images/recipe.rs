//! What an image is made from: shell scripts and the guest's own files, and the key that follows from them.
//!
//! Pure. The versions of Debian's packages are no part of the key: an image in the cache stays as it is until its
//! recipe changes, so that a run tomorrow tests what a run today did.

use sha2::{Digest, Sha256};

use super::program::GuestProgram;

/// How much of the digest tells recipes apart in file names; twice as many characters.
const KEY_BYTES: usize = 6;

/// A recipe. Its files are laid out in a scratch folder, in which `build.sh` runs and leaves `disk.qcow2` and
/// `disk.sha256`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recipe {
    pub name: &'static str,
    pub files: &'static [File],
    /// Programs of this workspace that are built for it, and laid out beside the files.
    pub programs: &'static [GuestProgram],
}

/// A file's name and text.
pub(super) type File = (&'static str, &'static str);

/// What all recipes share: packages, boot partition, partition table.
pub(super) const LIBRARY: File = ("lib.sh", include_str!("boot/lib.sh"));

impl Recipe {
    /// Changes with any of the files, and with what the programs are made from, whose digests are given.
    pub fn key(&self, programs: &[String]) -> String {
        let mut digest = Sha256::new();
        for (name, text) in self.files {
            // The lengths keep "a" + "bc" apart from "ab" + "c".
            digest.update(format!("{name} {}\n{text}", text.len()));
        }
        for program in programs {
            digest.update(program);
        }
        hexadecimal(&digest.finalize()[..KEY_BYTES])
    }
}

/// Two digits for each byte.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    let add = |text: String, byte| text + &format!("{byte:02x}");
    bytes.iter().fold(String::new(), add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(files: &'static [File]) -> String {
        Recipe {
            name: "x",
            files,
            programs: &[],
        }
        .key(&[])
    }

    #[test]
    fn the_key_follows_names_and_texts() {
        let key_of_one = key(&[("a", "1")]);
        assert_eq!(key_of_one.len(), 2 * KEY_BYTES);
        assert_eq!(key_of_one, key(&[("a", "1")]));
        for other in [
            key(&[("a", "2")]),
            key(&[("b", "1")]),
            key(&[("a", "1"), ("b", "")]),
            key(&[]),
        ] {
            assert_ne!(key_of_one, other);
        }
        assert_ne!(
            key(&[("a", "1"), ("b", "2")]),
            key(&[("b", "2"), ("a", "1")])
        );
        let tiny = super::super::tiny::RECIPE;
        let keys = ["1", "2"].map(|digest| tiny.key(&[digest.to_owned()]));
        assert_ne!(keys[0], keys[1]);
    }

    #[test]
    fn the_real_recipes_hold_what_their_scripts_name() {
        for recipe in [super::super::tiny::RECIPE, super::super::debian::RECIPE] {
            let programs = recipe.programs.iter().map(|program| program.name());
            let files = recipe.files.iter().map(|(name, _)| *name);
            let names: Vec<&str> = files.chain(programs).collect();
            assert!(
                names.contains(&"build.sh") && names.contains(&"lib.sh"),
                "{names:?}"
            );
            let scripts: String = recipe.files.iter().map(|(_, text)| *text).collect();
            for name in names {
                assert!(
                    name == "build.sh" || scripts.contains(name),
                    "{name} is used by nothing"
                );
            }
        }
    }
}
