//! OCI hooks in a network namespace. Needs root.
#![expect(clippy::unwrap_used, reason = "what tests share fails the test")]

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use oci_spec::runtime::{Hook, HookBuilder};
use virtcontainers_network::{
    NetNs,
    hooks::{self, HookError},
};

struct Scene {
    dir: tempfile::TempDir,
    ns: NetNs,
}

impl Scene {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ns = NetNs::create(&dir.path().join("ns")).unwrap();
        Self { dir, ns }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn hook(&self, name: &str, script: &str) -> Hook {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\ncd {}\n{script}\n", self.dir.path().display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        HookBuilder::default().path(path).build().unwrap()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        NetNs::remove(&self.path("ns")).unwrap();
    }
}

#[tokio::test]
async fn a_hook_gets_state_arguments_and_variables_in_the_namespace() {
    let scene = Scene::new().await;
    let script =
        "cat > state; echo $A > env; readlink /proc/self/ns/net > where; ip link add seen type bridge";
    let mut first = scene.hook("first", script);
    first.set_env(Some(vec!["A=b=c".to_owned()]));
    // The shell's first argument is its script, so the name that it is called by does not show; a program's does.
    let mut second = HookBuilder::default().path("/bin/sh").build().unwrap();
    let words = format!("echo $0 $1 > {}", scene.path("words").display());
    second.set_args(Some(["myself", "-c", &words, "zero", "one"].map(str::to_owned).to_vec()));
    hooks::run(&[first, second], "{\"id\":\"s\"}", &scene.ns).await.unwrap();

    let read = |name: &str| fs::read_to_string(scene.path(name)).unwrap();
    assert_eq!(read("state"), "{\"id\":\"s\"}");
    assert_eq!(read("env"), "b=c\n");
    assert_eq!(read("words"), "zero one\n");
    assert_eq!(read("where").trim(), format!("net:[{}]", fs::metadata(scene.path("ns")).unwrap().ino()));
    assert!(!fs::exists("/sys/class/net/seen").unwrap(), "the link is not in the test's own namespace");
}

#[tokio::test]
async fn the_name_that_a_hook_is_called_by() {
    let scene = Scene::new().await;
    let mut hook = HookBuilder::default().path("/bin/sh").build().unwrap();
    let words = format!("tr '\\0' ' ' < /proc/$$/cmdline > {}", scene.path("words").display());
    hook.set_args(Some(["myself", "-c", &words].map(str::to_owned).to_vec()));
    hooks::run(&[hook], "{}", &scene.ns).await.unwrap();
    assert!(fs::read_to_string(scene.path("words")).unwrap().starts_with("myself -c "));
}

#[tokio::test]
async fn a_hook_that_fails_stops_the_others_unless_all_are_to_run() {
    let scene = Scene::new().await;
    let bad = scene.hook("bad", "echo no bridge >&2; exit 4");
    let after = scene.hook("after", "touch ran");
    let hooks = [bad, after];
    let error = hooks::run(&hooks, "{}", &scene.ns).await.unwrap_err();
    assert!(matches!(&error, HookError::Failed { .. }), "{error}");
    let text = error.to_string();
    assert!(["/bad", "exit code 4", "no bridge"].iter().all(|word| text.contains(word)), "{text}");
    assert!(!scene.path("ran").exists());

    let failures = hooks::run_all(&hooks, "{}", &scene.ns).await;
    assert_eq!(failures.len(), 1);
    assert!(scene.path("ran").exists());
}

#[tokio::test]
async fn a_hook_that_hangs() {
    let scene = Scene::new().await;
    let mut hook = scene.hook("slow", "echo thinking >&2; sleep 1000 & wait");
    hook.set_timeout(Some(1));
    let begin = Instant::now();
    let error = hooks::run(&[hook], "{}", &scene.ns).await.unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(20));
    let HookError::TimedOut { stderr, after, .. } = &error else { panic!("{error}") };
    assert_eq!((stderr.as_str(), *after), ("thinking", Duration::from_secs(1)));
}

#[tokio::test]
async fn what_is_no_hook() {
    let scene = Scene::new().await;
    let relative = HookBuilder::default().path("bin/true").build().unwrap();
    let absent = HookBuilder::default().path("/nowhere/hook").build().unwrap();
    let timeless = HookBuilder::default().path("/bin/true").timeout(0).build().unwrap();
    let said = async |hook: Hook| hooks::run(&[hook], "{}", &scene.ns).await.unwrap_err();
    assert!(matches!(said(relative).await, HookError::NotAbsolute { .. }));
    assert!(matches!(said(absent).await, HookError::Start { .. }));
    assert!(matches!(said(timeless).await, HookError::BadTimeout { timeout: 0, .. }));
}
