"""`make release`: everything of a version in target/release-VERSION, with checksums, bills of materials, notes and a signature.

    weir-VERSION.wasm                     the module
    weir-VERSION-oci.tar                  its images, as an OCI layout (`make oci`)
    weir-VERSION-linux-amd64, -arm64      the command line, static (musl)
    *.cdx.json                            bills of materials, CycloneDX 1.6, one a file
    LICENSES.txt, rust-std-COPYRIGHT.html licences of all parts, with their texts; of Rust's standard library
    RELEASE-NOTES.md                      the changelog's section, hashes, how to verify
    SHA256SUMS, SHA256SUMS.sig            of all of the above; signed with the key that WEIR_SIGN_KEY names (ssh-keygen), or not at all

A tree with changes is refused (`DRAFT=1` lets it pass and says so in the notes). `release.py --verify FOLDER [ALLOWED_SIGNERS]` checks a folder.
"""
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile

import oci
import sbom

ROOT = sbom.ROOT
NAMESPACE = "weir-release"
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
SUMS = "SHA256SUMS"


def fail(why):
    sys.exit(f"release: {why}")


def run(*args, **kw):
    return subprocess.run(args, cwd=ROOT, check=True, text=True, **kw)


def section(version):
    """Heading and text of a version in the changelog."""
    with open(os.path.join(ROOT, "CHANGELOG.md")) as h:
        found = re.search(rf"^## {re.escape(version)}\b(.*)\n((?:(?!## ).*\n)*)", h.read() + "\n", re.M)
    if not found:
        fail(f"CHANGELOG.md has no section of {version}")
    return found.group(1).strip(), found.group(2).strip()


def binary(architecture, out):
    """The command line for Linux, linked with nothing that a system would have to have."""
    arch = ARCHITECTURES[architecture]
    target = f"{arch}-unknown-linux-musl"
    here = os.uname().machine == arch
    compiler = "musl-gcc" if here else f"{arch}-linux-gnu-gcc"
    cargo_home = os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")
    name = target.replace("-", "_")
    # Of C only freestanding code is compiled (ring, zstd): what the other C library's headers would fortify musl does not have.
    flags = f"-U_FORTIFY_SOURCE -ffile-prefix-map={cargo_home}=/cargo -ffile-prefix-map={ROOT}=/weir"
    rust = [f"--remap-path-prefix={cargo_home}=/cargo", f"--remap-path-prefix={ROOT}=/weir"]
    rust += [] if here else [f"-Clinker={compiler}"]
    env = {**os.environ, f"CC_{name}": compiler, f"CFLAGS_{name}": flags, f"CARGO_TARGET_{name.upper()}_RUSTFLAGS": " ".join(rust)}
    run("cargo", "build", "--quiet", "--locked", "--profile", "native", "--bin", "weir", "--target", target, env=env)
    shutil.copy(os.path.join(ROOT, "target", target, "native", "weir"), out)
    headers = run("readelf", "--program-headers", "--dynamic", out, capture_output=True).stdout
    for word in ("INTERP", "NEEDED"):
        if re.search(rf"\b{word}\b", headers):
            fail(f"{out} is not static: it has {word}")
    return target


def command(architecture, file):
    """How the binary is run here."""
    return [file] if os.uname().machine == ARCHITECTURES[architecture] else [f"qemu-{ARCHITECTURES[architecture]}-static", file]


def answers(architecture, file, trace):
    """What it says of the reference configuration and of a trace, without the time it took."""
    call = command(architecture, file)
    version = run(*call, "--version", capture_output=True).stdout
    run(*call, "check", "envoy/filter.json", capture_output=True)
    said = json.loads(run(*call, "replay", "--json", "--config", "envoy/replay.json", trace, capture_output=True,
                          env={**os.environ, "WEIR_SEED": "5e" * 32}).stdout)
    return version, {k: v for k, v in said.items() if not re.search("second|elapsed|wall|rate|ns_per", k)}


def pack_oci(module, out):
    """The layout in one file, the same bytes for the same module."""
    layout = out + ".d"
    digests = {m["annotations"]["org.opencontainers.image.ref.name"]: m["digest"] for m in oci.write(module, layout)["manifests"]}
    with tarfile.open(out, "w", format=tarfile.USTAR_FORMAT) as tar:
        for folder, _, names in sorted(os.walk(layout)):
            for name in sorted(names):
                with open(os.path.join(folder, name), "rb") as h:
                    data = h.read()
                info = tarfile.TarInfo(os.path.relpath(os.path.join(folder, name), layout))
                info.size, info.mode = len(data), 0o644
                tar.addfile(info, io.BytesIO(data))
    shutil.rmtree(layout)
    return digests


