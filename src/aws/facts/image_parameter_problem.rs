//! Why a parameter doesn't say which image is meant.

/// What is wrong with a parameter that shall hold an AMI's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageParameterProblem {
    /// There is none of the name.
    Missing,
    /// It holds a secret.
    Secret,
    /// It holds something else: this.
    NoId(String),
}
