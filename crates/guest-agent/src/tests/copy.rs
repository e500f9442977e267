use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
};

use ttrpc::Code;
use virtcontainers_agent_protocol::{api::agent::CopyFileRequest, guest_paths};

use crate::{copy::Piece, error::CallError};

const FILE: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// A piece of a file `name` of 6 bytes, whose owner stays.
fn piece(name: &str, offset: i64, data: &[u8]) -> CopyFileRequest {
    CopyFileRequest {
        path: format!("{}/{name}", guest_paths::BASE),
        file_size: 6,
        file_mode: FILE | 0o640,
        dir_mode: 0o750,
        uid: -1,
        gid: -1,
        offset,
        data: data.to_vec(),
        ..Default::default()
    }
}

fn apply(base: &Path, request: CopyFileRequest) -> Result<(), CallError> {
    Piece::new(request)?.apply(base)
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn code(result: Result<(), CallError>) -> Code {
    result.expect_err("it must be refused").code()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_appears_with_its_last_piece_and_not_before() {
    let base = tempfile::tempdir().unwrap();
    apply(base.path(), piece("a/b/file", 0, b"abc")).unwrap();
    let target = base.path().join("a/b/file");
    assert!(!target.exists());
    assert_eq!(mode(base.path().join("a/b")), 0o750);
    apply(base.path(), piece("a/b/file", 3, b"def")).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"abcdef");
    assert_eq!(mode(&target), 0o640);
    assert_eq!(names(&base.path().join("a/b")), ["file"], "nothing is left beside it");
}

#[test]
fn a_second_copy_replaces_the_first_and_an_interrupted_one_does_not_count() {
    let base = tempfile::tempdir().unwrap();
    apply(base.path(), piece("file", 0, b"first!")).unwrap();
    apply(base.path(), piece("file", 0, b"longer")).unwrap();
    apply(base.path(), piece("file", 0, b"abcde")).unwrap();
    let mut short = piece("file", 0, b"new");
    short.file_size = 3;
    apply(base.path(), short).unwrap();
    assert_eq!(fs::read(base.path().join("file")).unwrap(), b"new");
    let mut empty = piece("empty", 0, b"");
    empty.file_size = 0;
    apply(base.path(), empty).unwrap();
    assert_eq!(fs::read(base.path().join("empty")).unwrap(), b"");
}

#[test]
fn pieces_out_of_order_or_out_of_bounds_are_refused() {
    let base = tempfile::tempdir().unwrap();
    assert_eq!(code(apply(base.path(), piece("file", 3, b"def"))), Code::INVALID_ARGUMENT);
    apply(base.path(), piece("file", 0, b"ab")).unwrap();
    assert_eq!(code(apply(base.path(), piece("file", 3, b"def"))), Code::INVALID_ARGUMENT);
    for (offset, size, data) in [(-1, 6, "a"), (0, -1, ""), (6, 6, "a"), (i64::MAX, i64::MAX, "a")] {
        let mut request = piece("file", offset, data.as_bytes());
        request.file_size = size;
        assert_eq!(code(apply(base.path(), request)), Code::INVALID_ARGUMENT, "{offset} {size} {data}");
    }
    let mut device = piece("file", 0, b"");
    device.file_mode = 0o020_666;
    assert_eq!(code(apply(base.path(), device)), Code::INVALID_ARGUMENT);
    let mut owner = piece("file", 0, b"");
    owner.uid = -2;
    assert_eq!(code(apply(base.path(), owner)), Code::INVALID_ARGUMENT);
}

#[test]
fn no_path_leads_out() {
    let base = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let long = "x".repeat(256);
    let deep = "d/".repeat(65) + "file";
    for name in ["", "..", "a/../../etc/x", "a/./b", "a\0b", long.as_str(), deep.as_str()] {
        assert_eq!(code(apply(base.path(), piece(name, 0, b""))), Code::INVALID_ARGUMENT, "{name}");
    }
    for path in ["/etc/passwd", "run/kata-containers/x", "/run/kata-containersx", ""] {
        let request = CopyFileRequest { path: path.into(), ..piece("", 0, b"") };
        assert_eq!(code(apply(base.path(), request)), Code::INVALID_ARGUMENT, "{path}");
    }
    symlink(outside.path(), base.path().join("link")).unwrap();
    assert_eq!(code(apply(base.path(), piece("link/file", 0, b"abcdef"))), Code::INTERNAL);
    assert!(names(outside.path()).is_empty());
    // A link under the very name is replaced, not followed.
    let secret = outside.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    symlink(&secret, base.path().join("file")).unwrap();
    apply(base.path(), piece("file", 0, b"abcdef")).unwrap();
    assert_eq!(fs::read(&secret).unwrap(), b"secret");
    assert_eq!(fs::read(base.path().join("file")).unwrap(), b"abcdef");
}

#[test]
fn directories_and_links_are_made_by_the_type_in_the_mode() {
    let base = tempfile::tempdir().unwrap();
    let mut directory = piece("d/e", 0, b"");
    directory.file_mode = DIRECTORY | 0o2711;
    apply(base.path(), directory.clone()).unwrap();
    assert_eq!(mode(base.path().join("d/e")), 0o2711);
    fs::write(base.path().join("d/e/kept"), "").unwrap();
    directory.file_mode = DIRECTORY | 0o700;
    apply(base.path(), directory.clone()).unwrap();
    assert_eq!(mode(base.path().join("d/e")), 0o700);
    assert!(base.path().join("d/e/kept").exists());
    assert_eq!(code(apply(base.path(), piece("d/e", 0, b"abcdef"))), Code::ALREADY_EXISTS);

    let mut link = piece("d/link", 0, b"../some/where");
    link.file_mode = LINK | 0o777;
    apply(base.path(), link.clone()).unwrap();
    link.data = b"else".to_vec();
    apply(base.path(), link.clone()).unwrap();
    assert_eq!(fs::read_link(base.path().join("d/link")).unwrap(), Path::new("else"));
    for target in [Vec::new(), vec![b'x'; 5000], b"a\0b".to_vec(), vec![0xff]] {
        link.data = target;
        assert_eq!(code(apply(base.path(), link.clone())), Code::INVALID_ARGUMENT);
    }
    directory.path = format!("{}/d/link", guest_paths::BASE);
    apply(base.path(), directory).unwrap();
    assert!(fs::symlink_metadata(base.path().join("d/link")).unwrap().is_dir());
}

#[test]
fn owner_and_set_user_id_bits_are_the_requests() {
    assert!(rustix::process::geteuid().is_root(), "this test gives files away: run it as root");
    let base = tempfile::tempdir().unwrap();
    let mut request = piece("n/file", 0, b"abcdef");
    (request.uid, request.gid, request.file_mode) = (7, 8, FILE | 0o4755);
    apply(base.path(), request).unwrap();
    let file = fs::metadata(base.path().join("n/file")).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (7, 8, 0o4755));
    let made = fs::metadata(base.path().join("n")).unwrap();
    assert_eq!((made.uid(), made.gid()), (7, 8));
}
