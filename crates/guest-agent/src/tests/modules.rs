use ttrpc::Code;

use crate::init::{
    cmdline::Cmdline,
    modules::{ModuleError, Modules},
};

#[test]
fn a_module_of_the_initrd_is_loaded_after_what_stands_before_it() {
    let list = "9p /nowhere/netfs.ko\n9p /nowhere/9p-net.ko\n9p /nowhere/9p.ko\n";
    let modules = Modules::new(list, &Cmdline::parse(""));
    // There is nothing to load here: the error names the first that was tried.
    let error = modules.probe("9p_net", "debug=1").unwrap_err();
    assert!(
        matches!(&error, ModuleError::Load { path, .. } if path.to_str() == Some("/nowhere/netfs.ko")),
        "{error:?}"
    );
}

#[test]
fn what_the_kernel_has_is_as_good_and_what_nobody_has_is_the_callers_mistake() {
    let modules = Modules::new("", &Cmdline::parse(""));
    modules.probe("kernel", "").unwrap();
    let unknown = modules.probe("no_such_module", "").unwrap_err();
    assert_eq!(unknown.code(), Code::INVALID_ARGUMENT);
}
