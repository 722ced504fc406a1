//! Any bytes as a specification: read, completed, checked, compared with a running cluster, written, read again.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use windlass_fuzz::spec::{self, Source, default};
use windlass_fuzz::{GOOD, Parts, parts, read, round_trip, shown};

static RUNNING: LazyLock<Parts> = LazyLock::new(|| read("good.yaml", GOOD).map(parts).unwrap_or_default());

fuzz_target!(|bytes: &[u8]| {
    let Some(source) = shown(Source::from_bytes("fuzz.yaml", bytes.to_vec())) else { return };
    let _ = spec::yaml::to_json(&source.text);
    let Some(documents) = read(&source.name, &source.text) else { return };
    let _ = shown(documents.complete());
    for cluster in &documents.clusters {
        let new = (cluster, &*documents.instance_groups);
        for old in &RUNNING.0 {
            let changed = spec::check_change((old, &RUNNING.1), new);
            let _ = shown(changed.map_err(|problems| documents.locate(problems)));
        }
        let (filled, groups) = default::fill(cluster, new.1);
        let again = default::fill(&filled, &groups);
        assert_eq!(again, (filled, groups), "defaults are not filled in all at once");
    }
    round_trip(&parts(documents));
});
