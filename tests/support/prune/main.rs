//! `weir-prune IN.wasm OUT.wasm`: takes out of the linked module what it does not need, so that no host enters the VM or refuses the
//! module for nothing.
//!
//! The `proxy-wasm` SDK exports each callback of the ABI, and a host enters the VM for each that exists (a stream's end, its log
//! line, every chunk of its response). And the tables of its traits hold a method for each host call, so that all calls are
//! imported, also those that nobody makes: a host without gRPC or queues would refuse the module, and one that reads a list of
//! allowed capabilities would have to allow the change of bodies. The linker cannot know that such a method is never called
//! through a table; we do. What is in neither list below goes:
//!
//! 1. An export that is not listed is removed, and all that only it needed.
//! 2. An import that is not listed becomes a trap, and so does each of the SDK's own host calls but the logger's: they panic on
//!    statuses that a host may answer, and Weir makes none of them. So does each method of the SDK's traits that cannot return without
//!    such a call.
//! 3. What only a panic calls becomes a trap: the standard library's own hooks and streams, and all code that prints a value for
//!    debugging. The message of a panic still reaches the host's log, unless it holds such a value.
//! 4. Names of functions, which steps 2 and 3 need, and the list of producers.
//!
//! It is an error if the module lacks what is listed or has no names, or if anything else in it makes such a call: then a list is
//! wrong, Weir uses what it must not, or the SDK has changed.

use std::collections::{HashMap, HashSet};
use std::process::ExitCode;
use walrus::ir::{Call, Instr, InstrLocId, InstrSeqId, Unreachable, Visitor, dfs_in_order};
use walrus::{ElementItems, FunctionId, ImportKind, LocalFunction, Module, ModuleConfig};

/// What the host may call.
const EXPORTS: [&str; 13] = [
    "memory",
    "_initialize",
    "proxy_abi_version_0_2_1",
    "proxy_on_memory_allocate",
    "proxy_on_context_create",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_delete",
    "proxy_on_http_call_response",
];

/// Exports of ours in place of the SDK's: that one knows only calls that the SDK has made.
const OURS: [(&str, &str); 1] = [("weir_on_http_call_response", "proxy_on_http_call_response")];

/// What the module may call: `src/host/proxy_wasm/calls.rs`, and the SDK's logger.
const CALLS: [&str; 18] = [
    "proxy_log",
    "proxy_get_current_time_nanoseconds",
    "proxy_set_tick_period_milliseconds",
    "proxy_get_buffer_bytes",
    "proxy_get_header_map_pairs",
    "proxy_add_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_get_property",
    "proxy_set_property",
    "proxy_send_local_response",
    "proxy_http_call",
    "proxy_define_metric",
    "proxy_increment_metric",
    "proxy_record_metric",
    "proxy_set_effective_context",
    "proxy_continue_stream",
    "proxy_get_shared_data",
    "proxy_set_shared_data",
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = &args[..] else {
        eprintln!("usage: weir-prune IN.wasm OUT.wasm");
        return ExitCode::from(2);
    };
    match std::fs::read(from).map_err(|e| format!("{from}: {e}")).and_then(|wasm| {
        let pruned = prune(&wasm)?;
        // The same bytes are left as they are: what depends on the file is up to date.
        if std::fs::read(to).is_ok_and(|old| old == pruned) {
            return Ok(());
        }
        std::fs::write(to, pruned).map_err(|e| format!("{to}: {e}"))
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("weir-prune: {e}");
            ExitCode::FAILURE
        }
    }
}

/// The module without what it does not need.
fn prune(wasm: &[u8]) -> Result<Vec<u8>, String> {
    // For those who ask where the bytes are.
    let names = std::env::var_os("WEIR_NAMES").is_some();
    let mut config = ModuleConfig::new();
    config.generate_name_section(names).generate_producers_section(false);
    let mut module = config.parse(wasm).map_err(|e| format!("not a module: {e}"))?;
    drop_exports(&mut module)?;
    walrus::passes::gc::run(&mut module);
    let mut gone = drop_imports(&mut module)?;
    gone.extend(drop_host_calls(&mut module)?);
    drop_callers(&mut module, gone)?;
    drop_of_panics(&mut module)?;
    walrus::passes::gc::run(&mut module);
    Ok(module.emit_wasm())
}

