//! Starting and stopping a cloud.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use rustix::fs::FlockOperation;
use sha2::{Digest as _, Sha256};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::cloud::{self, Keeper, Parts};
use crate::image::{self, Image};
use crate::machine::Setup;
use crate::namespace::{self, Namespace};
use crate::network::{self, ENDPOINT, ENDPOINT_PORT, Network};
use crate::process::{self, Process};
use crate::region::{self, Region};
use crate::resolver::Resolver;
use crate::status::Status;
use crate::{cleanup, command, endpoint};

/// The access key that the region knows as its account's operator.
pub(crate) const OPERATOR: (&str, &str) = ("operator", "operator-secret");
/// The folder of the consoles.
const CONSOLES: &str = "consoles";
/// overlayfs's number in statfs(2): its upper directory can't be on another overlay.
const OVERLAYFS: i64 = 0x794c_7630;

/// Why a cloud could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Namespaces, mounts and loop devices need root.
    #[error("the local cloud needs root: it makes network namespaces, mounts and loop devices")]
    NotRoot,
    /// A cloud's name is part of the names of namespaces and cgroups.
    #[error("{0:?} can't be a cloud's name: at most 20 lower-case letters and digits")]
    Name(String),
    /// The directory is on overlayfs.
    #[error("{0} is on overlayfs, which can't hold instances' disks; choose a directory on ext4 or xfs")]
    Overlay(PathBuf),
    /// Another cloud runs in the directory.
    #[error("a local cloud already runs in {0}; `localcloud down` ends it")]
    Taken(PathBuf),
    /// The directory can't be used.
    #[error("can't use {directory}")]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The image can't be had.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// The region doesn't start or answer.
    #[error(transparent)]
    Region(#[from] region::Error),
    /// The network can't be made.
    #[error(transparent)]
    Network(#[from] namespace::Error),
    /// Something was left behind.
    #[error("not everything was cleaned up: {}", .0.join("; "))]
    LeftBehind(Vec<String>),
}

/// Where the machine image comes from.
#[derive(Clone, Debug)]
pub enum ImageSource {
    /// `image/build` makes it, or finds it made.
    Build,
    /// A file holds its description, in the form that `image/build` prints.
    Description(PathBuf),
    /// This one.
    Image(Image),
}

impl ImageSource {
    /// The image that `LOCALCLOUD_IMAGE` describes, a file; the repository's own where that is not set.
    pub fn from_environment() -> Self {
        let named = std::env::var_os("LOCALCLOUD_IMAGE").filter(|path| !path.is_empty());
        named.map_or(Self::Build, |path| Self::Description(path.into()))
    }
}

/// Where the region comes from.
#[derive(Clone, Debug)]
pub enum RegionSource {
    /// A child process of the cloud.
    Start,
    /// It runs already, and is not stopped with the cloud.
    At(SocketAddr),
}

/// How a cloud is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where instances' disks, volumes and the status are kept; on ext4 or xfs.
    pub directory: PathBuf,
    /// The images to register and boot.
    pub images: Vec<ImageSource>,
    /// Whether it starts one, or uses one that runs.
    pub region: RegionSource,
    /// The region's name.
    pub region_name: String,
}

impl Options {
    /// A cloud in `directory`, in `us-east-1`, of the image that the environment names.
    pub fn in_directory(directory: PathBuf) -> Self {
        Self {
            directory,
            images: vec![ImageSource::from_environment()],
            region: RegionSource::Start,
            region_name: "us-east-1".to_owned(),
        }
    }
}

/// Where a cloud lives that nobody named a directory for: `localcloud` below `$WINDLASS_CACHE`.
pub fn default_directory() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("WINDLASS_CACHE").unwrap_or_else(|| {
        let caches = variable("XDG_CACHE_HOME")
            .unwrap_or_else(|| variable("HOME").unwrap_or_else(|| PathBuf::from("/root")).join(".cache"));
        caches.join("windlass")
    });
    cache.join("localcloud")
}

/// The name of the cloud that lives in `directory`; it is part of namespaces' names.
pub fn cloud_name(directory: &Path) -> String {
    if directory == default_directory() {
        return "localcloud".to_owned();
    }
    let digest = Sha256::digest(directory.as_os_str().as_encoded_bytes());
    let [first, second, third, fourth, ..] = digest.0;
    format!("lc{:08x}", u32::from_be_bytes([first, second, third, fourth]))
}

