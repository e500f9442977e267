//! docs/parity.tsv accounts for every public symbol of the original package: done (and where), planned (and in which area), or
//! not needed (and why). These tests prove that no row is lost and that every item it names exists and is public.
#![expect(clippy::expect_used, clippy::panic, reason = "a test ends where its ground is missing")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "syn's enums are open: what is not named here defines nothing"
)]

use std::{collections::BTreeSet, fs, path::Path};

use sha2::{Digest, Sha256};
use syn::{Fields, ImplItem, Item, Macro, TraitItem, Visibility};

/// Rows of the reference table.
const ROWS: usize = 435;
/// SHA-256 of its `kind<TAB>symbol` lines, sorted, each with a newline.
const SYMBOLS: &str = "7b18c49f15cbf3dd728f710d87c155d6381668a09e0b8585c19b61cdd553dfba";

#[derive(Debug)]
struct Row<'a> {
    kind: &'a str,
    symbol: &'a str,
    status: &'a str,
    item: &'a str,
    note: &'a str,
}

fn workspace() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn rows(table: &str) -> Vec<Row<'_>> {
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("kind\tsymbol\tstatus\titem\tnote"), "the head of docs/parity.tsv");
    lines
        .map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
            [kind, symbol, status, item, note] => Row { kind, symbol, status, item, note },
            _ => panic!("not five columns: {line:?}"),
        })
        .collect()
}

fn symbols<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeSet<String> {
    pairs.map(|(kind, symbol)| format!("{kind}\t{symbol}\n")).collect()
}

/// What is wrong with a row, if anything.
fn fault(row: &Row<'_>) -> Result<(), String> {
    let (item, note) = (!row.item.is_empty(), !row.note.trim().is_empty());
    match (row.status, item, note) {
        ("done", true, _) => find(&workspace(), row.item),
        ("planned" | "not-needed", false, true) => Ok(()),
        ("done", false, _) => Err("done, but names no item".to_owned()),
        ("planned", ..) => Err("planned rows name an area in the note and no item".to_owned()),
        ("not-needed", ..) => Err("not-needed rows give a reason in the note and no item".to_owned()),
        (status, ..) => Err(format!("{status:?} is no status: done, planned or not-needed")),
    }
}

/// Looks up `crates/<folder>/src/<file>.rs#Path::to::item`.
fn find(root: &Path, item: &str) -> Result<(), String> {
    let (file, path) = item.split_once('#').ok_or("an item is <file>#<path>")?;
    if !file.starts_with("crates/") || !file.ends_with(".rs") {
        return Err(format!("{file} is no source file below crates/"));
    }
    let source = fs::read_to_string(root.join(file)).map_err(|error| format!("{file}: {error}"))?;
    let path: Vec<&str> = path.split("::").collect();
    if has(&source, &path)? { Ok(()) } else { Err(format!("{file} has no public {}", path.join("::"))) }
}

