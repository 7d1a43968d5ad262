use std::os::unix::fs::PermissionsExt;

use super::*;

fn read(path: &Path) -> Result<Secret, ConfigError> {
    from_file(path, "some.file")
}

#[test]
fn a_file_is_read_up_to_its_last_line_break() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "of-a-file-1\r\n").unwrap();
    assert_eq!(read(&path).unwrap().expose(), "of-a-file-1");
    // What is given out from here on is hidden everywhere.
    assert_eq!(foreign_text::without_secrets("x of-a-file-1"), "x [redacted]");
    std::os::unix::fs::symlink(&path, folder.path().join("link")).unwrap();
    assert!(read(&folder.path().join("link")).is_ok());
}

#[test]
fn what_is_no_file_of_a_secret_ends_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let large = folder.path().join("large");
    std::fs::write(&large, "x".repeat(70_000)).unwrap();
    let binary = folder.path().join("binary");
    std::fs::write(&binary, b"\xff\xfe").unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    for (path, said) in [
        (fifo.as_path(), "no regular file"),
        (Path::new("/dev/zero"), "no regular file"),
        (folder.path(), "no regular file"),
        (large.as_path(), "64 KiB"),
        (binary.as_path(), "UTF-8"),
        (empty.as_path(), "is empty"),
        (Path::new("/nowhere/at/all"), "can't be read"),
    ] {
        let message = read(path).unwrap_err().0;
        assert!(message.contains("`some.file`") && message.contains(said), "{message}");
        assert!(!message.contains(path.to_str().unwrap()), "{message}");
    }
}

#[test]
fn a_file_that_others_may_read_is_read_and_noticed() {
    let folder = tempfile::tempdir().unwrap();
    for (mode, others) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
        let path = folder.path().join(format!("{mode:o}"));
        std::fs::write(&path, "anything-at-all").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        read(&path).unwrap();
        assert_eq!(may_be_read_by_others(&path.metadata().unwrap()), others, "{mode:o}");
    }
}

#[test]
fn names_that_no_variable_can_have_are_no_panic() {
    for name in ["", "a=b", "a\0b", "M365_NOT_THERE_AT_ALL"] {
        let message = from_env(name, "key.env").unwrap_err().0;
        assert!(message.contains("`key.env`"), "{message}");
    }
}