/// A running cloud. Dropping it ends everything at once; [`stop`](Self::stop) also says whether that worked.
#[derive(Debug)]
pub struct LocalCloud {
    name: String,
    directory: PathBuf,
    region_name: String,
    region: Region,
    region_process: Option<Process>,
    status: watch::Receiver<Status>,
    stop: Option<oneshot::Sender<()>>,
    keeper: Option<JoinHandle<()>>,
    endpoint: Option<JoinHandle<()>>,
    names: Option<JoinHandle<()>>,
    swept: bool,
    // Held as long as the cloud lives.
    _lock: fs::File,
    _held: Vec<fs::File>,
}

impl LocalCloud {
    /// Starts a cloud. What an earlier one left in the directory is taken away first.
    pub async fn start(options: Options) -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::NotRoot);
        }
        let (directory, lock) = prepare_directory(&options.directory)?;
        let name = cloud_name(&directory);
        let (mut images, mut held) = (Vec::new(), Vec::new());
        for source in options.images {
            let image = find_image(source).await?;
            held.extend(image.hold()?);
            images.push(image);
        }
        prepare_kernel().await;
        let left = cleanup::sweep(&name, &directory);
        if !left.is_empty() {
            return Err(Error::LeftBehind(left));
        }
        let failed = |source| Error::Directory { directory: directory.clone(), source };
        // Those of the cloud before are of no use any more.
        drop(fs::remove_dir_all(directory.join(CONSOLES)));
        for part in ["instances", "volumes", CONSOLES] {
            fs::create_dir_all(directory.join(part)).map_err(failed)?;
        }
        let (region, region_process) = find_region(options.region, &options.region_name).await?;
        let (sender, status) = watch::channel(Status {
            cloud: name.clone(),
            pid: std::process::id(),
            region_name: options.region_name.clone(),
            region: region.address(),
            endpoint: format!("http://{ENDPOINT}:{ENDPOINT_PORT}"),
            images: BTreeMap::new(),
            instances: Vec::new(),
            volumes: Vec::new(),
        });
        let mut cloud = Self {
            name,
            directory,
            region_name: options.region_name,
            region,
            region_process,
            status,
            stop: None,
            keeper: None,
            endpoint: None,
            names: None,
            swept: false,
            _lock: lock,
            _held: held,
        };
        // Whatever fails from here on: dropping the cloud cleans up.
        cloud.open(images, sender).await?;
        Ok(cloud)
    }

    /// Makes the Internet, registers the images and starts to keep the world real.
    async fn open(&mut self, images: Vec<Image>, sender: watch::Sender<Status>) -> Result<(), Error> {
        let network = Network::create(&self.name).await?;
        let listener = cloud::endpoint(&network.internet())?;
        self.endpoint = Some(tokio::spawn(endpoint::forward(listener, self.region.address())));
        let (resolver, socket) = (Resolver::default(), cloud::names(&network.internet())?);
        self.names = Some(tokio::spawn(resolver.clone().serve(None, socket)));
        let registered = self.register(images, &sender).await?;
        self.region.connect(true).await?;
        let written = sender.borrow().write(&self.directory);
        written.map_err(|source| Error::Directory { directory: self.directory.clone(), source })?;
        let setup = Setup {
            cloud: self.name.clone(),
            directory: self.directory.join("instances"),
            consoles: self.directory.join(CONSOLES),
            region: self.region.clone(),
        };
        let (region, directory) = (self.region.clone(), self.directory.clone());
        let (images, status) = (registered, sender);
        let parts = Parts { setup, images, region, network, resolver, status, directory };
        let (stop, stopped) = oneshot::channel();
        self.stop = Some(stop);
        self.keeper = Some(tokio::spawn(Keeper::new(parts).run(stopped)));
        Ok(())
    }

    /// Registers the images with the region; returns them, with the harness's layer, by the ids it gave.
    async fn register(
        &self,
        images: Vec<Image>,
        status: &watch::Sender<Status>,
    ) -> Result<BTreeMap<String, Image>, Error> {
        let mut registered = BTreeMap::new();
        for mut image in images {
            let id = self.region.register_image(&image).await?;
            let layer = self.directory.join("layers").join(&id);
            image.make_layer(&layer)?;
            image.layers.push(layer);
            status.send_modify(|status| drop(status.images.insert(image.image_name.clone(), id.clone())));
            registered.insert(id, image);
        }
        Ok(registered)
    }

    /// The cloud's name, which its namespaces' names start with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The region's control API.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The cloud as it is now; [`watch::Receiver::changed`] waits for the next change.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// The namespace of the Internet, where operators are.
    pub fn internet(&self) -> Namespace {
        network::internet(&self.name)
    }

    /// A command that runs in the Internet's namespace, with the operator's credentials.
    pub fn operator_command(&self, program: &str) -> Command {
        operator_command(&self.name, &self.region_name, program)
    }

    /// The path of an instance's console log.
    pub fn console(&self, instance: &str) -> PathBuf {
        console(&self.directory, instance)
    }

    /// A command that runs inside an instance, as root.
    pub fn instance_command(&self, instance: &str, program: &str) -> std::io::Result<Command> {
        instance_command(&self.status.borrow(), instance, program)
    }

    /// A command of this machine that runs in an instance's network and resolves names as the instance does, with the
    /// operator's credentials.
    pub fn inside_command(&self, instance: &str, program: &str) -> std::io::Result<Command> {
        let leader = leader(&self.status.borrow(), instance)?;
        // What is mounted elsewhere than in this machine's own namespace can't be bound here.
        let resolver = self.directory.join(format!("{instance}.resolv.conf"));
        fs::copy(format!("/proc/{leader}/root/etc/resolv.conf"), &resolver)?;
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={leader}"))
            .args(["--net", "--", "unshare", "--mount", "--", "sh", "-ec"]);
        command.arg("mount --bind \"$0\" /etc/resolv.conf; exec \"$@\"").arg(resolver).arg(program);
        as_operator(&mut command, &self.region_name);
        Ok(command)
    }

    /// Kills an instance's machine, as a hardware failure would.
    pub fn kill(&self, instance: &str) -> std::io::Result<()> {
        kill(&self.status.borrow(), instance)
    }

    /// Ends every machine and takes everything away.
    pub async fn stop(mut self) -> Result<(), Error> {
        if let Some(stop) = self.stop.take() {
            // The keeper is gone only when it panicked; the sweep does its work.
            let _ = stop.send(());
        }
        if let Some(keeper) = self.keeper.take()
            && let Err(error) = keeper.await
        {
            tracing::error!(%error, "the keeper of the cloud failed");
        }
        let left = self.sweep();
        if left.is_empty() { Ok(()) } else { Err(Error::LeftBehind(left)) }
    }

    fn sweep(&mut self) -> Vec<String> {
        if self.swept {
            return Vec::new();
        }
        self.swept = true;
        for task in self.endpoint.iter().chain(&self.names).chain(&self.keeper) {
            task.abort();
        }
        if let Some(process) = &self.region_process {
            process.kill();
        }
        cleanup::sweep(&self.name, &self.directory)
    }
}

