//! A sandbox's configuration with its annotations, as a user's file or a caller's request has it: it is refused with all that
//! is wrong, or accepted, and says the same when it is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use virtcontainers::{MiB, Privileges, SandboxConfig, config::HostFacts};

fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = serde_json::from_slice::<SandboxConfig>(bytes) else { return };
    let text = serde_json::to_string(&config).expect("what was read can be written");
    let again: SandboxConfig = serde_json::from_str(&text).expect("what was written can be read");
    assert_eq!(again, config);
    // Files are named by the configuration, and looked at: nothing is opened that was not named.
    match config.validate(&HostFacts { memory: MiB(4096), privileges: Privileges::look() }) {
        Ok(spec) => assert!(!spec.id().as_str().is_empty()),
        Err(error) => assert!(!error.violations().is_empty()),
    }
});
