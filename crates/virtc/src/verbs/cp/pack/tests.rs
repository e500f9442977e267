use std::{
    fs,
    io::Read as _,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
};

use super::{Packed, Parcel, pack};

/// The archive's entries: name, kind, link, content; and what was said of them.
fn packed(parcel: &Parcel) -> (Vec<(String, u8, String, String)>, Packed) {
    let mut bytes = Vec::new();
    let done = pack(&mut bytes, parcel).unwrap();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        assert_eq!((entry.header().uid().unwrap(), entry.header().gid().unwrap()), (0, 0));
        let name = entry.path().unwrap().display().to_string();
        let link = entry.link_name().unwrap().map(|link| link.display().to_string()).unwrap_or_default();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        (name, entry.header().entry_type().as_byte(), link, content)
    });
    (entries.collect(), done)
}

fn tree(root: &Path) {
    fs::create_dir_all(root.join("tree/dir")).unwrap();
    fs::write(root.join("tree/file"), "content").unwrap();
    fs::write(root.join("tree/dir/x".to_owned() + &"y".repeat(150)), "long").unwrap();
    symlink("/etc/passwd", root.join("tree/link")).unwrap();
    symlink("dir", root.join("tree/linked")).unwrap();
    drop(UnixListener::bind(root.join("tree/socket")).unwrap());
}

#[test]
fn a_tree_under_a_name() {
    let root = tempfile::tempdir().unwrap();
    tree(root.path());
    let parcel = Parcel { source: root.path().join("tree"), name: Some("new".into()), owners: false };
    let (entries, done) = packed(&parcel);
    let long = format!("new/dir/x{}", "y".repeat(150));
    let expected = [
        ("new", b'5', "", ""),
        ("new/dir", b'5', "", ""),
        ("new/file", b'0', "", "content"),
        ("new/link", b'2', "/etc/passwd", ""),
        ("new/linked", b'2', "dir", ""),
        (&long, b'0', "", "long"),
    ];
    let found: Vec<_> = entries
        .iter()
        .map(|(name, kind, link, content)| {
            (name.trim_end_matches('/'), *kind, link.as_str(), content.as_str())
        })
        .collect();
    assert_eq!(found, expected);
    assert_eq!((done.entries, done.bytes), (6, 11));
    assert!(done.warnings.iter().next().unwrap().contains("a socket"), "{done:?}");
}

#[test]
fn what_is_in_a_directory() {
    let root = tempfile::tempdir().unwrap();
    tree(root.path());
    let (entries, _) = packed(&Parcel { source: root.path().join("tree"), name: None, owners: false });
    assert_eq!(entries[0].0.trim_end_matches('/'), "dir", "the directory itself is not there: {entries:?}");
}

#[test]
fn one_file() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), "content").unwrap();
    let (entries, _) =
        packed(&Parcel { source: root.path().join("file"), name: Some("other".into()), owners: false });
    assert_eq!(entries, [("other".to_owned(), b'0', String::new(), "content".to_owned())]);
}