def licences(out, targets):
    """The texts that have to go along, each once, with the parts that bring it."""
    found = {}
    for target in targets:
        found.update(sbom.tree(target)[0])
    about = json.loads(run("cargo", "metadata", "--locked", "--format-version", "1", capture_output=True).stdout)
    places = {(p["name"], p["version"]): os.path.dirname(p["manifest_path"]) for p in about["packages"]}
    texts, without = {}, []
    for part in sorted(found):
        names = [n for n in sorted(os.listdir(places[part])) if re.match(r"(un)?licen[cs]e|copying|notice|copyright", n, re.I)]
        whole = [os.path.join(places[part], n) for n in names if os.path.isfile(os.path.join(places[part], n))]
        for file in whole:
            with open(file, encoding="utf-8", errors="replace") as h:
                texts.setdefault(h.read().strip(), []).append(" ".join(part))
        if not whole:
            # Offered under our own licence, too: its text stands below.
            if "Apache-2.0" not in found[part]:
                fail(f"{part} brings no text of its licence {found[part]}")
            without.append(part)
    # The C library that static binaries hold (of musl-tools).
    musl = "/usr/share/doc/musl-tools/copyright"
    sysroot = run("rustc", "--print", "sysroot", capture_output=True).stdout.strip()
    std = os.path.join(sysroot, "share", "doc", "rust", "COPYRIGHT-library.html")
    for file, what in ((musl, "musl-tools, of Debian,"), (std, "the compiler, of rustup,")):
        if not os.path.exists(file) and (file != musl or any("musl" in t for t in targets)):
            fail(f"{file} is not there: {what} brings it")
    if any("musl" in t for t in targets):
        with open(musl) as h:
            texts.setdefault(h.read().strip(), []).append("musl")
    with open(os.path.join(out, "LICENSES.txt"), "w") as h:
        h.writelines(f"{name} {version}: {found[name, version]}\n" for name, version in sorted(found))
        for text, parts in texts.items():
            h.write(f"\n{'-' * 80}\n{', '.join(parts)}\n\n{text}\n")
    shutil.copy(std, os.path.join(out, "rust-std-COPYRIGHT.html"))
    return without


def notes(version, out, digests, marks):
    heading, text = section(version)
    commit = run("git", "rev-parse", "HEAD", capture_output=True).stdout.strip()
    rustc = run("rustc", "--version", capture_output=True).stdout.strip()
    rank = run("git", "log", "-1", "--format=%ct", capture_output=True).stdout.strip()
    module = sbom.sha256(os.path.join(out, f"weir-{version}.wasm"))
    lines = [f"# Weir {version} {heading}".rstrip(), ""]
    lines += [f"**{m}**" for m in marks] + ([""] if marks else [])
    lines += [
        "| module | |", "|---|---|", f"| SHA-256 of `weir-{version}.wasm` | `{module}` |",
        *(f"| image `{name}` | `{digest}` |" for name, digest in digests.items()),
        f"| commit, its time (`WEIR_RANK`), compiler | `{commit}`, {rank}, {rustc} |", "",
        "`sha256sum -c SHA256SUMS` checks the files; `ssh-keygen -Y verify -f ALLOWED_SIGNERS -I RELEASER -n " + NAMESPACE
        + " -s SHA256SUMS.sig < SHA256SUMS` who signed them. The module is reproducible: the same commit and compiler give these bytes "
        "(`make wasm`, `make reproduce`). Envoy takes the hash as `vm_config.code.remote.sha256`, Istio as `spec.sha256` of a `WasmPlugin`.", "",
        text, ""]
    with open(os.path.join(out, "RELEASE-NOTES.md"), "w") as h:
        h.write("\n".join(lines))


def checksums(out):
    names = sorted(n for n in os.listdir(out) if not n.startswith(SUMS))
    with open(os.path.join(out, SUMS), "w") as h:
        h.writelines(f"{sbom.sha256(os.path.join(out, n))}  {n}\n" for n in names)


def sign(out, key):
    """Signs the checksums; is there a key?"""
    if not key:
        return False
    sums = os.path.join(out, SUMS)
    if not os.path.exists(key):
        fail(f"WEIR_SIGN_KEY names {key}, which is not there")
    if os.path.exists(sums + ".sig"):
        os.remove(sums + ".sig")
    run("ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", key, sums)
    return True


