use rustix::mount::MountFlags;

use crate::storage::parse_options;

#[test]
fn options_are_sorted_into_flags_and_data() {
    let options: Vec<String> =
        ["ro", "nosuid,nodev", "trans=virtio", "version=9p2000.L,msize=65536", "rbind", ""]
            .map(String::from)
            .into();
    let parsed = parse_options(&options);
    assert_eq!(parsed.flags, MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV);
    assert_eq!(parsed.data, ["trans=virtio", "version=9p2000.L", "msize=65536"]);
    assert!(parsed.recursive);
}

#[test]
fn a_later_option_takes_an_earlier_one_back() {
    let options: Vec<String> = ["ro", "noexec", "rw"].map(String::from).into();
    assert_eq!(parse_options(&options).flags, MountFlags::NOEXEC);
}
