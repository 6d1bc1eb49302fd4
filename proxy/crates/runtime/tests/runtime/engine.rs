//! The engine around the guests: its cache, its ways to allocate, what is shared by threads.

use std::{
    ffi::OsString,
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use weir_runtime::{
    Allocation, Artifact, Compiler, Engine, EngineSettings, Fault, Lane, LoadError, NoValues, Program, View,
    compile_for, inspect,
};

use crate::{guest::Guest, pass, settings};

fn guest() -> Vec<u8> {
    Guest::new().hook("request", "i32.const 2048").build()
}

fn engine_with(cache: &Path) -> Engine {
    Engine::new(EngineSettings { cache: Some(cache.to_owned()), instances: 8, ..EngineSettings::default() })
        .unwrap()
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
fn code_for_one_lane_is_not_taken_for_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let lane = |direct| {
        let settings = EngineSettings { cache: Some(cache.clone()), direct, ..EngineSettings::default() };
        let engine = Engine::new(settings).unwrap();
        let artifact = engine.load(&guest()).unwrap();
        works(&engine, &artifact);
        (artifact.from_cache, artifact.inspection.lane == Lane::Direct)
    };
    assert_eq!([true, false].map(lane), [(false, true), (false, false)]);
    assert_eq!([true, false].map(lane), [(true, true), (true, false)]);
    assert_eq!(files(&cache).len(), 2);
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
            Engine::with_allocation(EngineSettings { instances: 4, ..EngineSettings::default() }, allocation)
                .unwrap();
        assert_eq!(engine.allocation(), allocation);
        works(&engine, &engine.load(&guest()).unwrap());
    }
}

#[test]
fn a_pool_too_large_for_the_address_space_is_done_without() {
    let (engine, lines) = crate::log::captured(|| {
        Engine::new(EngineSettings { instances: 1 << 20, ..EngineSettings::default() }).unwrap()
    });
    assert_eq!(engine.allocation(), Allocation::OnDemand);
    assert!(lines.iter().any(|line| line.contains("on demand")), "{lines:?}");
    works(&engine, &engine.load(&guest()).unwrap());
}

#[test]
fn a_full_pool_says_so_and_recovers() {
    let engine = Engine::with_allocation(
        EngineSettings { instances: 2, ..EngineSettings::default() },
        Allocation::Pool,
    )
    .unwrap();
    let artifact = engine.load(&guest()).unwrap();
    let program = Program::<NoValues>::new(&engine, &artifact, settings()).unwrap();
    // What is called directly takes up less than a component, for which there are two places.
    let mut held: Vec<_> = (0..2).map(|_| program.instantiate("{}").unwrap().0).collect();
    let fault = loop {
        match program.instantiate("{}") {
            Ok((instance, _)) => held.push(instance),
            Err(fault) => break fault,
        }
    };
    assert!(matches!(fault, Fault::NoRoom(_)) && held.len() <= 8, "{fault:?} after {}", held.len());
    held.pop();
    assert!(program.instantiate("{}").is_ok());
}

/// Called by itself, this test is the compiler: two more arguments say where to.
#[test]
fn what_another_process_compiled_runs_here() {
    const NAME: &str = "engine::what_another_process_compiled_runs_here";
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let [.., mark, folder, instances] = arguments.as_slice()
        && mark == "--skip=everything-else"
    {
        let mut filter = Vec::new();
        std::io::stdin().read_to_end(&mut filter).unwrap();
        let instances = instances.to_str().unwrap().parse().unwrap();
        compile_for(Path::new(folder), instances, &filter).unwrap();
        return;
    }
    let arguments = vec!["--exact".into(), NAME.into(), "--skip=everything-else".into()];
    let compiler = Compiler { program: std::env::current_exe().unwrap(), arguments };
    for kept in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let cache = kept.then(|| folder.path().join("cache"));
        let engine = compiled_by(&compiler, cache.clone());
        let artifact = engine.load(&guest()).unwrap();
        assert!(!artifact.from_cache);
        assert_eq!(engine.compiled_here(), 0, "kept: {kept}");
        works(&engine, &artifact);
        assert_eq!(*artifact.inspection, inspect(&guest()).unwrap());
        assert_eq!(engine.load(&guest()).unwrap().from_cache, kept);
    }
}

#[test]
fn without_a_compiler_that_works_filters_are_compiled_here() {
    for program in ["/bin/false", "/bin/true", "/does/not/exist"] {
        let compiler = Compiler { program: program.into(), arguments: Vec::new() };
        let engine = compiled_by(&compiler, None);
        let artifact = engine.load(&guest()).unwrap();
        assert_eq!(engine.compiled_here(), 1, "{program}");
        works(&engine, &artifact);
    }
}

#[test]
fn a_filter_that_ends_the_compiler_is_refused() {
    let arguments = vec!["-c".into(), "kill -9 $$".into()];
    let engine = compiled_by(&Compiler { program: "/bin/sh".into(), arguments }, None);
    let refused = engine.load(&guest()).unwrap_err();
    assert_eq!(refused, LoadError::Compiler("ended by signal 9".to_owned()));
    assert_eq!(engine.compiled_here(), 0);
}

fn compiled_by(compiler: &Compiler, cache: Option<PathBuf>) -> Engine {
    Engine::new(EngineSettings {
        cache,
        compiler: Some(compiler.clone()),
        instances: 8,
        ..EngineSettings::default()
    })
    .unwrap()
}
