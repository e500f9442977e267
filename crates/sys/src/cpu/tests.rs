use super::*;

const INTEL: &str = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) CPU E5-2670 v3 @ 2.30GHz\n\
    cpu MHz\t\t: 1200.123\nflags\t\t: fpu vme constant_tsc vmx\n\nprocessor\t: 1\n\
    model name\t: Intel(R) Xeon(R) CPU E5-2670 v3 @ 2.30GHz\ncpu MHz\t\t: 3100.0\nflags\t\t: fpu vme constant_tsc vmx\n";
const NESTED_AMD: &str = "processor\t: 0\nmodel name\t: AMD EPYC\ncpu MHz\t\t: 2445.422\nflags\t\t: fpu svm_lock constant_tsc hypervisor\n";

#[test]
fn hardware_with_vt_x() {
    let facts = CpuFacts::parse(INTEL);
    let expected = CpuFacts {
        virtualization: Some(Virtualization::Vmx),
        hypervisor: false,
        count: 2,
        // The label's rate, not the one that the core runs at just now.
        tsc_khz: Some(2_300_000),
    };
    assert_eq!(facts, expected);
}

#[test]
fn a_guest_without_nested_virtualization() {
    let facts = CpuFacts::parse(NESTED_AMD);
    assert_eq!(facts.virtualization, None, "svm_lock is another flag");
    assert!(facts.hypervisor);
    assert_eq!(facts.tsc_khz, Some(2_445_422));
    let with_svm = CpuFacts::parse(&NESTED_AMD.replace("svm_lock", "svm"));
    assert_eq!(with_svm.virtualization, Some(Virtualization::Svm));
}

#[test]
fn text_of_another_architecture_claims_nothing() {
    let arm =
        "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\n\nprocessor\t: 1\nFeatures\t: fp asimd\n";
    assert_eq!(CpuFacts::parse(arm), CpuFacts { count: 2, ..CpuFacts::default() });
    assert_eq!(CpuFacts::parse(""), CpuFacts::default());
}

#[test]
fn this_host_has_processors_and_memory() {
    let facts = CpuFacts::read(Path::new("/proc/cpuinfo")).unwrap();
    assert!(facts.count >= 1);
    assert!(crate::memory::total().unwrap().0 >= 64);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_counter_is_measured_near_its_nominal_rate() {
    let measured = measure_tsc_khz(Duration::from_millis(20)).unwrap();
    match CpuFacts::read(Path::new("/proc/cpuinfo")).unwrap().tsc_khz {
        Some(nominal) => assert!(measured.abs_diff(nominal) < nominal / 20, "{measured} against {nominal}"),
        None => assert!((100_000..10_000_000).contains(&measured), "{measured}"),
    }
}
