//! Any bytes as a specification: read, completed, checked, compared with a running cluster, written, read again.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use windlass_fuzz::spec::{self, Documents, Source, default};
use windlass_fuzz::{GOOD, read, round_trip, shown};

static RUNNING: LazyLock<Option<Documents>> = LazyLock::new(|| read("good.yaml", GOOD)?.documents.whole());

fuzz_target!(|bytes: &[u8]| {
    let Some(source) = shown(Source::from_bytes("fuzz.yaml", bytes.to_vec())) else { return };
    let _ = spec::yaml::to_json(&source.text);
    let Some(placed) = read(&source.name, &source.text) else { return };
    let _ = shown(placed.resolve());
    if let (Some(running), Ok(new)) = (&*RUNNING, placed.whole()) {
        let changed = spec::check_change(running, &new);
        let _ = shown(changed.map_err(|problems| placed.locate(problems)));
        let (filled, groups) = default::fill(&new.cluster, &new.instance_groups);
        let again = default::fill(&filled, &groups);
        assert_eq!(again, (filled, groups), "defaults are not filled in all at once");
    }
    round_trip(&placed.documents);
});
