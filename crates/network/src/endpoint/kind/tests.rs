use super::*;

#[test]
fn names_are_those_of_records_and_are_read_back() {
    for kind in EndpointType::ALL {
        assert_eq!(kind.as_str().parse(), Ok(kind));
        assert_eq!(serde_json::to_value(kind).ok(), Some(kind.as_str().into()));
    }
    assert!("bridge".parse::<EndpointType>().is_err());
}
