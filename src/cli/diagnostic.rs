//! What a failed command prints, and how it exits.
//!
//! ```text
//! error: could not read the state of `demo.example.com`
//! caused by: s3:GetObject of `s3://clusters/demo.example.com/cluster.yaml` failed: AccessDenied: … (request id …)
//! hint: the credentials in use need the permission `s3:GetObject`
//! ```
//!
//! Errors of the lower modules know their hint and their class themselves; [`Advice`] is how this module asks them. An
//! error type with something to say gets a line in [`ADVISERS`].

use std::error::Error;
use std::fmt::Write as _;
use std::process::ExitCode;

use crate::aws::facts::FactsError;
use crate::aws::retry::WaitError;
use crate::aws::{AwsError, Class, EndpointError};
use crate::cloud::CloudError;
use crate::model::ModelError;
use crate::ops::OperationError;
use crate::pki::kubeconfig::KubeconfigError;
use crate::plan::PlanError;
use crate::spec::explain::ExplainError;
use crate::spec::set::SetError;
use crate::spec::template::TemplateError;
use crate::state::bucket::BucketError;
use crate::state::rebuild::RebuildError;
use crate::state::{Damage, LeaseError, SecretsError, StateError, StoreError};

use super::output;

/// How a command ended, as its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, or nothing to do.
    Done,
    /// 1: the command line, the input or the cluster is wrong.
    Wrong,
    /// 2: there is something to do or to see: a plan with changes, an unhealthy cluster.
    Pending,
    /// 3: the user said no.
    Declined,
    /// 4: somebody else holds the cluster's lock.
    Locked,
    /// 5: AWS, the network, or time ran out.
    Unreachable,
    /// 130: interrupted.
    Interrupted,
}

impl Exit {
    /// The number that the process exits with.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Wrong => 1,
            Self::Pending => 2,
            Self::Declined => 3,
            Self::Locked => 4,
            Self::Unreachable => 5,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What an error knows besides its message.
#[derive(Debug, Default)]
pub(crate) struct Advice {
    /// What to type or to look at next.
    pub(crate) hint: Option<String>,
    /// How the command exits when this is among the causes.
    pub(crate) exit: Option<Exit>,
}

/// An error of the command line itself: a message with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    message: String,
    hint: Option<String>,
    exit: Exit,
}

impl Refusal {
    /// Something is wrong with what the user gave.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, exit: Exit::Wrong }
    }

    /// Says what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Exits otherwise than with 1.
    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }
}

