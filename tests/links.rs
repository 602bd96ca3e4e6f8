// SPDX-License-Identifier: MIT
//! The pages: that what they link is there.

use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

/// All pages, from the root of the sources.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["", "docs"].map(|folder| fs::read_dir(root.join(folder)).expect("a folder"));
    let paths = files.into_iter().flatten().map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// What a page links, pictures too, but for what is not of these sources.
fn links(page: &str) -> Vec<String> {
    let link = |event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.to_string()),
        _ => None,
    };
    Parser::new(page).filter_map(link).filter(|link| !link.contains("://")).collect()
}

/// The names by which the headings of a page can be linked, made as GitHub and GitLab make them.
fn anchors(page: &str) -> Vec<String> {
    let (mut anchors, mut inside) = (Vec::new(), false);
    for event in Parser::new(page) {
        match event {
            Event::Start(Tag::Heading { .. }) => {
                inside = true;
                anchors.push(String::new());
            }
            Event::End(TagEnd::Heading(_)) => inside = false,
            Event::Text(text) | Event::Code(text) if inside => {
                let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
                let name = kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c });
                anchors.last_mut().expect("a heading").extend(name);
            }
            _ => (),
        }
    }
    anchors
}

/// Whether a link of `page` leads to a file, and to a heading of it if it names one.
fn leads_somewhere(page: &Path, link: &str) -> bool {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let file = if path.is_empty() { page.to_owned() } else { page.with_file_name(path) };
    let has_anchor = || fs::read_to_string(&file).is_ok_and(|text| anchors(&text).iter().any(|name| name == anchor));
    file.exists() && (anchor.is_empty() || has_anchor())
}

#[test]
fn each_leads_somewhere() {
    let mut checked = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("text");
        for link in links(&text) {
            assert!(leads_somewhere(&page, &link), "{} links {link}, which is not there", page.display());
            checked += 1;
        }
    }
    assert!(checked > 0);
}

#[test]
fn each_page_of_docs_is_linked_by_the_readme() {
    let linked = links(include_str!("../README.md"));
    for page in pages().iter().filter(|page| page.parent().is_some_and(|folder| folder.ends_with("docs"))) {
        let name = format!("docs/{}", page.file_name().expect("a file").to_string_lossy());
        assert!(linked.contains(&name), "{name} is not in README.md");
    }
}
