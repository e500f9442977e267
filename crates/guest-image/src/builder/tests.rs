use std::fs;

use super::*;
use crate::{
    error::{ModuleError, OpenError},
    fixture::{self, PT_INTERP, PT_LOAD, bzimage, executable, gzip, module_of, vmlinux},
};

const RELEASE: &str = "6.1.0-9-test";

/// A kernel, its modules and an agent on disk.
struct Bench {
    room: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { room: tempfile::tempdir().unwrap() };
        fs::create_dir_all(bench.at("modules/kernel/drivers")).unwrap();
        bench.put("agent", &fixture::agent());
        bench.put("vmlinuz-test", &bzimage(&gzip(&vmlinux(RELEASE)), Some(RELEASE)));
        for (name, bytes) in fixture::modules(RELEASE) {
            let packed = if name.starts_with('v') { gzip(&bytes) } else { bytes };
            let ending = if name.starts_with('v') { "ko.gz" } else { "ko" };
            bench.put(&format!("modules/kernel/drivers/{name}.{ending}"), &packed);
        }
        bench
    }

    fn at(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.at(name), bytes).unwrap();
    }

    fn build_to(&self, output: &str) -> Result<GuestImage, BuildError> {
        let source =
            KernelSource::Paths { kernel: self.at("vmlinuz-test"), modules_dir: Some(self.at("modules")) };
        Builder::new(source, self.at("agent")).output(self.at(output)).cache(self.at("cache")).build()
    }

    /// What is in the room but was not put there; a failed build leaves nothing.
    fn leftovers(&self) -> Vec<String> {
        let names = fs::read_dir(self.room.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| !["agent", "vmlinuz-test", "modules", "config-test"].contains(&name.as_str()))
            .collect()
    }
}

#[test]
fn an_image_opens_verifies_and_says_what_it_can_do() {
    let bench = Bench::new();
    let image = bench.build_to("guest").unwrap();
    assert_eq!(fs::read(image.kernel()).unwrap(), vmlinux(RELEASE));
    assert_eq!(image.manifest().kernel, Kernel { release: RELEASE.to_owned(), package: None });
    assert!(Role::ALL.iter().all(|&role| image.has(role)));
    assert_eq!(
        image.manifest().abilities[&Role::VirtioFs].modules(),
        ["fuse", "virtio_ring", "virtio", "virtiofs"]
    );
    image.verify().unwrap();
    assert_eq!(bench.leftovers(), ["guest"]);
}

