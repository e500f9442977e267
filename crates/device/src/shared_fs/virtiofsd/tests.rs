use super::*;

fn with(extra: &[&str]) -> VirtiofsdConfig {
    VirtiofsdConfig {
        extra_args: extra.iter().map(|arg| (*arg).to_owned()).collect(),
        ..VirtiofsdConfig::default()
    }
}

#[test]
fn the_whole_argv() {
    let argv = argv(&VirtiofsdConfig::default(), Sandbox::Made, 3, "shared").unwrap();
    let golden = "\
--fd=3
--shared-dir=shared
--sandbox=chroot
--seccomp=kill
--cache=auto
--thread-pool-size=0
--inode-file-handles=prefer
--log-level=warn
--announce-submounts";
    assert_eq!(argv.join("\n"), golden);
}

#[test]
fn an_extra_argument_replaces_the_default() {
    let argv = argv(&with(&["--cache=never", "--log-level", "debug", "--xattr"]), Sandbox::Own, 3, "shared")
        .unwrap();
    for gone in ["--cache=auto", "--log-level=warn"] {
        assert!(!argv.iter().any(|arg| arg == gone), "{argv:?}");
    }
    assert_eq!(argv[argv.len() - 4..], ["--cache=never", "--log-level", "debug", "--xattr"]);
}

#[test]
fn nothing_takes_the_confinement_away() {
    let refused: [&[&str]; 12] = [
        &["--sandbox=none"],
        &["--sandbox", "none"],
        &["--sandbox"],
        &["--seccomp=none"],
        &["--seccomp", "log"],
        &["-o", "sandbox=none"],
        &["-osandbox=none"],
        &["--shared-dir=/"],
        &["--shared-dir", "/"],
        &["--fd=7"],
        &["--socket-path=/tmp/x"],
        &["--xattr", "--sandbox=none"],
    ];
    for extra in refused {
        let outcome = argv(&with(extra), Sandbox::Made, 3, "shared");
        assert!(matches!(outcome, Err(DeviceError::RefusedArgument { .. })), "{extra:?}: {outcome:?}");
    }
    argv(&with(&["--sandbox=chroot", "--seccomp", "trap"]), Sandbox::Own, 3, "shared").unwrap();
}

#[test]
fn a_sandbox_that_is_asked_for_is_not_ours() {
    assert!(is_ours(&with(&["--xattr"])));
    assert!(!is_ours(&with(&["--sandbox=namespace"])) && !is_ours(&with(&["--sandbox", "chroot"])));
    let argv = argv(&VirtiofsdConfig::default(), Sandbox::Own, 3, "shared").unwrap();
    assert!(argv.contains(&"--sandbox=namespace".to_owned()), "{argv:?}");
}
