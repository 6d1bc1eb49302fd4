//! Guests written by hand: core modules in WAT that carry a component type, so that a test can do what
//! no toolchain would let it do.

use std::{collections::BTreeSet, fmt::Write as _};

use weir_runtime::Decision;
use wit_component::StringEncoding;
use wit_parser::Resolve;

const POLICY_WIT: &str = include_str!("../../../../../wit/policy.wit");

/// Hook, its function, its parameters; each but `complete` answers with the address of a decision or verdict.
const HOOKS: [(&str, &str, &str); 6] = [
    ("connection", "on-connection", "(param $view i32)"),
    (
        "request",
        "on-request",
        "(param $id i64) (param $at i32) (param $n i32) (param $bytes i32) (param $len i32)",
    ),
    (
        "request-body",
        "on-request-body",
        "(param $id i64) (param $memo i64) (param $body i32) (param $len i32)",
    ),
    (
        "answer",
        "on-answer",
        "(param $id i64) (param $memo i32) (param $memo-len i32) (param $failed i32) (param $status i32) \
         (param $fields i32) (param $fields-len i32) (param $body i32) (param $len i32)",
    ),
    (
        "response",
        "on-response",
        "(param $id i64) (param $memo i64) (param $status i32) (param $at i32) (param $n i32) (param $bytes i32) \
         (param $len i32)",
    ),
    (
        "complete",
        "on-complete",
        "(param $id i64) (param $memo i64) (param $status i32) (param $has-cluster i32) (param $cluster i32) \
         (param $attempts i32) (param $local i32) (param $aborted i32) (param $total-us i64) \
         (param $upstream-us i64) (param $now-ms i64)",
    ),
];

/// Where a decision of zeros lies: pass, change nothing. It is a verdict, too.
pub(crate) const PASS: u32 = 2048;
/// Where tests may write a decision of their own.
pub(crate) const DECISION: u32 = 4096;
/// Where `configure` finds its answer.
pub(crate) const INTEREST: u32 = 1024;

/// Code that answers 200 with the bytes at an address as body.
pub(crate) fn reply(pointer: &str, length: &str) -> String {
    let at = |offset: u32| DECISION + offset;
    format!(
        "(i32.store (i32.const {}) (i32.const 1)) (i32.store16 (i32.const {}) (i32.const 200)) \
         (i32.store (i32.const {}) {pointer}) (i32.store (i32.const {}) {length}) (i32.const {DECISION})",
        at(0),
        at(8),
        at(20),
        at(24),
    )
}

/// The body of such an answer.
pub(crate) fn body_of(decision: &Decision) -> &[u8] {
    let Decision::Answer(reply) = decision else { panic!("no answer: {decision:?}") };
    &reply.body
}

/// Builds a guest. Everything not said is the least that the contract demands.
#[derive(Clone)]
pub(crate) struct Guest {
    hooks: Vec<(&'static str, String)>,
    wanted: Option<u8>,
    /// Imported, with package and version.
    interfaces: BTreeSet<String>,
    /// Further packages that imports come from.
    wit: &'static str,
    imports: String,
    configure: String,
    update: String,
    data: String,
    items: String,
    allocated: String,
    afterwards: String,
    pages: u32,
    encoding: StringEncoding,
    contract: String,
}

impl Guest {
    pub(crate) fn new() -> Self {
        Self {
            hooks: Vec::new(),
            wanted: None,
            interfaces: BTreeSet::new(),
            wit: "",
            imports: String::new(),
            configure: format!("i32.const {INTEREST}"),
            update: "i32.const 1200".to_owned(),
            data: String::new(),
            items: String::new(),
            allocated: "(local.get $at)".to_owned(),
            afterwards: String::new(),
            pages: 2,
            encoding: StringEncoding::UTF8,
            contract: POLICY_WIT.to_owned(),
        }
    }

    /// Exports a hook that runs this code, which leaves the address of a decision.
    pub(crate) fn hook(mut self, name: &'static str, code: impl Into<String>) -> Self {
        self.hooks.push((name, code.into()));
        self
    }

    /// The bits of `hooks` that `configure` answers; else those of the hooks that are exported.
    pub(crate) fn wants(mut self, hooks: u8) -> Self {
        self.wanted = Some(hooks);
        self
    }

    /// Packages of other owners, to import from.
    pub(crate) fn with_wit(mut self, wit: &'static str) -> Self {
        self.wit = wit;
        self
    }

    /// Imports a function of `weir:policy/INTERFACE` as `$NAME`.
    pub(crate) fn import(self, interface: &str, name: &str, signature: &str) -> Self {
        self.import_as(name, &format!("weir:policy/{interface}@0.1.0"), name, signature)
    }

