use super::*;

#[test]
fn the_last_word_on_a_capability_counts() {
    let changes: CapabilityChanges = "+sys_admin:-mknod:+mknod:-chown".parse().unwrap();
    let kept = needed(changes, InodeFileHandlesMode::Never);
    assert!(kept.contains(CapabilitySet::SYS_ADMIN | CapabilitySet::MKNOD | CapabilitySet::SETUID));
    assert!(!kept.intersects(CapabilitySet::CHOWN | CapabilitySet::DAC_READ_SEARCH));
    for wrong in ["sys_admin", "+", "+nonsense", "+chown:"] {
        wrong.parse::<CapabilityChanges>().unwrap_err();
    }
}

#[test]
fn handles_of_files_take_one_more_whatever_is_asked() {
    let none = needed("".parse().unwrap(), InodeFileHandlesMode::Never);
    let changes = "-dac_read_search".parse().unwrap();
    assert_eq!(needed(changes, InodeFileHandlesMode::Prefer) - none, CapabilitySet::DAC_READ_SEARCH);
}
