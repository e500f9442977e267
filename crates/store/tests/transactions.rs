//! Undoing: after an error, a panic, a vanished caller, and past errors of the undoing itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use virtcontainers_store::{
    Cause, FaultKind, FaultPlan, InjectedFault, Ledger, Moment, ReleaseError, Releaser, Resource, StepError,
    StoreError, Transaction, UndoError, transact,
};
use virtcontainers_types::SandboxId;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Thing(String);

impl Resource for Thing {
    fn label(&self) -> String {
        self.0.clone()
    }
}

fn things(names: &[&str]) -> Vec<Thing> {
    names.iter().map(|name| Thing((*name).to_owned())).collect()
}

/// What happened, in order: `record a,b`, `act a`, `release a`, `unwound …`.
#[derive(Clone, Default)]
struct World(Arc<Mutex<Vec<String>>>);

impl World {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn told(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn names(held: &[Thing]) -> String {
    held.iter().map(|thing| thing.0.as_str()).collect::<Vec<_>>().join(",")
}

/// Fails to record a list that ends in `unrecordable`; releases all but what its name forbids.
impl Ledger<Thing> for World {
    fn record(&mut self, held: &[Thing]) -> Result<(), StoreError> {
        if held.last().is_some_and(|thing| thing.0 == "unrecordable") {
            return Err(StoreError::NotFound { id: SandboxId::new("x").unwrap() });
        }
        self.note(format!("record {}", names(held)));
        Ok(())
    }

    fn unwound(&mut self, remaining: &[Thing]) -> Result<(), StoreError> {
        self.note(format!("unwound {}", names(remaining)));
        Ok(())
    }
}

#[async_trait]
impl Releaser<Thing> for World {
    async fn release(&self, thing: &Thing) -> Result<(), ReleaseError> {
        self.note(format!("release {}", thing.0));
        match thing.0.as_str() {
            "stubborn" => Err("it will not go".into()),
            "explosive" => panic!("bang"),
            "endless" => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

fn transaction(world: &World, held: &[&str]) -> Transaction<Thing, World> {
    Transaction::new(world.clone(), Arc::new(world.clone()), things(held))
        .with_release_timeout(Duration::from_millis(50))
}

async fn acquire(
    tx: &mut Transaction<Thing, World>,
    world: &World,
    name: &'static str,
) -> Result<(), StepError<String>> {
    let act = async {
        world.note(format!("act {name}"));
        if name == "failing" { Err("no".to_owned()) } else { Ok(()) }
    };
    tx.step(name, Thing(name.to_owned()), act).await
}

/// Runs the named steps.
async fn run(
    world: &World,
    faults: FaultPlan,
    steps: &'static [&'static str],
) -> Result<Vec<Thing>, (Cause<StepError<String>>, Vec<UndoError>)> {
    let inside = world.clone();
    let tx = transaction(world, &["old"]).with_faults(faults);
    let done = transact(tx, move |tx| {
        async move {
            for step in steps {
                acquire(tx, &inside, step).await?;
            }
            Ok(())
        }
        .boxed()
    });
    done.await.map(|((), _, held)| held).map_err(|unwound| (unwound.cause, unwound.undo_errors))
}

#[tokio::test]
async fn each_intent_is_recorded_before_its_action() {
    let world = World::default();
    let held = run(&world, FaultPlan::none(), &["a", "b"]).await.unwrap();
    assert_eq!(held, things(&["old", "a", "b"]));
    assert_eq!(world.told(), ["record old,a", "act a", "record old,a,b", "act b"]);
}

#[tokio::test]
async fn an_error_undoes_all_of_it_and_nothing_older() {
    let world = World::default();
    let (cause, errors) = run(&world, FaultPlan::none(), &["a", "b", "failing"]).await.unwrap_err();
    assert!(
        matches!(cause, Cause::Failed(StepError::Action { step: "failing", ref source }) if source == "no")
    );
    assert!(errors.is_empty());
    let told = world.told();
    assert_eq!(told[told.len() - 4..], ["release failing", "release b", "release a", "unwound old"]);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_tried() {
    let world = World::default();
    let (cause, _) = run(&world, FaultPlan::none(), &["a", "unrecordable"]).await.unwrap_err();
    assert!(matches!(cause, Cause::Failed(StepError::Record { step: "unrecordable", .. })));
    assert_eq!(world.told(), ["record old,a", "act a", "release a", "unwound old"]);
}

#[tokio::test]
async fn undoing_goes_on_past_errors_panics_and_hangs() {
    let world = World::default();
    let steps = &["a", "stubborn", "b", "explosive", "endless", "failing"];
    let (_, errors) = run(&world, FaultPlan::none(), steps).await.unwrap_err();
    assert!(matches!(&errors[0], UndoError::Timeout { resource, .. } if resource == "endless"), "{errors:?}");
    assert!(matches!(&errors[1], UndoError::Panicked { message, .. } if message == "bang"), "{errors:?}");
    assert!(matches!(&errors[2], UndoError::Failed { resource, .. } if resource == "stubborn"), "{errors:?}");
    assert_eq!(errors.len(), 3);
    let told = world.told();
    assert!(told.contains(&"release a".to_owned()));
    assert_eq!(
        told.last().unwrap(),
        "unwound old,stubborn,explosive,endless",
        "what remains is recorded, in order"
    );
}

#[tokio::test]
async fn a_vanished_caller_undoes_it() {
    let world = World::default();
    let (reached, on_reached) = oneshot::channel();
    let (finished, on_finished) = oneshot::channel::<()>();
    struct Telling(World, #[expect(dead_code, reason = "dropped with the ledger")] oneshot::Sender<()>);
    impl Ledger<Thing> for Telling {
        fn record(&mut self, held: &[Thing]) -> Result<(), StoreError> {
            self.0.record(held)
        }
        fn unwound(&mut self, remaining: &[Thing]) -> Result<(), StoreError> {
            self.0.unwound(remaining)
        }
    }
    let tx = Transaction::new(Telling(world.clone(), finished), Arc::new(world.clone()), Vec::new());
    let calling = transact(tx, move |tx| {
        async move {
            tx.step("a", Thing("a".to_owned()), async { Ok::<_, String>(()) }).await?;
            let hang = async {
                reached.send(()).unwrap();
                std::future::pending::<Result<(), String>>().await
            };
            tx.step("b", Thing("b".to_owned()), hang).await
        }
        .boxed()
    });
    tokio::select! {
        _ = calling => panic!("it hangs"),
        reached = on_reached => reached.unwrap(),
    }
    // The caller is gone; the undoing is not.
    tokio::time::timeout(Duration::from_secs(5), on_finished).await.expect("undone").unwrap_err();
    assert_eq!(world.told(), ["record a", "record a,b", "release b", "release a", "unwound "]);
}

/// Every kind of fault at every point: nothing of it stays, and the cause is told.
#[tokio::test]
async fn the_matrix_of_faults() {
    const STEPS: &[&str] = &["a", "b", "c"];
    let counting = FaultPlan::counting();
    run(&World::default(), counting.clone(), STEPS).await.unwrap();
    let points = counting.passed();
    let expected = ["a", "a", "b", "b", "c", "c"];
    assert!(points.iter().map(|point| point.step).eq(expected));
    assert!(points.iter().enumerate().all(|(index, point)| point.index == index
        && point.moment == if index % 2 == 0 { Moment::Before } else { Moment::After }));
    for point in points {
        for kind in [FaultKind::Fail, FaultKind::Panic, FaultKind::Hang] {
            let world = World::default();
            let running = run(&world, FaultPlan::at(point.index, kind), STEPS);
            let outcome = tokio::time::timeout(Duration::from_millis(50), running).await;
            match (kind, outcome) {
                (FaultKind::Hang, Err(_elapsed)) => {
                    let undone = async {
                        while !world.told().iter().any(|told| told == "unwound old") {
                            tokio::task::yield_now().await;
                        }
                    };
                    tokio::time::timeout(Duration::from_secs(5), undone).await.expect("undone");
                }
                (FaultKind::Fail, Ok(Err((Cause::Failed(StepError::Fault { source, .. }), _)))) => {
                    assert_eq!(source, InjectedFault(point));
                }
                (FaultKind::Panic, Ok(Err((Cause::Panicked(message), _)))) => {
                    assert_eq!(message, InjectedFault(point).to_string());
                }
                (_, outcome) => panic!("{kind:?} at {point:?}: {outcome:?}"),
            }
            let told = world.told();
            let count = |what: &str| told.iter().filter(|line| line.starts_with(what)).count();
            assert_eq!(count("release"), point.index / 2 + 1, "{kind:?} at {point:?}: {told:?}");
            assert_eq!(count("act"), point.index.div_ceil(2), "{kind:?} at {point:?}: {told:?}");
            assert_eq!(told.last().unwrap(), "unwound old");
        }
    }
}

#[tokio::test]
async fn amending_replaces_the_latest_intent_only() {
    let world = World::default();
    let mut tx = transaction(&world, &["old"]);
    tx.amend(Thing("wrong".to_owned())).unwrap();
    assert_eq!(tx.held(), things(&["old"]), "nothing was acquired here yet");
    acquire(&mut tx, &world, "a").await.unwrap();
    tx.amend(Thing("a, pid 7".to_owned())).unwrap();
    assert_eq!(world.told().last().unwrap(), "record old,a, pid 7");
    assert_eq!(tx.unwind().await.len(), 0);
    assert_eq!(tx.commit().1, things(&["old"]));
}

#[tokio::test]
async fn a_part_is_released_and_the_rest_is_kept() {
    let world = World::default();
    let mut tx = transaction(&world, &["c1-mount", "c2-mount", "stubborn"]);
    acquire(&mut tx, &world, "c1-process").await.unwrap();
    let errors = tx.release_where(|thing| thing.0.starts_with("c1") || thing.0 == "stubborn").await;
    assert!(matches!(&errors[..], [UndoError::Failed { resource, .. }] if resource == "stubborn"));
    assert_eq!(tx.held(), things(&["c2-mount", "stubborn"]));
    let told = world.told();
    assert_eq!(
        told[2..],
        ["release c1-process", "release stubborn", "release c1-mount", "record c2-mount,stubborn"]
    );
    tx.unwind().await;
    assert_eq!(world.told().last().unwrap(), "unwound c2-mount,stubborn", "what was there before stays");
}
