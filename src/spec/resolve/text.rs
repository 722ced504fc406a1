//! The grammars of values that are written as text: each returns the value, or what is wrong with the text.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use windlass_bootstrap::ipv6::{NoSubnetIpv6, SubnetIpv6};

use crate::spec::cluster::Taint;
use crate::spec::problem::Problem;

fn refuse(message: String) -> Problem {
    Problem::at("", message)
}

/// An IPv4 range without bits behind its prefix.
pub(in crate::spec) fn ipv4_net(text: &str) -> Result<Ipv4Net, Problem> {
    match net(text)? {
        IpNet::V4(range) => Ok(range),
        IpNet::V6(range) => {
            Err(refuse(format!("`{range}` is an IPv6 range, and only IPv4 is supported here")))
        }
    }
}

/// An IPv6 range without bits behind its prefix.
pub(in crate::spec) fn ipv6_net(text: &str) -> Result<Ipv6Net, Problem> {
    match net(text)? {
        IpNet::V6(range) => Ok(range),
        IpNet::V4(range) => Err(refuse(format!("`{range}` is an IPv4 range, in an IPv6 cluster"))
            .hint("write an IPv6 range, or leave it out")),
    }
}

/// The IPv6 range of a subnet.
pub(in crate::spec) fn subnet_ipv6(text: &str) -> Result<SubnetIpv6, Problem> {
    text.parse().map_err(|error: NoSubnetIpv6| {
        refuse(error.to_string())
            .hint("write `/64#0` for the first /64 of the VPC's block, `/64#1` for the next")
    })
}

/// An IPv4 or IPv6 range without bits behind its prefix.
pub(in crate::spec) fn net(text: &str) -> Result<IpNet, Problem> {
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        return Err(refuse(format!("`{text}` is an address, not a range"))
            .hint(format!("did you mean `{text}/{prefix}`?")));
    }
    let range: IpNet = text.parse().map_err(|_| {
        refuse(format!("`{text}` is not an address range")).hint("write it like `172.20.0.0/16`")
    })?;
    if range.addr() != range.network() {
        return Err(refuse(format!("`{text}` has bits set behind its prefix"))
            .hint(format!("did you mean `{}`?", range.trunc())));
    }
    if range.to_string() != text {
        return Err(
            refuse(format!("`{text}` is not how this range is written")).hint(format!("write `{range}`"))
        );
    }
    Ok(range)
}

/// The whole seconds of a duration as Go writes it, such as `168h` or `1h30m`; `None` if it isn't one.
pub(in crate::spec) fn seconds(text: &str) -> Option<u64> {
    milliseconds(text).map(|milliseconds| milliseconds / 1000)
}

/// The whole milliseconds of a duration as Go writes it, such as `250ms` or `5s`; `None` if it isn't one.
pub(in crate::spec) fn milliseconds(text: &str) -> Option<u64> {
    // Go needs no unit for it.
    if text == "0" {
        return Some(0);
    }
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"hms".contains(&byte));
    let duration: jiff::SignedDuration = text.parse().ok().filter(|_| plain)?;
    u64::try_from(duration.as_millis()).ok()
}

/// An IPv4 address.
pub(in crate::spec) fn ipv4_address(text: &str) -> Result<Ipv4Addr, Problem> {
    text.parse().map_err(|_| refuse(format!("`{text}` is not an IPv4 address")))
}

/// A container image's reference, such as `registry.example.com/team/name:v1`: what containerd makes of it is left to it,
/// but it is one word of the characters that references have.
pub(in crate::spec) fn image_reference(text: &str) -> Result<String, Problem> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    if !text.is_empty() && text.bytes().all(known) && text.as_bytes()[0].is_ascii_alphanumeric() {
        return Ok(text.to_owned());
    }
    Err(refuse(format!("`{text}` is not an image's reference"))
        .hint("write it like `registry.example.com/team/name:v1`"))
}