impl Drop for LocalCloud {
    fn drop(&mut self) {
        for failure in self.sweep() {
            tracing::error!(failure, "left behind");
        }
    }
}

/// Modules that instances need and can't load: where they are not built in, the machine loads them.
const MODULES: [&str; 6] = ["br_netfilter", "loop", "nf_conntrack", "overlay", "veth", "vxlan"];

/// Limits of the whole machine, with what instances need: inotify counts what all containers of one user have
/// together, and kube-proxy wants a size of the connection table that only the machine itself may set.
const LIMITS: [(&str, u64); 3] = [
    ("fs/inotify/max_user_instances", 8192),
    ("fs/inotify/max_user_watches", 524_288),
    ("net/netfilter/nf_conntrack_max", 262_144),
];

/// Loads modules and raises limits, for the whole machine; both stay so.
async fn prepare_kernel() {
    for module in MODULES {
        if let Err(error) = command::run(&["modprobe", "--quiet", module]).await {
            tracing::debug!(module, %error, "built in, or missing");
        }
    }
    for (setting, wanted) in LIMITS {
        let path = Path::new("/proc/sys").join(setting);
        let current = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<u64>().ok());
        if current.is_some_and(|current| current >= wanted) {
            continue;
        }
        match fs::write(&path, wanted.to_string()) {
            Ok(()) => tracing::info!(setting, wanted, "raised for the whole machine"),
            Err(error) => tracing::warn!(setting, %error, "can't be raised; many instances may need it"),
        }
    }
}

