//! The guest's side of a tap: Ethernet frames, behind the header that virtio puts before each.

use std::{net::Ipv4Addr, os::fd::OwnedFd, time::Duration};

use futures::future::select_all;
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::timeout,
};
use virtcontainers_types::net::MacAddr;

/// More than a frame takes.
const LONG: Duration = Duration::from_secs(5);
/// `struct virtio_net_hdr`.
const HEADER: usize = 10;

/// A queue of a tap.
pub(crate) struct Queue(AsyncFd<OwnedFd>);

impl Queue {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self(virtcontainers_sys::watch(fd, Interest::READABLE | Interest::WRITABLE).unwrap())
    }

    pub(crate) async fn send(&self, frame: &[u8]) {
        let bytes = [&[0; HEADER], frame].concat();
        let mut ready = self.0.writable().await.unwrap();
        let sent = ready.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), &bytes)?));
        assert_eq!(sent.unwrap().unwrap(), bytes.len());
    }

    /// The first frame that is so; others are passed over.
    pub(crate) async fn wait_for(&self, what: &str, is_it: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut others = Vec::new();
        let found = timeout(LONG, async {
            loop {
                let frame = self.next().await;
                if is_it(&frame) {
                    return frame;
                }
                others.push(format!("{} bytes: {:02x?}", frame.len(), &frame[..frame.len().min(42)]));
            }
        });
        let found = found.await;
        found.unwrap_or_else(|_| panic!("no {what} came, but {others:#?}"))
    }

    async fn next(&self) -> Vec<u8> {
        let mut bytes = vec![0; 65536];
        loop {
            let mut ready = self.0.readable().await.unwrap();
            let read = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut bytes)?));
            if let Ok(length) = read {
                bytes.truncate(length.unwrap());
                return bytes.split_off(HEADER.min(bytes.len()));
            }
        }
    }

    /// Asks until there is an answer, as guests do: a link that has its carrier for less than a second may drop frames.
    pub(crate) async fn ask_until_answered(&self, mac: MacAddr, ip: Ipv4Addr, wanted: Ipv4Addr) {
        self.ask_until_one_answers(std::slice::from_ref(self), mac, ip, wanted).await;
    }

    /// The same where it is the kernel's choice in which queue the answer comes.
    pub(crate) async fn ask_until_one_answers(
        &self,
        all: &[Self],
        mac: MacAddr,
        ip: Ipv4Addr,
        wanted: Ipv4Addr,
    ) {
        let mut again = tokio::time::interval(Duration::from_millis(100));
        let asking = async {
            loop {
                again.tick().await;
                self.ask(mac, ip, wanted).await;
            }
        };
        tokio::select! {
            () = asking => unreachable!(),
            _ = select_all(all.iter().map(|queue| Box::pin(queue.answer(mac, wanted)))) => {}
        }
    }

    /// Asks for the hardware address of `wanted`, as a guest that has `mac` and `ip`.
    pub(crate) async fn ask(&self, mac: MacAddr, ip: Ipv4Addr, wanted: Ipv4Addr) {
        self.send(&arp(MacAddr([0xff; 6]), 1, (mac, ip), (MacAddr([0; 6]), wanted))).await;
    }

    /// The answer to [`ask`](Self::ask).
    pub(crate) async fn answer(&self, mac: MacAddr, wanted: Ipv4Addr) -> MacAddr {
        let frame = self.wait_for("answer", |frame| is_answer(frame, mac, wanted)).await;
        MacAddr(frame[22..28].try_into().unwrap())
    }
}

/// An ARP packet in a frame: `operation` 1 asks, 2 answers.
pub(crate) fn arp(
    to: MacAddr,
    operation: u8,
    (mac, ip): (MacAddr, Ipv4Addr),
    (far_mac, far_ip): (MacAddr, Ipv4Addr),
) -> Vec<u8> {
    let mut frame = [&to.0[..], &mac.0, &[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, operation]].concat();
    frame.extend([&mac.0[..], &ip.octets(), &far_mac.0, &far_ip.octets()].concat());
    frame.resize(60, 0);
    frame
}

/// Whether a frame tells `mac` who has `ip`.
fn is_answer(frame: &[u8], mac: MacAddr, ip: Ipv4Addr) -> bool {
    frame.len() >= 42
        && frame[..6] == mac.0
        && frame[12..14] == [0x08, 0x06]
        && frame[20..22] == [0, 2]
        && frame[28..32] == ip.octets()
}
