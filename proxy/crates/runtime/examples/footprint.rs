//! What filters cost an idle process, and how long they take to come up:
//! `cargo run --release -p weir-runtime --example footprint -- CACHE FILE CONFIG [FILE CONFIG]...`.
//!
//! Loads each file, makes as many instances of it as two workers would, shows each one request and then
//! does nothing. Run it twice with one cache folder: the first start compiles, the second does not.
//! Told are the time each step took, and the memory after it.

#![allow(clippy::print_stdout, reason = "a measuring program")]

use std::{
    cell::Cell,
    env, fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use weir_runtime::{
    Buckets, Compiler, Engine, EngineSettings, HookSet, Instance, Limits, NoValues, Program, ProgramSettings,
    Shared, SharedSettings, View, compile_for,
};

/// What the proxy allocates with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WORKERS: usize = 2;
/// As the first argument: be the process that compiles.
const COMPILE: &str = "compile";

fn main() {
    // As the proxy does.
    _ = rustix::thread::disable_transparent_huge_pages(true);
    let mut arguments = env::args().skip(1);
    let cache = arguments.next().map(PathBuf::from);
    let rest: Vec<String> = arguments.collect();
    if cache.as_deref() == Some(Path::new(COMPILE)) {
        return compile(&rest[0], &rest[1]);
    }
    let compiler = Some(Compiler { program: "/proc/self/exe".into(), arguments: vec![COMPILE.into()] });
    let begin = Cell::new(Instant::now());
    let tell = |step: &str| {
        let took = begin.get().elapsed().as_secs_f64() * 1e3;
        println!("{step:<24} {took:>8.2} ms   {}", resident());
        begin.set(Instant::now());
    };
    tell("nothing");
    let engine = Engine::new(EngineSettings { cache, compiler, instances: 64, ..EngineSettings::default() })
        .expect("an engine");
    tell("engine");
    let programs: Vec<(Program<NoValues>, &str)> = rest
        .chunks_exact(2)
        .map(|pair| {
            let program = load(&engine, &pair[0]);
            tell(if program.artifact().from_cache { "  from the cache" } else { "  compiled" });
            (program, pair[1].as_str())
        })
        .collect();
    let instances: Vec<Instance<NoValues>> = (0..WORKERS)
        .flat_map(|_| &programs)
        .map(|(program, config)| program.instantiate(config).expect("starts").0)
        .collect();
    tell("instances");
    let instances: Vec<Instance<NoValues>> = instances.into_iter().map(show_one_request).collect();
    tell("a request to each");
    let instances: Vec<Instance<NoValues>> = instances.into_iter().map(show_one_request).collect();
    tell("one more");
    let memory: usize = instances.iter().map(Instance::memory_bytes).sum();
    println!("{} instances, {} KiB of linear memory in all", instances.len(), memory >> 10);
}

fn compile(folder: &str, instances: &str) {
    let mut filter = Vec::new();
    io::stdin().read_to_end(&mut filter).expect("the filter can be read");
    compile_for(Path::new(folder), instances.parse().expect("a number"), &filter).expect("compiles");
}

fn load(engine: &Engine, file: &str) -> Program<NoValues> {
    let settings = ProgramSettings {
        name: "footprint".into(),
        limits: Limits::default(),
        shared: Arc::new(Shared::new(SharedSettings::default())),
        buckets: Arc::new(Buckets::default()),
    };
    let artifact = engine.load(&fs::read(file).expect("the file can be read")).expect("loads");
    Program::new(engine, &artifact, settings).expect("links")
}

/// Of values it knows nothing, so what it decides does not matter.
fn show_one_request(mut instance: Instance<NoValues>) -> Instance<NoValues> {
    if instance.program().exports().contains(HookSet::REQUEST) {
        let mut view = View::new();
        (0..8).for_each(|_| view.push(None));
        if let Err(fault) = instance.on_request(1, &view, &mut NoValues) {
            println!("{fault}");
        }
    }
    instance
}

/// Resident memory as the kernel counts it, and the part that is this process's alone.
fn resident() -> String {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").expect("procfs");
    let kib = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or_default()
    };
    let (all, anonymous) = (kib("Rss:"), kib("Anonymous:"));
    format!("{all:>7} KiB resident, {anonymous:>6} KiB of it anonymous")
}
