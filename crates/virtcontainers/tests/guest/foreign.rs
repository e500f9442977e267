//! A guest whose agent is another implementation: the image of `build/guest` with a second archive behind it, whose `/init`
//! loads the modules that ours would and becomes that agent. The kernel unpacks one archive over the other.

use std::{fs, path::Path};

const INIT: &str = "#!/bin/busybox sh
while read -r role module; do
    /bin/busybox insmod \"$module\" 2>/dev/null
done < /etc/vc-modules
exec /usr/bin/agent
";

/// Writes an initrd to `to` in which `agent` is the first process.
pub(crate) fn initrd(image: &Path, agent: &Path, to: &Path) {
    let mut bytes = fs::read(image.join("initrd.img")).unwrap();
    let program = |path: &Path| fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for dir in ["bin", "usr", "usr/bin"] {
        entry(&mut bytes, dir, 0o040_755, &[]);
    }
    entry(&mut bytes, "bin/busybox", 0o100_755, &program(Path::new("/bin/busybox")));
    entry(&mut bytes, "usr/bin/agent", 0o100_755, &program(agent));
    entry(&mut bytes, "init", 0o100_755, INIT.as_bytes());
    entry(&mut bytes, "TRAILER!!!", 0, &[]);
    fs::write(to, bytes).unwrap();
}

/// One file of a cpio archive in the format `newc`, which the kernel's documents describe (buffer-format).
fn entry(archive: &mut Vec<u8>, name: &str, mode: u32, content: &[u8]) {
    let length = |len: usize| u32::try_from(len).unwrap();
    let inode = length(archive.len());
    let fields = [inode, mode, 0, 0, 1, 0, length(content.len()), 0, 0, 0, 0, length(name.len() + 1), 0];
    archive.extend_from_slice(b"070701");
    for field in fields {
        archive.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    pad(archive);
    archive.extend_from_slice(content);
    pad(archive);
}

fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}
