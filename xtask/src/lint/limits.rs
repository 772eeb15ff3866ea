//! The tests named in `docs/limits.md`: each row has one, and each that is named exists.

use std::path::Path;

use crate::process::read;
use crate::session::{Log, root};

const PAGE: &str = "docs/limits.md";

/// Every row; each breach is a line of the log.
pub fn have_tests(log: &Log) -> Result<(), String> {
    let mut wrong = 0;
    for (limit, tests) in rows(&read(&root().join(PAGE))?)? {
        let missing: Vec<String> = match tests.as_slice() {
            [] => vec!["no test".into()],
            tests => {
                tests.iter().filter(|test| !exists(test)).map(|test| format!("there is no {test}")).collect()
            }
        };
        for what in missing {
            log.line(&format!("{PAGE}: {limit}: {what}"));
            wrong += 1;
        }
    }
    if wrong == 0 { Ok(()) } else { Err(format!("{wrong} limits without a test that holds them")) }
}

/// The limits of the page's table, and the tests named in the last cell of each: `file::test`, in backticks.
fn rows(page: &str) -> Result<Vec<(String, Vec<String>)>, String> {
    let table: Vec<&str> = page.lines().skip_while(|line| !line.starts_with("| limit ")).collect();
    let rows: Vec<_> = table
        .iter()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let named = cells.last().into_iter().flat_map(|cell| cell.split('`').skip(1).step_by(2));
            let tests = named.filter(|text| text.contains("::")).map(str::to_owned).collect();
            (cells.first().copied().unwrap_or_default().to_owned(), tests)
        })
        .collect();
    if rows.is_empty() { Err(format!("{PAGE} has no table of limits")) } else { Ok(rows) }
}

fn exists(test: &str) -> bool {
    let Some((file, name)) = test.split_once("::") else { return false };
    let declared = match Path::new(file).extension().and_then(|extension| extension.to_str()) {
        Some("rs") => format!("fn {name}("),
        Some("swift") => format!("func {name}("),
        Some("json") => format!("\"name\": \"{name}\""),
        _ => return false,
    };
    read(&root().join(file)).is_ok_and(|text| text.contains(&declared))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_name_their_tests() {
        let page = "# Limits\n\n| limit | test |\n| --- | --- |\n| `a` | `x.rs::y`, `z.rs::w` |\n| b | `maxB` |\n\n| other |";
        let found = rows(page).expect("a table");
        assert_eq!(found[0], ("`a`".into(), vec!["x.rs::y".into(), "z.rs::w".into()]));
        assert_eq!(found[1], ("b".into(), vec![]));
        assert_eq!(found.len(), 2);
        assert!(rows("no table").is_err());
    }

    #[test]
    fn a_test_exists_by_its_file_and_name() {
        assert!(exists("xtask/src/lint/limits.rs::a_test_exists_by_its_file_and_name"));
        assert!(exists("tests/vectors/hostile.json::ten thousand levels are too deep"));
        for wrong in
            ["xtask/src/lint/limits.rs::a_test", "xtask/src/lint/none.rs::rows", "rows_name_their_tests"]
        {
            assert!(!exists(wrong), "{wrong}");
        }
    }
}
