use crate::init::cmdline::{Cmdline, Transports};
use crate::init::modules::Modules;

#[test]
fn parameters_are_found_the_last_one_wins_and_quotes_protect_blanks() {
    let cmdline = Cmdline::parse(
        "quiet vc.transport=serial x=\"a b\" vc.transport=vsock vc.announce=1025 -- vc.debug\n",
    );
    assert_eq!(cmdline.transports(), Transports::Vsock);
    assert_eq!(cmdline.announce(), Some(1025));
    assert_eq!(cmdline.value("x"), Some("a b"));
    assert!(cmdline.has("quiet"));
    assert!(!cmdline.debug(), "what follows -- is another program's");
}

#[test]
fn an_unknown_transport_means_any_and_a_bad_port_means_none() {
    let cmdline = Cmdline::parse("vc.transport=pigeon vc.announce=-1");
    assert_eq!(cmdline.transports(), Transports::Any);
    assert_eq!(cmdline.announce(), None);
}

#[test]
fn modules_get_their_parameters_and_keep_their_order() {
    let cmdline = Cmdline::parse(
        "virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=4K@0xd0001000:6 a-b.c virtio=x",
    );
    let modules =
        Modules::new("# comment\n\nvirtio /m/virtio.ko\nvirtio /m/virtio-mmio.ko\n9p /m/a_b.ko\n", &cmdline);
    let virtio: Vec<_> = modules
        .of("virtio")
        .map(|module| (module.path.to_str().unwrap(), module.parameters.as_str()))
        .collect();
    assert_eq!(
        virtio,
        [("/m/virtio.ko", ""), ("/m/virtio-mmio.ko", "device=4K@0xd0000000:5 device=4K@0xd0001000:6")]
    );
    assert_eq!(modules.of("9p").map(|module| module.parameters.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(modules.of("vsock").count(), 0);
}
