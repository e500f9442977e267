use std::os::unix::fs::PermissionsExt as _;

use super::*;

const PROGRAM: Program = Program {
    name: "daemon",
    otherwise: Some("plain-daemon"),
    places: &["/nonexistent/place"],
    remedy: "install it",
};

fn install(dir: &Path, name: &str, mode: u32) -> PathBuf {
    let file = dir.join(name);
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(&file, "").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    file
}

#[test]
fn the_configured_one_is_taken_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = install(dir.path(), "daemon", 0o755);
    assert_eq!(PROGRAM.find_in(Some(&file), [].into_iter()).unwrap(), file);
    let missing = PROGRAM.find_in(Some(&dir.path().join("other")), [dir.path().to_owned()].into_iter());
    assert!(matches!(missing, Err(DeviceError::NoSuchProgram { .. })), "no silent replacement: {missing:?}");
}

#[test]
fn the_first_place_counts_and_the_other_name_comes_last() {
    let dir = tempfile::tempdir().unwrap();
    let (near, far) = (dir.path().join("near"), dir.path().join("far"));
    let find = || PROGRAM.find_in(None, [near.clone(), far.clone()].into_iter());
    let plain = install(&near, "plain-daemon", 0o755);
    assert_eq!(find().unwrap(), plain);
    let far_one = install(&far, "daemon", 0o755);
    install(&near, "daemon", 0o644);
    assert_eq!(find().unwrap(), far_one, "a file that cannot be executed is passed over");
    let near_one = install(&near, "daemon", 0o755);
    assert_eq!(find().unwrap(), near_one);
}

#[test]
fn one_beside_another_program_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program { name: "daemon-of-this-test", otherwise: None, ..PROGRAM };
    let file = install(dir.path(), program.name, 0o755);
    assert_eq!(program.find(None, Some(&dir.path().join("helper"))).unwrap(), file);
    assert!(matches!(program.find(None, None), Err(DeviceError::NotInstalled { .. })));
}

#[test]
fn what_is_missing_is_told_with_its_remedy() {
    let error = PROGRAM.find_in(None, ["/nonexistent/bin".into()].into_iter()).unwrap_err();
    let DeviceError::NotInstalled { searched, remedy, .. } = error else { panic!("{error:?}") };
    assert_eq!(searched, [Path::new("/nonexistent/bin"), Path::new("/nonexistent/place")]);
    assert_eq!(remedy, "install it");
}
