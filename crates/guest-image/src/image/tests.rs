use std::collections::HashMap;

use super::*;

fn places(variables: &[(&str, &str)], is_root: bool) -> Vec<PathBuf> {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    locations(|name| variables.get(name).map(OsString::from), is_root)
}

fn paths(list: &[&str]) -> Vec<PathBuf> {
    list.iter().map(PathBuf::from).collect()
}

#[test]
fn searches_the_users_place_then_the_systems() {
    let system = "/usr/share/virtcontainers/guest";
    let home = [("HOME", "/home/u")];
    assert_eq!(places(&home, false), paths(&["/home/u/.local/share/virtcontainers/guest", system]));
    let data = [("HOME", "/home/u"), ("XDG_DATA_HOME", "/data")];
    assert_eq!(places(&data, false), paths(&["/data/virtcontainers/guest", system]));
    assert_eq!(places(&data, true), paths(&["/var/lib/virtcontainers/guest", system]));
    assert_eq!(places(&[], false), paths(&[system]));
}

#[test]
fn the_variable_stands_alone_unless_empty() {
    assert_eq!(places(&[("VIRTC_GUEST_DIR", "/g")], true), paths(&["/g"]));
    assert_eq!(places(&[("VIRTC_GUEST_DIR", "")], true).len(), 2);
}