fn has(source: &str, path: &[&str]) -> Result<bool, String> {
    let file = syn::parse_file(source).map_err(|error| error.to_string())?;
    Ok(defines(&file.items, path) || made_by_macro(&file.items, path))
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// Whether the items define `name`, `Type::member` or `module::…` publicly.
fn defines(items: &[Item], path: &[&str]) -> bool {
    match path {
        [name] => items.iter().any(|item| public_name(item).is_some_and(|found| found == name)),
        [first, rest @ ..] => items.iter().any(|item| match item {
            Item::Mod(module) if module.ident == first && is_public(&module.vis) => {
                module.content.as_ref().is_some_and(|(_, items)| defines(items, rest))
            }
            _ => matches!(rest, [member] if has_member(item, first, member)),
        }),
        [] => false,
    }
}

fn public_name(item: &Item) -> Option<&syn::Ident> {
    let (visibility, name) = match item {
        Item::Struct(item) => (&item.vis, &item.ident),
        Item::Enum(item) => (&item.vis, &item.ident),
        Item::Trait(item) => (&item.vis, &item.ident),
        Item::Type(item) => (&item.vis, &item.ident),
        Item::Const(item) => (&item.vis, &item.ident),
        Item::Static(item) => (&item.vis, &item.ident),
        Item::Fn(item) => (&item.vis, &item.sig.ident),
        Item::Mod(item) => (&item.vis, &item.ident),
        _ => return None,
    };
    is_public(visibility).then_some(name)
}

/// Whether `item` gives the type or trait `owner` a public `member`: variant, field, method, associated const or type.
fn has_member(item: &Item, owner: &str, member: &str) -> bool {
    match item {
        Item::Enum(item) => {
            item.ident == owner && item.variants.iter().any(|variant| variant.ident == member)
        }
        Item::Struct(item) => item.ident == owner && has_field(&item.fields, member),
        Item::Trait(item) => {
            item.ident == owner && item.items.iter().any(|item| trait_name(item) == Some(member.to_owned()))
        }
        Item::Impl(item) => {
            let syn::Type::Path(of) = &*item.self_ty else { return false };
            let of = of.path.segments.last().is_some_and(|segment| segment.ident == owner);
            of && item
                .items
                .iter()
                .any(|inside| impl_name(inside, item.trait_.is_some()) == Some(member.to_owned()))
        }
        _ => false,
    }
}

fn has_field(fields: &Fields, name: &str) -> bool {
    fields
        .iter()
        .any(|field| is_public(&field.vis) && field.ident.as_ref().is_some_and(|ident| ident == name))
}

fn trait_name(item: &TraitItem) -> Option<String> {
    match item {
        TraitItem::Fn(item) => Some(item.sig.ident.to_string()),
        TraitItem::Const(item) => Some(item.ident.to_string()),
        TraitItem::Type(item) => Some(item.ident.to_string()),
        _ => None,
    }
}

/// The name of an impl's item that callers can reach; the items of a trait's impl are as public as the trait.
fn impl_name(item: &ImplItem, of_trait: bool) -> Option<String> {
    let (visibility, name) = match item {
        ImplItem::Fn(item) => (&item.vis, &item.sig.ident),
        ImplItem::Const(item) => (&item.vis, &item.ident),
        ImplItem::Type(item) => (&item.vis, &item.ident),
        _ => return None,
    };
    (of_trait || is_public(visibility)).then(|| name.to_string())
}

/// Items that a `macro_rules!` of the same file makes: its call must name the type, and the call or the definition the member.
fn made_by_macro(items: &[Item], path: &[&str]) -> bool {
    let macros =
        || items.iter().filter_map(|item| if let Item::Macro(item) = item { Some(item) } else { None });
    let definition =
        |call: &Macro| macros().find(|item| item.ident.as_ref().is_some_and(|name| call.path.is_ident(name)));
    let [owner, members @ ..] = path else { return false };
    macros().filter(|item| item.ident.is_none()).any(|item| {
        let call = words(&item.mac);
        let defined = definition(&item.mac).map(|item| words(&item.mac)).unwrap_or_default();
        let public = defined.contains("pub");
        let known = |member: &&str| call.contains(*member) || defined.contains(*member);
        public && call.contains(*owner) && members.len() <= 1 && members.iter().all(known)
    })
}

/// Every identifier in a macro's tokens; doc comments are strings there and do not count.
fn words(of: &Macro) -> BTreeSet<String> {
    let text = of.tokens.to_string();
    let mut words = BTreeSet::new();
    for (at, piece) in text.split('"').enumerate() {
        if at % 2 == 0 {
            let pieces = piece.split(|c: char| !c.is_alphanumeric() && c != '_');
            words.extend(pieces.filter(|word| !word.is_empty()).map(str::to_owned));
        }
    }
    words
}

fn table() -> String {
    fs::read_to_string(workspace().join("docs/parity.tsv")).expect("docs/parity.tsv")
}

#[test]
fn every_symbol_has_one_row() {
    let table = table();
    let rows = rows(&table);
    assert_eq!(rows.len(), ROWS);
    let symbols = symbols(rows.iter().map(|row| (row.kind, row.symbol)));
    assert_eq!(symbols.len(), ROWS, "a symbol has two rows");
    let digest = Sha256::digest(symbols.into_iter().collect::<String>());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, SYMBOLS, "the kind and symbol columns are the reference's and never change");
}

