//! What only a full-featured kernel has: ipvlan, network cards that go to `vfio-pci`, the kernel's network back end. In the lab.

use std::{
    fmt::Write as _,
    fs, io,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

use virtcontainers_network::{
    Backend, Endpoint, EndpointOptions, EndpointType, NetNs, NetworkError,
    scan::PciDevice,
    vfio::{Kernel, PciBus, VFIO_DRIVER},
};
use virtcontainers_testkit::{Lab, NetSnapshot};
use virtcontainers_types::NetInterworkingModel::{Default, Macvtap, TcFilter};

use crate::{
    joining::{comes_and_goes, ipvlan_as_golden},
    scene::{Scene, move_into, options},
};

fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
#[ignore = "in the lab: make lab-test"]
fn lab_an_ipvlan_by_filters() {
    Lab::new().run(|| {
        in_time(async {
            let scene = Scene::over("ipvlan");
            comes_and_goes(&scene, &options(Default), EndpointType::IpVlan).await;
            let link = scene.link("eth0").await;
            ipvlan_as_golden(&scene, &link).await;
            let error = Endpoint::choose(&link, &options(Macvtap)).unwrap_err();
            assert!(matches!(error, NetworkError::ModelCannotServe { .. }), "{error}");
        });
    });
}

/// One descriptor of `/dev/vhost-net` for each queue, and none where they are not wanted.
#[test]
#[ignore = "in the lab: make lab-test"]
fn lab_vhost_net_on_and_off() {
    Lab::new().run(|| {
        in_time(async {
            for (vhost_net, queues) in [(true, 1), (true, 3), (false, 3)] {
                let scene = Scene::veth();
                let before = scene.sandbox.snapshot();
                let options = EndpointOptions { vhost_net, queues, ..options(TcFilter) };
                let endpoint = scene.choose("eth0", &options).await;
                let Backend::Tap { taps, vhost } = endpoint.attach(&scene.ns).await.unwrap().backend else {
                    unreachable!()
                };
                assert_eq!(
                    (taps.len(), vhost.len()),
                    (queues as usize, if vhost_net { queues as usize } else { 0 })
                );
                for fd in &vhost {
                    let target =
                        fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(fd)));
                    assert_eq!(target.unwrap(), Path::new("/dev/vhost-net"));
                }
                scene.detach(&endpoint, &before).await;
            }
        });
    });
}

/// The lab's spare card, `eth0` of a namespace, with an address on a network where [`Card::FAR`] answers.
struct Card {
    scene: Scene,
    pci: PciDevice,
}

impl Card {
    const FAR: &str = "10.0.2.2";

    async fn new() -> Self {
        let scene = Scene::empty();
        let (name, pci) = spare();
        move_into(&name, &scene.sandbox);
        for words in [
            &format!("link set {name} name eth0 mtu 1400 address 02:00:00:00:fe:02"),
            "addr add 10.0.2.15/24 brd + dev eth0",
            "addr add fd00:fe::2/64 dev eth0 nodad",
            "link set eth0 up",
        ] {
            scene.sandbox.ip(words);
        }
        let card = Self { scene, pci };
        card.reaches();
        card
    }

    fn driver(&self) -> Option<String> {
        PciBus::host().driver(&self.pci.address)
    }

    /// The far side answers: it may take a moment until the carrier is there.
    #[track_caller]
    fn reaches(&self) {
        self.scene.sandbox.run(&format!("ping -c 2 -W 2 -w 30 {}", Self::FAR));
    }

    fn snapshot(&self) -> NetSnapshot {
        self.scene.sandbox.snapshot().without_numbers()
    }

    /// Detaches as another process would, from the record alone, and twice; the namespace is as it was then.
    async fn detach(&self, endpoint: &Endpoint, before: &NetSnapshot) {
        let endpoint: Endpoint = serde_json::from_str(&serde_json::to_string(endpoint).unwrap()).unwrap();
        for _ in 0..2 {
            endpoint.detach(&self.scene.ns).await.unwrap();
            assert_eq!(self.driver(), self.pci.driver);
            assert_eq!(self.snapshot().changes_since(before), [""; 0]);
        }
    }

    async fn choose(&self) -> Endpoint {
        let endpoint = self.scene.choose("eth0", &options(Default)).await;
        let Endpoint::Physical(physical) = &endpoint else { panic!("{endpoint:?}") };
        assert_eq!(physical.pci, self.pci);
        endpoint
    }
}

/// The card's link in the host's namespace, and the device.
fn spare() -> (String, PciDevice) {
    let cards = fs::read_dir("/sys/bus/pci/drivers/e1000e").unwrap();
    let address = cards.map(|card| card.unwrap().file_name().into_string().unwrap());
    let address = address.into_iter().find(|name| name.starts_with("0000:")).unwrap();
    let link = PciBus::host().link(&address).unwrap();
    (link, PciDevice { address, driver: Some("e1000e".to_owned()) })
}

#[test]
#[ignore = "in the lab: make lab-test"]
fn lab_a_card_goes_to_the_machine_and_comes_back() {
    Lab::new().run(|| {
        in_time(async {
            let card = Card::new().await;
            let before = card.snapshot();
            for _ in 0..2 {
                let endpoint = card.choose().await;
                let attached = endpoint.attach(&card.scene.ns).await.unwrap();
                let Backend::Vfio { host } = &attached.backend else { panic!("{attached:?}") };
                assert_eq!((host, card.driver().as_deref()), (&card.pci.address, Some(VFIO_DRIVER)));
                assert_eq!(card.scene.sandbox.links(), ["lo"], "the link is gone with its driver");
                let group = fs::read_link(format!("/sys/bus/pci/devices/{host}/iommu_group")).unwrap();
                fs::File::open(Path::new("/dev/vfio").join(group.file_name().unwrap())).unwrap();
                endpoint.attach(&card.scene.ns).await.unwrap();
                card.detach(&endpoint, &before).await;
                card.reaches();
            }
        });
    });
}

