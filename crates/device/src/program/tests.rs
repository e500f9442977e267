use super::*;

const PROGRAM: Program = Program { name: "daemon", places: &["/nonexistent/place"], remedy: "install it" };

fn install(dir: &Path, mode: u32) -> PathBuf {
    let file = dir.join("daemon");
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(&file, "").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    file
}

#[test]
fn the_configured_one_is_taken_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = install(dir.path(), 0o755);
    assert_eq!(PROGRAM.find_in(Some(&file), OsStr::new(""), None).unwrap(), file);
    let missing = PROGRAM.find_in(Some(&dir.path().join("other")), dir.path().as_os_str(), None);
    assert!(matches!(missing, Err(DeviceError::NoSuchProgram { .. })), "no silent replacement: {missing:?}");
}

#[test]
fn path_comes_before_home() {
    let dir = tempfile::tempdir().unwrap();
    let (bin, home) = (dir.path().join("bin"), dir.path().join("home"));
    let in_home = install(&home.join(".cargo/bin"), 0o755);
    install(&bin, 0o644);
    let find = || PROGRAM.find_in(None, bin.as_os_str(), Some(home.as_os_str())).unwrap();
    assert_eq!(find(), in_home, "a file that cannot be executed is passed over");
    let on_path = install(&bin, 0o755);
    assert_eq!(find(), on_path);
}

#[test]
fn what_is_missing_is_told_with_its_remedy() {
    let error = PROGRAM.find_in(None, OsStr::new("/nonexistent/bin"), None).unwrap_err();
    let DeviceError::NotInstalled { searched, remedy, .. } = error else { panic!("{error:?}") };
    assert_eq!(searched, [Path::new("/nonexistent/bin"), Path::new("/nonexistent/place")]);
    assert_eq!(remedy, "install it");
}
