//! Makes the bytes of a NoCloud seed disk: a small FAT file system with the label that cloud-init looks for.
//!
//! Equal documents make equal bytes, so that a seed can be compared instead of remembered. The documents are opaque:
//! nothing here may parse, change or print them, for they hold secrets.

use std::{
    fmt,
    io::{self, Cursor, Write},
};

use fatfs::{
    Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider,
};

/// Size of every seed disk.
const DISK_BYTES: usize = 1 << 20;

/// What fits: the disk less its tables (boot sector, two FATs of 12 bits for each 512 bytes, 512 directory entries:
/// under 32 KiB), rounded to something that can be remembered. User data is at most 64 KiB, so this is ample.
pub const DOCUMENTS_BYTES_MAX: usize = 960 << 10;

/// cloud-init's NoCloud data source takes a file system of this name. FAT pads names with spaces.
const LABEL: [u8; 11] = *b"cidata     ";

/// What cloud-init reads, as bytes from the guest's seed Secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Documents {
    /// What the user wants done.
    pub user_data: Vec<u8>,
    /// Who the server is: see `compute::plan::cloud_init`.
    pub meta_data: Vec<u8>,
    /// How its network is set up; absent: cloud-init's default, DHCP.
    pub network_config: Option<Vec<u8>>,
}

impl fmt::Debug for Documents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            user_data,
            meta_data,
            network_config,
        } = self;
        f.debug_struct("Documents")
            .field("user_data_bytes", &user_data.len())
            .field("meta_data_bytes", &meta_data.len())
            .field(
                "network_config_bytes",
                &network_config.as_ref().map(Vec::len),
            )
            .finish()
    }
}

/// Why there is no seed disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The documents do not fit.
    #[error(
        "the seed's documents take {0} bytes, and {DOCUMENTS_BYTES_MAX} fit: shorten the user data"
    )]
    TooLarge(usize),
    /// The file system could not be laid out; a bug, since it is made in memory.
    #[error("failed to lay out the seed's file system")]
    Layout(#[source] io::Error),
}

/// The bytes of the seed disk with these documents.
pub fn disk(documents: &Documents) -> Result<Vec<u8>, DiskError> {
    let Documents {
        user_data,
        meta_data,
        network_config,
    } = documents;
    let mut files = vec![("meta-data", meta_data), ("user-data", user_data)];
    files.extend(
        network_config
            .iter()
            .map(|config| ("network-config", config)),
    );
    let total = files.iter().map(|(_, content)| content.len()).sum();
    if total > DOCUMENTS_BYTES_MAX {
        return Err(DiskError::TooLarge(total));
    }
    lay_out(&files).map_err(DiskError::Layout)
}

fn lay_out(files: &[(&str, &Vec<u8>)]) -> io::Result<Vec<u8>> {
    let mut disk = Cursor::new(vec![0; DISK_BYTES]);
    let options = FormatVolumeOptions::new()
        .bytes_per_cluster(512)
        .fat_type(FatType::Fat12)
        .volume_id(u32::from_be_bytes(*b"KLNV"))
        .volume_label(LABEL);
    fatfs::format_volume(&mut disk, options)?;
    let options = FsOptions::new().time_provider(&NoTime);
    let file_system = FileSystem::new(&mut disk, options)?;
    for (name, content) in files {
        let mut file = file_system.root_dir().create_file(name)?;
        file.write_all(content)?;
        file.flush()?;
    }
    file_system.unmount()?;
    Ok(disk.into_inner())
}

/// The beginning of FAT's calendar, always: time would make equal seeds differ.
#[derive(Debug)]
struct NoTime;

impl TimeProvider for NoTime {
    fn get_current_date(&self) -> Date {
        Date {
            year: 1980,
            month: 1,
            day: 1,
        }
    }

    fn get_current_date_time(&self) -> DateTime {
        let time = Time {
            hour: 0,
            min: 0,
            sec: 0,
            millis: 0,
        };
        DateTime {
            date: self.get_current_date(),
            time,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn documents() -> Documents {
        Documents {
            user_data: b"#cloud-config\n{}\n".to_vec(),
            meta_data: br#"{"instance-id":"x"}"#.to_vec(),
            network_config: Some(vec![0, 159, 146, 150]),
        }
    }

    fn read_back(disk: Vec<u8>) -> (String, Vec<(String, Vec<u8>)>) {
        let file_system = FileSystem::new(Cursor::new(disk), FsOptions::new()).unwrap();
        let mut files = Vec::new();
        for entry in file_system.root_dir().iter() {
            let entry = entry.unwrap();
            let mut content = Vec::new();
            entry.to_file().read_to_end(&mut content).unwrap();
            files.push((entry.file_name(), content));
        }
        (file_system.volume_label(), files)
    }

    #[test]
    fn cloud_init_finds_label_and_documents() {
        let made = documents();
        let (label, files) = read_back(disk(&made).unwrap());
        assert_eq!(label, "cidata");
        assert_eq!(
            files,
            [
                ("meta-data".to_owned(), made.meta_data),
                ("user-data".to_owned(), made.user_data),
                ("network-config".to_owned(), made.network_config.unwrap()),
            ]
        );
    }

    #[test]
    fn without_a_network_config_there_is_no_such_file() {
        let made = Documents {
            network_config: None,
            ..documents()
        };
        let (_, files) = read_back(disk(&made).unwrap());
        assert_eq!(files.len(), 2);
    }

    #[test]
    fn equal_documents_make_equal_bytes() {
        assert_eq!(disk(&documents()).unwrap(), disk(&documents()).unwrap());
    }

    #[test]
    fn everything_within_the_bound_fits_and_nothing_beyond() {
        let most = Documents {
            user_data: vec![b'u'; DOCUMENTS_BYTES_MAX / 3],
            meta_data: vec![b'm'; DOCUMENTS_BYTES_MAX / 3],
            network_config: Some(vec![b'n'; DOCUMENTS_BYTES_MAX / 3]),
        };
        let (_, files) = read_back(disk(&most).unwrap());
        assert_eq!(files[1].1, most.user_data);
        let more = Documents {
            user_data: vec![b'u'; DOCUMENTS_BYTES_MAX + 1],
            ..Documents::default()
        };
        assert!(matches!(disk(&more), Err(DiskError::TooLarge(_))));
    }

    #[test]
    fn secrets_are_not_printed() {
        let printed = format!("{:?}", documents());
        assert!(!printed.contains("cloud-config"), "{printed}");
    }
}
