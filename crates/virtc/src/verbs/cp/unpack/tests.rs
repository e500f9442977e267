use std::{
    fs,
    io::Cursor,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
};

use tar::{Builder, EntryType, Header};

use super::{Keep, Landing, UnpackError, Unpacked, stays_inside, unpack};

/// An archive of whatever bytes a hostile container may put together.
#[derive(Default)]
struct Archive(Vec<u8>);

impl Archive {
    fn raw(mut self, kind: EntryType, name: &[u8], link: &[u8], mode: u32, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        header.set_uid(1234);
        header.set_gid(1235);
        header.set_mtime(1_000_000_000);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.raw(EntryType::Regular, name.as_bytes(), b"", 0o644, content.as_bytes())
    }

    fn dir(self, name: &str) -> Self {
        self.raw(EntryType::Directory, name.as_bytes(), b"", 0o755, b"")
    }

    fn link(self, kind: EntryType, name: &str, target: &str) -> Self {
        self.raw(kind, name.as_bytes(), target.as_bytes(), 0o777, b"")
    }

    fn into(self, dir: &Path, keep: Keep) -> Result<Unpacked, UnpackError> {
        self.landing(
            &Landing { dir: dir.into(), name: Some("box".into()), want_directory: false, want_file: false },
            keep,
        )
    }

    fn landing(self, landing: &Landing, keep: Keep) -> Result<Unpacked, UnpackError> {
        let mut bytes = self.0;
        bytes.resize(bytes.len() + 1024, 0);
        unpack(Cursor::new(bytes), Some("top"), landing, keep)
    }
}

/// A directory to unpack into, beside something that must not be touched.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("into")).unwrap();
    fs::write(place.path().join("precious"), "untouched").unwrap();
    place
}

#[track_caller]
fn untouched(place: &tempfile::TempDir) {
    let names: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(fs::read_to_string(place.path().join("precious")).unwrap(), "untouched");
}

#[test]
fn a_tree() {
    let place = place();
    let into = place.path().join("into");
    let done = Archive::default()
        .dir("./top/")
        .raw(EntryType::Directory, b"./top/dir", b"", 0o555, b"")
        .file("./top/dir/file", "content")
        .raw(EntryType::Regular, b"top/setuid", b"", 0o4755, b"")
        .file("top/no/directory/before", "it")
        .link(EntryType::Symlink, "top/dir/link", "../setuid")
        .link(EntryType::Link, "top/hard", "./top/dir/file")
        .into(&into, Keep::default())
        .unwrap();
    assert_eq!((done.entries, done.bytes, done.left_out), (7, 9, 0), "{done:?}");
    let root = into.join("box");
    assert_eq!(fs::read_to_string(root.join("dir/file")).unwrap(), "content");
    assert_eq!(fs::read_to_string(root.join("no/directory/before")).unwrap(), "it");
    assert_eq!(fs::read_link(root.join("dir/link")).unwrap(), Path::new("../setuid"));
    let mode = |name: &str| fs::metadata(root.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("setuid"), mode("dir")), (0o755, 0o755));
    let hard = fs::metadata(root.join("hard")).unwrap();
    assert_eq!((hard.nlink(), hard.mtime()), (2, 1_000_000_000));
    assert_eq!(hard.uid(), rustix::process::geteuid().as_raw(), "owners are the caller's");
    untouched(&place);
}

