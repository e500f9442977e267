use super::*;

fn packed(archive: &Archive<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    archive.write(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_tiny_tree_has_these_very_bytes() {
    let mut archive = Archive::default();
    archive.file("etc/a", 0o644, b"hello");
    archive.char_device("dev/console", 0o600, 5, 1);
    let zero = "00000000";
    let entry = |inode: u32, mode: u32, links: u32, size: u32, device: &str, name: &str| {
        let name_size = name.len() + 1;
        format!(
            "070701{inode:08x}{mode:08x}{zero}{zero}{links:08x}{zero}{size:08x}{zero}{zero}{device}{name_size:08x}{zero}{name}\0"
        )
    };
    let none = "0000000000000000";
    let expected = [
        // 110 + 4 = 114, padded to 116.
        entry(1, 0o040_755, 2, 0, none, "dev") + "\0\0",
        // 110 + 12 = 122, padded to 124.
        entry(2, 0o020_600, 1, 0, "0000000500000001", "dev/console") + "\0\0",
        entry(3, 0o040_755, 2, 0, none, "etc") + "\0\0",
        // 110 + 6 = 116; 5 bytes of data, padded to 8.
        entry(4, 0o100_644, 1, 5, none, "etc/a") + "hello\0\0\0",
        // 110 + 11 = 121, padded to 124.
        entry(0, 0, 1, 0, none, "TRAILER!!!") + "\0\0\0",
    ];
    assert_eq!(String::from_utf8(packed(&archive)).unwrap(), expected.concat());
}

#[test]
fn the_order_of_adding_does_not_matter() {
    let (mut one, mut other) = (Archive::default(), Archive::default());
    one.file("init", 0o755, b"x");
    one.directory("tmp", 0o1777);
    other.directory("tmp", 0o1777);
    other.file("init", 0o755, b"x");
    assert_eq!(packed(&one), packed(&other));
}

#[test]
fn a_directory_that_came_by_itself_takes_the_mode_given_later_and_keeps_one_given_before() {
    let (mut later, mut before) = (Archive::default(), Archive::default());
    later.file("tmp/x", 0o644, b"");
    later.directory("tmp", 0o1777);
    before.directory("tmp", 0o1777);
    before.file("tmp/x", 0o644, b"");
    assert_eq!(packed(&later), packed(&before));
    assert!(String::from_utf8(packed(&later)).unwrap().starts_with("07070100000001000043ff"));
}