fn drop_exports(module: &mut Module) -> Result<(), String> {
    let kept = |name: &str| EXPORTS.contains(&name);
    for (ours, name) in OURS {
        let found = |name: &str| module.exports.iter().find(|e| e.name == name).map(|e| e.id());
        let Some(id) = found(ours) else { return Err(format!("the module does not export {ours}")) };
        if let Some(theirs) = found(name) {
            module.exports.delete(theirs);
        }
        module.exports.get_mut(id).name = name.into();
    }
    if let Some(name) = EXPORTS.iter().find(|name| !module.exports.iter().any(|e| e.name == **name)) {
        return Err(format!("the module does not export {name}"));
    }
    let out: Vec<_> = module.exports.iter().filter(|e| !kept(&e.name)).map(|e| e.id()).collect();
    out.into_iter().for_each(|id| module.exports.delete(id));
    Ok(())
}

/// The functions that were imports, and are traps now.
fn drop_imports(module: &mut Module) -> Result<HashSet<FunctionId>, String> {
    if let Some(name) = CALLS.iter().find(|name| module.imports.find("env", name).is_none()) {
        return Err(format!("the module does not import {name}"));
    }
    let out: Vec<FunctionId> = module
        .imports
        .iter()
        .filter(|i| i.module == "env" && !CALLS.contains(&i.name.as_str()))
        .filter_map(|i| match i.kind {
            ImportKind::Function(id) => Some(id),
            _ => None,
        })
        .collect();
    for id in &out {
        let trap = module.replace_imported_func(*id, |(body, _)| {
            body.unreachable();
        });
        trap.map_err(|e| e.to_string())?;
    }
    Ok(out.into_iter().collect())
}

/// The SDK's host calls, which are traps now.
fn drop_host_calls(module: &mut Module) -> Result<Vec<FunctionId>, String> {
    let is_call = |name: &str| name.contains("10proxy_wasm9hostcalls") && !name.contains("9hostcalls3log");
    let out: Vec<FunctionId> = module
        .funcs
        .iter_local()
        .map(|(id, _)| id)
        .filter(|id| module.funcs.get(*id).name.as_deref().is_some_and(is_call))
        .collect();
    if out.is_empty() {
        return Err("the module has no names, or none of the SDK's host calls".into());
    }
    out.iter().for_each(|id| trap(module, *id));
    Ok(out)
}

/// What `std` does with a panic before the SDK's logger has taken it over, and with one that comes in the middle of another: it prints
/// to a standard error that no host of filters shows, with the thread's name and a backtrace.
const DEFAULT_HOOKS: [&str; 2] = ["3std9panicking12default_hook", "3std5alloc24default_alloc_error_hook"];
/// `std`'s streams and what is printed to them; Weir writes to none.
const STREAMS: [&str; 4] = ["_3std2io", "_3std3sys5stdio", "16DisplayBacktrace", "_3std3env11current_dir"];

/// Makes a trap of what only a panic calls: `DEFAULT_HOOKS`, `STREAMS`, and all that prints a value for debugging, as in the message
/// of an `unwrap` (tests/tidy: the module prints none itself). A panic ends the VM either way.
fn drop_of_panics(module: &mut Module) -> Result<(), String> {
    let is_hook =
        |name: &str| name.starts_with("_RNv") && DEFAULT_HOOKS.iter().any(|hook| name.ends_with(hook));
    let is_stream = |name: &str| {
        STREAMS.iter().any(|part| name.contains(part)) && !name.contains("4core3ptr13drop_in_place")
    };
    let prints = |name: &str| {
        name.contains("5Debug3fmt")
            || name.contains("core..fmt..Debug$GT$3fmt")
            || name.contains("4core3fmt8builders")
    };
    drop_named(module, "default hook", is_hook)?;
    drop_named(module, "standard error", is_stream)?;
    drop_named(module, "Debug", prints)
}

