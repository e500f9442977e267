//! The verbs of the matrix.

use virtcontainers::{Cmd, ContainerResources, DeleteMode, KillScope, Signal, StopMode};

use super::{Before, Effect, Verb};
use crate::{
    network::virtcontainers_interface as named,
    stage::{cid, sid},
};

pub(super) fn find(name: &str) -> Verb {
    *TABLE.iter().find(|verb| verb.name == name).unwrap_or_else(|| panic!("no verb {name}"))
}

/// Each line is a verb, and a module of tests of its name.
macro_rules! verbs {
    ($($name:ident: $before:ident $effect:ident $($wired:ident)?, |$runtime:ident, $set:ident| $run:expr;)+) => {
        pub(super) const TABLE: &[Verb] = &[$(Verb {
            name: stringify!($name),
            before: Before::$before,
            effect: Effect::$effect,
            wired: !stringify!($($wired)?).is_empty(),
            run: |$runtime, $set| {
                Box::pin(async move {
                    let _ = &$set;
                    $run.await.map(drop)
                })
            },
        }),+];

        $(mod $name {
            use super::super::{FaultKind, line};

            #[tokio::test]
            async fn fails() {
                line(stringify!($name), &[FaultKind::Fail]).await;
            }

            #[tokio::test]
            async fn panics() {
                line(stringify!($name), &[FaultKind::Panic]).await;
            }

            #[tokio::test]
            async fn hangs() {
                line(stringify!($name), &[FaultKind::Hang]).await;
            }

            #[tokio::test]
            async fn is_killed() {
                line(stringify!($name), &[FaultKind::Abort]).await;
            }
        })+
    };
}

verbs! {
    sandbox_create: Nothing Makes, |rt, set| rt.create_sandbox(set.config());
    sandbox_create_with_network: Nothing Makes wired, |rt, set| rt.create_sandbox(set.config());
    sandbox_run: Nothing Makes, |rt, set| rt.run_sandbox(set.config());
    sandbox_start: Created Keeps, |rt, set| rt.start_sandbox(&sid("web"));
    sandbox_pause: Running Keeps, |rt, set| rt.pause_sandbox(&sid("web"));
    sandbox_resume: Paused Keeps, |rt, set| rt.resume_sandbox(&sid("web"));
    sandbox_stop: Running Ends, |rt, set| rt.stop_sandbox(&sid("web"), StopMode::Graceful);
    sandbox_stop_by_force: Running Ends, |rt, set| rt.stop_sandbox(&sid("web"), StopMode::Force);
    sandbox_stop_paused: Paused Ends, |rt, set| rt.stop_sandbox(&sid("web"), StopMode::Graceful);
    sandbox_stop_with_network: Running Ends wired, |rt, set| rt.stop_sandbox(&sid("web"), StopMode::Force);
    sandbox_delete: Stopped Ends, |rt, set| rt.delete_sandbox(&sid("web"), DeleteMode::IfStopped);
    sandbox_delete_by_force: Running Ends, |rt, set| rt.delete_sandbox(&sid("web"), DeleteMode::Force);
    sandbox_delete_with_network: Running Ends wired, |rt, set| rt.delete_sandbox(&sid("web"), DeleteMode::Force);
    interface_remove: Running Keeps wired, |rt, set| rt.remove_interface(&sid("web"), "eth1");
    interface_remove_and_add: Running Keeps wired, |rt, set| async {
        match rt.remove_interface(&sid("web"), "eth1").await {
            Err(error) if error.kind() != virtcontainers::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        rt.add_interface(&sid("web"), named("eth1")).await
    };
    container_create: Running Keeps, |rt, set| rt.create_container(&sid("web"), set.container("c"));
    container_start: Running Keeps, |rt, set| rt.start_container(&sid("web"), &cid("b"));
    container_stop: Running Keeps, |rt, set| rt.stop_container(&sid("web"), &cid("a"), StopMode::Graceful);
    container_stop_by_force: Running Keeps, |rt, set| rt.stop_container(&sid("web"), &cid("a"), StopMode::Force);
    container_stop_frozen: Frozen Keeps, |rt, set| rt.stop_container(&sid("web"), &cid("a"), StopMode::Graceful);
    container_kill: Running Keeps, |rt, set| rt.kill_container(&sid("web"), &cid("a"), Signal::TERM, KillScope::All);
    container_pause: Running Keeps, |rt, set| rt.pause_container(&sid("web"), &cid("a"));
    container_resume: Frozen Keeps, |rt, set| rt.resume_container(&sid("web"), &cid("a"));
    container_update: Running Keeps, |rt, set| rt.update_container(&sid("web"), &cid("a"), ContainerResources { vcpus: 2, mem_byte: 0 });
    container_exec: Running Keeps, |rt, set| rt.enter_container(&sid("web"), &cid("a"), Cmd::new(["/bin/true"]));
    container_delete: Ended Keeps, |rt, set| rt.delete_container(&sid("web"), &cid("a"), DeleteMode::IfStopped);
    container_delete_by_force: Running Keeps, |rt, set| rt.delete_container(&sid("web"), &cid("a"), DeleteMode::Force);
    container_clean_up: Running Keeps, |rt, set| rt.cleanup_container(&sid("web"), &cid("a"), StopMode::Force);
    container_clean_up_last: Created Ends, |rt, set| rt.cleanup_container(&sid("web"), &cid("a"), StopMode::Force);
}
