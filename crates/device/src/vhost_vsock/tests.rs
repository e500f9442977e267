#[test]
fn the_whole_argv() {
    let golden = "--vm\nguest-cid=3,socket=vhost-vsock.sock,uds-path=vsock.sock";
    assert_eq!(super::argv().join("\n"), golden);
}
