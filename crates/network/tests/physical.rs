//! Network cards and `vfio-pci`, on a sysfs whose kernel is the test.
#![expect(clippy::unwrap_used, reason = "what tests share fails the test")]

use std::{
    collections::VecDeque,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use virtcontainers_network::{
    NetworkError,
    scan::PciDevice,
    vfio::{Kernel, PciBus, VFIO_DRIVER},
};

const CARD: &str = "0000:03:00.0";

type Step<'a> = (&'a str, &'a str, Option<&'a str>);

/// A sysfs with a card bound to `ixgbe`, beside `vfio-pci`.
#[derive(Debug, Clone)]
struct Sysfs(Arc<tempfile::TempDir>);

impl Sysfs {
    fn new() -> Self {
        let sysfs = Self(Arc::new(tempfile::tempdir().unwrap()));
        for dir in ["devices/0000:03:00.0/iommu_group", "drivers/ixgbe", "drivers/vfio-pci"] {
            fs::create_dir_all(sysfs.bus(dir)).unwrap();
        }
        sysfs.binds(Some("ixgbe"));
        sysfs
    }

    fn bus(&self, path: &str) -> PathBuf {
        self.0.path().join("bus/pci").join(path)
    }

    fn device(&self) -> PathBuf {
        self.bus("devices").join(CARD)
    }

    fn binds(&self, driver: Option<&str>) {
        let link = self.device().join("driver");
        if link.is_symlink() {
            fs::remove_file(&link).unwrap();
        }
        if let Some(driver) = driver {
            symlink(self.bus("drivers").join(driver), &link).unwrap();
        }
    }

    /// Plays the kernel for these writes: what is written where. At each it binds as told. No more and no less may come.
    fn play<T>(&self, script: &[Step<'_>], act: impl FnOnce(&PciBus) -> T) -> T {
        let steps = script
            .iter()
            .map(|(path, text, driver)| ((*path).to_owned(), (*text).to_owned(), driver.map(str::to_owned)));
        let kernel = Arc::new(Scripted { sysfs: self.clone(), steps: Mutex::new(steps.collect()) });
        let done = act(&PciBus::of(self.0.path(), kernel.clone()));
        assert!(kernel.steps.lock().unwrap().is_empty(), "not written: {kernel:?}");
        done
    }

    fn driver(&self) -> Option<String> {
        self.play(&[], |bus| bus.driver(CARD))
    }
}

#[derive(Debug)]
struct Scripted {
    sysfs: Sysfs,
    steps: Mutex<VecDeque<(String, String, Option<String>)>>,
}

impl Kernel for Scripted {
    fn take(&self, path: &Path, text: &str) -> io::Result<()> {
        let (attribute, expected, driver) = self.steps.lock().unwrap().pop_front().unwrap();
        // The card's own way to its driver leads through a link.
        let path = fs::canonicalize(path.parent().unwrap()).unwrap().join(path.file_name().unwrap());
        let attribute = fs::canonicalize(self.sysfs.bus("")).unwrap().join(attribute);
        assert_eq!((path.as_path(), text), (attribute.as_path(), expected.as_str()));
        self.sysfs.binds(driver.as_deref());
        Ok(())
    }
}

const OVERRIDE: &str = "devices/0000:03:00.0/driver_override";

fn card(driver: &str) -> PciDevice {
    PciDevice { address: CARD.to_owned(), driver: Some(driver.to_owned()) }
}

/// What was written to a real sysfs, and which driver the card had after it, as the lab saw it.
fn golden(direction: &str) -> Vec<Step<'static>> {
    let lines = include_str!("golden/physical.sysfs").lines().filter_map(|line| {
        let [way, path, text, after] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let real =
            |text: &str| &*text.replace("CARD", CARD).replace("DRIVER", "ixgbe").replace("\\n", "\n").leak();
        let after = (after != "-").then(|| real(after));
        (way == direction).then(|| (real(path), real(text), after))
    });
    lines.collect()
}

