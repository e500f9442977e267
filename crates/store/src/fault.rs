//! Faults on order: any step of a transaction fails, panics, aborts the process or hangs, before or after its action.
//!
//! A plan that counts tells which points a verb passes; a plan for each of them makes the matrix of its failures. A
//! plan is handed over as a value, and the default one does nothing.

use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

/// On which side of a step's action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moment {
    /// The intent is recorded, the action has not begun.
    Before,
    /// The action is done.
    After,
}

/// A point that a transaction passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FaultPoint {
    /// Its place in the order of all points passed, from 0.
    pub index: usize,
    /// The step's name; `release` for every release.
    pub step: &'static str,
    /// On which side of the action.
    pub moment: Moment,
}

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The step fails with [`InjectedFault`].
    Fail,
    /// The step panics.
    Panic,
    /// The process aborts, as if killed: no destructor runs.
    Abort,
    /// The step never ends.
    Hang,
}

/// The error of a step that was made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("fault injected at point {} ({:?} step {})", .0.index, .0.moment, .0.step)]
pub struct InjectedFault(pub FaultPoint);

#[derive(Debug)]
struct Plan {
    target: Option<(usize, FaultKind)>,
    passed: Mutex<Vec<FaultPoint>>,
}

/// Which fault happens where. Clones share their count.
#[derive(Debug, Clone, Default)]
pub struct FaultPlan(Option<Arc<Plan>>);

impl FaultPlan {
    /// No faults, no counting, no cost: the default.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// No faults; [`FaultPlan::passed`] tells what was passed.
    #[must_use]
    pub fn counting() -> Self {
        Self(Some(Arc::new(Plan { target: None, passed: Mutex::default() })))
    }

    /// One fault, at the point with this index. It happens once: what is passed after it, the undoing too, goes well.
    #[must_use]
    pub fn at(index: usize, kind: FaultKind) -> Self {
        Self(Some(Arc::new(Plan { target: Some((index, kind)), passed: Mutex::default() })))
    }

    /// The points passed so far.
    #[must_use]
    pub fn passed(&self) -> Vec<FaultPoint> {
        match &self.0 {
            Some(plan) => plan.passed.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            None => Vec::new(),
        }
    }

    /// Passes a point. Transactions do this around each step; other code may add points of its own.
    ///
    /// # Errors
    /// [`InjectedFault`] where the plan wants a failure.
    ///
    /// # Panics
    /// Where the plan wants a panic.
    pub async fn pass(&self, step: &'static str, moment: Moment) -> Result<(), InjectedFault> {
        let Some(plan) = &self.0 else { return Ok(()) };
        let point = {
            let mut passed = plan.passed.lock().unwrap_or_else(PoisonError::into_inner);
            let point = FaultPoint { index: passed.len(), step, moment };
            passed.push(point);
            point
        };
        match plan.target {
            Some((index, kind)) if index == point.index => happen(kind, point).await,
            Some(_) | None => Ok(()),
        }
    }
}

#[expect(clippy::panic, reason = "a panic on order")]
async fn happen(kind: FaultKind, point: FaultPoint) -> Result<(), InjectedFault> {
    match kind {
        FaultKind::Fail => Err(InjectedFault(point)),
        FaultKind::Panic => std::panic::panic_any(InjectedFault(point).to_string()),
        FaultKind::Abort => std::process::abort(),
        FaultKind::Hang => std::future::pending().await,
    }
}
