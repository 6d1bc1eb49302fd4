//! Texts that are kept beside the tests and compared, or renewed when `WEIR_BLESS=1` is set.

use std::path::Path;

/// # Panics
/// When the file holds something else.
#[track_caller]
pub(crate) fn compare(path: &Path, made: &str) {
    if std::env::var_os("WEIR_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(path, made).expect("the folder exists");
        return;
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let hint = "to accept what is made now: WEIR_BLESS=1 cargo test -p weir-config";
    assert!(kept == made, "{} differs; {hint}\n--- kept\n{kept}\n--- made\n{made}", path.display());
}
