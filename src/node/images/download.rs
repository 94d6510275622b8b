//! Fetches one image and checks it.
//!
//! The server and what it sends are not trusted: everything is bounded in size and time, and nothing is believed
//! before the digest is right. Messages must never show credentials that an address contains.

use std::{sync::atomic::Ordering, time::Instant};

use prometheus_client::metrics::counter::Counter;
use reqwest::{Client, Response, StatusCode, Url, redirect};
use sha2::{Digest, Sha256 as Hasher};
use tempfile::TempPath;
use tokio::{
    fs::File,
    io::{AsyncWriteExt, BufWriter},
    time::{self, timeout},
};

use super::{
    CacheError, Limits,
    entry::Running,
    error::{DownloadError, shown},
    store::Store,
};
use crate::{
    api::{guest::ImageContent, value::Sha256},
    node::plan::image_format::{self, HEAD_BYTES},
};

/// Each write to the file is a trip to another thread.
const WRITE_BYTES: usize = 1 << 20;
/// Bytes between two looks at the free space. Three downloads at once can overshoot the reserve by as much each.
const SPACE_CHECK_BYTES: u64 = 64 << 20;

/// A verified file that has no name yet.
#[derive(Debug)]
pub(super) struct Download {
    pub part: TempPath,
    pub size: u64,
    pub virtual_size: u64,
}

#[derive(Debug, thiserror::Error)]
enum RedirectError {
    #[error("more than {0} redirects")]
    TooMany(usize),
    #[error("it redirects to something that is no http:// or https:// address")]
    Scheme,
}

#[derive(Debug)]
pub(super) struct Downloader {
    client: Client,
    limits: Limits,
    downloaded: Counter,
}

impl Downloader {
    pub fn new(limits: &Limits, downloaded: Counter) -> Result<Self, CacheError> {
        // The client would panic.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(CacheError::NoTlsProvider);
        }
        let redirects_max = limits.redirects_max;
        let redirects = redirect::Policy::custom(move |attempt| {
            if attempt.previous().len() > redirects_max {
                attempt.error(RedirectError::TooMany(redirects_max))
            } else if is_http(attempt.url()) {
                attempt.follow()
            } else {
                attempt.error(RedirectError::Scheme)
            }
        });
        let client = Client::builder()
            .user_agent(concat!("kilonova/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(limits.connect_timeout)
            .redirect(redirects)
            // An address may carry a token, which is none of the next server's business.
            .referer(false)
            .pool_max_idle_per_host(0)
            .build()
            .map_err(CacheError::Client)?;
        Ok(Self {
            client,
            limits: limits.clone(),
            downloaded,
        })
    }

    /// Downloads and verifies an image. Leaves no file behind unless it succeeds, also when it is dropped.
    pub async fn run(
        &self,
        image: &ImageContent,
        store: &Store,
        running: &Running,
        progressed: &(dyn Fn() + Sync),
    ) -> Result<Download, DownloadError> {
        let Some(url) = Url::parse(&image.url).ok().filter(is_http) else {
            let url = shown(&image.url);
            return Err(DownloadError::BadAddress { url });
        };
        let name = shown(&image.url);
        let response = self.request(url, &name).await?;
        let total = response.content_length();
        running
            .progress
            .total
            .store(total.unwrap_or(0), Ordering::Relaxed);
        let transfer = Transfer {
            limits: &self.limits,
            downloaded: &self.downloaded,
            store,
            running,
            url: &name,
            progressed,
        };
        transfer.check_size(total.unwrap_or(0))?;
        transfer.check_space(total.unwrap_or(0))?;
        let received = transfer.receive(response).await?;
        verify(image, &name, received)
    }

    async fn request(&self, url: Url, name: &str) -> Result<Response, DownloadError> {
        let request = self.client.get(url).send();
        let response = match timeout(self.limits.stall_timeout, request).await {
            Err(_) => {
                return Err(DownloadError::Stalled {
                    url: name.to_owned(),
                    bytes: 0,
                    stall_bytes: self.limits.stall_bytes,
                    stall_timeout: self.limits.stall_timeout,
                });
            }
            Ok(answer) => answer.map_err(|error| {
                let (url, is_redirect) = (name.to_owned(), error.is_redirect());
                let source = error.without_url();
                if is_redirect {
                    DownloadError::Redirect { url, source }
                } else {
                    DownloadError::Unreachable { url, source }
                }
            })?,
        };
        if response.status() != StatusCode::OK {
            return Err(DownloadError::Status {
                url: name.to_owned(),
                status: response.status().as_u16(),
            });
        }
        Ok(response)
    }
}

/// What has arrived.
struct Received {
    part: TempPath,
    size: u64,
    digest: Sha256,
    head: Vec<u8>,
}

/// One response on its way to the disk.
struct Transfer<'a> {
    limits: &'a Limits,
    downloaded: &'a Counter,
    store: &'a Store,
    running: &'a Running,
    url: &'a str,
    progressed: &'a (dyn Fn() + Sync),
}

