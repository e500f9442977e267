use super::*;

#[test]
fn octal_escapes_are_undone() {
    assert_eq!(unescape(br"/a\040b\011c\134d"), b"/a b\tc\\d");
    assert_eq!(unescape(br"/plain\9"), br"/plain\9");
    assert_eq!(unescape(br"\777"), br"\777", "more than a byte holds");
}

#[test]
fn mount_points_are_the_fifth_field() {
    let table = b"22 27 0:21 / /proc rw - proc proc rw\n36 35 98:0 /mnt1 /mnt\\0402 rw master:1 - ext3 /dev/root rw\n";
    let points: Vec<_> = mount_points(table).collect();
    assert_eq!(points, [PathBuf::from("/proc"), PathBuf::from("/mnt 2")]);
}
