use super::*;
use crate::modinfo::ModInfo;

fn info(depends: &[&str], before: &[&str], after: &[&str]) -> ModInfo {
    let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    ModInfo {
        depends: strings(depends),
        soft_before: strings(before),
        soft_after: strings(after),
        built_for: None,
    }
}

fn order(roots: &[&str], modules: &[(&str, ModInfo)], built_in: &[&str]) -> Result<Vec<String>, OrderError> {
    load_order(roots, &Catalog::of(modules, built_in))
}

#[test]
fn dependencies_come_first_and_once() {
    let modules = [
        ("9p", info(&["9pnet", "fscache", "netfs"], &[], &[])),
        ("9pnet", info(&[], &[], &[])),
        ("fscache", info(&["netfs"], &[], &[])),
        ("netfs", info(&[], &[], &[])),
    ];
    assert_eq!(order(&["9pnet", "9p"], &modules, &[]).unwrap(), ["9pnet", "netfs", "fscache", "9p"]);
}

#[test]
fn a_circle_is_refused_by_name() {
    let modules =
        [("a", info(&["b"], &[], &[])), ("b", info(&["c"], &[], &[])), ("c", info(&["b"], &[], &[]))];
    let cycle = ["b", "c", "b"].map(str::to_owned).to_vec();
    assert_eq!(order(&["a"], &modules, &[]), Err(OrderError::Cycle(cycle)));
}

#[test]
fn a_dependency_that_is_nowhere_is_named() {
    let modules = [("virtiofs", info(&["fuse"], &[], &[]))];
    let missing = OrderError::Missing { module: "virtiofs".to_owned(), dependency: "fuse".to_owned() };
    assert_eq!(order(&["virtiofs"], &modules, &[]), Err(missing));
    assert_eq!(order(&["virtiofs"], &modules, &["fuse"]).unwrap(), ["virtiofs"]);
}

#[test]
fn soft_dependencies_are_followed_where_they_can_be() {
    let modules = [
        ("a", info(&[], &["absent", "early", "broken", "back"], &["late", "gone"])),
        ("early", info(&[], &[], &[])),
        ("late", info(&["a"], &[], &[])),
        ("broken", info(&["nowhere"], &[], &[])),
        ("back", info(&["a"], &[], &[])),
    ];
    assert_eq!(order(&["a"], &modules, &[]).unwrap(), ["early", "a", "late"]);
}

#[test]
fn a_monolithic_kernel_needs_no_modules() {
    let config = KernelConfig::parse(
        "CONFIG_VIRTIO=y\nCONFIG_VIRTIO_PCI=y\nCONFIG_VIRTIO_MMIO=y\nCONFIG_VSOCKETS=m\nCONFIG_VIRTIO_VSOCKETS=m\n\
         CONFIG_VIRTIO_CONSOLE=y\nCONFIG_FUSE_FS=y\nCONFIG_VIRTIO_FS=y\n",
    );
    let abilities = abilities(&mut Catalog::default(), Some(&config), "6.1").unwrap();
    for role in [Role::Virtio, Role::Serial, Role::VirtioFs] {
        assert_eq!(abilities[&role], Ability::BuiltIn, "{role}");
    }
    for role in [Role::Vsock, Role::NineP, Role::Overlay] {
        assert!(!abilities[&role].is_present(), "{role}");
    }
}

#[test]
fn each_requirement_that_is_not_met_is_named() {
    let built_in = ["virtio", "virtio_pci", "fuse", "overlay"];
    let error = abilities(&mut Catalog::of(&[], &built_in), None, "5.4-lean").unwrap_err();
    let BuildError::MissingDrivers { release, lacks } = error else { panic!("{error:?}") };
    assert_eq!(release, "5.4-lean");
    let names = |sentence: &str, modules: &[&str]| modules.iter().all(|module| sentence.contains(module));
    assert_eq!(lacks.len(), 3, "{lacks:?}");
    assert!(names(&lacks[0], &["virtio_mmio"]) && !lacks[0].contains("virtio_pci"), "{lacks:?}");
    assert!(names(&lacks[1], &["vmw_vsock_virtio_transport", "virtio_console"]), "{lacks:?}");
    assert!(names(&lacks[2], &["virtiofs", "9pnet_virtio"]), "{lacks:?}");
}

#[test]
fn essential_options_that_are_modules_or_absent_are_missing() {
    let all: String =
        KernelConfig::default().missing_essentials().iter().map(|option| format!("{option}=y\n")).collect();
    assert!(KernelConfig::parse(&all).missing_essentials().is_empty());
    let lean = all
        .replace("CONFIG_SECCOMP=y\n", "# CONFIG_SECCOMP is not set\n")
        .replace("CONFIG_TMPFS=y", "CONFIG_TMPFS=m");
    assert_eq!(KernelConfig::parse(&lean).missing_essentials(), ["CONFIG_SECCOMP", "CONFIG_TMPFS"]);
}
