use super::*;

async fn panics() -> Result<Empty, CallError> {
    panic!("a defect")
}

fn code(answer: ttrpc::Result<Empty>) -> ttrpc::Code {
    match answer {
        Err(ttrpc::Error::RpcStatus(status)) => status.code(),
        other => panic!("expected a status, got {other:?}"),
    }
}

#[tokio::test]
async fn a_call_that_panics_is_answered_and_others_go_on() {
    assert_eq!(code(change("A", panics()).await), ttrpc::Code::INTERNAL);
    assert_eq!(code(observe("B", panics()).await), ttrpc::Code::INTERNAL);
    assert!(change("C", async { Ok(Empty::new()) }).await.is_ok());
}

#[tokio::test]
async fn a_change_goes_on_when_its_caller_hangs_up_and_an_observation_does_not() {
    let (reached, reach) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let (done, go) = (Arc::clone(&reached), Arc::clone(&reach));
    let call = async move {
        go.notified().await;
        done.notify_one();
        Ok(Empty::new())
    };
    drop(futures::poll!(Box::pin(change("A", call))));
    reach.notify_one();
    reached.notified().await;

    let held = Arc::new(());
    let inside = Arc::clone(&held);
    let call = async move {
        std::future::pending::<()>().await;
        drop(inside);
        Ok(Empty::new())
    };
    drop(futures::poll!(Box::pin(observe("B", call))));
    assert_eq!(Arc::strong_count(&held), 1);
}
