//! The disk fails in every way it can while a shop is open.
//!
//! Each fault lasts for a number of pages, all of which must be the site's own, in time. Meanwhile an
//! operator must see it in the metrics and in `/readyz`; afterwards conversions are stored again by
//! the same process, and every hit is accounted for. Without a fault none of the alarms may rise.

use std::{fs, time::Duration};

use crate::support::{
    accounting::assert_accounts,
    await_fact,
    chaos::{Chaos, Mix},
    crowd::shop_of_its_own,
    load::{Ask, Pace, visits},
    proxy::Proxy,
    saboteur::{Saboteur, Trouble},
    site::Site,
    tell,
};

/// What happens to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// No file can grow: what a full disk does, by the kernel.
    NoRoom,
    /// Every write says that the disk is full.
    Full,
    /// Every write says that the file system is read-only.
    ReadOnly,
    /// Every fsync fails.
    FailedSync,
    /// The file is gone, and there is no descriptor left to open another one.
    NoDescriptors,
    /// The files are deleted beneath the process.
    Deleted,
    /// Nothing at all.
    None,
}

const FAULTS: [Fault; 7] =
    [Fault::NoRoom, Fault::Full, Fault::ReadOnly, Fault::FailedSync, Fault::NoDescriptors, Fault::Deleted, Fault::None];

#[test]
fn no_fault_of_the_disk_reaches_a_page() {
    let pace = Pace { per_second: 150, lasting: Duration::from_secs(2) };
    beside_each_other(&FAULTS[..4], pace);
    beside_each_other(&FAULTS[4..], pace);
}

#[test]
#[ignore = "takes two minutes"]
fn ten_thousand_pages_survive_each_fault_of_the_disk() {
    let pace = Pace { per_second: 400, lasting: Duration::from_secs(25) };
    FAULTS.chunks(2).for_each(|faults| beside_each_other(faults, pace));
}

fn beside_each_other(faults: &[Fault], pace: Pace) {
    std::thread::scope(|scope| {
        for fault in faults {
            scope.spawn(move || fault.endure(pace));
        }
    });
}

impl Fault {
    fn endure(self, pace: Pace) {
        let (site, network, saboteur) = (Site::start(), Chaos::start(Mix::seeded(6)), Saboteur::hire());
        let shop = shop_of_its_own(site.address(), &network.address().to_string());
        let proxy = saboteur.below(Proxy::with(&format!("max_page_delay: 50ms\n{shop}"))).start();
        sells(&proxy, &network, "before");

        self.begin(&proxy, &saboteur);
        let visits = visits(&[&proxy], pace, |number| {
            let (kind, path) = if number % 10 == 0 { ("order", "thank-you") } else { ("page", "catalogue") };
            Ask { proxy: 0, kind, target: format!("/{path}/{number}") }
        });
        assert_eq!(visits.errors(), Vec::<&str>::new(), "{self:?}");
        let slow = visits.of(0, "order").served_within(990);
        assert!(slow < Duration::from_secs(4), "{self:?}: a hundredth of the thank-you pages took {slow:?}");
        let readiness = proxy.admin("/readyz").text();
        assert_eq!(readiness.contains("degraded"), self.lasts(), "{self:?}: {readiness}");

        self.end(&proxy, &saboteur);
        await_fact(
            || proxy.admin("/readyz").text().contains("\"state\":\"ready\"").then_some(()),
            || format!("{self:?}: the store to recover; stderr: {}", proxy.stderr()),
        );
        let alarms = proxy.metric("throughline_store_errors_total", &[]);
        assert_eq!(alarms > 0.5, self != Self::None, "{self:?}: {alarms} alarms\n{}", proxy.stderr());
        sells(&proxy, &network, "after");
        proxy.await_settled();
        assert_accounts(&proxy);
        tell(&format!("{self:?}: {} pages, 0 errors; 99 % of the thank-you pages within {slow:?}", visits.count()));
    }

    fn begin(self, proxy: &Proxy, saboteur: &Saboteur) {
        match self {
            Self::NoRoom => proxy.fill_the_disk(),
            Self::Full => saboteur.makes(Trouble::FullDisk),
            Self::ReadOnly => saboteur.makes(Trouble::ReadOnly),
            Self::FailedSync => saboteur.makes(Trouble::FailedSync),
            Self::NoDescriptors => {
                saboteur.makes(Trouble::NoDescriptors);
                delete(proxy);
            }
            Self::Deleted => delete(proxy),
            Self::None => {}
        }
    }

    fn end(self, proxy: &Proxy, saboteur: &Saboteur) {
        if self == Self::NoRoom {
            proxy.make_room();
        }
        saboteur.makes(Trouble::Nothing);
    }

    /// Whether it lasts until it is ended: a new file takes the place of a deleted one at once.
    const fn lasts(self) -> bool {
        !matches!(self, Self::Deleted | Self::None)
    }
}

/// One order that goes all the way.
fn sells(proxy: &Proxy, network: &Chaos, order: &str) {
    let taken = network.taken();
    let mut visitor = proxy.visitor().sending("Cookie", "_own_cid=abc");
    assert_eq!(visitor.get(&format!("/thank-you/{order}")).status, 200);
    network.await_taken(taken + 1);
}

fn delete(proxy: &Proxy) {
    for entry in fs::read_dir(proxy.folder().join("state")).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("throughline.sqlite") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}