/// The region, and its process where it is one of ours. A region that ends by itself is told of at once: every
/// later error is only its consequence.
async fn find_region(source: RegionSource, name: &str) -> Result<(Region, Option<Process>), Error> {
    let RegionSource::At(address) = source else {
        let (region, process) = Region::start(name).await?;
        let mut watched = process.clone();
        tokio::spawn(async move {
            let status = watched.ended().await;
            tracing::warn!(status = %status.unwrap_or_default(), "the region has ended");
        });
        return Ok((region, Some(process)));
    };
    Ok((Region::at(address), None))
}

async fn find_image(source: ImageSource) -> Result<Image, Error> {
    Ok(match source {
        ImageSource::Build => Image::build().await?,
        ImageSource::Description(path) => Image::read(&path)?,
        ImageSource::Image(image) => image,
    })
}

/// Makes the directory and takes its lock.
fn prepare_directory(directory: &Path) -> Result<(PathBuf, fs::File), Error> {
    let failed = |source| Error::Directory { directory: directory.to_owned(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    let directory = fs::canonicalize(directory).map_err(failed)?;
    let kind = rustix::fs::statfs(&directory).map_err(|errno| failed(errno.into()))?.f_type;
    if kind == OVERLAYFS {
        return Err(Error::Overlay(directory));
    }
    let lock = lock(&directory).map_err(failed)?;
    let lock = lock.ok_or_else(|| Error::Taken(directory.clone()))?;
    // It names a process that is no more, and whose id may be another's by now.
    match fs::remove_file(directory.join(crate::status::FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    Ok((directory, lock))
}

/// Takes the directory's lock; none if another process holds it. The kernel gives it back when its holder dies.
pub fn lock(directory: &Path) -> std::io::Result<Option<fs::File>> {
    let file =
        fs::OpenOptions::new().create(true).truncate(false).write(true).open(directory.join("lock"))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// A command that runs in a cloud's Internet and resolves names there, with the operator's credentials in its
/// environment.
pub fn operator_command(cloud: &str, region_name: &str, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", network::internet(cloud).name(), program]);
    as_operator(&mut command, region_name);
    command
}

fn as_operator(command: &mut Command, region_name: &str) {
    command.env("AWS_ENDPOINT_URL", format!("http://{ENDPOINT}:{ENDPOINT_PORT}"));
    command.env("AWS_REGION", region_name);
    command.env("AWS_ACCESS_KEY_ID", OPERATOR.0).env("AWS_SECRET_ACCESS_KEY", OPERATOR.1);
    command.env_remove("AWS_SESSION_TOKEN").env_remove("AWS_PROFILE");
    command.env("AWS_EC2_METADATA_DISABLED", "true");
}

/// A command that runs inside an instance, as root, with nothing of this process's environment.
pub fn instance_command(status: &Status, instance: &str, program: &str) -> std::io::Result<Command> {
    let leader = leader(status, instance)?;
    let mut command = Command::new("nsenter");
    command.arg(format!("--target={leader}")).args(["--all", "--", program]);
    command.env_clear().env("HOME", "/root");
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    Ok(command)
}

/// The process id of an instance's first process.
fn leader(status: &Status, instance: &str) -> std::io::Result<u32> {
    let known = status.instances.iter().find(|known| known.id == instance);
    let leader = known.and_then(|known| known.pid);
    leader.ok_or_else(|| std::io::Error::other(format!("{instance} has no machine")))
}

/// The path of an instance's console log in the cloud of `directory`. It stays there after the instance, and after
/// the cloud, until the next one starts.
pub fn console(directory: &Path, instance: &str) -> PathBuf {
    directory.join(CONSOLES).join(format!("{instance}.log"))
}

/// Kills an instance's first process, and all others with it.
pub fn kill(status: &Status, instance: &str) -> std::io::Result<()> {
    let missing = || std::io::Error::other(format!("{instance} has no machine"));
    let known = status.instances.iter().find(|known| known.id == instance).ok_or_else(missing)?;
    let pid = known.pid.ok_or_else(missing)?;
    // A process id can be another's by now: the handle is opened first, then the cgroup says whose it is.
    let handle = process::handle(pid)?;
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    if !groups.contains(&format!("/{}-{instance}", status.cloud)) {
        return Err(missing());
    }
    rustix::process::pidfd_send_signal(handle, rustix::process::Signal::KILL)?;
    Ok(())
}
