//! Keys at rest: written whole, opened by one passphrase, never overwritten.

use super::*;

#[test]
fn what_goes_into_a_vault_comes_out() {
    let dir = tempfile::tempdir().unwrap();
    let imported = Some(Imported::read(NSEC, None).unwrap());
    for (n, imported) in [None, imported].into_iter().enumerate() {
        for (lock, open) in [(locked("correct horse"), Some("correct horse")), (Lock::Plain, None)]
        {
            let path = dir.path().join(format!("{n}-{}", open.is_some()));
            let vault = Vault::at(&path);
            let secrets = Secrets { imported: imported.clone(), ..secrets() };
            vault.create(&secrets, &lock, &OsDice).unwrap();
            assert_eq!(mode(&path), 0o600);
            assert_eq!(vault.is_locked().unwrap(), open.is_some());
            let opened = vault.open(open.map(passphrase).as_ref()).unwrap();
            assert_eq!(opened.warning, None);
            assert_eq!(opened.secrets.phrase.words().join(" "), WORDS);
            assert_eq!(opened.secrets.imported.is_some(), imported.is_some());
            let a = Keys::new(&secrets, Arc::new(OsDice), Arc::new(Still));
            let b = Keys::new(&opened.secrets, Arc::new(OsDice), Arc::new(Still));
            assert_eq!(a.identity(), b.identity());
            assert_eq!(b.is_imported(), imported.is_some());
        }
    }
}

#[test]
fn a_locked_vault_shows_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    Vault::at(&a).create(&secrets(), &locked("x y"), &OsDice).unwrap();
    let imported = Some(Imported::read(NSEC, None).unwrap());
    let with = Secrets { imported, ..secrets() };
    Vault::at(&b).create(&with, &locked("x y"), &OsDice).unwrap();
    let (a, b) = (std::fs::read_to_string(a).unwrap(), std::fs::read_to_string(b).unwrap());
    for text in [&a, &b] {
        assert!(!text.contains(NSEC_HEX) && !text.contains("bleak"));
        let entropy = bip39::Mnemonic::parse(WORDS).unwrap().to_entropy();
        assert!(!text.contains(&hex::encode(entropy)));
    }
    assert_eq!(a.len(), b.len(), "the size says whether an identity was imported");
    assert_ne!(a, b);
}

#[test]
fn a_wrong_passphrase_says_so_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let vault = Vault::at(&path);
    vault.create(&secrets(), &locked("right one"), &OsDice).unwrap();
    let before = std::fs::read(&path).unwrap();
    let wrong = passphrase("wrong one");
    let refused = vault.open(Some(&wrong)).unwrap_err();
    assert_eq!(refused, VaultError::WrongPassphrase(path.clone()));
    let said = refused.to_string();
    assert!(said.contains("wrong passphrase") && said.contains("nothing was changed"), "{said}");
    let refused = vault.replace(Some(&wrong), &secrets(), &Lock::Plain, &OsDice).unwrap_err();
    assert_eq!(refused, VaultError::WrongPassphrase(path.clone()));
    assert_eq!(vault.open(None).unwrap_err(), VaultError::NeedsPassphrase(path.clone()));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn keys_are_never_overwritten_by_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let vault = Vault::at(&path);
    vault.create(&secrets(), &locked("a"), &OsDice).unwrap();
    let before = std::fs::read(&path).unwrap();
    let refused = vault.create(&secrets(), &Lock::Plain, &OsDice).unwrap_err();
    assert_eq!(refused, VaultError::Exists(path.clone()));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_passphrase_can_be_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let vault = Vault::at(&path);
    vault.create(&secrets(), &locked("old"), &OsDice).unwrap();
    vault.replace(Some(&passphrase("old")), &secrets(), &locked("new"), &OsDice).unwrap();
    assert!(vault.open(Some(&passphrase("old"))).is_err());
    assert_eq!(vault.open(Some(&passphrase("new"))).unwrap().secrets.phrase.words().len(), 24);
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn two_keyboards_type_one_passphrase() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::at(&dir.path().join("keys"));
    vault.create(&secrets(), &locked("pa\u{ff53}sp\u{e9}"), &OsDice).unwrap();
    assert!(vault.open(Some(&passphrase("passpe\u{301}"))).is_ok());
}

