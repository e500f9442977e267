use virtcontainers_sys::cpu::Virtualization;
use virtcontainers_types::{AcceleratorChoice, MachineType};

use super::{Accelerator, AcceleratorDecision, AcceleratorError, HostFacts, KvmUnusable, choose_accelerator};

fn able() -> HostFacts {
    HostFacts { device: Ok(()), x86: true, virtualization: Some(Virtualization::Svm), foreign: None }
}

/// Hosts that cannot use KVM, each with the reason to be given.
fn unable() -> Vec<(HostFacts, KvmUnusable)> {
    let device = |why: &KvmUnusable| HostFacts { device: Err(why.clone()), ..able() };
    let mut hosts: Vec<_> = [KvmUnusable::NoDevice, KvmUnusable::Denied, KvmUnusable::Broken("EIO".into())]
        .into_iter()
        .map(|why| (device(&why), why))
        .collect();
    hosts.push((HostFacts { virtualization: None, ..able() }, KvmUnusable::NoVirtualization));
    let foreign = HostFacts { foreign: Some(MachineType::Virt), ..able() };
    hosts.push((foreign, KvmUnusable::ForeignMachine(MachineType::Virt)));
    hosts
}

#[test]
fn auto_takes_kvm_where_it_runs_guests() {
    for flag in [Virtualization::Vmx, Virtualization::Svm] {
        let facts = HostFacts { virtualization: Some(flag), ..able() };
        let decision = choose_accelerator(AcceleratorChoice::Auto, &facts);
        assert_eq!(decision, Ok(AcceleratorDecision { accelerator: Accelerator::Kvm, reason: None }));
    }
}

#[test]
fn auto_falls_back_to_tcg_and_says_why() {
    for (facts, why) in unable() {
        let decision = choose_accelerator(AcceleratorChoice::Auto, &facts);
        assert_eq!(decision, Ok(AcceleratorDecision { accelerator: Accelerator::Tcg, reason: Some(why) }));
    }
}

#[test]
fn kvm_demanded_is_kvm_or_an_error_with_the_reason_the_flags_aside() {
    let decision = choose_accelerator(AcceleratorChoice::Kvm, &able());
    assert_eq!(decision, Ok(AcceleratorDecision { accelerator: Accelerator::Kvm, reason: None }));
    for (facts, reason) in unable() {
        // The user overrides what the processor's flags say, and is warned.
        let expected = if reason == KvmUnusable::NoVirtualization {
            Ok(AcceleratorDecision { accelerator: Accelerator::Kvm, reason: Some(reason) })
        } else {
            Err(AcceleratorError { reason })
        };
        assert_eq!(choose_accelerator(AcceleratorChoice::Kvm, &facts), expected);
    }
}

#[test]
fn tcg_demanded_is_tcg_everywhere_and_warns_of_nothing() {
    let hosts = unable().into_iter().map(|(facts, _)| facts).chain([able()]);
    for facts in hosts {
        let decision = choose_accelerator(AcceleratorChoice::Tcg, &facts);
        assert_eq!(decision, Ok(AcceleratorDecision { accelerator: Accelerator::Tcg, reason: None }));
    }
}

#[test]
fn other_architectures_have_no_vmx_flag_to_show() {
    let facts = HostFacts { x86: false, virtualization: None, ..able() };
    let decision = choose_accelerator(AcceleratorChoice::Auto, &facts);
    assert_eq!(decision.map(|decision| decision.accelerator), Ok(Accelerator::Kvm));
}

#[test]
fn a_machine_of_another_architecture_is_foreign() {
    let facts = HostFacts::probe(MachineType::S390CcwVirtio).expect("/proc/cpuinfo is readable");
    assert_eq!(facts.foreign.is_some(), std::env::consts::ARCH != "s390x");
}