type Adviser = fn(&(dyn Error + 'static)) -> Option<Advice>;

/// Whoever recognises an error gives its advice.
const ADVISERS: [Adviser; 19] = [
    |error| error.downcast_ref().map(|Refusal { message: _, hint, exit }| advice(hint.clone(), Some(*exit))),
    |error| {
        let error: &OperationError = error.downcast_ref()?;
        let exit = match error {
            OperationError::Interrupted => Some(Exit::Interrupted),
            OperationError::NotGone { .. }
            | OperationError::Unsettled { .. }
            | OperationError::NotRestored { .. } => Some(Exit::Unreachable),
            _ => None,
        };
        Some(advice(error.hint(), exit))
    },
    |error| {
        let error: &AwsError = error.downcast_ref()?;
        Some(advice(error.hint(), Some(after(error))))
    },
    |error| error.downcast_ref().map(|error: &EndpointError| advice(Some(error.hint()), None)),
    |error| error.downcast_ref().map(|_: &WaitError| advice(None, Some(Exit::Unreachable))),
    |error| {
        let error: &LeaseError = error.downcast_ref()?;
        let exit = match error {
            LeaseError::Held { .. } | LeaseError::Lost { .. } => Some(Exit::Locked),
            LeaseError::Malformed { .. } | LeaseError::Random | LeaseError::Store { .. } => None,
        };
        Some(advice(error.hint(), exit))
    },
    |error| error.downcast_ref().map(|error: &StateError| advice(error.hint(), None)),
    |error| error.downcast_ref().map(|error: &RebuildError| advice(error.hint(), None)),
    |error| {
        let error: &StoreError = error.downcast_ref()?;
        let exit = match error {
            StoreError::LeaseLost { .. } => Some(Exit::Locked),
            StoreError::Stopped { .. } => Some(Exit::Interrupted),
            _ => None,
        };
        Some(advice(error.hint(), exit))
    },
    |error| error.downcast_ref().map(|error: &BucketError| advice(error.hint(), None)),
    |error| error.downcast_ref().map(|error: &SecretsError| advice(error.hint(), None)),
    |error| error.downcast_ref().map(|error: &KubeconfigError| advice(error.hint(), None)),
    |error| error.downcast_ref().map(|error: &SetError| advice(error.hint(), None)),
    |error| error.downcast_ref().map(|error: &ExplainError| advice(error.hint(), None)),
    |error| error.downcast_ref().map(|error: &TemplateError| advice(error.hint(), None)),
    |error| {
        let error: &FactsError = error.downcast_ref()?;
        // That there is no such key is what KMS answered well: what is wrong is the specification.
        let wrong = matches!(error, FactsError::KmsKey { .. });
        Some(advice(error.hint(), wrong.then_some(Exit::Wrong)))
    },
    |error| error.downcast_ref().map(|error: &ModelError| advice(error.hint(), None)),
    |error| {
        let error: &CloudError = error.downcast_ref()?;
        let exit = match error {
            CloudError::Aws(error) => Some(after(error)),
            CloudError::Wait(_) => Some(Exit::Unreachable),
            _ => None,
        };
        Some(advice(error.hint(), exit))
    },
    |error| error.downcast_ref().map(|error: &PlanError| advice(error.hint(), None)),
];

/// How to exit after a call that failed, or was not made.
fn after(error: &AwsError) -> Exit {
    match error.class {
        Class::Interrupted => Exit::Interrupted,
        Class::LeaseLost => Exit::Locked,
        _ => Exit::Unreachable,
    }
}

fn advice(hint: Option<String>, exit: Option<Exit>) -> Advice {
    Advice { hint, exit }
}

/// Prints an error with its causes and a hint, and returns how to exit.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    let (text, exit) = render(error, output::colours_on_stderr());
    output::say(&text);
    exit
}

/// Prints what is damaged in the state, after everything else was shown, and returns how to exit.
pub(crate) fn report_damages(damages: Vec<Damage>) -> Exit {
    let reports =
        damages.into_iter().map(|damage| report(&anyhow::Error::new(StateError::Damaged(Box::new(damage)))));
    reports.fold(Exit::Done, |_, exit| exit)
}

fn render(error: &anyhow::Error, colours: bool) -> (String, Exit) {
    let paint = |colour: &str, text: &str| {
        if colours { format!("\u{1b}[1;{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    };
    let mut text = format!("{} {}", paint("31", "error:"), error.to_string().trim_end());
    let mut said = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Some libraries repeat their source in their own message.
        if !said.contains(&cause) {
            let _ = write!(text, "\n{} {}", paint("31", "caused by:"), cause.trim_end());
        }
        said = cause;
    }
    let mut exit = None;
    let mut hint = None;
    for advice in error.chain().filter_map(|cause| ADVISERS.iter().find_map(|adviser| adviser(cause))) {
        exit = exit.or(advice.exit);
        hint = hint.or(advice.hint);
    }
    if let Some(hint) = hint {
        let _ = write!(text, "\n{} {hint}", paint("36", "hint:"));
    }
    (text, exit.unwrap_or(Exit::Wrong))
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_call_that_was_not_made_ends_a_command_as_what_forbade_it() {
        for (class, exit) in [
            (Class::Interrupted, Exit::Interrupted),
            (Class::LeaseLost, Exit::Locked),
            (Class::Network, Exit::Unreachable),
        ] {
            let failed = || AwsError { class, ..AwsError::unexpected("s3", "PutObject", "a key", "said") };
            let of_store = StoreError::Aws { act: "write", key: "a key".to_owned(), source: failed() };
            assert_eq!(render(&anyhow::Error::new(of_store), false).1, exit);
            assert_eq!(render(&anyhow::Error::new(CloudError::from(failed())), false).1, exit);
        }
    }

    #[test]
    fn exit_codes_are_those_of_the_documentation() {
        let all = [
            Exit::Done,
            Exit::Wrong,
            Exit::Pending,
            Exit::Declined,
            Exit::Locked,
            Exit::Unreachable,
            Exit::Interrupted,
        ];
        assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 4, 5, 130]);
    }

    #[test]
    fn the_chain_is_printed_with_the_hint_of_its_cause() {
        let mut cause = AwsError::unexpected("s3", "GetObject", "s3://clusters/demo", "no credentials");
        cause.class = Class::Credentials;
        let (text, exit) = render(&anyhow::Error::new(cause).context("could not read the state"), false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "error: could not read the state");
        assert_eq!(lines[1], "caused by: s3:GetObject of `s3://clusters/demo` failed: no credentials");
        assert!(lines[2].starts_with("hint: set AWS_PROFILE"), "{text}");
        assert_eq!(exit, Exit::Unreachable);
    }

    #[test]
    fn a_key_that_kms_does_not_know_is_the_specification_s_fault() {
        let mut said = AwsError::unexpected("kms", "DescribeKey", "alias/etdc", "NotFoundException");
        said.class = Class::NotFound;
        let error = FactsError::KmsKey {
            key: "alias/etdc".to_owned(),
            region: "us-east-1".to_owned(),
            source: Some(said),
        };
        let (text, exit) =
            render(&anyhow::Error::new(error).context("the specification can't be made"), false);
        assert!(text.contains("there is no KMS key `alias/etdc`") && text.contains("hint: "), "{text}");
        assert_eq!(exit, Exit::Wrong);
    }

    #[test]
    fn an_error_that_nobody_knows_is_the_input_s_fault() {
        let (text, exit) = render(&anyhow!("bad"), false);
        assert_eq!((text.as_str(), exit), ("error: bad", Exit::Wrong));
    }

    #[test]
    fn a_message_that_repeats_its_cause_is_printed_once() {
        let (text, _) = render(&anyhow!("inner").context("outer: inner"), false);
        assert_eq!(text, "error: outer: inner");
    }
}
