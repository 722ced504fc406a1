//! What this machine has to give: how much of it the kubelet keeps for the system and for itself, and how many
//! connections the kernel tracks.
//!
//! Both follow the machine type, which is read from the machine: what the kernel sees is what there is.

use serde_json::{Value, json};

use crate::host::Host;
use crate::host::file;

const MIB: u64 = 1 << 20;

/// A machine's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Bytes of memory.
    pub memory: u64,
    /// Processors that the kernel uses.
    pub processors: u64,
}

impl Capacity {
    /// Reads it from the kernel; `None` in a folder that stands for a machine and doesn't say.
    pub fn read(host: &Host) -> Option<Self> {
        let text = |path: &str| {
            file::read(&host.path(path))
                .ok()
                .flatten()
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        let memory = parse_memory(&text("/proc/meminfo")?)?;
        let processors = parse_processors(&text("/sys/devices/system/cpu/online")?)?;
        Some(Self { memory, processors })
    }

    /// What the kubelet and containerd need, and what the rest of the system does: the kubelet doesn't give it to pods.
    /// Without it, pods that take all memory take it from the kubelet, and the Node is lost with them.
    ///
    /// For the kubelet and containerd it is what Amazon's own node images keep (amazon-eks-ami, `bootstrap.sh`): of
    /// memory 255 MiB and 11 MiB for every pod, because each has a process of containerd's beside it; of processors 6 % of
    /// the first, 1 % of the second, 0.5 % of the next two and 0.25 % of all others. Small machines, which never run as
    /// many pods as they may, keep 15 % at most; and the system 100 MiB, or 5 % where that is less.
    pub fn reservations(self, max_pods: u32) -> Reservations {
        let pods = 255 * MIB + 11 * MIB * u64::from(max_pods);
        let kubelet = pods.min(self.memory * 15 / 100) / MIB;
        let system = (100 * MIB).min(self.memory / 20) / MIB;
        let thousandths = match self.processors {
            0 | 1 => 60,
            2 => 70,
            3 => 75,
            processors => 80 + (processors - 4) * 5 / 2,
        };
        Reservations {
            kube: json!({
                "cpu": format!("{thousandths}m"),
                "memory": format!("{kubelet}Mi"),
                "ephemeral-storage": "1Gi",
            }),
            system: json!({"cpu": "50m", "memory": format!("{system}Mi")}),
        }
    }

    /// How many connections the kernel tracks: 32,768 for every processor and 131,072 at least, which is what kube-proxy
    /// would set if it might (its `maxPerCore` and `min`), unless the specification says otherwise.
    pub fn connections(self, per_processor: Option<u64>, least: Option<u64>) -> u64 {
        per_processor.unwrap_or(32_768).saturating_mul(self.processors).max(least.unwrap_or(131_072))
    }
}

/// What pods don't get, as the kubelet's configuration spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservations {
    /// `kubeReserved`.
    pub kube: Value,
    /// `systemReserved`.
    pub system: Value,
}

/// The first line of `/proc/meminfo`: `MemTotal:        3943212 kB`.
fn parse_memory(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// A list such as `0-3,6`.
fn parse_processors(text: &str) -> Option<u64> {
    text.trim().split(',').try_fold(0, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        Some(sum + last.checked_sub(first)? + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn what_is_kept_from_pods_grows_with_the_machine() {
        let table = [
            // memory, processors, pods, kubelet's processors and memory, the system's memory
            (GIB, 2, 110, "70m", "153Mi", "51Mi"),
            (4 * GIB, 2, 110, "70m", "614Mi", "100Mi"),
            (4 * GIB, 2, 17, "70m", "442Mi", "100Mi"),
            (16 * GIB, 4, 110, "80m", "1465Mi", "100Mi"),
            (256 * GIB, 64, 250, "230m", "3005Mi", "100Mi"),
        ];
        for (memory, processors, pods, cpu, kubelet, system) in table {
            let kept = Capacity { memory, processors }.reservations(pods);
            assert_eq!(kept.kube, json!({"cpu": cpu, "memory": kubelet, "ephemeral-storage": "1Gi"}));
            assert_eq!(kept.system, json!({"cpu": "50m", "memory": system}));
        }
    }

    #[test]
    fn the_kernel_s_own_words_about_the_machine_are_understood() {
        assert_eq!(parse_memory("MemTotal:        3943212 kB\nMemFree: 1 kB\n"), Some(3_943_212 * 1024));
        assert_eq!(parse_memory("nonsense"), None);
        assert_eq!(parse_processors("0-3,6\n"), Some(5));
        assert_eq!(parse_processors("0\n"), Some(1));
        assert_eq!(parse_processors("3-0"), None);
    }

    #[test]
    fn connections_are_tracked_by_processor_and_never_few() {
        let connections = |processors| Capacity { memory: GIB, processors }.connections(None, None);
        assert_eq!((connections(2), connections(4), connections(16)), (131_072, 131_072, 524_288));
        let machine = Capacity { memory: GIB, processors: 4 };
        assert_eq!(machine.connections(Some(1000), Some(100)), 4000);
        assert_eq!(machine.connections(Some(1000), None), 131_072);
    }
}
