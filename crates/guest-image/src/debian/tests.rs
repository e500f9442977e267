use super::*;

#[test]
fn a_metapackage_points_to_its_image() {
    let package = parse(
        "Package: linux-image-amd64\nVersion: 6.1.192-2\nDepends: linux-image-6.1.0-56-amd64 (= 6.1.192-2)\n\
         Size: 1480\nFilename: pool/main/l/linux-signed-amd64/linux-image-amd64_6.1.192-2_amd64.deb\nSHA256: 45\n",
    )
    .unwrap();
    assert!(package.is_pointer);
    assert_eq!(package.kernel_parts, ["linux-image-6.1.0-56-amd64"]);
    assert_eq!(
        (package.file_name.as_str(), package.size),
        ("linux-image-amd64_6.1.192-2_amd64.deb", Some(1480))
    );
}

#[test]
fn an_image_is_what_it_is_and_may_have_its_modules_elsewhere() {
    let package = parse(
        "Package: linux-image-6.8.0-1-generic\nVersion: 6.8.0-1\nSHA256: 45\nFilename: pool/x.deb\n\
         Depends: kmod, linux-base (>= 4.5~), linux-modules-6.8.0-1-generic, initramfs-tools | linux-initramfs-tool\n\n\
         Package: another\nDepends: linux-image-x\n",
    )
    .unwrap();
    assert!(!package.is_pointer);
    assert_eq!(package.kernel_parts, ["linux-modules-6.8.0-1-generic"]);
}

#[test]
fn a_virtual_package_has_no_file() {
    assert!(parse("Package: linux-image\nVersion: 1\n").is_none());
    assert!(parse("").is_none());
}

#[test]
fn a_name_that_apt_would_take_for_an_option_is_refused() {
    for name in ["--help", "-o", "linux image", "../x", "linux-image-amd64=1", "Linux", "l", ""] {
        assert!(matches!(lookup(name), Err(BuildError::InvalidPackageName { .. })), "{name:?}");
    }
}

#[test]
fn reads_the_percentage_of_a_download() {
    assert_eq!(percent("dlstatus:1:23.5000:Retrieving file 1 of 1"), Some(23.5));
    for other in ["pmstatus:1:20:x", "dlstatus:1:NaN:x", "dlstatus:1:-3:x", "dlstatus:", "Get:1 http://x"] {
        assert_eq!(percent(other), None, "{other}");
    }
}
