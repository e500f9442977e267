//! Reads a Rust source as tokens, so that comments, strings and look-alikes (`unsafe_code`) never count.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What the checks look for in a source, with its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The keyword `unsafe`.
    Unsafe(usize),
    /// `mod name;`
    ModFile(String, usize),
    /// `mod name { … }`
    ModInline(String, usize),
}

/// Every mark of the source; `None` when it is no Rust (the compiler will say why).
pub(crate) fn marks(source: &str) -> Option<Vec<Mark>> {
    // A leading `#!` line is not Rust, unless it is an inner attribute.
    let source = match source.strip_prefix("#!") {
        Some(rest) if !rest.trim_start().starts_with('[') => {
            rest.split_once('\n').map_or("", |(_, rest)| rest)
        }
        _ => source,
    };
    let mut found = Vec::new();
    walk(source.parse().ok()?, &mut found);
    Some(found)
}

fn walk(stream: TokenStream, found: &mut Vec<Mark>) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    for (at, tree) in trees.iter().enumerate() {
        match tree {
            TokenTree::Group(group) => walk(group.stream(), found),
            TokenTree::Ident(word) if *word == "unsafe" => found.push(Mark::Unsafe(word.span().start().line)),
            TokenTree::Ident(word) if *word == "mod" => found.extend(module(&trees[at + 1..])),
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn module(after: &[TokenTree]) -> Option<Mark> {
    let [TokenTree::Ident(name), next, ..] = after else { return None };
    let line = name.span().start().line;
    match next {
        TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => {
            Some(Mark::ModInline(name.to_string(), line))
        }
        TokenTree::Punct(end) if end.as_char() == ';' => Some(Mark::ModFile(name.to_string(), line)),
        TokenTree::Group(_) | TokenTree::Punct(_) | TokenTree::Ident(_) | TokenTree::Literal(_) => None,
    }
}