/// A quantity of Kubernetes that isn't negative: a decimal number with a suffix, such as `250m` or `1.5Gi`, or with an
/// exponent, such as `1e3` (Kubernetes API, `resource.Quantity`).
pub(in crate::spec) fn quantity(text: &str) -> Result<String, Problem> {
    let number = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let digits = &text[..text.len() - number.len()];
    let is_number = digits.bytes().any(|byte| byte.is_ascii_digit()) && digits.matches('.').count() <= 1;
    let exponent = number.strip_prefix(['e', 'E']);
    let is_exponent = exponent.is_some_and(|exponent| exponent.parse::<i8>().is_ok());
    let suffixes = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if is_number && (suffixes.contains(&number) || is_exponent) {
        return Ok(text.to_owned());
    }
    Err(refuse(format!("`{text}` is not a quantity"))
        .hint("write it like `250m` for CPU, or `100Mi` for memory"))
}

/// AWS's id of a kind of thing: `<kind>-` and up to 17 lower-case letters, digits and `-`. AWS gives hexadecimal ones of 8 or
/// 17; it says itself whether there is such a thing.
pub(in crate::spec) fn aws_id(kind: &str, text: &str) -> Result<String, Problem> {
    let id = text.strip_prefix(kind).and_then(|rest| rest.strip_prefix('-'));
    let plain = |id: &str| {
        (1..=17).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if id.is_some_and(plain) {
        return Ok(text.to_owned());
    }
    Err(refuse(format!("`{text}` is not an id of AWS's"))
        .hint(format!("write it like `{kind}-0123456789abcdef0`")))
}

/// To which whole number what lies between two is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::spec) enum Rounding {
    Up,
    Down,
}

/// The MiB of a whole quantity of bytes, such as `4Gi` or `500M`; `None` if it isn't one.
pub(in crate::spec) fn mebibytes(text: &str, rounding: Rounding) -> Option<u32> {
    const UNITS: [(&str, u64); 9] = [
        ("", 1),
        ("k", 1000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
    ];
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text[..text.len() - unit.len()].parse().ok()?;
    let bytes = number.checked_mul(UNITS.iter().find(|(name, _)| *name == unit)?.1)?;
    let mebibytes = match rounding {
        Rounding::Up => bytes.div_ceil(1 << 20),
        Rounding::Down => bytes >> 20,
    };
    u32::try_from(mebibytes).ok()
}

/// A DNS label: at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends.
pub(in crate::spec) fn dns_label(text: &str) -> Result<String, Problem> {
    if is_dns_label(text) {
        return Ok(text.to_owned());
    }
    Err(refuse(format!("`{text}` is not a DNS label"))
        .hint("use at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends"))
}

fn is_dns_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=63).contains(&text.len()) && text.bytes().all(inner);
    fits && !text.starts_with('-') && !text.ends_with('-')
}

/// A DNS name: labels with dots between them, at most 253 characters.
pub(in crate::spec) fn dns_name(text: &str) -> Result<String, Problem> {
    if text.len() <= 253 && text.split('.').all(is_dns_label) {
        return Ok(text.to_owned());
    }
    Err(refuse(format!("`{text}` is not a DNS name"))
        .hint("use lower-case letters, digits and `-` with dots between, such as `demo.example.com`"))
}

/// A label's key: a name of at most 63 characters, with a DNS name and `/` before it or not.
pub(in crate::spec) fn label_key(text: &str) -> Result<String, Problem> {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let prefixed = prefix.is_none_or(|prefix| dns_name(prefix).is_ok());
    if prefixed && !name.is_empty() && qualified(name) {
        return Ok(text.to_owned());
    }
    Err(refuse(format!("`{text}` is not the key of a label"))
        .hint("use letters, digits, `-`, `_` and `.`, with a DNS name and `/` before them if you want"))
}

/// A label's value: at most 63 characters, and possibly none.
pub(in crate::spec) fn label_value(text: &str) -> Result<String, Problem> {
    if text.is_empty() || qualified(text) {
        return Ok(text.to_owned());
    }
    Err(refuse(format!("`{text}` is not the value of a label"))
        .hint("use at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends"))
}

fn qualified(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63 && bytes.iter().all(|byte| inner(*byte)) && end(bytes.first()) && end(bytes.last())
}

