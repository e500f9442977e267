use super::count;

#[test]
fn rows_are_counted_by_status_and_area() {
    let table = "kind\tsymbol\tstatus\titem\tnote\na\tb\tdone\tx\t\na\tc\tplanned\t\tdevices: block\na\td\tplanned\t\tdevices\n";
    assert_eq!(count(table).unwrap(), "   1  done\n   2  planned\n   3  all\n         2  planned: devices\n");
}

#[test]
fn a_short_row_is_refused() {
    assert!(count("head\na\tb\n").unwrap_err().to_string().starts_with("docs/parity.tsv:2:"));
}