#[test]
fn the_initrd_holds_the_agent_and_lists_modules_by_role() {
    let bench = Bench::new();
    let image = bench.build_to("guest").unwrap();
    let initrd = fs::read(image.initrd()).unwrap();
    let list = initrd::module_list(RELEASE, &image.manifest().abilities);
    let lines: Vec<&str> = list.lines().take(4).collect();
    let expected = ["virtio_ring", "virtio", "virtio_pci", "virtio_mmio"];
    assert_eq!(lines, expected.map(|name| format!("virtio /lib/modules/{RELEASE}/{name}.ko")));
    for part in [list.as_bytes(), &fixture::agent(), &module_of(RELEASE, "fuse,virtio"), b"dev/console\0"] {
        assert!(memchr::memmem::find(&initrd, part).is_some());
    }
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let (one, other) = (Bench::new(), Bench::new());
    let (one, other) =
        (one.build_to("a").map(|image| (one, image)), other.build_to("b").map(|image| (other, image)));
    let ((_one, one), (_other, other)) = (one.unwrap(), other.unwrap());
    for name in [KERNEL, INITRD, MANIFEST] {
        assert!(
            fs::read(one.dir().join(name)).unwrap() == fs::read(other.dir().join(name)).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn an_image_is_replaced_whole_and_anything_else_is_left_alone() {
    let bench = Bench::new();
    let before = bench.build_to("guest").unwrap();
    bench.put("agent", &executable(&[(PT_LOAD, b"a newer agent".to_vec())]));
    let after = bench.build_to("guest").unwrap();
    assert_ne!(before.manifest().outputs, after.manifest().outputs);
    assert_eq!(before.dir(), after.dir());
    after.verify().unwrap();
    assert_eq!(bench.leftovers(), ["guest"]);
    fs::create_dir(bench.at("photos")).unwrap();
    bench.put("photos/cat.jpg", b"meow");
    assert!(matches!(bench.build_to("photos"), Err(BuildError::OutputOccupied { .. })));
    assert_eq!(fs::read(bench.at("photos/cat.jpg")).unwrap(), b"meow");
}

#[test]
fn a_shell_is_put_where_the_debug_console_finds_it_and_must_be_static() {
    let bench = Bench::new();
    let source =
        KernelSource::Paths { kernel: bench.at("vmlinuz-test"), modules_dir: Some(bench.at("modules")) };
    let build = |shell: &[u8]| {
        bench.put("shell", shell);
        let builder = Builder::new(source.clone(), bench.at("agent")).shell(bench.at("shell"));
        builder.output(bench.at("guest")).cache(bench.at("cache")).build()
    };
    let shell = executable(&[(PT_LOAD, b"a shell of its own".to_vec())]);
    let image = build(&shell).unwrap();
    let initrd = fs::read(image.initrd()).unwrap();
    for part in [shell.as_slice(), b"bin/sh\0"] {
        assert!(memchr::memmem::find(&initrd, part).is_some());
    }
    assert!(image.manifest().inputs.contains_key("shell"));
    let dynamic = executable(&[(PT_INTERP, b"/lib64/ld.so\0".to_vec()), (PT_LOAD, b"x".to_vec())]);
    for unfit in [dynamic.as_slice(), b"#!/bin/sh\n"] {
        let error = build(unfit).unwrap_err();
        assert!(matches!(error, BuildError::Shell { .. }), "{error:?}");
    }
    image.verify().expect("a refused shell leaves the image alone");
}

#[test]
fn damage_is_noticed() {
    let bench = Bench::new();
    let image = bench.build_to("guest").unwrap();
    let mut initrd = fs::read(image.initrd()).unwrap();
    initrd[200] ^= 1;
    fs::write(image.initrd(), &initrd).unwrap();
    let opened = GuestImage::open(image.dir()).unwrap();
    assert!(matches!(opened.verify(), Err(OpenError::Digest { path }) if path == image.initrd()));
    fs::write(image.initrd(), &initrd[1..]).unwrap();
    assert!(matches!(GuestImage::open(image.dir()), Err(OpenError::Size { .. })));
    let manifest = fs::read_to_string(image.dir().join(MANIFEST)).unwrap();
    fs::write(image.dir().join(MANIFEST), manifest.replace("\"schema\": 1", "\"schema\": 99")).unwrap();
    assert!(matches!(GuestImage::open(image.dir()), Err(OpenError::Schema { found: 99, .. })));
    fs::write(image.dir().join(MANIFEST), "{").unwrap();
    assert!(matches!(GuestImage::open(image.dir()), Err(OpenError::Manifest { .. })));
}

#[test]
fn an_agent_that_cannot_be_pid_1_is_refused() {
    let bench = Bench::new();
    let dynamic = [(PT_INTERP, b"/lib/ld.so\0".to_vec()), (PT_LOAD, b"code".to_vec())];
    bench.put("agent", &executable(&dynamic));
    let error = bench.build_to("guest").unwrap_err();
    assert!(matches!(error, BuildError::Agent { source: ProgramError::Dynamic, .. }), "{error:?}");
    bench.put("agent", b"#!/bin/sh\nexec sh\n");
    let error = bench.build_to("guest").unwrap_err();
    assert!(matches!(error, BuildError::Agent { source: ProgramError::NotExecutable(_), .. }), "{error:?}");
    bench.put("agent", &module_of(RELEASE, ""));
    let error = bench.build_to("guest").unwrap_err();
    assert!(matches!(error, BuildError::Agent { source: ProgramError::NotExecutable(_), .. }), "{error:?}");
    let mut foreign = fixture::agent();
    foreign[18] = 183;
    bench.put("agent", &foreign);
    let error = bench.build_to("guest").unwrap_err();
    assert!(
        matches!(error, BuildError::Agent { source: ProgramError::Machine { machine: 183 }, .. }),
        "{error:?}"
    );
    fs::remove_file(bench.at("agent")).unwrap();
    assert!(matches!(bench.build_to("guest"), Err(BuildError::Io { path, .. }) if path == bench.at("agent")));
    assert!(bench.leftovers().is_empty(), "{:?}", bench.leftovers());
}

#[test]
fn a_kernel_without_drivers_is_refused_and_leaves_nothing() {
    let bench = Bench::new();
    fs::remove_file(bench.at("modules/kernel/drivers/virtio_mmio.ko.gz")).unwrap();
    assert!(matches!(bench.build_to("guest"), Err(BuildError::MissingDrivers { .. })));
    assert!(bench.leftovers().is_empty(), "{:?}", bench.leftovers());
}

#[test]
fn a_kernel_without_9p_and_without_a_dependency_of_vsock_lacks_just_these() {
    let bench = Bench::new();
    fs::remove_file(bench.at("modules/kernel/drivers/9p.ko")).unwrap();
    bench.put("modules/kernel/drivers/vsock.ko.gz", &gzip(&module_of(RELEASE, "nowhere")));
    let image = bench.build_to("guest").unwrap();
    let absent = Role::ALL.into_iter().filter(|&role| !image.has(role)).collect::<Vec<_>>();
    assert_eq!(absent, [Role::Vsock, Role::NineP]);
    let names: Vec<&str> = image.manifest().modules.iter().map(|module| module.name.as_str()).collect();
    assert!(!names.contains(&"9pnet") && names.contains(&"virtiofs"), "{names:?}");
}

#[test]
fn modules_of_another_kernel_are_refused() {
    let bench = Bench::new();
    bench.put("modules/kernel/drivers/fuse.ko", &module_of("5.10.0-1-other", ""));
    let error = bench.build_to("guest").unwrap_err();
    let BuildError::Module { source: ModuleError::OtherKernel { built_for, release }, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!((built_for.as_str(), release.as_str()), ("5.10.0-1-other", RELEASE));
}

#[test]
fn an_update_of_a_module_wins_over_the_kernels_own() {
    let bench = Bench::new();
    fs::create_dir(bench.at("modules/updates")).unwrap();
    let update = module_of(RELEASE, "fuse");
    bench.put("modules/updates/overlay.ko", &update);
    let image = bench.build_to("guest").unwrap();
    assert_eq!(image.manifest().abilities[&Role::Overlay].modules(), ["fuse", "overlay"]);
}

#[test]
fn the_configuration_beside_the_kernel_is_checked() {
    let bench = Bench::new();
    bench.put("config-test", b"CONFIG_64BIT=y\n# CONFIG_SECCOMP is not set\n");
    let error = bench.build_to("guest").unwrap_err();
    let BuildError::KernelOptions { options, .. } = error else { panic!("{error:?}") };
    assert!(options.contains(&"CONFIG_SECCOMP") && !options.contains(&"CONFIG_64BIT"), "{options:?}");
}

#[test]
fn progress_passes_through_the_stages_in_order() {
    struct Watch(std::sync::mpsc::Sender<Stage>);
    impl Progress for Watch {
        fn begin(&mut self, stage: Stage, _total: Option<u64>) {
            self.0.send(stage).unwrap();
        }
        fn advance(&mut self, _bytes: u64) {}
    }
    let bench = Bench::new();
    let files: Vec<_> = fixture::modules(RELEASE)
        .into_iter()
        .map(|(name, bytes)| (format!("lib/modules/{RELEASE}/{name}.ko"), bytes))
        .chain([(format!("boot/vmlinuz-{RELEASE}"), vmlinux(RELEASE))])
        .collect();
    let files: Vec<_> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    bench.put("test.deb", &fixture::deb(&files));
    let build = || {
        let (sender, stages) = std::sync::mpsc::channel();
        let builder = Builder::new(KernelSource::Deb { path: bench.at("test.deb") }, bench.at("agent"));
        let image =
            builder.output(bench.at("g")).cache(bench.at("cache")).progress(Watch(sender)).build().unwrap();
        (image, stages.into_iter().collect::<Vec<_>>())
    };
    let (image, stages) = build();
    assert_eq!(stages, [Stage::UnpackPackage, Stage::UnpackKernel, Stage::PackInitrd, Stage::Write]);
    let package = image.manifest().kernel.package.as_ref().unwrap();
    assert_eq!((package.name.as_str(), package.version.as_str()), ("linux-image-test", "1.2-3"));
    // The second build finds the package unpacked, and makes the same image of it.
    let (again, stages) = build();
    assert_eq!(stages, [Stage::UnpackKernel, Stage::PackInitrd, Stage::Write]);
    assert_eq!(again.manifest(), image.manifest());
}