/// Makes a trap of each function whose name is `what`.
fn drop_named(module: &mut Module, what: &str, is: impl Fn(&str) -> bool) -> Result<(), String> {
    let all = module.funcs.iter_local().map(|(id, _)| id);
    let out: Vec<FunctionId> =
        all.filter(|id| module.funcs.get(*id).name.as_deref().is_some_and(&is)).collect();
    if out.is_empty() && !cfg!(test) {
        return Err(format!("the module has no {what}: its name has changed"));
    }
    out.into_iter().for_each(|id| trap(module, id));
    Ok(())
}

/// Makes a function a trap.
fn trap(module: &mut Module, id: FunctionId) {
    let f = module.funcs.get_mut(id).kind.unwrap_local_mut();
    let body = &mut f.block_mut(f.entry_block()).instrs;
    body.clear();
    body.push((Unreachable {}.into(), InstrLocId::default()));
}

/// Makes a trap of each function that cannot return without a call of one of `gone`, until there is none left.
fn drop_callers(module: &mut Module, mut gone: HashSet<FunctionId>) -> Result<(), String> {
    loop {
        let lost = |(id, f): &(FunctionId, &LocalFunction)| !gone.contains(id) && Flow::of(f, &gone).needs;
        let more: Vec<FunctionId> = module.funcs.iter_local().filter(lost).map(|(id, _)| id).collect();
        if more.is_empty() {
            break;
        }
        more.iter().for_each(|id| trap(module, *id));
        gone.extend(more);
    }
    // The SDK's tables may name what is gone. Nobody else may call it.
    let name = |id: FunctionId| module.funcs.get(id).name.as_deref().unwrap_or("a function");
    let foreign = gone.iter().map(|id| name(*id)).find(|name| !is_of_sdk(name));
    let caller =
        |(id, f): (FunctionId, &LocalFunction)| (!gone.contains(&id) && calls(f, &gone)).then(|| name(id));
    if let Some(name) = foreign.or_else(|| module.funcs.iter_local().find_map(caller)) {
        return Err(format!("{name} makes a host call that is not listed, or one of the SDK's"));
    }
    share(module, &gone);
    Ok(())
}

/// Is this function of the SDK's crate, or its import?
fn is_of_sdk(name: &str) -> bool {
    name.contains("10proxy_wasm6traits") || name.contains("10proxy_wasm9hostcalls")
}

struct Calls<'a>(&'a HashSet<FunctionId>, bool);

impl Visitor<'_> for Calls<'_> {
    fn visit_call(&mut self, call: &Call) {
        self.1 |= self.0.contains(&call.func);
    }
}

/// Does a function call one of `gone`, anywhere?
fn calls(f: &LocalFunction, gone: &HashSet<FunctionId>) -> bool {
    let mut calls = Calls(gone, false);
    dfs_in_order(&mut calls, f, f.entry_block());
    calls.1
}

fn is_call_of(i: &Instr, gone: &HashSet<FunctionId>) -> bool {
    matches!(i, Instr::Call(c) if gone.contains(&c.func))
}

/// Where control goes in a function if it never passes a call of one of `gone`.
struct Flow<'a> {
    f: &'a LocalFunction,
    gone: &'a HashSet<FunctionId>,
    /// Sequences that are branched out of.
    left: HashSet<InstrSeqId>,
    /// There is such a call, and no way to the end without one.
    needs: bool,
}

impl Flow<'_> {
    fn of<'a>(f: &'a LocalFunction, gone: &'a HashSet<FunctionId>) -> Flow<'a> {
        let mut flow = Flow { f, gone, left: HashSet::new(), needs: false };
        let entry = f.entry_block();
        let ends = flow.falls_through(entry) || flow.left.contains(&entry);
        flow.needs &= !ends;
        flow
    }

    /// Does control reach what stands behind this sequence?
    fn passes(&mut self, seq: InstrSeqId) -> bool {
        self.falls_through(seq) || self.left.contains(&seq)
    }

    fn falls_through(&mut self, seq: InstrSeqId) -> bool {
        for (i, _) in &self.f.block(seq).instrs {
            let goes_on = match i {
                Instr::Block(b) => self.passes(b.seq),
                // A branch to a loop goes back.
                Instr::Loop(l) => self.falls_through(l.seq),
                Instr::IfElse(i) => {
                    let (yes, no) = (self.passes(i.consequent), self.passes(i.alternative));
                    yes || no
                }
                Instr::Br(b) => {
                    self.left.insert(b.block);
                    false
                }
                Instr::BrIf(b) => {
                    self.left.insert(b.block);
                    true
                }
                Instr::BrTable(b) => {
                    self.left.extend(b.blocks.iter().copied().chain([b.default]));
                    false
                }
                Instr::Return(_) => {
                    self.left.insert(self.f.entry_block());
                    false
                }
                Instr::Unreachable(_) => false,
                i if is_call_of(i, self.gone) => {
                    self.needs = true;
                    false
                }
                _ => true,
            };
            if !goes_on {
                return false;
            }
        }
        true
    }
}

