//! The addresses that move with a master, and what EC2 checks of the packets of an instance.
//!
//! It uses the machine ([`host`](crate::host)) and AWS ([`aws`](crate::aws)), and knows nothing of Kubernetes.

pub mod elastic_ip;
pub mod private_address;
pub mod source_dest_check;
