use super::Props;

#[test]
fn commas_in_values_are_doubled_and_the_users_own_are_not() {
    let props = Props::new("head").with("path", "/a,b").verbatim(Some(",c=d,e=f"));
    assert_eq!(props.0, "head,path=/a,,b,c=d,e=f");
    assert_eq!(Props::first("file", "x,y").verbatim(Some("")).verbatim(None).0, "file=x,,y");
}
