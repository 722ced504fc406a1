//! A snapshot of an etcd, into a file: as etcd streams it, compressed, with nothing of it held in memory.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use etcd_client::{Client, GetOptions};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::contract::backup::Snapshot;
use crate::contract::config::EtcdConfig;
use crate::control_plane::etcd_client::{self as members, EtcdClientError};
use crate::host::Host;
use crate::host::file::FileError;
use crate::progress::retry::{Class, Classed};

/// How many bytes a SHA-256 has.
const DIGEST: usize = 32;

/// Why there is no snapshot, or no good one.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// etcd can't be reached.
    #[error(transparent)]
    Client(#[from] EtcdClientError),
    /// etcd said no.
    #[error("etcd {etcd} gives no snapshot")]
    Etcd {
        /// The etcd cluster.
        etcd: String,
        /// What it said.
        #[source]
        source: Box<etcd_client::Error>,
    },
    /// The file.
    #[error("the snapshot's file can't be used")]
    File(#[source] FileError),
    /// The volume is too full.
    #[error("the volume of etcd {etcd} has {free} bytes left, and {needed} are needed for a while")]
    Room {
        /// The etcd cluster.
        etcd: String,
        /// How many bytes are free.
        free: u64,
        /// How many it takes.
        needed: u64,
    },
    /// What etcd wrote at its end isn't the digest of what came before.
    #[error("the snapshot of {0} isn't whole: its own SHA-256 is of something else")]
    Torn(String),
}

impl Classed for SnapshotError {
    fn class(&self) -> Class {
        Class::Passing
    }
}

/// What an etcd is before a snapshot of it is begun.
#[derive(Debug)]
pub struct Before {
    /// How large its database is, in bytes.
    pub size: u64,
    revision: i64,
    keys: u64,
    cluster_id: u64,
    version: String,
}

/// Whether the member that is asked leads its etcd.
pub async fn leads(client: &mut Client, etcd: &EtcdConfig) -> Result<bool, SnapshotError> {
    let failed = |source| SnapshotError::Etcd { etcd: etcd.name.clone(), source: Box::new(source) };
    let status = client.status().await.map_err(failed)?;
    let own = status.header().map(etcd_client::ResponseHeader::member_id);
    Ok(status.leader() != 0 && own == Some(status.leader()))
}

/// Asks an etcd what it is.
pub async fn ask(client: &mut Client, etcd: &EtcdConfig) -> Result<Before, SnapshotError> {
    let failed = |source| SnapshotError::Etcd { etcd: etcd.name.clone(), source: Box::new(source) };
    let status = client.status().await.map_err(failed)?;
    let all = GetOptions::new().with_all_keys().with_count_only();
    let counted = client.get("", Some(all)).await.map_err(failed)?;
    let header = counted.header().or(status.header());
    Ok(Before {
        size: u64::try_from(status.db_size()).unwrap_or_default(),
        revision: header.map(etcd_client::ResponseHeader::revision).unwrap_or_default(),
        keys: u64::try_from(counted.count()).unwrap_or_default(),
        cluster_id: header.map(etcd_client::ResponseHeader::cluster_id).unwrap_or_default(),
        version: status.version().to_owned(),
    })
}

/// Takes a snapshot of this master's member into a file, which is made anew.
pub async fn take(host: &Host, etcd: &EtcdConfig, file: &Path) -> Result<Snapshot, SnapshotError> {
    let mut client = members::own(host, etcd).await?;
    let before = ask(&mut client, etcd).await?;
    let failed = |source| SnapshotError::Etcd { etcd: etcd.name.clone(), source: Box::new(source) };
    let mut compressed = Compressed::create(file)?;
    let mut stream = client.snapshot().await.map_err(failed)?;
    while let Some(part) = stream.message().await.map_err(failed)? {
        compressed.write(part.blob())?;
    }
    let (sha256, compressed_bytes, bytes) = compressed.finish(&etcd.name)?;
    Ok(Snapshot {
        member: etcd.member.clone(),
        etcd_version: before.version,
        etcd_cluster_id: format!("{:x}", before.cluster_id),
        revision: before.revision,
        keys: before.keys,
        sha256,
        compressed_bytes,
        bytes,
    })
}

/// Makes the snapshot of a compressed file again, and compares the digests: the file's with what is expected of it, and the
/// snapshot's own.
pub fn expand(compressed: &Path, expected: &Snapshot, into: &Path, etcd: &str) -> Result<(), SnapshotError> {
    let failed = |source| SnapshotError::File(FileError::Read { path: compressed.to_owned(), source });
    let write = |source| SnapshotError::File(FileError::Write { path: into.to_owned(), source });
    if digest_of(compressed)? != expected.sha256 {
        return Err(SnapshotError::Torn(etcd.to_owned()));
    }
    let mut reader = GzDecoder::new(File::open(compressed).map_err(failed)?);
    let (mut made, mut own) = (create(into)?, OwnDigest::default());
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = reader.read(&mut buffer).map_err(failed)?;
        if length == 0 {
            break;
        }
        own.update(&buffer[..length]);
        made.write_all(&buffer[..length]).map_err(write)?;
    }
    made.sync_all().map_err(write)?;
    if own.agrees() { Ok(()) } else { Err(SnapshotError::Torn(etcd.to_owned())) }
}

