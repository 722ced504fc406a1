//! The thin edge of the AWS SDK: clients with one retry policy, and errors that say what was asked of AWS, about what,
//! and what it answered.
//!
//! Every call in the tree ends in [`During::during`], so that there is one form of error, [`AwsError`], and one
//! place that knows what AWS's many error codes mean.

pub mod clients;
pub mod error;
pub mod facts;
pub mod gate;
pub mod hosted_zone;
pub mod ipv6_ranges;
mod once;
pub mod retry;
pub mod tags;

pub use clients::{Caller, Clients, EndpointError};
pub use error::{AwsError, Class, During};
pub use gate::{Permit, Withheld};
