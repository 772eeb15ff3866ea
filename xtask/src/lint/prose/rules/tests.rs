use super::*;

fn lines(found: &[Breach]) -> Vec<usize> {
    found.iter().map(|breach| breach.line).collect()
}

#[test]
fn only_the_first_line_of_a_doc_comment_counts() {
    let text = "//! Where it is.\n\n/// The name,\n/// which is short.\nfn a() {}\n\n/// Whether it is so.\n// What is no doc comment.\n";
    assert_eq!(lines(&comments("a.rs", "rs", text)), [1, 7]);
    assert_eq!(lines(&comments("a.swift", "swift", text)), [7]);
}

#[test]
fn openers_are_whole_words_in_any_case_and_markup() {
    for text in ["What is sent.", "`which` one", "**How** it works", "what's new", "WHERE"] {
        assert!(asks(text), "{text}");
    }
    for text in ["Whatever", "However, not", "Returns what it was", "", "1 where"] {
        assert!(!asks(text), "{text}");
    }
}

#[test]
fn python_docstrings_follow_a_head() {
    let text = "\"\"\"Who calls.\"\"\"\n\ndef f(\n    a: int,\n) -> str:\n    # A note.\n    \"\"\"How it goes.\"\"\"\n    x = \"\"\"\nWhat is data.\n\"\"\"\n";
    assert_eq!(lines(&comments("a.py", "py", text)), [1, 7]);
}

#[test]
fn block_comments_open_on_their_first_or_second_line() {
    let text = "/** Which one. */\n/**\n * Whose it is.\n */\n  /** How. */\n/* What. */\n/**\n * A name,\n * whose end.\n */\n";
    assert_eq!(lines(&comments("a.ts", "ts", text)), [1, 3, 5]);
    let text = "/* What. */\nint a;\n/*\n * Who.\n */\n    /* Where. */\n/**/\nWhat\n";
    assert_eq!(lines(&comments("a.h", "h", text)), [1, 4]);
}

#[test]
fn generated_comments_are_checked_at_their_source() {
    let text = "[[function]]\nname = \"x\"\ndoc = \"Whether it is so.\"\nwhat = 1\n";
    assert_eq!(lines(&comments("bindings/surface.toml", "toml", text)), [3]);
}

#[test]
fn rust_test_names() {
    let long = "a".repeat(61);
    let text = format!(
        "#[test]\nfn what_is_kept() {{}}\n#[tokio::test(flavor = \"x\")]\n#[ignore]\nasync fn {long}() {{}}\n#[test]\nfn whatever_is_kept() {{}}\nfn who_is_no_test() {{}}\n"
    );
    assert_eq!(lines(&test_names("a.rs", "rs", &text)), [2, 5]);
}

#[test]
fn names_of_the_other_test_frameworks() {
    let python = "def test_where_it_is():\n    pass\n\ndef test_the_place():\n    pass\n";
    assert_eq!(lines(&test_names("a.py", "py", python)), [1]);
    let node = "test(\"which one is taken\", () => {});\ntest(\"one is taken\", () => {});\n";
    assert_eq!(lines(&test_names("a.test.mjs", "mjs", node)), [1]);
    let swift =
        "@Test func whoAsks() {}\n@Test(arguments: [1])\nfunc howItIs(_ n: Int) {}\nfunc whatHelps() {}\n";
    assert_eq!(lines(&test_names("A.swift", "swift", swift)), [1, 3]);
    let c = "        TEST(who_asks),\n        TEST(requests),\n";
    assert_eq!(lines(&test_names("tests/c/test_a.c", "c", c)), [1]);
    assert!(test_names("examples/c/a.c", "c", c).is_empty());
    let json =
        "{\"cases\": [\n{\"name\": \"what is sent\"},\n{\"name\": \"a call\", \"x\": {\"name\": \"who\"}}]}";
    assert_eq!(lines(&test_names("tests/vectors/a.json", "json", json)), [2]);
}

#[test]
fn wide_lines_are_prose_only() {
    let wide = "word ".repeat(30);
    let page = format!("{wide}\n| {wide} |\n```\n{wide}\n```\n    {wide}\nshort\n");
    assert_eq!(lines(&pages("a.md", &page)), [1]);
    let linked = format!(
        "See [the page](https://example.org/{}) and https://example.org/{}",
        "a".repeat(90),
        "b".repeat(90)
    );
    assert!(pages("a.md", &linked).is_empty());
}

#[test]
fn retired_words_are_found_outside_code() {
    let page = "The client IS TOLD.\n`is told` is code.\n```\nis told\n```\nThis told nobody.\n| Whoever calls | x |\n";
    let found = pages("a.md", page);
    assert_eq!(lines(&found), [1, 7]);
    assert!(found.iter().all(|breach| breach.rule == RETIRED_WORD));
    assert!(pages("docs/style.md", page).is_empty());
}