#[test]
fn a_file_that_others_can_read_is_refused_or_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let (plain, sealed) = (dir.path().join("plain"), dir.path().join("sealed"));
    Vault::at(&plain).create(&secrets(), &Lock::Plain, &OsDice).unwrap();
    Vault::at(&sealed).create(&secrets(), &locked("a"), &OsDice).unwrap();
    set_mode(&plain, 0o640);
    set_mode(&sealed, 0o644);
    let refused = Vault::at(&plain).open(None).unwrap_err();
    assert_eq!(refused, VaultError::OpenToOthers { path: plain, mode: 0o640 });
    assert!(refused.to_string().contains("chmod 600"));
    let opened = Vault::at(&sealed).open(Some(&passphrase("a"))).unwrap();
    assert!(opened.warning.unwrap().contains("chmod 600"));
}

#[test]
fn a_damaged_vault_is_not_guessed_at() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let vault = Vault::at(&path);
    assert_eq!(vault.open(None).unwrap_err(), VaultError::Missing(path.clone()));
    vault.create(&secrets(), &locked("a"), &OsDice).unwrap();
    let whole = std::fs::read_to_string(&path).unwrap();
    let with = |text: &str| {
        std::fs::write(&path, text).unwrap();
        vault.open(Some(&passphrase("a"))).unwrap_err()
    };
    let damaged = VaultError::Damaged(path.clone());
    for cut in 0..whole.len() - 1 {
        assert_eq!(with(&whole[..cut]), damaged, "cut at {cut}");
    }
    let newer = VaultError::UnknownVersion { path: path.clone(), v: 2 };
    assert_eq!(with(&whole.replace("\"v\": 1", "\"v\": 2")), newer);
    assert_eq!(with("{\"earnest\":\"keys\",\"v\":2,\"shape\":\"unheard of\"}"), newer);
    assert_eq!(with(&whole.replace("keys", "cake")), damaged);
    // A work factor that would eat all memory, or none.
    assert_eq!(with(&whole.replace("\"log_n\": 10", "\"log_n\": 63")), damaged);
    assert_eq!(with(&whole.replace("\"log_n\": 10", "\"log_n\": 1")), damaged);
    let wrong = VaultError::WrongPassphrase(path.clone());
    assert_eq!(with(&whole.replace("\"log_n\": 10", "\"log_n\": 11")), wrong);
    assert_eq!(with(&"x".repeat(1 << 20)), damaged);
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert_eq!(vault.open(None).unwrap_err(), damaged);
    std::fs::write(&path, &whole).unwrap();
    assert!(vault.open(Some(&passphrase("a"))).is_ok());
}

#[test]
fn a_passphrase_is_found_where_it_was_put() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::at(&dir.path().join("keys"));
    vault.create(&secrets(), &locked("from a file"), &OsDice).unwrap();
    let file = dir.path().join("pass");
    std::fs::write(&file, "from a file\n").unwrap();
    set_mode(&file, 0o600);
    let found = find(Some(&file), None).unwrap();
    assert!(vault.open(found.as_ref()).is_ok());
    // systemd: LoadCredential=earnest-passphrase:...
    let credentials = dir.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    assert!(find(None, Some(&credentials)).unwrap().is_none());
    std::fs::write(credentials.join(CREDENTIAL), "from a file").unwrap();
    set_mode(&credentials.join(CREDENTIAL), 0o440);
    let found = find(None, Some(&credentials)).unwrap();
    assert!(vault.open(found.as_ref()).is_ok());
    assert!(find(None, None).unwrap().is_none());
    // What must not be used.
    set_mode(&file, 0o644);
    let refused = find(Some(&file), None).unwrap_err();
    assert_eq!(refused, PassphraseError::OpenToOthers { path: file.clone(), mode: 0o644 });
    set_mode(&file, 0o600);
    std::fs::write(&file, " \n").unwrap();
    assert_eq!(find(Some(&file), None).unwrap_err(), PassphraseError::Empty);
    std::fs::write(&file, "x".repeat(5000)).unwrap();
    assert_eq!(find(Some(&file), None).unwrap_err(), PassphraseError::Form(file.clone()));
    let missing = dir.path().join("missing");
    assert!(matches!(find(Some(&missing), None), Err(PassphraseError::Io { .. })));
}