/// One trap of each type is enough for the tables.
fn share(module: &mut Module, gone: &HashSet<FunctionId>) {
    let mut first = HashMap::new();
    let mut one = |id: FunctionId| match gone.contains(&id) {
        true => *first.entry(module.funcs.get(id).ty()).or_insert(id),
        false => id,
    };
    for e in module.elements.iter_mut() {
        if let ElementItems::Functions(all) = &mut e.items {
            all.iter_mut().for_each(|id| *id = one(*id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use walrus::{ConstExpr, ElementKind, FunctionBuilder, RefType};

    /// A module with all that is listed, a host call of the SDK, a trait's method that makes it, and a callback that makes `own`.
    fn module(own: &str) -> Vec<u8> {
        let mut m = Module::default();
        let ty = m.types.add(&[], &[]);
        let mut calls: Vec<FunctionId> =
            CALLS.iter().map(|name| m.add_import_func("env", name, ty).0).collect();
        calls.push(m.add_import_func("env", "proxy_done", ty).0);
        let add = |m: &mut Module, name: &str, call: Vec<FunctionId>| {
            let mut f = FunctionBuilder::new(&mut m.types, &[], &[]);
            f.name(name.into());
            for c in call {
                f.func_body().call(c);
            }
            f.finish(Vec::new(), &mut m.funcs)
        };
        let done = calls.pop().unwrap();
        m.funcs.get_mut(done).name = Some("_ZN10proxy_wasm9hostcalls10proxy_done17h00E".into());
        let hostcall = add(&mut m, "_ZN10proxy_wasm9hostcalls4done17h00E", vec![done]);
        let method = add(&mut m, "_ZN10proxy_wasm6traits7Context4done17h00E", vec![hostcall]);
        match own {
            "hostcall" => calls.push(hostcall),
            "done" => calls.push(done),
            _ => {}
        }
        let callback = add(&mut m, "_ZN4weir4tick17h00E", calls);
        let table = m.tables.add_local(false, 2, None, RefType::FUNCREF);
        let kind = ElementKind::Active { table, offset: ConstExpr::Value(walrus::ir::Value::I32(0)) };
        let all = m.elements.add(kind, ElementItems::Functions(vec![method, callback]));
        m.tables.get_mut(table).elem_segments.insert(all);
        let mut through = FunctionBuilder::new(&mut m.types, &[], &[]);
        through.func_body().i32_const(1).call_indirect(ty, table);
        let through = through.finish(Vec::new(), &mut m.funcs);
        let memory = m.memories.add_local(false, false, 1, None, None);
        m.exports.add("memory", memory);
        for name in EXPORTS.iter().skip(1).chain(&["proxy_on_done"]) {
            m.exports.add(name, through);
        }
        for (ours, _) in OURS {
            m.exports.add(ours, through);
        }
        m.emit_wasm()
    }

    #[test]
    fn what_is_not_listed_goes_and_the_rest_stays() {
        let out = Module::from_buffer(&prune(&module("nothing")).unwrap()).unwrap();
        let names: Vec<_> = out.exports.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, EXPORTS);
        let names: Vec<_> = out.imports.iter().map(|i| i.name.as_str()).collect();
        assert_eq!(names, CALLS);
    }

    #[test]
    fn a_call_of_our_own_that_is_not_listed_is_refused() {
        for own in ["hostcall", "done"] {
            let e = prune(&module(own)).unwrap_err();
            assert!(e.contains("4weir4tick"), "{e}");
        }
        assert!(prune(b"no module").is_err());
    }
}