    /// Imports a function of any interface.
    pub(crate) fn import_as(mut self, local: &str, interface: &str, name: &str, signature: &str) -> Self {
        self.interfaces.insert(interface.to_owned());
        _ = writeln!(self.imports, r#"(import "{interface}" "{name}" (func ${local} {signature}))"#);
        self
    }

    /// Runs in `configure` before it answers.
    pub(crate) fn configure(mut self, code: &str) -> Self {
        self.configure = format!("{code}\ni32.const {INTEREST}");
        self
    }

    /// Runs in `update` and leaves the address of its answer (1200: fine).
    pub(crate) fn update(mut self, code: &str) -> Self {
        self.update = code.to_owned();
        self
    }

    /// Text in memory.
    pub(crate) fn data(self, address: u32, text: &str) -> Self {
        self.bytes(address, text.as_bytes())
    }

    /// Bytes in memory.
    pub(crate) fn bytes(mut self, address: u32, bytes: &[u8]) -> Self {
        let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        _ = writeln!(self.data, r#"(data (i32.const {address}) "{escaped}")"#);
        self
    }

    /// Further functions and globals.
    pub(crate) fn items(mut self, wat: &str) -> Self {
        self.items.push_str(wat);
        self
    }

    /// Answers every allocation with this address.
    pub(crate) fn misplaces(mut self, address: &str) -> Self {
        self.allocated = address.to_owned();
        self
    }

    /// Runs this code when the answer of a hook was read.
    pub(crate) fn afterwards(mut self, code: &str) -> Self {
        self.afterwards = code.to_owned();
        self
    }

    /// Takes text in another encoding.
    pub(crate) fn encoded(mut self, encoding: StringEncoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// Is built for a contract in which this is otherwise.
    pub(crate) fn misread(mut self, from: &str, to: &str) -> Self {
        assert!(self.contract.contains(from), "{from}");
        self.contract = self.contract.replace(from, to);
        self
    }

    /// Is built for the contract as it was before there was `connection`.
    pub(crate) fn built_before_connections(self) -> Self {
        let flag = self.contract.lines().find(|line| line.trim() == "connection,").unwrap().to_owned() + "\n";
        self.misread(&flag, "")
    }

    /// Pages of memory to begin with.
    pub(crate) fn pages(mut self, pages: u32) -> Self {
        self.pages = pages;
        self
    }

    /// The core module with its component type.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.wat()).unwrap();
        let mut resolve = Resolve::default();
        resolve.push_str("policy.wit", &self.contract).unwrap();
        let world = format!("{}\n{}", self.world(), self.wit);
        let package = resolve.push_str("guest.wit", &world).unwrap();
        let world = resolve.select_world(&[package], None).unwrap();
        wit_component::embed_component_metadata(&mut module, &resolve, world, self.encoding).unwrap();
        module
    }

    fn world(&self) -> String {
        let mut world = String::from("package test:guest;\nworld guest {\n");
        for interface in &self.interfaces {
            _ = writeln!(world, "import {interface};");
        }
        for interface in self.hooks.iter().map(|(name, _)| *name).chain(["lifecycle"]) {
            _ = writeln!(world, "export weir:policy/{interface}@0.1.0;");
        }
        world + "}\n"
    }

    fn wat(&self) -> String {
        let Self { imports, configure, update, data, items, allocated, afterwards, pages, .. } = self;
        let mut hooks = String::new();
        let mut exported = 0;
        for (name, code) in &self.hooks {
            let (_, function, parameters) = HOOKS.iter().find(|(known, ..)| known == name).unwrap();
            let export = format!("weir:policy/{name}@0.1.0#{function}");
            let bits =
                [("request", 1), ("request-body", 2), ("response", 4), ("complete", 8), ("connection", 16)];
            exported |= bits.iter().find(|(known, _)| known == name).map_or(0, |(_, bit)| *bit);
            if *name == "complete" {
                _ = writeln!(hooks, r#"(func (export "{export}") {parameters} {code})"#);
            } else {
                _ = writeln!(hooks, r#"(func (export "{export}") {parameters} (result i32) {code})"#);
                _ = writeln!(
                    hooks,
                    r#"(func (export "cabi_post_{export}") (param i32) (call $reset) {afterwards})"#
                );
            }
        }
        let wanted = self.wanted.unwrap_or(exported);
        format!(
            r#"(module
{imports}
(memory (export "memory") {pages})
(global $heap (mut i32) (i32.const 8192))
(func $reset (global.set $heap (i32.const 8192)))
(func $alloc (export "cabi_realloc") (param $old i32) (param $was i32) (param $align i32) (param $size i32) (result i32)
  (local $at i32)
  (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
  (global.set $heap (i32.add (local.get $at) (local.get $size)))
  (loop $more
    (if (i32.gt_u (global.get $heap) (i32.shl (memory.size) (i32.const 16)))
      (then
        (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))
        (br $more))))
  {allocated})
(func (export "weir:policy/lifecycle@0.1.0#configure") (param $name i32) (param $name-len i32) (param $json i32) (param $json-len i32) (result i32)
  {configure})
(func (export "weir:policy/lifecycle@0.1.0#update") (param $name i32) (param $name-len i32) (param $content i32) (param $content-len i32) (result i32)
  {update})
{hooks}
{items}
(data (i32.const {wanted_at}) "\{wanted:02x}")
{data}
)"#,
            wanted_at = INTEREST + 4,
        )
    }
}
