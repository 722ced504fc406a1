//! What a kind of resource says of itself, in its own file: how it is read and changed, and what everybody else must know
//! of it. Planning, observing and applying know no kind by name; they go by this.

use super::blockers::{Blocker, Looker};
use super::context::{Context, Identity, Names, ObservedResource};
use super::error::CloudError;
use super::fields::{Change, Effect, Fields};
use super::kinds::Kind;
use super::look::Look;
use super::namesakes::{self, Namesake};
use super::reference::ResourceId;
use crate::aws::AwsError;
use crate::aws::tags::{Owner, Tags};

/// A kind of resource. The type is used twice: as what is wanted, made by the model from the specification, and as what is
/// observed, read from AWS's answers.
#[expect(
    async_fn_in_trait,
    reason = "it is only ever called on a known type, where the compiler sees whether the future is Send"
)]
pub trait ResourceKind: Into<super::Resource> {
    /// Which one it is.
    const KIND: Kind;

    /// What others must know of it.
    const DECLARATION: Declaration;

    /// What AWS answers when it is asked for all of the cluster's.
    type Answer: Send;

    /// Its name, unique within the kind.
    fn name(&self) -> &str;

    /// Every field as text, by destructuring the struct: what is shown and compared. Which of them refer to other
    /// resources, it says too: those must exist before it, and where one of them is replaced, this one is turned to the
    /// new one.
    fn fields(&self) -> Fields;

    /// Its tags, where AWS lets it have any of its own.
    fn tags_mut(&mut self) -> Option<&mut Tags> {
        None
    }

    /// What has to change for `observed` to become this.
    fn changes_from(&self, observed: &Self) -> Vec<Change> {
        self.fields().changes_from(&observed.fields())
    }

    /// What changing a field does, given what is there.
    fn effect(&self, _change: &Change, _observed: &Self) -> Effect {
        Effect::InPlace
    }

    /// Of what is observed: what somebody set on AWS that a plan doesn't change and its reader should know of.
    fn remark(&self) -> Option<String> {
        None
    }

    /// Of what is observed: what an update does with it when it isn't wanted any more.
    fn unwanted(&self) -> Unwanted {
        Self::DECLARATION.unwanted
    }

    /// Of what is observed: whether it, or something that was made of it, may still need another resource, which isn't
    /// wanted any more and which it doesn't refer to.
    fn may_need(&self, _other: &ResourceId) -> bool {
        false
    }

    /// Of what is observed: whether the end of the cluster is its end too. What doesn't go is listed as kept.
    fn goes_with_cluster(&self) -> bool {
        true
    }

    /// Makes the bare object, tagged in the same call, and goes on as `update` does from the bare object: what a killed
    /// run left half made is finished by the next run's `update`. The id is remembered in [`Context::ids`] before any
    /// further call, so that one that fails makes nobody look for a name.
    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError>;

    /// Makes this of what is there (`from`). Returns its identity, with outputs that changed.
    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError>;

    /// Deletes what was observed. That it is gone already is what was wanted; of a deletion that takes several calls,
    /// only the last one's "not found" says so.
    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError>;

