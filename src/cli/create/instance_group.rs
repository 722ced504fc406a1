//! `windlass create instancegroup`: one more group of a cluster that is there.

use std::collections::BTreeMap;

use clap::{Args as ClapArgs, ValueEnum};

use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::edit;
use crate::cli::output::{self, Format};
use crate::ops::{Running, SpecificationChange};
use crate::spec::create::group_label;
use crate::spec::set::{assignments, paths, set, unset};
use crate::spec::v1alpha2::{
    CLUSTER_LABEL, InstanceGroup, InstanceGroupRole, Object, SubnetSpec, SubnetType,
};
use crate::spec::{default, to_yaml};
use crate::state::Specification;

/// `windlass create instancegroup`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The group's name
    group: String,
    /// What its instances are for
    #[arg(long, value_enum, default_value_t)]
    role: Role,
    /// The subnets that it spans, by their names in the specification
    #[arg(long, alias = "subnets", value_delimiter = ',', value_name = "SUBNET,…")]
    subnet: Vec<String>,
    /// The zones whose subnets it spans, instead of --subnet
    #[arg(long, alias = "zones", value_delimiter = ',', value_name = "ZONE,…", conflicts_with = "subnet")]
    zone: Vec<String>,
    /// Set a field of the group: spec.maxSize=5
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Remove a field of the group
    #[arg(long, value_name = "PATH")]
    unset: Vec<String>,
    /// Whether to open an editor; it does unless fields are set, or nothing shall be written
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    edit: Option<bool>,
    /// Print the group and write nothing
    #[arg(long)]
    dry_run: bool,
    /// How --dry-run prints
    #[arg(short, long, value_enum, requires = "dry_run")]
    output: Option<Format>,
}

/// What the instances of a group are for, as kops's flag calls it.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Role {
    #[default]
    Node,
    #[value(alias = "master")]
    ControlPlane,
    Bastion,
    #[value(name = "apiserver", alias = "api-server")]
    ApiServer,
}

impl Role {
    fn of_specification(self) -> InstanceGroupRole {
        match self {
            Self::Node => InstanceGroupRole::Node,
            Self::ControlPlane => InstanceGroupRole::Master,
            Self::Bastion => InstanceGroupRole::Bastion,
            Self::ApiServer => InstanceGroupRole::ApiServer,
        }
    }

    /// How many instances a group has where nobody says it: kops's numbers.
    fn size(self) -> u32 {
        match self {
            Self::ControlPlane | Self::Bastion => 1,
            Self::Node | Self::ApiServer => 2,
        }
    }

    fn machine_type(self) -> &'static str {
        match self {
            Self::Bastion => default::BASTION_MACHINE_TYPE,
            Self::Node | Self::ControlPlane | Self::ApiServer => default::MACHINE_TYPE,
        }
    }
}

/// Runs `windlass create instancegroup`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let state = context.cluster_state(None).await?;
    let read = context.read(&state).await?;
    if read.documents.instance_groups.iter().any(|known| known.name() == args.group) {
        let refusal = Refusal::new(format!("there is an instance group `{}` already", args.group));
        let hint = format!("change it with `windlass edit instancegroup {}`", args.group);
        return Err(refusal.hint(hint).into());
    }
    let running = Running::of(&state).await?;
    let mut group = group(&args, &read)?;
    let opens = args.edit.unwrap_or(args.set.is_empty() && args.unset.is_empty());
    if opens && !args.dry_run {
        let Some(edited) = edit::compose(context, &read, &running, &group).await? else {
            output::say("Edit cancelled, the group was not created.");
            return Ok(Exit::Done);
        };
        group = edited;
    }
    let change = SpecificationChange::writing(group.clone());
    change.check(&read.documents, &running)?;
    if args.dry_run {
        match args.output.unwrap_or(Format::Yaml) {
            Format::Json => output::print_json(&group)?,
            Format::Yaml | Format::Table => output::print(&to_yaml(&group))?,
        }
        return Ok(Exit::Done);
    }
    if let Err(error) = change.write(&context.lease_guard(&state, "create instancegroup"), &read).await {
        let kept = edit::keep(&to_yaml(&group)).map(|path| format!("; it is in {path}")).unwrap_or_default();
        return Err(anyhow::Error::new(error)
            .context(format!("could not write the instance group {}{kept}", group.name())));
    }
    let flags = context.flags_to_repeat();
    output::say(&format!("Created instancegroup/{}", group.name()));
    output::say(&format!("To bring it to AWS: windlass update cluster --name {}{flags} --yes", state.name()));
    Ok(Exit::Done)
}

/// The group that the flags ask for.
fn group(args: &Args, read: &Specification) -> anyhow::Result<InstanceGroup> {
    let mut group = InstanceGroup::named(&args.group);
    let label = (CLUSTER_LABEL.to_owned(), read.documents.cluster.name().to_owned());
    group.metadata.labels = Some(BTreeMap::from([label]));
    group.spec.node_labels = Some(group_label(&args.group));
    group.spec.role = Some(args.role.of_specification());
    group.spec.machine_type = Some(args.role.machine_type().to_owned());
    group.spec.min_size = Some(args.role.size());
    group.spec.max_size = Some(args.role.size());
    group.spec.subnets = Some(subnets(args, read)?);
    for assignment in args.set.iter().flat_map(|flag| assignments(flag)) {
        set(&mut group, &assignment)?;
    }
    for path in args.unset.iter().flat_map(|flag| paths(flag)) {
        unset(&mut group, &path)?;
    }
    Ok(group)
}

/// The subnets that the flags name; where they name none and there is only one, that one.
fn subnets(args: &Args, read: &Specification) -> Result<Vec<String>, Refusal> {
    if !args.subnet.is_empty() {
        return Ok(args.subnet.clone());
    }
    let all = read.documents.cluster.spec.subnets.as_deref().unwrap_or_default();
    let fits = |subnet: &&SubnetSpec| subnet.r#type != Some(SubnetType::Utility);
    let name = |subnet: &SubnetSpec| subnet.name.clone();
    let known: Vec<String> = all.iter().filter(fits).filter_map(name).collect();
    let mut chosen = Vec::new();
    for zone in &args.zone {
        let before = chosen.len();
        let there = all.iter().filter(fits).filter(|subnet| subnet.zone.as_ref() == Some(zone));
        chosen.extend(there.filter_map(name));
        if chosen.len() == before {
            let refusal = Refusal::new(format!("the cluster has no subnet in the zone `{zone}`"));
            return Err(refusal.hint(format!("there are the subnets {}", known.join(", "))));
        }
    }
    match (chosen.is_empty(), known.as_slice()) {
        (false, _) => Ok(chosen),
        (true, [only]) => Ok(vec![only.clone()]),
        (true, _) => Err(Refusal::new("in which subnets shall the group be?")
            .hint(format!("name them with --subnet: there are {}", known.join(", ")))),
    }
}