/// A taint: `key=value:Effect` or `key:Effect`.
pub(in crate::spec) fn taint(text: &str) -> Result<Taint, Problem> {
    let hint = "write `key=value:Effect`, where the effect is NoSchedule, PreferNoSchedule or NoExecute";
    let wrong = || refuse(format!("`{text}` is not a taint")).hint(hint);
    let (rest, effect) = text.rsplit_once(':').ok_or_else(wrong)?;
    if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
        return Err(refuse(format!("`{effect}` is not the effect of a taint")).hint(hint));
    }
    let (key, value) = rest.split_once('=').map_or((rest, None), |(key, value)| (key, Some(value)));
    let key = label_key(key)?;
    let value = value.map(label_value).transpose()?;
    Ok(Taint { key, value, effect: effect.to_owned() })
}

/// Who publishes the images of distributions, by the names and the accounts that kops knows them by.
const DISTRIBUTIONS: [&str; 14] = [
    "amazon",
    "amazon.com",
    "137112412989",
    "debian",
    "debian11",
    "136693071363",
    "flatcar",
    "075585003325",
    "redhat",
    "redhat.com",
    "309956199498",
    "ubuntu",
    "099720109477",
    "792107900819",
];

/// Whether an image is one of a distribution, which kops installs Kubernetes on at boot: windlass's own image holds all of it,
/// and stands in its place.
pub(in crate::spec) fn is_of_a_distribution(image: &str) -> bool {
    match image.strip_prefix("ssm:") {
        Some(parameter) => PARAMETERS.iter().any(|prefix| parameter.starts_with(prefix)),
        None => image.split_once('/').is_some_and(|(owner, _)| DISTRIBUTIONS.contains(&owner)),
    }
}

/// What the public parameters of SSM begin with in which AWS and its partners publish the images of distributions.
const PARAMETERS: [&str; 3] =
    ["/aws/service/canonical/", "/aws/service/debian/", "/aws/service/ami-amazon-linux-latest/"];

