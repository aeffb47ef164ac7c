//! `new`: what it writes. That it builds is tested with the guide.

use std::fs;

use crate::ran;

#[tokio::test]
async fn a_new_driver_is_complete_and_never_overwrites() {
    for (language, file) in
        [("rust", "src/lib.rs"), ("python", "driver.py"), ("javascript", "driver.js")]
    {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("moons");
        let path = folder.display().to_string();
        let arguments = ["new", "moons", "--language", language, "--path", &path];
        let new = ran(&arguments).await;
        assert_eq!(new.code, Some(0), "{new:?}");
        for needed in [file, "README.md", "wit/datasource.wit"] {
            assert!(folder.join(needed).is_file(), "{language}: {needed}");
        }
        let source = fs::read_to_string(folder.join(file)).unwrap();
        assert!(source.contains("\"moons\"") && source.lines().count() < 60, "{source}");

        let again = ran(&arguments).await;
        assert_eq!(again.code, Some(1), "{again:?}");
        assert!(again.err.contains("is there already"), "{}", again.err);
    }
    let word = ran(&["new", "fn", "--language", "rust"]).await;
    assert!(word.err.contains("'fn' is a word of Rust"), "{}", word.err);
    let bad = ran(&["new", "My-Cloud", "--language", "rust"]).await;
    assert!(bad.err.contains("cannot be a driver's id"), "{}", bad.err);
}
