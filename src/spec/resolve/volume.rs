//! EBS volumes.

use super::{Report, Resolved};
use crate::spec::cluster::EbsVolume;
use crate::spec::problem::Problem;

/// The fields of a volume, with the names they have where they stand.
pub(super) struct VolumeFields<'a> {
    pub(super) size: (&'a str, Option<u32>),
    pub(super) kind: (&'a str, Option<&'a str>),
    pub(super) iops: (&'a str, Option<u32>),
    pub(super) throughput: (&'a str, Option<u32>),
    pub(super) encrypted: (&'a str, Option<bool>),
    pub(super) key: (&'a str, Option<&'a str>),
}

/// What EBS sells: the type, the range of sizes in GiB, of operations a second, and of MiB/s.
type Range = std::ops::RangeInclusive<u32>;
const KINDS: [(&str, Range, Option<Range>, Option<Range>); 4] = [
    ("gp3", 1..=65536, Some(3000..=80000), Some(125..=2000)),
    ("gp2", 1..=16384, None, None),
    ("io1", 4..=16384, Some(100..=64000), None),
    ("io2", 4..=65536, Some(100..=256_000), None),
];

impl VolumeFields<'_> {
    /// Reads the volume that stands at a path.
    pub(super) fn resolve(&self, path: &str, report: &mut Report<'_>) -> Resolved<EbsVolume> {
        let at = |name: &str| format!("{path}.{name}");
        let kind = self.kind.1.unwrap_or_default();
        let Some((_, sizes, iops, throughput)) = KINDS.iter().find(|(name, ..)| *name == kind) else {
            let message = format!("`{kind}` is not a volume type that windlass uses");
            let problem = Problem::at(at(self.kind.0), message);
            return Err(report.push(problem.hint("use gp3, gp2, io1 or io2")));
        };
        let fields = [
            (self.size, Some(sizes), "GiB"),
            (self.iops, iops.as_ref(), "operations a second"),
            (self.throughput, throughput.as_ref(), "MiB/s"),
        ];
        for ((name, value), range, unit) in fields {
            match (value, range) {
                (Some(value), Some(range)) if !range.contains(&value) => {
                    let message = format!("volumes of the type {kind} can't have {value} {unit}");
                    let hint = format!("they have {} to {}", range.start(), range.end());
                    report.push(Problem::at(at(name), message).hint(hint));
                }
                (Some(_), None) => {
                    let message = format!("volumes of the type {kind} have no such setting");
                    report.push(Problem::at(at(name), message).hint("leave it out, or use gp3"));
                }
                _ => {}
            }
        }
        if kind.starts_with("io") && self.iops.1.is_none() {
            let hint = format!("say how many operations a second the `{kind}` volume has");
            report.missing(at(self.iops.0), &hint);
        }
        let kms_key = self.kms_key(path, report);
        let size = report.filled(&at(self.size.0), self.size.1.as_ref());
        let encrypted = report.filled(&at(self.encrypted.0), self.encrypted.1.as_ref());
        Ok(EbsVolume {
            size: size?,
            kind: kind.to_owned(),
            iops: self.iops.1,
            throughput: self.throughput.1,
            encrypted: encrypted?,
            kms_key: kms_key?,
        })
    }

    fn kms_key(&self, path: &str, report: &mut Report<'_>) -> Resolved<Option<String>> {
        let (name, Some(key)) = self.key else { return Ok(None) };
        let path = format!("{path}.{name}");
        if self.encrypted.1 == Some(false) {
            report.push(Problem::at(&path, "a volume that is not encrypted has no key"));
        }
        let named = key.starts_with("arn:") && key.contains(":kms:");
        let id = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if !named && !id && !key.starts_with("alias/") && !key.starts_with("mrk-") {
            let problem = Problem::at(path, format!("`{key}` is not a KMS key"));
            return Err(report.push(problem.hint("write its ARN, its id, or `alias/<name>`")));
        }
        Ok(Some(key.to_owned()))
    }
}
