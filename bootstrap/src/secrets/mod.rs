//! Keys and certificates, which are on tmpfs only: what a master reads from the state, the certificates that it makes with
//! it, and their renewal.
//!
//! It uses the state store ([`aws`](crate::aws)), the machine ([`host`](crate::host)) and the templates of kubeconfigs
//! ([`kubernetes`](crate::kubernetes)).

pub mod certificates;
pub mod renewal;
pub mod stored;
