use super::{Inside, Place};

fn inside(text: &str) -> Inside {
    let place = text.parse().unwrap();
    let Place::Container(_, inside) = place else { panic!("{text}: {place:?}") };
    inside
}

#[test]
fn places_of_the_host() {
    for text in ["file", "./web:file", "/a:b", "../a:b", ".", "dir/file"] {
        assert!(matches!(text.parse(), Ok(Place::Host(path)) if path.as_os_str() == text), "{text}");
    }
    assert!(matches!("-".parse(), Ok(Place::Stream)));
}

#[test]
fn places_in_a_container() {
    for (text, parent, name, directory) in [
        ("web:/etc/passwd", "/etc", Some("passwd"), false),
        ("web/db:/etc/", "/", Some("etc"), true),
        ("web:etc//passwd", "/etc", Some("passwd"), false),
        ("web:/", "/", None, true),
        ("web:/srv/.", "/srv", None, true),
        ("web:.", "/", None, true),
        ("web:/srv/..", "/srv/..", None, true),
        ("web:/a/../b", "/a/..", Some("b"), false),
        ("web:/-rf", "/", Some("-rf"), false),
        ("web:/a:b", "/", Some("a:b"), false),
    ] {
        let found = inside(text);
        assert_eq!((found.parent.as_str(), found.name.as_deref()), (parent, name), "{text}");
        assert_eq!(found.must_be_directory, directory, "{text}");
    }
    assert_eq!((inside("web:/-rf").member(), inside("web:/-rf").path()), ("./-rf".into(), "/-rf".into()));
    assert_eq!((inside("web:/srv/.").member(), inside("web:/srv/.").path()), (".".into(), "/srv".into()));
}

#[test]
fn what_is_no_place() {
    for (text, why) in [("", "empty"), ("web:", "after the colon"), ("a b:/c", "put ./"), (":/c", "put ./")] {
        let error = text.parse::<Place>().unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}