/// A machine image: `ami-…`, `<owner>/<name>` or `ssm:<parameter>`.
pub(in crate::spec) fn image(text: &str) -> Result<String, Problem> {
    if let Some(name) = text.strip_prefix("ssm:") {
        return if is_parameter(name) { Ok(text.to_owned()) } else { Err(no_parameter(text)) };
    }
    let hex = |id: &str| (8..=17).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let owner = |owner: &str| {
        ["self", "aws-marketplace"].contains(&owner)
            || DISTRIBUTIONS.contains(&owner)
            || (owner.len() == 12 && owner.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let fits = match (text.strip_prefix("ami-"), text.split_once('/')) {
        (Some(id), _) => hex(id),
        (_, Some((account, name))) => owner(account) && !name.is_empty(),
        _ => false,
    };
    if fits {
        return Ok(text.to_owned());
    }
    Err(refuse(format!("`{text}` is not a machine image"))
        .hint("write an AMI's id (`ami-…`), `<account id or self>/<name>`, or `ssm:<parameter>`"))
}

/// What SSM takes for a parameter's name or ARN, with a version or a label behind it (API_PutParameter, `Name`;
/// API_GetParameters, `Names`).
fn is_parameter(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/:".contains(&byte);
    let plain = if name.starts_with("arn:") { "" } else { name };
    (1..=2048).contains(&name.len())
        && name.bytes().all(allowed)
        && plain.matches(':').count() <= 1
        && !plain.starts_with(':')
        && !plain.ends_with(':')
}

fn no_parameter(text: &str) -> Problem {
    refuse(format!("`{text}` is not the name of an SSM parameter")).hint(
        "it has letters, digits and `_.-/`, and may end in `:<version>` or `:<label>`, as in `ssm:/images/kubernetes:3`",
    )
}

/// An EC2 instance type, such as `t3.medium`.
pub(in crate::spec) fn machine_type(text: &str) -> Result<String, Problem> {
    if text.contains(',') {
        return Err(
            refuse(format!("several instance types (`{text}`) are not supported yet")).hint("name one")
        );
    }
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    match text.split_once('.') {
        Some((family, size)) if part(family) && part(size) => Ok(text.to_owned()),
        _ => Err(refuse(format!("`{text}` is not an EC2 instance type")).hint("write it like `t3.medium`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint<T>(result: Result<T, Problem>) -> String {
        result.err().and_then(|problem| problem.hint).unwrap_or_default()
    }

    #[test]
    fn a_quantity_is_what_kubernetes_reads_as_one_and_not_negative() {
        for good in ["0", "250m", "1.5Gi", ".5", "100Mi", "1e3", "1E-3", "2e+3", "4E"] {
            assert_eq!(quantity(good).unwrap(), good);
        }
        for wrong in ["", "m", "-1", "1 core", "100mb", "1e", "1e--3", "1e+-3", "1..5", "1.2.3", "1KI"] {
            assert!(quantity(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn memory_is_counted_in_mib() {
        for (text, up, down) in [("4Gi", 4096, 4096), ("4G", 3815, 3814), ("512Mi", 512, 512), ("1", 1, 0)] {
            assert_eq!(mebibytes(text, Rounding::Up), Some(up), "{text}");
            assert_eq!(mebibytes(text, Rounding::Down), Some(down), "{text}");
        }
        for wrong in ["", "Gi", "4GB", "1.5Gi", "-1Gi", "99999999Ti", "1e3"] {
            assert_eq!(mebibytes(wrong, Rounding::Up), None, "{wrong}");
        }
    }

    #[test]
    fn a_range_says_how_it_was_probably_meant() {
        assert!(net("10.0.0.0/8").is_ok());
        assert_eq!(hint(net("10.0.0.1")), "did you mean `10.0.0.1/32`?");
        assert_eq!(hint(net("10.0.0.1/8")), "did you mean `10.0.0.0/8`?");
        assert_eq!(hint(net("10.0.0.0/33")), "write it like `172.20.0.0/16`");
        assert!(ipv4_net("::/0").is_err());
    }

    #[test]
    fn names_follow_dns() {
        assert!(dns_name("demo.example.com").is_ok());
        for wrong in ["", ".", "Demo.example.com", "demo..com", "-a.com", "a_b.com", &"a".repeat(64)] {
            assert!(dns_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_taint_has_a_key_and_an_effect() {
        for (text, key, value, effect) in [
            ("team=a:NoSchedule", "team", Some("a"), "NoSchedule"),
            ("team=:NoSchedule", "team", Some(""), "NoSchedule"),
            ("example.com/gpu:NoExecute", "example.com/gpu", None, "NoExecute"),
        ] {
            let taint = taint(text).unwrap_or_else(|problem| panic!("{}", problem.message));
            assert_eq!(
                (taint.key.as_str(), taint.value.as_deref(), taint.effect.as_str()),
                (key, value, effect)
            );
            assert_eq!(taint.to_string(), text, "as it was written");
        }
        for wrong in ["", "team", "team=a", "team=a:Never", "=a:NoSchedule", "te am:NoSchedule"] {
            assert!(taint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_image_is_an_id_or_an_owner_and_a_name() {
        let arn = "ssm:arn:aws:ssm:us-east-1:123456789012:parameter/images/k8s:3";
        let parameters = ["ssm:/a/b", "ssm:plain", "ssm:/a/b:3", "ssm:/a/b:stable", arn];
        for right in ["ami-0123456789abcdef0", "self/k8s-*", "123456789012/k8s"].into_iter().chain(parameters)
        {
            assert!(image(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "ami-",
            "ami-xyz",
            "ssm:",
            "ssm:/a b",
            "ssm:/a:",
            "ssm::3",
            "ssm:/a:1:2",
            "k8s",
            "me/k8s",
            "self/",
        ] {
            assert!(image(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_distributions_publish_is_known_by_its_owner() {
        for theirs in [
            "099720109477/ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-1",
            "ubuntu/x",
            "ssm:/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
            "ssm:/aws/service/debian/release/13/latest/arm64",
        ] {
            assert!(image(theirs).is_ok() && is_of_a_distribution(theirs), "{theirs}");
        }
        for other in ["ami-0123456789abcdef0", "self/ubuntu", "123456789012/ubuntu", "aws-marketplace/x"] {
            assert!(image(other).is_ok() && !is_of_a_distribution(other), "{other}");
        }
    }
}