#[test]
fn long_names() {
    let place = place();
    let long = format!("top/{}/file", ["directory"; 30].join("/"));
    let done = Archive::default()
        .raw(EntryType::GNULongName, b"././@LongLink", b"", 0, format!("{long}\0").as_bytes())
        .file("top/cut", "gnu")
        .raw(EntryType::XHeader, b"pax", b"", 0, pax("path", &format!("{long}-pax")).as_bytes())
        .file("top/cut", "pax")
        .into(&place.path().join("into"), Keep::default())
        .unwrap();
    assert_eq!(done.entries, 2);
    let path = place.path().join("into").join(long.replace("top/", "box/"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "gnu");
    assert_eq!(fs::read_to_string(path.with_file_name("file-pax")).unwrap(), "pax");
}

/// One PAX record: its own length first.
fn pax(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let len =
        (1..10).map(|digits| rest.len() + digits).find(|len| len.to_string().len() + rest.len() == *len);
    format!("{}{rest}", len.unwrap())
}

#[test]
fn names_that_lead_out() {
    let way_up = "../".repeat(300);
    for name in
        ["../precious", "top/../../precious", "/etc/precious", "top/..", "..", "elsewhere", "topp/x", "."]
    {
        let place = place();
        let error = Archive::default()
            .file(name, "bad")
            .into(&place.path().join("into"), Keep::default())
            .unwrap_err();
        assert!(matches!(error, UnpackError::Refused(_)), "{name}: {error:?}");
        untouched(&place);
    }
    for (kind, key) in [(EntryType::GNULongName, None), (EntryType::XHeader, Some("path"))] {
        let place = place();
        let name = format!("top/{way_up}precious");
        let content = key.map_or_else(|| name.clone(), |key| pax(key, &name));
        let archive = Archive::default().raw(kind, b"x", b"", 0, content.as_bytes()).file("top/cut", "bad");
        let error = archive.into(&place.path().join("into"), Keep::default()).unwrap_err();
        assert!(matches!(error, UnpackError::Refused(_)), "{error:?}");
        untouched(&place);
    }
}

#[test]
fn links_are_never_written_through() {
    for (kind, target) in [(EntryType::Symlink, ".."), (EntryType::Symlink, "../..")] {
        let place = place();
        let archive = Archive::default().dir("top").dir("top/dir").link(kind, "top/dir/way", target);
        let error = archive
            .file("top/dir/way/precious", "bad")
            .into(&place.path().join("into"), Keep { all_links: true, owners: false })
            .unwrap_err();
        assert!(matches!(error, UnpackError::Make { .. }), "{error:?}");
        untouched(&place);
    }
    // A link that was there before, and one that the archive has made, are replaced.
    let place = place();
    let root = place.path().join("into/box");
    fs::create_dir(&root).unwrap();
    symlink("../../precious", root.join("old")).unwrap();
    Archive::default()
        .link(EntryType::Symlink, "top/new", "../../precious")
        .file("top/old", "own")
        .file("top/new", "own")
        .into(&place.path().join("into"), Keep { all_links: true, owners: false })
        .unwrap();
    for name in ["old", "new"] {
        assert!(fs::symlink_metadata(root.join(name)).unwrap().is_file());
        assert_eq!(fs::read_to_string(root.join(name)).unwrap(), "own");
    }
    untouched(&place);
}

#[test]
fn a_destination_that_is_a_link_on_the_way() {
    let place = place();
    symlink("..", place.path().join("into/box")).unwrap();
    let error = Archive::default()
        .file("top/precious", "bad")
        .into(&place.path().join("into"), Keep::default())
        .unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("symbolic link"), "{error:?}");
    untouched(&place);
}

#[test]
fn links_that_point_out() {
    for target in ["/etc/passwd", "../../precious", "../..", "x/../../..", "a/.."] {
        let place = place();
        let archive = || Archive::default().dir("top").link(EntryType::Symlink, "top/link", target);
        let done = archive().into(&place.path().join("into"), Keep::default()).unwrap();
        assert_eq!((done.left_out, done.warnings.len()), (1, 1), "{target}");
        assert!(fs::symlink_metadata(place.path().join("into/box/link")).is_err(), "{target}");
        archive().into(&place.path().join("into"), Keep { all_links: true, owners: false }).unwrap();
        assert_eq!(fs::read_link(place.path().join("into/box/link")).unwrap(), Path::new(target));
    }
    assert!(stays_inside(Path::new("../b/c"), 1));
    assert!(!stays_inside(Path::new("../b/c"), 0));
    assert!(stays_inside(Path::new("b/./c"), 0));
}

#[test]
fn hard_links_that_point_out() {
    for target in ["../precious", "/etc/passwd", "elsewhere", "top", "top/none", "top/link", "top/dir"] {
        let place = place();
        Archive::default()
            .dir("top")
            .dir("top/dir")
            .link(EntryType::Symlink, "top/link", "../../precious")
            .link(EntryType::Link, "top/hard", target)
            .into(&place.path().join("into"), Keep { all_links: true, owners: false })
            .unwrap_err();
        assert!(fs::symlink_metadata(place.path().join("into/box/hard")).is_err(), "{target}");
        untouched(&place);
    }
}

#[test]
fn a_hard_link_to_itself_keeps_the_file() {
    let place = place();
    let archive = Archive::default().file("top/file", "kept").link(EntryType::Link, "top/file", "top/file");
    archive.into(&place.path().join("into"), Keep::default()).unwrap();
    assert_eq!(fs::read_to_string(place.path().join("into/box/file")).unwrap(), "kept");
}

#[test]
fn what_is_no_file_is_left_out() {
    let place = place();
    let mut archive = Archive::default().dir("top");
    for (kind, name) in
        [(EntryType::Char, "c"), (EntryType::Block, "b"), (EntryType::Fifo, "p"), (EntryType::new(b'S'), "s")]
    {
        archive = archive.raw(kind, format!("top/{name}").as_bytes(), b"", 0o666, b"");
    }
    let done = archive.into(&place.path().join("into"), Keep::default()).unwrap();
    assert_eq!(done.left_out, 4);
    assert_eq!(fs::read_dir(place.path().join("into/box")).unwrap().count(), 0);
}

