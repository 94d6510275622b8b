//! Digests as images name them: `sha256:` and hexadecimal digits.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Passes bytes on, and knows their digest and their number.
pub(super) struct Digesting<W> {
    inner: W,
    digest: Sha256,
    bytes: u64,
}

impl<W: Write> Digesting<W> {
    /// Passes bytes on to `inner`.
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            digest: Sha256::new(),
            bytes: 0,
        }
    }

    /// Gives back what the bytes went to, with their digest and their number.
    pub fn finish(self) -> (W, String, u64) {
        (self.inner, named(self.digest), self.bytes)
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.digest.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The digest of some bytes.
pub(super) fn of(bytes: &[u8]) -> String {
    named(Sha256::new_with_prefix(bytes))
}

/// The digest of a file.
pub(super) fn of_file(path: &Path) -> io::Result<String> {
    let mut digesting = Digesting::new(io::sink());
    io::copy(&mut File::open(path)?, &mut digesting)?;
    let (_, digest, _) = digesting.finish();
    Ok(digest)
}

fn named(digest: Sha256) -> String {
    let digest = digest.finalize();
    digest.iter().fold("sha256:".to_owned(), |name, byte| {
        name + &format!("{byte:02x}")
    })
}