/// However far an attaching process came before it died, and whatever became of the card meanwhile.
#[test]
#[ignore = "in the lab: make lab-test"]
fn lab_a_card_comes_back_after_failures() {
    Lab::new().run(|| {
        in_time(async {
            let card = Card::new().await;
            let before = card.snapshot();
            let device = format!("/sys/bus/pci/devices/{}", card.pci.address);
            let endpoint = card.choose().await;
            // Nothing but the wish is written.
            fs::write(format!("{device}/driver_override"), "vfio-pci\n").unwrap();
            card.detach(&endpoint, &before).await;
            // The driver has let go, and vfio-pci has not taken it.
            fs::write(format!("{device}/driver_override"), "vfio-pci\n").unwrap();
            fs::write(format!("{device}/driver/unbind"), &card.pci.address).unwrap();
            assert_eq!(card.driver(), None);
            card.detach(&endpoint, &before).await;
            card.reaches();
            // The driver of machines' devices is not there.
            modprobe(&["-r", VFIO_DRIVER]);
            let error = endpoint.attach(&card.scene.ns).await.unwrap_err();
            assert!(
                matches!(&error, NetworkError::Vfio { problem, .. } if problem.contains("modprobe")),
                "{error}"
            );
            assert_eq!(card.snapshot().changes_since(&before), [""; 0]);
            modprobe(&[VFIO_DRIVER]);
            // The card is pulled out while the machine has it.
            endpoint.attach(&card.scene.ns).await.unwrap();
            fs::write(format!("{device}/remove"), "1").unwrap();
            endpoint.detach(&card.scene.ns).await.unwrap();
            fs::write("/sys/bus/pci/rescan", "1").unwrap();
            assert_eq!(card.driver(), card.pci.driver);
            endpoint.detach(&card.scene.ns).await.unwrap();
            assert_eq!(card.snapshot().changes_since(&before), [""; 0]);
            card.reaches();
        });
    });
}

/// The running kernel, with a transcript of what is written to it.
#[derive(Debug, Default)]
struct Recording(Mutex<String>);

impl Kernel for Recording {
    fn take(&self, path: &Path, text: &str) -> io::Result<()> {
        let (dir, attribute) = (path.parent().unwrap(), path.file_name().unwrap());
        // The card's own way to its driver leads through a link.
        let place = if dir.ends_with("driver") { fs::canonicalize(dir)? } else { dir.to_owned() };
        fs::write(path, text)?;
        let place = place.join(attribute);
        let place = place.strip_prefix("/sys/bus/pci").unwrap_or(&place).display().to_string();
        writeln!(self.0.lock().unwrap(), "{place}\t{}", text.replace('\n', "\\n")).unwrap();
        Ok(())
    }
}

/// The golden transcript, which tests elsewhere play, is what a real kernel takes.
#[test]
#[ignore = "in the lab: make lab-test"]
fn lab_a_card_is_bound_as_the_transcript_tells() {
    Lab::new().run(|| {
        let (_, pci) = spare();
        let kernel = Arc::new(Recording::default());
        let bus = PciBus::of(Path::new("/sys"), kernel.clone());
        bus.bind_vfio(&pci.address).unwrap();
        assert_eq!(bus.driver(&pci.address).as_deref(), Some(VFIO_DRIVER));
        bus.give_back(&pci).unwrap();
        assert_eq!(bus.driver(&pci.address), pci.driver);
        let written = kernel.0.lock().unwrap().replace(&pci.address, "CARD").replace("e1000e", "DRIVER");
        let golden = include_str!("../golden/physical.sysfs").lines().map(|line| {
            let words: Vec<_> = line.split('\t').collect();
            format!("{}\t{}\n", words[1], words[2])
        });
        assert_eq!(written, golden.collect::<String>());
    });
}

fn modprobe(words: &[&str]) {
    assert!(Command::new("modprobe").args(words).status().unwrap().success(), "modprobe {words:?}");
}

/// A card whose namespace is gone has its driver again all the same.
#[test]
#[ignore = "in the lab: make lab-test"]
fn lab_a_card_whose_namespace_is_gone() {
    Lab::new().run(|| {
        in_time(async {
            let card = Card::new().await;
            let (endpoint, pci) = (card.choose().await, card.pci.clone());
            drop(endpoint.attach(&card.scene.ns).await.unwrap());
            drop(card);
            for _ in 0..2 {
                endpoint.detach_orphan().await.unwrap();
                assert_eq!(PciBus::host().driver(&pci.address), pci.driver);
            }
        });
    });
}

/// A card that stays in the host's own namespace comes back there.
#[test]
#[ignore = "in the lab: make lab-test"]
fn lab_a_card_of_the_hosts_namespace() {
    Lab::new().run(|| {
        in_time(async {
            let (name, pci) = spare();
            let host = NetNs::current().unwrap();
            let up = Command::new("ip").args(["link", "set", &name, "up"]).status();
            assert!(up.unwrap().success());
            let info = virtcontainers_network::scan(&host).await.unwrap();
            let endpoint = Endpoint::choose(info.link(&name).unwrap(), &options(Default)).unwrap().unwrap();
            drop(endpoint.attach(&host).await.unwrap());
            endpoint.detach(&host).await.unwrap();
            assert_eq!((PciBus::host().driver(&pci.address), spare()), (pci.driver.clone(), (name, pci)));
        });
    });
}