    /// Asks AWS for all of the cluster's, in a number of calls that does not grow with the cluster; where
    /// [`Context::sought`] says so, for the one of an id. All kinds are read side by side, and so are the calls of one kind
    /// that don't need each other's answers. What another kind's call answers is taken from that kind's `list`, which asks
    /// once in a look.
    async fn read(look: &Look<'_>) -> Result<Self::Answer, CloudError>;

    /// Finds the cluster's resources in the answer, with names in the place of AWS's ids. Makes no call.
    fn observed(
        answer: Self::Answer,
        context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError>;

    /// What is in the way of deleting it, after EC2 said only that something is. `aws_id` is its own.
    async fn blockers(&self, _aws_id: &str, _look: &Looker<'_>) -> Result<Vec<Blocker>, AwsError> {
        Ok(Vec::new())
    }

    /// What has the name that this one was to have, where AWS keeps such names unique and said that it is taken.
    async fn namesake(&self, _context: &Context<'_>, _id: &ResourceId) -> Result<Option<Namesake>, AwsError> {
        Ok(None)
    }

    /// The command that says again whose something is that lost its tags.
    fn mark_command(aws_id: &str, owner: &Owner) -> String {
        namesakes::mark_in_ec2(aws_id, owner)
    }

    /// Of what AWS knows by its name: the command that gives back its cluster's uid.
    fn uid_command(_name: &str, _uid: &str) -> Option<String> {
        None
    }
}

/// What others must know of a kind. A kind's file names what is special about it, and takes the rest from
/// [`Declaration::of`].
#[derive(Clone, Copy, Debug)]
pub struct Declaration {
    /// The kind's name in plans: `launch-template`.
    pub name: &'static str,
    /// For what it is looked for.
    pub observed_for: ObservedFor,
    /// The kinds whose names are known when this one's answer is looked through: mostly because it holds their ids. What
    /// is read has no order.
    pub observed_after: &'static [Kind],
    /// Deleting it comes after every deletion of these kinds, whether or not they refer to it.
    pub deleted_after: &'static [Kind],
    /// Deleting it comes after every step of these kinds, of whatever sort.
    pub deleted_after_steps_of: &'static [Kind],
    /// Every step of it, of whatever sort, comes after every deletion of these kinds.
    pub changed_after_deletion_of: &'static [Kind],
    /// What an update does with one that isn't wanted any more.
    pub unwanted: Unwanted,
    /// Why one stays that its [`ResourceKind::unwanted`] or [`ResourceKind::goes_with_cluster`] keeps, although others of the kind
    /// go.
    pub kept_because: Option<&'static str>,
    /// Whether `delete cluster` has a step for it. What lies in the state has none: the state goes as a whole, when nothing
    /// is left that could read it.
    pub has_deletion_step: bool,
    /// What a second call does that makes it.
    pub creation: Creation,
    /// The kind of the resource of the same name by whose id AWS is asked for it, where it has no id of its own.
    pub asked_by: Option<Kind>,
    /// Which tags AWS takes for it.
    pub tags: TagRules,
    /// What to do where something of its name isn't the cluster's.
    pub foreign_hint: Option<&'static str>,
    /// How many tags it gets that aren't described but set when or after it is made.
    pub tags_set_later: usize,
}

impl Declaration {
    /// A kind of this name with nothing special about it: what is observed of it holds no other kind's ids, nothing but
    /// references orders its steps, it is deleted when it isn't wanted any more, and EC2 knows no client token for it.
    pub const fn of(name: &'static str) -> Self {
        Self {
            name,
            observed_for: ObservedFor::EveryPlan,
            observed_after: &[],
            deleted_after: &[],
            deleted_after_steps_of: &[],
            changed_after_deletion_of: &[],
            unwanted: Unwanted::Deleted,
            kept_because: None,
            has_deletion_step: true,
            creation: Creation::MakesAnother,
            asked_by: None,
            tags: TagRules::Ec2,
            foreign_hint: None,
            tags_set_later: 0,
        }
    }
}

/// For what a kind is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObservedFor {
    /// For every plan: it is made from a specification.
    EveryPlan,
    /// For the end of the cluster only: no specification asks for it, and a VPC can't go while it is there, or it costs
    /// money.
    Deletion,
}

/// What an update does with a resource that isn't wanted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwanted {
    /// Deletes it.
    Deleted,
    /// Deletes it together with other changes, once nothing that is observed refers to it or may need it ([`ResourceKind::may_need`]). By
    /// itself it makes nobody run an update.
    Pruned,
    /// Keeps it and says so, because of this. A plan of an update that deletes one is a defect.
    Kept(&'static str),
    /// Leaves it alone and says nothing.
    LeftAlone,
}

/// What a second call does that makes a resource, where the first one was not answered or what it made isn't seen yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// It makes another one, or fails because of the first: EC2 takes no client token for it. So it is waited for a while
    /// before a look counts that sees nothing.
    MakesAnother,
    /// It makes no other one: there is a client token, or AWS knows it by its name.
    Repeatable,
    /// Making it reads first what is there, or is done on the condition that nothing is: it may be made again even where it
    /// was made already and can't be seen.
    ReadsFirst,
}

/// Whose rules tags must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagRules {
    /// EC2 takes any character, and Auto Scaling does.
    Ec2,
    /// IAM takes fewer characters, and no two keys that differ only in upper and lower case.
    Iam,
}
