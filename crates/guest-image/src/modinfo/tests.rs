use super::*;
use crate::fixture::module;

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn reads_dependencies_soft_dependencies_and_the_kernel() {
    let info = ModInfo::read(&module(
        "license=GPL\0alias=fs-9p\0depends=9pnet,snd-pcm\0softdep=pre: crc32c pci:v00* post: late-one\0\
         softdep=pre: second\0vermagic=6.1.0-9-test SMP preempt mod_unload \0parm=x:text with depends=nothing\0",
    ))
    .unwrap();
    let expected = ModInfo {
        depends: strings(&["9pnet", "snd_pcm"]),
        soft_before: strings(&["crc32c", "second"]),
        soft_after: strings(&["late_one"]),
        built_for: Some("6.1.0-9-test".to_owned()),
    };
    assert_eq!(info, expected);
}

#[test]
fn an_empty_list_has_no_names() {
    assert_eq!(ModInfo::read(&module("depends=\0")).unwrap(), ModInfo::default());
}

#[test]
fn a_dependency_that_is_a_path_is_refused() {
    let error = ModInfo::read(&module("depends=../../etc/passwd\0")).unwrap_err();
    assert!(matches!(error, ModuleError::InvalidName(name) if name == "../../etc/passwd"));
}

#[test]
fn too_many_dependencies_are_refused() {
    let many = vec!["x"; MAX_DEPENDENCIES + 1].join(",");
    assert!(matches!(ModInfo::read(&module(&format!("depends={many}\0"))), Err(ModuleError::NotAModule(_))));
}

#[test]
fn what_is_no_module_is_refused() {
    let whole = module("depends=a\0");
    for length in 0..whole.len() {
        assert!(matches!(ModInfo::read(&whole[..length]), Err(ModuleError::NotAModule(_))), "{length} bytes");
    }
    let program = crate::fixture::agent();
    assert!(matches!(ModInfo::read(&program), Err(ModuleError::NotAModule(_))));
}

#[test]
fn module_files_are_known_by_their_endings() {
    assert_eq!(name_of_file("snd-pcm.ko").as_deref(), Some("snd_pcm"));
    for packed in ["virtiofs.ko.xz", "virtiofs.ko.gz", "virtiofs.ko.zst"] {
        assert_eq!(name_of_file(packed).as_deref(), Some("virtiofs"));
    }
    for other in ["modules.dep", "virtiofs.ko.bz2", ".ko", "a b.ko", "x.ko.xz.old"] {
        assert_eq!(name_of_file(other), None, "{other}");
    }
}
