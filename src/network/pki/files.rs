//! Puts the operator's own certificate where its sessions with the databases read it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use k8s_openapi::api::core::v1::Secret;

use crate::api::certificate::{CA_CERTIFICATE, CERTIFICATE, KEY, text};

/// Makes the folder's files say what the Secret says. The key comes before what names it; whoever reads between the two
/// fails, and tries again.
pub fn write(folder: &Path, secret: &Secret) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for name in [KEY, CERTIFICATE, CA_CERTIFICATE] {
        let content = text(secret, name).unwrap_or_default();
        let path = folder.join(name);
        if fs::read_to_string(&path).is_ok_and(|found| found == content) {
            continue;
        }
        let unfinished = folder.join(format!("{name}.new"));
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(content.as_bytes())?;
        fs::rename(&unfinished, &path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::api::certificate;

    #[test]
    fn files_say_what_the_secret_says_and_are_nobody_elses() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("ovn");
        for generation in ["1", "2"] {
            let texts = [CA_CERTIFICATE, CERTIFICATE, KEY].map(|key| (key, generation));
            write(&folder, &certificate::secret("system", "operator", texts)).unwrap();
            for name in [CA_CERTIFICATE, CERTIFICATE, KEY] {
                let path = folder.join(name);
                assert_eq!(fs::read_to_string(&path).unwrap(), generation);
                let mode = fs::metadata(&path).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600);
            }
        }
    }
}