impl Transfer<'_> {
    async fn receive(&self, mut response: Response) -> Result<Received, DownloadError> {
        let (file, part) = self.store.new_part().map_err(DownloadError::Write)?;
        let mut file = BufWriter::with_capacity(WRITE_BYTES, File::from_std(file));
        let mut hasher = Hasher::new();
        let mut head = Vec::new();
        let (mut size, mut space_checked_at) = (0_u64, 0_u64);
        let mut pace = Pace::new(self.limits);
        let (mut told, mut told_at) = (None, Instant::now());
        while let Some(chunk) = time::timeout_at(pace.deadline, response.chunk())
            .await
            .map_err(|_| self.stalled(size))?
            .map_err(|error| self.interrupted(size, error))?
        {
            self.downloaded.inc_by(chunk.len() as u64);
            pace.advance(chunk.len() as u64, self.limits);
            size = size.saturating_add(chunk.len() as u64);
            self.check_size(size)?;
            if size - space_checked_at >= SPACE_CHECK_BYTES {
                self.check_space(0)?;
                space_checked_at = size;
            }
            hasher.update(&chunk);
            let wanted = HEAD_BYTES.saturating_sub(head.len()).min(chunk.len());
            head.extend_from_slice(&chunk[..wanted]);
            file.write_all(&chunk).await.map_err(DownloadError::Write)?;
            self.running.progress.bytes.store(size, Ordering::Relaxed);
            // Each word of it makes every guest that waits look, and the host report.
            let tenths = self.running.tenths();
            if tenths != told && told_at.elapsed() >= self.limits.progress_interval {
                (told, told_at) = (tenths, Instant::now());
                (self.progressed)();
            }
        }
        file.flush().await.map_err(DownloadError::Write)?;
        // The file is about to get a name that means that it is whole: a power cut must not make that a lie.
        file.get_ref()
            .sync_all()
            .await
            .map_err(DownloadError::Write)?;
        Ok(Received {
            part,
            size,
            digest: hasher.finalize().into(),
            head,
        })
    }

    fn stalled(&self, bytes: u64) -> DownloadError {
        DownloadError::Stalled {
            url: self.url.to_owned(),
            bytes,
            stall_bytes: self.limits.stall_bytes,
            stall_timeout: self.limits.stall_timeout,
        }
    }

    fn interrupted(&self, bytes: u64, error: reqwest::Error) -> DownloadError {
        DownloadError::Interrupted {
            url: self.url.to_owned(),
            bytes,
            source: error.without_url(),
        }
    }

    fn check_size(&self, bytes: u64) -> Result<(), DownloadError> {
        let limit_bytes = self.running.limit_bytes();
        if bytes > limit_bytes {
            let url = self.url.to_owned();
            return Err(DownloadError::TooLarge { url, limit_bytes });
        }
        Ok(())
    }

    /// Whether the disk has room for this much more, beside the reserve.
    fn check_space(&self, bytes: u64) -> Result<(), DownloadError> {
        let free_bytes = self.store.free_bytes().map_err(DownloadError::Space)?;
        let reserve_bytes = self.limits.free_bytes_reserve;
        if free_bytes < reserve_bytes.saturating_add(bytes) {
            return Err(DownloadError::NoSpace {
                free_bytes,
                reserve_bytes,
            });
        }
        Ok(())
    }
}

/// Until when how many bytes have to arrive.
struct Pace {
    deadline: time::Instant,
    bytes: u64,
}

impl Pace {
    fn new(limits: &Limits) -> Self {
        Self {
            deadline: time::Instant::now() + limits.stall_timeout,
            bytes: 0,
        }
    }

    fn advance(&mut self, bytes: u64, limits: &Limits) {
        self.bytes += bytes;
        if self.bytes >= limits.stall_bytes {
            *self = Self::new(limits);
        }
    }
}

fn verify(image: &ImageContent, url: &str, received: Received) -> Result<Download, DownloadError> {
    let Received {
        part,
        size,
        digest,
        head,
    } = received;
    if digest != image.sha256 {
        return Err(DownloadError::WrongDigest {
            url: url.to_owned(),
            declared: image.sha256.to_string(),
            found: digest.to_string(),
            content: image_format::describe(&head),
        });
    }
    let shape = image_format::inspect(image.format, &head, size).map_err(DownloadError::Unsafe)?;
    Ok(Download {
        part,
        size,
        virtual_size: shape.virtual_size,
    })
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}