#[test]
fn a_card_goes_to_vfio_and_comes_back() {
    let sysfs = Sysfs::new();
    sysfs.play(&golden("there"), |bus| bus.bind_vfio(CARD)).unwrap();
    sysfs.play(&[], |bus| bus.bind_vfio(CARD)).unwrap();
    sysfs.play(&golden("back"), |bus| bus.give_back(&card("ixgbe"))).unwrap();
    sysfs.play(&[], |bus| bus.give_back(&card("ixgbe"))).unwrap();
}

#[test]
fn a_card_that_no_probe_finds_is_bound_by_name() {
    let sysfs = Sysfs::new();
    sysfs.binds(Some(VFIO_DRIVER));
    let back = [
        (OVERRIDE, "\n", Some(VFIO_DRIVER)),
        ("drivers/vfio-pci/unbind", CARD, None),
        ("drivers_probe", CARD, None),
        ("drivers/ixgbe/bind", CARD, Some("ixgbe")),
    ];
    sysfs.play(&back, |bus| bus.give_back(&card("ixgbe"))).unwrap();
}

#[test]
fn a_card_that_vfio_does_not_take_is_given_back() {
    let sysfs = Sysfs::new();
    let there_and_back = [
        (OVERRIDE, "vfio-pci\n", Some("ixgbe")),
        ("drivers/ixgbe/unbind", CARD, None),
        ("drivers_probe", CARD, None),
        (OVERRIDE, "\n", None),
        ("drivers_probe", CARD, Some("ixgbe")),
    ];
    let error = sysfs.play(&there_and_back, |bus| bus.bind_vfio(CARD)).unwrap_err();
    assert!(matches!(&error, NetworkError::Vfio { address, .. } if address == CARD), "{error}");
    assert_eq!(sysfs.driver().as_deref(), Some("ixgbe"));
}

#[test]
fn a_card_that_was_vfios_stays_so() {
    let sysfs = Sysfs::new();
    sysfs.binds(Some(VFIO_DRIVER));
    sysfs.play(&[], |bus| bus.bind_vfio(CARD)).unwrap();
    sysfs.play(&[], |bus| bus.give_back(&card(VFIO_DRIVER))).unwrap();
}

#[test]
fn what_is_missing_is_told_before_anything_is_touched() {
    let refused = |sysfs: &Sysfs, address: &str| {
        let address = address.to_owned();
        let error = sysfs.play(&[], |bus| bus.bind_vfio(&address)).unwrap_err();
        let NetworkError::Vfio { address: named, problem } = error else { unreachable!("{error}") };
        assert_eq!(named, address);
        problem
    };
    let sysfs = Sysfs::new();
    for bad in
        ["", "..", "03:00.0", "0000:03:00.0/..", "0000:03:00.00", "../../../tmp:00:00.0", "0000:zz:00.0"]
    {
        assert!(refused(&sysfs, bad).contains("no address"), "{bad:?}");
    }
    assert!(refused(&sysfs, "0000:04:00.0").contains("not on the bus"));
    fs::remove_dir(sysfs.device().join("iommu_group")).unwrap();
    assert!(refused(&sysfs, CARD).contains("IOMMU"));
    fs::remove_dir_all(sysfs.bus("drivers/vfio-pci")).unwrap();
    assert!(refused(&sysfs, CARD).contains("modprobe vfio-pci"));
    assert_eq!(sysfs.driver().as_deref(), Some("ixgbe"));
}

#[test]
fn a_card_that_is_gone_needs_no_giving_back() {
    let sysfs = Sysfs::new();
    fs::remove_dir_all(sysfs.device()).unwrap();
    sysfs.play(&[], |bus| bus.give_back(&card("ixgbe"))).unwrap();
    assert!(!Path::new(&sysfs.device()).exists());
}

#[test]
fn a_card_shows_its_link() {
    let sysfs = Sysfs::new();
    let link = || sysfs.play(&[], |bus| bus.link(CARD));
    assert_eq!(link(), None);
    fs::create_dir_all(sysfs.device().join("net/enp3s0")).unwrap();
    assert_eq!(link().as_deref(), Some("enp3s0"));
}
