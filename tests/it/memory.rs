//! What is left of a key in memory when nothing holds it any more: nothing.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use windlass::pki::client::{ADMINISTRATORS, issue};
use windlass::pki::encryption;
use windlass::pki::keyset::{KUBERNETES_CA, SERVICE_ACCOUNT, check, generate};
use windlass::pki::kubeconfig::{self, Entry};
use windlass::state::{Condition, Store};

/// Held by each of these tests: while one looks, a copy of a piece of the whole memory is in its hands, with what another
/// one has not dropped yet.
static LOOKING: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    LOOKING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A piece of a secret that isn't kept as it is, as it would find itself otherwise.
struct Masked(Vec<u8>);

impl Masked {
    const MASK: u8 = 0x5a;

    /// From the middle of a secret.
    fn of(secret: &str) -> Self {
        let middle = secret.len() / 2;
        Self(secret.as_bytes()[middle..middle + 16].iter().map(|byte| byte ^ Self::MASK).collect())
    }

    fn is_in(&self, memory: &[u8]) -> bool {
        let first = self.0[0] ^ Self::MASK;
        memory.windows(self.0.len()).any(|window| {
            window[0] == first
                && window.iter().zip(&self.0).all(|(byte, masked)| byte ^ Self::MASK == *masked)
        })
    }
}

/// How many of this process's writable pieces of memory hold something.
fn found(secret: &Masked) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut memory = File::open("/proc/self/mem").unwrap();
    let mut count = 0;
    // One buffer of its own size, so that what was read is not read again as memory of another kind.
    for line in maps.lines().filter(|line| line.contains("rw-p")) {
        let (start, end) = line.split_whitespace().next().unwrap().split_once('-').unwrap();
        let (start, end) = (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        let read = memory.seek(SeekFrom::Start(start)).and_then(|_| memory.read_exact(&mut bytes));
        if read.is_ok() && secret.is_in(&bytes) {
            count += 1;
        }
        bytes.fill(0);
    }
    count
}

#[test]
fn a_key_that_nothing_holds_any_more_is_nowhere_in_memory() {
    let _alone = alone();
    let held = generate(KUBERNETES_CA, SystemTime::now()).unwrap();
    let alive = Masked::of(held.keys[0].private.expose());
    assert!(found(&alive) > 0, "this test can't see memory");
    check(&held).unwrap();
    drop(held);
    assert_eq!(found(&alive), 0, "an authority's key");

    let account = generate(SERVICE_ACCOUNT, SystemTime::now()).unwrap();
    let gone = Masked::of(account.keys[0].private.expose());
    check(&account).unwrap();
    drop(account);
    assert_eq!(found(&gone), 0, "the key of service accounts");

    let configuration = encryption::generate().unwrap();
    let key = configuration.expose().split('"').find(|part| part.len() == 44).unwrap();
    let gone = Masked::of(key);
    drop(configuration);
    assert_eq!(found(&gone), 0, "the encryption key");
}

#[test]
fn an_administrator_s_key_is_in_the_kubeconfig_and_nowhere_in_memory() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let authority = generate(KUBERNETES_CA, SystemTime::now()).unwrap();
    let user = issue(&authority, "ada", ADMINISTRATORS, Duration::from_hours(1), SystemTime::now()).unwrap();
    let key = Masked::of(user.key.expose());
    let entry = Entry {
        existing_user: None,
        name: "demo".to_owned(),
        server: "https://198.51.100.7".to_owned(),
        authorities: authority.bundle(),
        user: Some(user),
    };
    kubeconfig::add(&path, &entry).unwrap();
    drop(entry);
    assert_eq!(found(&key), 0, "the key of a client's certificate");
    assert!(std::fs::read_to_string(&path).unwrap().contains("client-key-data"));
}

#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "the other tests wait in threads of their own")]
async fn the_bytes_of_an_object_are_wiped_when_they_are_dropped() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::file(folder.path());
    let secret: String = (0..64_u8).map(|index| char::from(b'a' + index % 7 + index / 8)).collect();
    let masked = Masked::of(&secret);
    store.put("demo/key", secret.into_bytes(), Condition::Absent).await.unwrap();
    let object = store.get("demo/key").await.unwrap().unwrap();
    assert!(found(&masked) > 0, "this test can't see memory");
    drop(object);
    assert_eq!(found(&masked), 0);
}