/// The lower-case hexadecimal SHA-256 of a file.
fn digest_of(path: &Path) -> Result<String, SnapshotError> {
    let failed = |source| SnapshotError::File(FileError::Read { path: path.to_owned(), source });
    let mut file = File::open(path).map_err(failed)?;
    let (mut digest, mut buffer) = (Context::new(&SHA256), vec![0; 1 << 16]);
    loop {
        let length = file.read(&mut buffer).map_err(failed)?;
        if length == 0 {
            return Ok(hexadecimal(digest.finish().as_ref()));
        }
        digest.update(&buffer[..length]);
    }
}

/// A file of its owner's alone.
fn create(path: &Path) -> Result<File, SnapshotError> {
    let mut options = std::fs::OpenOptions::new();
    let made = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    made.map_err(|source| SnapshotError::File(FileError::Write { path: path.to_owned(), source }))
}

/// The digest that etcd puts behind a snapshot, and the one of what came before it (etcd's `Maintenance.Snapshot`).
struct OwnDigest {
    digest: Context,
    last: Vec<u8>,
    bytes: u64,
}

impl Default for OwnDigest {
    fn default() -> Self {
        Self { digest: Context::new(&SHA256), last: Vec::new(), bytes: 0 }
    }
}

impl OwnDigest {
    fn update(&mut self, part: &[u8]) {
        self.bytes += part.len() as u64;
        self.last.extend_from_slice(part);
        let certain = self.last.len().saturating_sub(DIGEST);
        self.digest.update(&self.last[..certain]);
        self.last.drain(..certain);
    }

    fn agrees(self) -> bool {
        self.last.len() == DIGEST && self.digest.finish().as_ref() == self.last
    }
}

/// A writer that knows the digest and the size of what was written.
struct Digesting {
    file: BufWriter<File>,
    digest: Context,
    bytes: u64,
}

impl Write for Digesting {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        let length = self.file.write(part)?;
        self.digest.update(&part[..length]);
        self.bytes += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// A file that is compressed while it is written.
struct Compressed {
    path: PathBuf,
    encoder: GzEncoder<Digesting>,
    own: OwnDigest,
}

impl Compressed {
    fn create(path: &Path) -> Result<Self, SnapshotError> {
        let file = BufWriter::new(create(path)?);
        let digesting = Digesting { file, digest: Context::new(&SHA256), bytes: 0 };
        let encoder = GzEncoder::new(digesting, Compression::fast());
        Ok(Self { path: path.to_owned(), encoder, own: OwnDigest::default() })
    }

    fn write(&mut self, part: &[u8]) -> Result<(), SnapshotError> {
        self.own.update(part);
        let written = self.encoder.write_all(part);
        written.map_err(|source| SnapshotError::File(FileError::Write { path: self.path.clone(), source }))
    }

    /// The digest of the compressed file, its size, and the size of the snapshot.
    fn finish(self, etcd: &str) -> Result<(String, u64, u64), SnapshotError> {
        let Self { path, encoder, own } = self;
        let failed = |source| SnapshotError::File(FileError::Write { path: path.clone(), source });
        let mut digesting = encoder.finish().map_err(failed)?;
        digesting.flush().map_err(failed)?;
        let bytes = own.bytes;
        if !own.agrees() {
            return Err(SnapshotError::Torn(etcd.to_owned()));
        }
        Ok((hexadecimal(digesting.digest.finish().as_ref()), digesting.bytes, bytes))
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What etcd would stream, in parts of odd sizes.
    fn written(path: &Path, content: &[u8]) -> Snapshot {
        let mut whole = content.to_vec();
        whole.extend_from_slice(aws_lc_rs::digest::digest(&SHA256, content).as_ref());
        let mut compressed = Compressed::create(path).unwrap();
        whole.chunks(13).for_each(|part| compressed.write(part).unwrap());
        let (sha256, compressed_bytes, bytes) = compressed.finish("main").unwrap();
        Snapshot {
            member: "a".into(),
            etcd_version: "3.6.16".into(),
            etcd_cluster_id: "0".into(),
            revision: 1,
            keys: 1,
            sha256,
            compressed_bytes,
            bytes,
        }
    }

    #[test]
    fn a_snapshot_comes_back_as_it_was_and_no_bit_of_it_may_change() {
        let folder = tempfile::tempdir().unwrap();
        let (file, into) = (folder.path().join("main.gz"), folder.path().join("main.db"));
        let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let snapshot = written(&file, &content);
        assert_eq!(snapshot.bytes, content.len() as u64 + 32);
        assert_eq!(snapshot.compressed_bytes, std::fs::metadata(&file).unwrap().len());
        expand(&file, &snapshot, &into, "main").unwrap();
        assert_eq!(std::fs::read(&into).unwrap()[..content.len()], content);

        let good = std::fs::read(&file).unwrap();
        for place in [0, good.len() / 2, good.len() - 1] {
            let mut flipped = good.clone();
            flipped[place] ^= 1;
            std::fs::write(&file, flipped).unwrap();
            let error = expand(&file, &snapshot, &into, "main").unwrap_err();
            assert!(matches!(error, SnapshotError::Torn(_)), "{place}: {error}");
        }
        std::fs::write(&file, &good[..good.len() - 9]).unwrap();
        expand(&file, &snapshot, &into, "main").unwrap_err();
    }

    #[test]
    fn a_stream_that_ends_early_is_no_snapshot() {
        let folder = tempfile::tempdir().unwrap();
        let mut compressed = Compressed::create(&folder.path().join("main.gz")).unwrap();
        compressed.write(&[7; 1000]).unwrap();
        let error = compressed.finish("main").unwrap_err();
        assert!(error.to_string().contains("isn't whole"), "{error}");
        let empty = Compressed::create(&folder.path().join("events.gz")).unwrap();
        empty.finish("events").unwrap_err();
    }
}