def verify(out, signers=None):
    """What is wrong with a folder."""
    wrong, listed = [], {}
    with open(os.path.join(out, SUMS)) as h:
        for line in h:
            digest, name = line.rstrip("\n").split("  ", 1)
            listed[name] = digest
    for name in sorted({n for n in os.listdir(out) if not n.startswith(SUMS)} | set(listed)):
        path = os.path.join(out, name)
        if not os.path.exists(path):
            wrong.append(f"{name} is not there")
        elif listed.get(name) != sbom.sha256(path):
            wrong.append(f"{name} is not what {SUMS} says")
    for name in sorted(n for n in os.listdir(out) if n.endswith(".cdx.json")):
        with open(os.path.join(out, name)) as h:
            told = json.load(h)["metadata"]["component"]["hashes"][0]["content"]
        if told != listed.get(name.removesuffix(".cdx.json")):
            wrong.append(f"{name} is of another file")
    for name in (n for n in os.listdir(out) if n.endswith("-oci.tar")):
        with tarfile.open(os.path.join(out, name)) as tar:
            blobs = {n.removeprefix("blobs/sha256/"): tar.extractfile(n).read() for n in tar.getnames() if n.startswith("blobs/")}
        wrong += [f"{name}: blob {d} is another" for d, b in blobs.items() if hashlib.sha256(b).hexdigest() != d]
        if listed.get(name.replace("-oci.tar", ".wasm")) not in blobs:
            wrong.append(f"{name} holds another module")
    if signers:
        # Whoever may sign: the first name of the file that fits.
        sums, sig = os.path.join(out, SUMS), os.path.join(out, SUMS + ".sig")
        if not os.path.exists(sig):
            return wrong + ["it is not signed"]
        who = subprocess.run(["ssh-keygen", "-Y", "find-principals", "-s", sig, "-f", signers], capture_output=True, text=True)
        name = who.stdout.split("\n")[0]
        with open(sums) as h:
            good = name and subprocess.run(["ssh-keygen", "-Y", "verify", "-f", signers, "-I", name, "-n", NAMESPACE, "-s", sig],
                                           stdin=h, capture_output=True).returncode == 0
        if not good:
            wrong.append("the signature is none of theirs")
    return wrong


def main():
    if sys.argv[1:2] == ["--verify"]:
        wrong = verify(*sys.argv[2:])
        print("\n".join(wrong) or f"{sys.argv[2]} is as {SUMS} says" + (", and signed" if len(sys.argv) > 3 else ""))
        sys.exit(1 if wrong else 0)
    version, marks = oci.version(), []
    if run("git", "status", "--porcelain", capture_output=True).stdout:
        if not os.environ.get("DRAFT"):
            fail("the tree has changes that are not committed (DRAFT=1 for a trial)")
        marks.append("A trial: built from a tree with changes that are not committed.")
    if "v" + version not in run("git", "tag", "--points-at", "HEAD", capture_output=True).stdout.split():
        marks.append(f"The commit has no tag v{version}.")
    out = os.path.join(ROOT, "target", f"release-{version}")
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    path = lambda name: os.path.join(out, name)
    module = path(f"weir-{version}.wasm")
    shutil.copy(os.environ["WEIR_WASM"], module)
    digests = pack_oci(module, path(f"weir-{version}-oci.tar"))
    bills = [(module, "wasm32-wasip1")]
    for architecture in ARCHITECTURES:
        file = path(f"weir-{version}-linux-{architecture}")
        bills.append((file, binary(architecture, file)))
    trace = os.path.join(ROOT, "target", "release-trace.jsonl")
    own = "arm64" if os.uname().machine == "aarch64" else "amd64"
    run(path(f"weir-{version}-linux-{own}"), "demo", "--write-trace", trace, capture_output=True)
    said = [answers(a, path(f"weir-{version}-linux-{a}"), trace) for a in ARCHITECTURES]
    if said[0] != said[1]:
        fail("the binaries of the two architectures do not say the same of one trace")
    for file, target in bills:
        sbom.write(file, target, file + ".cdx.json")
    run("target/supply/bin/python", "-B", "tests/support/sbom.py", "--check", *(f + ".cdx.json" for f, _ in bills))
    licences(out, [t for _, t in bills])
    notes(version, out, digests, marks)
    checksums(out)
    signed = sign(out, os.environ.get("WEIR_SIGN_KEY"))
    wrong = verify(out)
    if wrong:
        fail("; ".join(wrong))
    print("\n".join(marks))
    print(open(path(SUMS)).read(), end="")
    print(f"{out}: {'signed' if signed else 'UNSIGNED: WEIR_SIGN_KEY names no key (ssh-keygen -t ed25519)'}")


if __name__ == "__main__":
    main()
