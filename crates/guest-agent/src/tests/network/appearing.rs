use std::{
    fs,
    time::{Duration, Instant},
};

use futures::future::join;
use ttrpc::Code;
use virtcontainers_types::net::MacAddr;

use super::{MAC, OTHER_MAC, alone, described, interface, ip, search, with_links};
use crate::network::{NetworkError, interface::Search};

/// Lets an update wait, then does something.
async fn meanwhile(act: impl FnOnce()) {
    // The update runs on this thread: it is waiting by the time that others get their turn.
    tokio::task::yield_now().await;
    act();
}

#[test]
fn an_interface_that_appears_later_is_waited_for() {
    alone(async || {
        let (wanted, patient) = (described("eth7", MAC, &["10.0.0.2/24"]), Search::default());
        let update = interface::update(wanted.clone(), &patient);
        let plug = meanwhile(|| {
            ip("link add near type veth peer name far");
            ip(&format!("link set far address {MAC}"));
        });
        let (updated, ()) = join(update, plug).await;
        assert_eq!(updated.unwrap(), wanted);
        assert!(ip("address show dev eth7").contains("10.0.0.2/24"));
    });
}

#[test]
fn the_wait_has_an_end_however_much_happens_meanwhile() {
    with_links(async || {
        let absent = MacAddr([2, 9, 9, 9, 9, 9]);
        let began = Instant::now();
        let wanted = described("eth7", absent, &[]);
        let (error, ()) = join(interface::update(wanted, &search()), async {
            while began.elapsed() < search().patience {
                ip("link set eth0 up");
                ip("link set eth0 down");
                tokio::task::yield_now().await;
            }
        })
        .await;
        let error = error.unwrap_err();
        assert_eq!(error.code(), Code::NOT_FOUND);
        assert!(matches!(&error, NetworkError::NoDevice { what, .. } if what.contains("02:09:09:09:09:09")));
        assert!(began.elapsed() >= search().patience && began.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn a_device_is_found_by_its_pci_path_once_its_driver_has_it() {
    with_links(async || {
        let sysfs = tempfile::tempdir().unwrap();
        let net = sysfs.path().join("pci0000:00/0000:00:02.0/0000:01:00.0/virtio3/net/eth1");
        let search = Search { devices: sysfs.path().into(), ..Search::default() };
        let mut wanted = described("eth9", MacAddr([0; 6]), &["10.0.0.2/24"]);
        wanted.pci_path = Some("02/00".parse().unwrap());
        let plug = meanwhile(|| {
            fs::create_dir_all(&net).unwrap();
            let index = ip("-o link show dev eth1").split(':').next().unwrap().to_owned();
            fs::write(net.join("ifindex"), index + "\n").unwrap();
            ip("link set eth1 up");
        });
        let (updated, ()) = join(interface::update(wanted.clone(), &search), plug).await;
        assert_eq!(updated.unwrap().mac, OTHER_MAC, "the answer tells what was not known");

        wanted.mac = MAC;
        let error = interface::update(wanted.clone(), &search).await.unwrap_err();
        assert_eq!(error.code(), Code::INVALID_ARGUMENT, "{error}");
        wanted.mac = OTHER_MAC;
        interface::update(wanted, &search).await.unwrap();
    });
}
