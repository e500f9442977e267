#[test]
fn the_whole_argv() {
    let golden = "vsock\n3\nvsock.sock";
    assert_eq!(super::argv().join("\n"), golden);
}
