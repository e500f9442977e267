//! A guest that answers for its network: the guest image's kernel and modules, and a shell script that gives each
//! network interface an address, pings the host from it and says so on the console.

use std::{fs, path::Path};

/// What the guest says when it watches.
pub(crate) const READY: &str = "NET-READY";

/// The address of the host in every guest's network, with its prefix.
pub(crate) const HOST: &str = "10.99.0.1/24";

/// The kernel parameter that starts the script.
pub(crate) const INIT: (&str, &str) = ("rdinit", "/net/init");

/// For each interface that comes: `PONG <mac> mtu <mtu> queues <n> at <device>.`
const SCRIPT: &str = r#"#!/net/busybox sh
b=/net/busybox
$b mkdir -p /proc /sys /dev
$b mount -t proc p /proc; $b mount -t sysfs s /sys; $b mount -t devtmpfs d /dev
exec </dev/console >/dev/console 2>&1
for m in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_mmio failover net_failover virtio_net; do
    f=$($b find /lib/modules -name "$m.ko*" | $b head -n 1)
    if [ -n "$f" ]; then $b insmod "$f"; else echo "NO MODULE $m"; fi
done
echo NET-READY.
while :; do
    for i in /sys/class/net/*; do
        n=${i##*/}
        [ "$n" != lo ] && read -r flags 2>/dev/null <"$i/flags" && [ "$flags" = 0x1002 ] || continue
        read -r mac <"$i/address" && read -r mtu <"$i/mtu" || continue
        queues=$($b ls -d "$i"/queues/rx-* | $b wc -l)
        device=$($b readlink -f "$i/device")
        $b ip addr add 10.99.0.2/24 dev "$n" && $b ip link set "$n" up
        $b ping -c 1 -W 10 10.99.0.1 >/dev/null && echo "PONG $mac mtu $mtu queues $queues at $device."
    done
    $b usleep 20000
done
"#;

/// Writes the guest's initrd: the image's own, and an archive that the kernel unpacks over it.
pub(crate) fn write_initrd(guest: &Path, to: &Path) {
    let busybox = fs::read("/bin/busybox").expect("a static busybox: apt-get install busybox-static");
    let mut initrd = fs::read(guest.join("initrd.img")).expect("the image can be read");
    initrd.resize(initrd.len().next_multiple_of(4), 0);
    for (name, mode, content) in [
        ("net", 0o040_755, &[][..]),
        ("net/busybox", 0o100_755, &busybox),
        ("net/init", 0o100_755, SCRIPT.as_bytes()),
        ("TRAILER!!!", 0, &[]),
    ] {
        entry(&mut initrd, name, mode, content);
    }
    fs::write(to, initrd).expect("the directory is writable");
}

/// One entry in the "newc" form that the kernel reads (Documentation/driver-api/early-userspace/buffer-format).
fn entry(archive: &mut Vec<u8>, name: &str, mode: u32, content: &[u8]) {
    let lengths = [content.len(), name.len() + 1].map(|length| u32::try_from(length).expect("a small file"));
    let inode = u32::try_from(archive.len()).expect("a small archive");
    archive.extend(b"070701");
    for field in [inode, mode, 0, 0, 1, 0, lengths[0], 0, 0, 0, 0, lengths[1], 0] {
        archive.extend(format!("{field:08x}").bytes());
    }
    for bytes in [name.as_bytes(), b"\0"] {
        archive.extend(bytes);
    }
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend(content);
    archive.resize(archive.len().next_multiple_of(4), 0);
}
