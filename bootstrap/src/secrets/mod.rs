//! Keys and certificates, which are on tmpfs only: what a master reads from the state, and the certificates that it makes
//! with it.

pub mod certificates;
pub mod stored;
