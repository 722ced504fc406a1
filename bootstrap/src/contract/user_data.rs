//! EC2 user data in several parts: the boot configuration beside what the specification's `additionalUserData` has for
//! cloud-init. It is MIME, as cloud-init reads it; without other parts, the user data is the boot configuration alone.

use std::fmt::Write as _;

/// The media type of the boot configuration. cloud-init has no use for it, and passes over it.
const BOOT_CONFIG: &str = "application/json";

/// The file name of the boot configuration, by which the agent finds it.
pub const BOOT_CONFIG_NAME: &str = "windlass-boot-configuration.json";

/// A part of the user data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its file name.
    pub name: &'a str,
    /// Its media type, such as `text/x-shellscript`.
    pub media_type: &'a str,
    /// What is in it.
    pub content: &'a str,
}

/// The user data of a boot configuration and other parts.
pub fn write(boot_config: &str, others: &[Part<'_>]) -> String {
    if others.is_empty() {
        return boot_config.to_owned();
    }
    let boot = Part { name: BOOT_CONFIG_NAME, media_type: BOOT_CONFIG, content: boot_config };
    let parts: Vec<&Part<'_>> = std::iter::once(&boot).chain(others).collect();
    let boundary = boundary(&parts);
    let mut text = format!("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"{boundary}\"\n\n");
    for Part { name, media_type, content } in parts {
        let _ = write!(
            text,
            "--{boundary}\nContent-Type: {media_type}; charset=\"utf-8\"\nMIME-Version: 1.0\n\
             Content-Transfer-Encoding: 8bit\nContent-Disposition: attachment; filename=\"{name}\"\n\n{content}\n"
        );
    }
    let _ = writeln!(text, "--{boundary}--");
    text
}

/// What parts the parts: the same for the same parts, and in none of them.
fn boundary(parts: &[&Part<'_>]) -> String {
    let is_free = |boundary: &String| parts.iter().all(|part| !part.content.contains(boundary.as_str()));
    let mut candidates = (0_u32..).map(|number| format!("windlass-part-{number}"));
    candidates.find(is_free).unwrap_or_default()
}

/// The boot configuration in user data: all of it, or the part of that name.
pub fn boot_config(user_data: &str) -> &str {
    part(user_data, BOOT_CONFIG_NAME).unwrap_or(user_data)
}

/// What is in the part of a name, of what [`write()`] has written.
fn part<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (head, rest) = text.split_once("\n\n")?;
    let (_, boundary) = head.split_once("boundary=\"")?;
    let (boundary, _) = boundary.split_once('"')?;
    let delimiter = format!("--{boundary}");
    let named = format!("filename=\"{name}\"");
    rest.split(&delimiter).find_map(|part| {
        let (head, content) = part.split_once("\n\n")?;
        head.contains(&named).then_some(content.strip_suffix('\n').unwrap_or(content))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = "{\n  \"version\": \"windlass/v1\"\n}";

    fn script(content: &str) -> Part<'_> {
        Part { name: "hello.sh", media_type: "text/x-shellscript", content }
    }

    #[test]
    fn the_boot_configuration_alone_is_the_user_data() {
        assert_eq!(write(BOOT, &[]), BOOT);
        assert_eq!(boot_config(BOOT), BOOT);
        assert_eq!(boot_config("#cloud-config\n\nx: y\n"), "#cloud-config\n\nx: y\n");
    }

    #[test]
    fn the_boot_configuration_is_found_among_parts_whatever_they_hold() {
        for content in
            ["#!/bin/sh\n\necho hello\n", "windlass-part-0", "--windlass-part-0--\n\nwindlass-part-1\n", ""]
        {
            let text = write(BOOT, &[script(content), script(BOOT_CONFIG_NAME)]);
            assert_eq!(boot_config(&text), BOOT, "{text}");
            assert_eq!(part(&text, "hello.sh"), Some(content));
        }
    }

    #[test]
    fn parts_stand_as_cloud_init_reads_them() {
        let text = write(BOOT, &[script("#!/bin/sh\necho hello")]);
        let expected = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"windlass-part-0\"\n\n\
                        --windlass-part-0\nContent-Type: application/json; charset=\"utf-8\"\n";
        assert!(text.starts_with(expected), "{text}");
        assert!(
            text.ends_with("filename=\"hello.sh\"\n\n#!/bin/sh\necho hello\n--windlass-part-0--\n"),
            "{text}"
        );
    }
}
