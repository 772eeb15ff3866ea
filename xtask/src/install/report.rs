//! Sizes of packages and times of installing them, for the README.

use std::path::Path;

use super::Place;

const BEGIN: &str = "<!-- sizes: written by `cargo xtask test install --packages target/dist --readme` -->";
const END: &str = "<!-- /sizes -->";

/// The README with the table in the place of the one it has.
pub fn replace(readme: &str, table: &str) -> Result<String, String> {
    let begin = readme.find(BEGIN).ok_or(format!("README.md has no line {BEGIN}"))? + BEGIN.len();
    let end = readme[begin..].find(END).ok_or(format!("README.md has no line {END}"))? + begin;
    Ok(format!("{}\n\n{table}\n{}", &readme[..begin], &readme[end..]))
}

/// A row for each kind of package: the size of the download, and the longest installation time.
pub fn table(place: &Place, times: &[(&str, f64)]) -> Result<String, String> {
    let triple = crate::dist::target::Target::host()?;
    let c = format!("trunnion-c-{}-{}", place.version, triple.triple);
    let swift = format!("trunnion-swift-{}-{}", place.version, triple.triple);
    let rows = [
        ("Python wheel", "python", place.package("trunnion-", ".whl")?),
        ("npm, both packages", "node", place.package(&format!("trunnion-{}-", triple.npm), ".tgz")?),
        ("C archive", "c", place.package(&c, ".tar.gz")?),
        ("Swift archive", "swift", place.package(&swift, ".tar.gz")?),
    ];
    let mut text = format!("| on {} | download | install |\n| --- | --- | --- |\n", triple.triple);
    for (name, kind, file) in rows {
        let mut size = length(&file)?;
        if kind == "node" {
            size += length(&place.package(&format!("trunnion-{}", place.version), ".tgz")?)?;
        }
        let slowest =
            times.iter().filter(|(known, _)| *known == kind).map(|(_, time)| *time).reduce(f64::max);
        let time = slowest.map_or_else(|| "unpack".into(), |time| format!("{time:.1} s"));
        text.push_str(&format!("| {name} | {:.1} MB | {time} |\n", size as f64 / 1e6));
    }
    Ok(text)
}

fn length(file: &Path) -> Result<u64, String> {
    std::fs::metadata(file).map(|meta| meta.len()).map_err(|e| format!("{}: {e}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, END, replace};

    #[test]
    fn table_takes_the_place_of_the_old_one() {
        let readme = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let new = replace(&readme, "| x |\n").expect("the marks are there");
        assert_eq!(new, format!("a\n{BEGIN}\n\n| x |\n\n{END}\nb\n"));
        assert_eq!(replace(&new, "| x |\n").as_ref(), Ok(&new), "writing it again changes nothing");
        assert!(replace("no marks", "").is_err());
    }
}
