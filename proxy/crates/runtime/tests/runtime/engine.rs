//! The engine around the guests: its cache, its ways to allocate, what is shared by threads.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use weir_runtime::{Allocation, Artifact, Engine, EngineSettings, Fault, NoValues, Program, View, inspect};

use crate::{guest::Guest, pass, settings};

fn guest() -> Vec<u8> {
    Guest::new().hook("request", "i32.const 2048").build()
}

fn engine_with(cache: &Path) -> Engine {
    Engine::new(EngineSettings { cache: Some(cache.to_owned()), instances: 8 }).unwrap()
}

fn works(engine: &Engine, artifact: &Artifact) {
    let program = Program::<NoValues>::new(engine, artifact, settings()).unwrap();
    let (mut instance, _) = program.instantiate("{}").unwrap();
    assert_eq!(instance.on_request(1, &View::new(), &mut NoValues), Ok(pass()));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn compiled_code_is_taken_from_the_cache_by_another_engine() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("a/b");
    let first = engine_with(&cache);
    let compiled = first.load(&guest()).unwrap();
    assert!(!compiled.from_cache);
    works(&first, &compiled);
    let second = engine_with(&cache);
    let cached = second.load(&guest()).unwrap();
    assert!(cached.from_cache);
    assert_eq!((cached.sha256, cached.exports), (compiled.sha256, compiled.exports));
    assert_eq!(cached.inspection, compiled.inspection);
    assert_eq!(*cached.inspection, inspect(&guest()).unwrap());
    works(&second, &cached);
    let files = files(&cache);
    assert_eq!(files.len(), 1, "nothing temporary stays: {files:?}");
    assert_eq!(fs::metadata(&files[0]).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_damaged_file_is_compiled_anew_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    engine_with(&cache).load(&guest()).unwrap();
    let file = files(&cache).remove(0);
    let whole = fs::read(&file).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let damaged = [
        Vec::new(),
        vec![0; 20],
        whole[..whole.len() / 2].to_vec(),
        flipped(0),
        flipped(whole.len() / 2),
        flipped(whole.len() - 1),
        flipped(whole.len() - 20),
        [&whole[..], &[0]].concat(),
    ];
    for (i, bytes) in damaged.iter().enumerate() {
        fs::write(&file, bytes).unwrap();
        let engine = engine_with(&cache);
        let artifact = engine.load(&guest()).unwrap();
        assert!(!artifact.from_cache, "damage {i}");
        works(&engine, &artifact);
        assert!(engine.load(&guest()).unwrap().from_cache, "damage {i} was replaced");
    }
}

#[test]
fn a_file_that_others_may_write_is_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    engine_with(&cache).load(&guest()).unwrap();
    let file = files(&cache).remove(0);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(!engine_with(&cache).load(&guest()).unwrap().from_cache);
}

#[test]
fn a_folder_that_others_may_enter_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let open = folder.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    let link = folder.path().join("link");
    let private = folder.path().join("private");
    fs::create_dir(&private).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink(&private, &link).unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for unusable in [&open, &link, &file] {
        let (engine, lines) = crate::log::captured(|| engine_with(unusable));
        assert!(lines.iter().any(|line| line.contains("not cached")), "{unusable:?}: {lines:?}");
        works(&engine, &engine.load(&guest()).unwrap());
    }
    assert!(files(&open).is_empty() && files(&private).is_empty());
}

#[test]
fn every_way_to_allocate_runs_the_same_filters() {
    for allocation in [Allocation::Pool, Allocation::OnDemand, Allocation::Compact] {
        let engine =
            Engine::with_allocation(EngineSettings { cache: None, instances: 4 }, allocation).unwrap();
        assert_eq!(engine.allocation(), allocation);
        works(&engine, &engine.load(&guest()).unwrap());
    }
}

#[test]
fn a_pool_too_large_for_the_address_space_is_done_without() {
    let (engine, lines) =
        crate::log::captured(|| Engine::new(EngineSettings { cache: None, instances: 1 << 20 }).unwrap());
    assert_eq!(engine.allocation(), Allocation::OnDemand);
    assert!(lines.iter().any(|line| line.contains("on demand")), "{lines:?}");
    works(&engine, &engine.load(&guest()).unwrap());
}

#[test]
fn a_full_pool_says_so_and_recovers() {
    let engine =
        Engine::with_allocation(EngineSettings { cache: None, instances: 2 }, Allocation::Pool).unwrap();
    let artifact = engine.load(&guest()).unwrap();
    let program = Program::<NoValues>::new(&engine, &artifact, settings()).unwrap();
    let mut held: Vec<_> = (0..2).map(|_| program.instantiate("{}").unwrap().0).collect();
    assert!(matches!(program.instantiate("{}").err(), Some(Fault::NoRoom(_))));
    held.pop();
    assert!(program.instantiate("{}").is_ok());
}