#[test]
fn warnings_are_bounded() {
    let place = place();
    let archive = (0..1000).fold(Archive::default(), |archive, n| {
        archive.raw(EntryType::Fifo, format!("top/{n}").as_bytes(), b"", 0o666, b"")
    });
    let done = archive.into(&place.path().join("into"), Keep::default()).unwrap();
    assert_eq!((done.left_out, done.warnings.len()), (1000, super::WARNINGS));
}

#[test]
fn descriptions_are_bounded() {
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader, EntryType::XGlobalHeader]
    {
        let place = place();
        // A header that promises far more than there is: it is refused before anything is read.
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(1 << 40);
        header.set_cksum();
        let error = Archive(header.as_bytes().to_vec())
            .into(&place.path().join("into"), Keep::default())
            .unwrap_err();
        assert!(matches!(error, UnpackError::Refused(_)), "{error:?}");
    }
    let place = place();
    let name = "x".repeat(8_192) + "x";
    let archive = Archive::default()
        .raw(EntryType::XHeader, b"x", b"", 0, pax("path", &name).as_bytes())
        .file("top/f", "");
    assert!(matches!(
        archive.into(&place.path().join("into"), Keep::default()),
        Err(UnpackError::Refused(_))
    ));
}

#[test]
fn archives_that_are_cut_or_garbled() {
    let mut whole = Vec::new();
    let mut builder = Builder::new(&mut whole);
    let mut header = Header::new_gnu();
    header.set_size(10_000);
    builder.append_data(&mut header, "top/file", [7; 10_000].as_slice()).unwrap();
    builder.into_inner().unwrap();
    for len in [100, 512, 600, 5_000] {
        let place = place();
        let landing =
            Landing { dir: place.path().join("into"), name: None, want_directory: false, want_file: false };
        let error = unpack(Cursor::new(&whole[..len]), Some("top"), &landing, Keep::default()).unwrap_err();
        assert!(matches!(error, UnpackError::Read(_)), "{len}: {error:?}");
    }
    let place = place();
    let landing =
        Landing { dir: place.path().join("into"), name: None, want_directory: false, want_file: false };
    let garbage =
        unpack(Cursor::new(b"Usage: tar [OPTION]...".repeat(100)), Some("top"), &landing, Keep::default());
    assert!(matches!(garbage, Err(UnpackError::Read(_))), "{garbage:?}");
}

#[test]
fn sizes_that_contradict() {
    let place = place();
    let archive = Archive::default()
        .raw(EntryType::XHeader, b"x", b"", 0, pax("size", "4096").as_bytes())
        .file("top/f", "abc");
    assert!(matches!(
        archive.into(&place.path().join("into"), Keep::default()),
        Err(UnpackError::Refused(_))
    ));
}

#[test]
fn tops_that_do_not_fit() {
    let place = place();
    let landing = |want_directory, want_file| Landing {
        dir: place.path().join("into"),
        name: Some("box".into()),
        want_directory,
        want_file,
    };
    let dir = Archive::default().dir("top").file("top/f", "").landing(&landing(false, true), Keep::default());
    assert!(matches!(dir, Err(UnpackError::Unfit(_))), "{dir:?}");
    let file = Archive::default().file("top", "").landing(&landing(true, false), Keep::default());
    assert!(matches!(file, Err(UnpackError::Unfit(_))), "{file:?}");
    assert_eq!(fs::read_dir(place.path().join("into")).unwrap().count(), 0);
    fs::create_dir(place.path().join("into/box")).unwrap();
    let over = Archive::default().file("top", "").landing(&landing(false, false), Keep::default());
    assert!(matches!(over, Err(UnpackError::Make { .. })), "{over:?}");
}

#[test]
fn owners_when_asked_for() {
    let place = place();
    let keep = Keep { owners: true, all_links: false };
    let into = place.path().join("into");
    let unpacked = Archive::default()
        .dir("top")
        .file("top/file", "")
        .link(EntryType::Symlink, "top/link", "file")
        .into(&into, keep);
    assert!(rustix::process::geteuid().is_root(), "owners can only be given as root: sudo");
    unpacked.unwrap();
    for name in ["box", "box/file", "box/link"] {
        let found = fs::symlink_metadata(into.join(name)).unwrap();
        assert_eq!((found.uid(), found.gid()), (1234, 1235), "{name}");
    }
}
