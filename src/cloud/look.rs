//! One look at AWS: what the kinds that are read in it go by, and the answers that several of them need.
//!
//! All kinds of a look are read side by side, and no kind waits for another one's name. A kind whose calls need what
//! another one's call answers (the ids of the subnets, say) takes it from here: whoever comes first asks, the others wait
//! for that answer, and each call is made once. A look is for one observation: the next one asks anew.

use std::sync::Arc;

use aws_sdk_ec2::types::{Address, SecurityGroup, Subnet, TagDescription, Volume, Vpc, VpcEndpoint};
use aws_sdk_elasticloadbalancingv2::types::{LoadBalancer, TargetGroup};
use aws_sdk_iam::types::Role;
use tokio::sync::OnceCell;

use super::context::{Context, Names};
use super::error::CloudError;
use crate::aws::tags::Tags;

/// One look at AWS.
pub struct Look<'a> {
    /// With what, and for what.
    pub context: &'a Context<'a>,
    /// What was found or made before, where the look is for a part of what there is: its ids count then, because EC2's
    /// filters see what was just made only after a while. Absent in a look at everything, which asks for ids first.
    pub known: Option<&'a Names>,
    pub(super) answers: Answers,
}

impl<'a> Look<'a> {
    /// A look at everything.
    pub fn at_everything(context: &'a Context<'a>) -> Self {
        Self { context, known: None, answers: Answers::default() }
    }

    /// A look at a part, when the rest is known.
    pub fn beside(known: &'a Names, context: &'a Context<'a>) -> Self {
        Self { context, known: Some(known), answers: Answers::default() }
    }
}

/// The answers that more than one kind needs. The function that makes the call is in the file of the kind that it is
/// about, and is called `list`.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) marks: Once<TagDescription>,
    pub(super) vpcs: Once<Vpc>,
    pub(super) subnets: Once<Subnet>,
    pub(super) vpc_endpoints: Once<VpcEndpoint>,
    pub(super) security_groups: Once<SecurityGroup>,
    pub(super) roles: Once<Role>,
    pub(super) addresses: Once<Address>,
    pub(super) claimed_volumes: Once<Volume>,
    pub(super) load_balancers: Once<LoadBalancer>,
    pub(super) tagged_load_balancers: Once<TaggedLoadBalancer>,
    pub(super) target_groups: Once<TargetGroup>,
}

/// A load balancer whose name may be one of the cluster's, with its tags.
#[derive(Clone, Debug)]
pub struct TaggedLoadBalancer {
    pub(super) balancer: LoadBalancer,
    pub(super) tags: Tags,
}

/// What is asked for once.
pub(super) struct Once<T>(OnceCell<Arc<[T]>>);

impl<T> Once<T> {
    /// The answer; whoever comes first asks for it. A failure is the asker's, and the next one asks again.
    pub(super) async fn or_ask(
        &self,
        ask: impl Future<Output = Result<Vec<T>, CloudError>>,
    ) -> Result<Arc<[T]>, CloudError> {
        self.0.get_or_try_init(|| async { ask.await.map(Arc::from) }).await.cloned()
    }
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(OnceCell::new())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::cloud::{Kind, ResourceId};

    #[tokio::test]
    async fn of_several_who_need_an_answer_one_asks_and_after_a_failure_the_next() {
        let (once, asked) = (Once::default(), AtomicUsize::default());
        let ask = async |fails: bool| {
            let answer = once.or_ask(async {
                asked.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                if fails { Err(CloudError::Missing(ResourceId::new(Kind::Vpc, "a"))) } else { Ok(vec![7]) }
            });
            answer.await
        };
        assert!(ask(true).await.is_err());
        let (first, second) = futures::join!(ask(false), ask(false));
        assert_eq!((&*first.unwrap(), &*second.unwrap()), (&[7][..], &[7][..]));
        assert_eq!(asked.load(Ordering::SeqCst), 2, "once in vain and once for both");
    }
}