#[test]
fn the_digest_is_the_reference_documents() {
    // The reference table lies beside the checkout where there is one; the digest above stands for it everywhere else.
    let Ok(reference) = fs::read_to_string(workspace().join("../shared/reference/symbols.tsv")) else {
        return;
    };
    let table = table();
    let ours = symbols(rows(&table).iter().map(|row| (row.kind, row.symbol)));
    let theirs = symbols(reference.lines().skip(1).filter_map(|line| line.split_once('\t')));
    let differ: Vec<&String> = ours.symmetric_difference(&theirs).collect();
    assert!(differ.is_empty(), "in one of the two tables only: {differ:?}");
}

#[test]
fn every_row_holds() {
    let table = table();
    let rows = rows(&table);
    let faults = rows.iter().filter_map(|row| fault(row).err().map(|why| format!("{}: {why}", row.symbol)));
    let faults: Vec<String> = faults.collect();
    assert!(faults.is_empty(), "{} rows of docs/parity.tsv are wrong:\n{}", faults.len(), faults.join("\n"));
}

const SOURCE: &str = r#"
pub struct Sandbox { pub id: u8, secret: u8 }
struct Hidden;
pub enum Kind { Qemu }
pub trait Agent { fn check(&self); const PORT: u32; }
impl Sandbox { pub async fn stop(&self) {} fn private(&self) {} pub(crate) fn near(&self) {} }
impl std::fmt::Display for Sandbox { fn fmt(&self) {} }
impl<T> Wrapper<T> { pub fn get(&self) {} }
pub const LIMIT: u8 = 1;
pub fn open() {}
pub mod room { pub fn enter() {} }
macro_rules! choice { ($name:ident, $text:literal, { $($v:ident)* }) => { pub enum $name { $($v),* } impl $name { pub fn as_str(self) {} } } }
choice! { Proxy, "Fake words", { NoProxy Built } }
"#;

#[test]
fn public_items_are_found() {
    for path in [
        "Sandbox",
        "Sandbox::id",
        "Sandbox::stop",
        "Sandbox::fmt",
        "Kind::Qemu",
        "Agent::check",
        "Agent::PORT",
        "Wrapper::get",
        "LIMIT",
        "open",
        "room::enter",
        "Proxy",
        "Proxy::Built",
        "Proxy::as_str",
    ] {
        let segments: Vec<&str> = path.split("::").collect();
        assert_eq!(has(SOURCE, &segments), Ok(true), "{path}");
    }
}

#[test]
fn wrong_and_private_paths_are_refused() {
    for path in [
        "Sandboxes",
        "Sandbox::secret",
        "Sandbox::start",
        "Sandbox::private",
        "Sandbox::near",
        "Hidden",
        "Kind::Xen",
        "Agent::stop",
        "room::leave",
        "Proxy::Fake",
        "Proxy::from_str",
        "Fake",
        "Built::Proxy::x",
        "",
    ] {
        let segments: Vec<&str> = path.split("::").collect();
        assert_eq!(has(SOURCE, &segments), Ok(false), "{path}");
    }
    let root = workspace();
    assert!(find(&root, "crates/types/src/choice.rs#AgentKind::Kata").is_ok());
    assert!(find(&root, "crates/types/src/choice.rs#AgentKind::Missing").is_err());
    assert!(find(&root, "crates/types/src/no_such_file.rs#AgentKind").is_err());
    assert!(find(&root, "crates/types/src/choice.rs").is_err());
}

#[test]
fn rows_that_say_nothing_are_refused() {
    let row = |status, item, note| fault(&Row { kind: "func", symbol: "F", status, item, note });
    assert!(row("planned", "", "networking: veth").is_ok());
    assert!(row("not-needed", "", "rustix has it").is_ok());
    for (status, item, note) in [
        ("done", "", "a note"),
        ("done", "crates/types/src/lib.rs#Nothing", ""),
        ("planned", "", " "),
        ("planned", "crates/types/src/choice.rs#AgentKind", "area"),
        ("not-needed", "", ""),
        ("someday", "", "a note"),
    ] {
        assert!(row(status, item, note).is_err(), "{status} {item} {note}");
    }
}
