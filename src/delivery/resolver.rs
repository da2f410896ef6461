//! Names of networks become addresses here, and none that must not be connected to gets out.
//!
//! The connection goes to one of the very addresses that were checked: a name that stands for another
//! address at the next question gains nothing.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::{sync::Semaphore, task, time::timeout};

use super::{address::is_public, route::Addresses};

/// The system's resolver, with a check of what it says.
#[derive(Debug)]
pub(super) struct CheckedResolver {
    addresses: Addresses,
    /// Questions under way, by name: a dead name server must not take all threads. Names come from the
    /// configuration alone, so there are few.
    asking: Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

/// A name stands for no address that may be connected to.
#[derive(Debug, thiserror::Error)]
#[error("the name stands for private or reserved addresses alone")]
pub(super) struct RefusedAddress;

impl CheckedResolver {
    pub(super) fn new(addresses: Addresses) -> Self {
        Self { addresses, asking: Mutex::new(BTreeMap::new()) }
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let places =
            Arc::clone(self.asking.lock().entry(name.clone()).or_insert_with(|| Arc::new(Semaphore::new(QUESTIONS))));
        let allowed = self.addresses;
        Box::pin(async move {
            let asked = async {
                let place = places.acquire_owned().await.map_err(io::Error::other)?;
                task::spawn_blocking(move || {
                    let found = (name.as_str(), 0).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
                    // Held by the question itself, which cannot be broken off.
                    drop(place);
                    found
                })
                .await?
            };
            let found = timeout(PATIENCE, asked).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            Ok(Box::new(checked(found, allowed)?.into_iter()) as Addrs)
        })
    }
}

/// The addresses that may be connected to; none is a refusal, unless there were none to begin with.
fn checked(found: Vec<SocketAddr>, allowed: Addresses) -> Result<Vec<SocketAddr>, RefusedAddress> {
    let there_were_any = !found.is_empty();
    let mut kept = found;
    kept.retain(|address| allowed == Addresses::Any || is_public(address.ip()));
    if there_were_any && kept.is_empty() { Err(RefusedAddress) } else { Ok(kept) }
}

/// For one answer of the name servers.
const PATIENCE: Duration = Duration::from_secs(3);
/// About one name at a time.
const QUESTIONS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect()
    }

    #[test]
    fn what_may_not_be_connected_to_does_not_get_out() {
        let mixed = at(&["10.0.0.1", "1.1.1.1", "::1", "2606:4700::1"]);
        assert_eq!(checked(mixed.clone(), Addresses::Public).unwrap(), at(&["1.1.1.1", "2606:4700::1"]));
        assert_eq!(checked(mixed.clone(), Addresses::Any).unwrap(), mixed);
        assert!(checked(at(&["127.0.0.1", "::1"]), Addresses::Public).is_err());
        assert!(checked(Vec::new(), Addresses::Public).unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_refused_unless_it_is_allowed() {
        let ask = |addresses| CheckedResolver::new(addresses).resolve("localhost".parse().unwrap());
        let refused = ask(Addresses::Public).await.err().expect("a refusal");
        assert!(refused.is::<RefusedAddress>(), "{refused}");
        assert!(ask(Addresses::Any).await.unwrap().all(|address| address.ip().is_loopback()));
    }
}
