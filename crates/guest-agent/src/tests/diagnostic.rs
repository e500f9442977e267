use std::path::Path;

use oci_spec::runtime::Spec;

use crate::service::diagnostic::{MAX_KERNEL_LOG, shorten, termination_source};

fn spec(annotation: &str, mounts: &str) -> Spec {
    let text = format!(r#"{{"ociVersion":"1.0.2","annotations":{{{annotation}}},"mounts":[{mounts}]}}"#);
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_termination_message_is_read_where_its_mount_comes_from() {
    let annotation = r#""io.kubernetes.container.terminationMessagePath":"/dev/termination-log""#;
    let mount = r#"{"destination":"/dev/termination-log","source":"/run/kata-containers/t","type":"bind"}"#;
    let source = termination_source(&spec(annotation, mount)).unwrap();
    assert_eq!(source, Path::new("/run/kata-containers/t"));
    for (annotation, mount) in [("", mount), (annotation, "")] {
        let refused = termination_source(&spec(annotation, mount)).unwrap_err();
        assert_eq!(refused.code(), ttrpc::Code::INVALID_ARGUMENT);
    }
}

#[test]
fn a_long_log_loses_whole_lines_of_its_beginning() {
    let mut text = "a line\n".repeat(MAX_KERNEL_LOG / 4);
    shorten(&mut text);
    assert!(text.len() <= MAX_KERNEL_LOG && text.len() > MAX_KERNEL_LOG - 8);
    assert!(text.starts_with("a line\n"));
    let mut one = "x".repeat(MAX_KERNEL_LOG + 1);
    shorten(&mut one);
    assert_eq!(one, "");
}
