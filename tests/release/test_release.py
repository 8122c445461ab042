"""What a release is made of but its static binaries, which `make release` builds and runs: bills of materials, notes, checksums, signature."""
import json
import os
import shutil
import subprocess

import pytest

import harness
import oci
import release
import sbom

SUPPLY = os.path.join(harness.ROOT, "target", "supply", "bin", "python")
VERSION = oci.version()


def check(*files):
    o = subprocess.run([SUPPLY, "-B", os.path.join(harness.ROOT, "tests", "support", "sbom.py"), "--check", *files], capture_output=True, text=True)
    return o.returncode, o.stdout + o.stderr


def names(bill):
    return {c["name"] for c in bill["components"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder as `make release` leaves it, with the module alone, unsigned."""
    out = str(tmp_path_factory.mktemp("release"))
    module = os.path.join(out, f"weir-{VERSION}.wasm")
    shutil.copy(harness.WASM, module)
    digests = release.pack_oci(module, os.path.join(out, f"weir-{VERSION}-oci.tar"))
    sbom.write(module, "wasm32-wasip1", module + ".cdx.json")
    release.licences(out, ["wasm32-wasip1"])
    release.notes(VERSION, out, digests, [])
    release.checksums(out)
    return out


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, str(tmp_path / "release"))


def test_the_bill_of_the_module_is_what_it_is_built_on(made, tmp_path):
    file = os.path.join(made, f"weir-{VERSION}.wasm.cdx.json")
    status, said = check(file)
    assert status == 0, said
    with open(file) as h:
        bill = json.load(h)
    # The parts that the manifest names, and Rust's own.
    assert {"ahash", "log", "proxy-wasm", "serde", "serde_json", "sha2", "siphasher", "strsim", "rust-std"} <= names(bill)
    # What is the command line's, only builds, or only tests.
    assert not {"clap", "tokio", "ring", "walrus", "proptest", "serde_derive", "cc", "weir-prune", "libfuzzer-sys"} & names(bill)
    assert all(len(c["hashes"][0]["content"]) == 64 for c in bill["components"] if c["name"] != "rust-std")
    again = str(tmp_path / "again.json")
    sbom.write(harness.WASM, "wasm32-wasip1", again)
    with open(again) as h:
        other = json.load(h)
    assert other["components"] == bill["components"] and other["dependencies"] == bill["dependencies"]


def test_the_bill_of_the_command_line_is_its_own(tmp_path):
    for target in ("x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"):
        file = str(tmp_path / "weir.cdx.json")
        bill = sbom.write(harness.WASM, target, file)
        assert check(file)[0] == 0
        assert {"clap", "tokio", "ring", "rustls", "zstd-sys", "redis", "rust-std"} <= names(bill)
        assert not {"proxy-wasm", "proptest", "rcgen", "walrus", "windows-sys"} & names(bill)


def test_a_bill_that_is_none_is_refused(made, tmp_path):
    with open(os.path.join(made, f"weir-{VERSION}.wasm.cdx.json")) as h:
        bill = json.load(h)
    for change in (lambda b: b["components"][0].update(type="librari"), lambda b: b["dependencies"][0].update(ref="pkg:cargo/nobody@1"), lambda b: b["components"].pop()):
        bad = json.loads(json.dumps(bill))
        change(bad)
        file = str(tmp_path / "bad.json")
        with open(file, "w") as h:
            json.dump(bad, h)
        assert check(file)[0] == 1


def test_the_notes_are_the_changelogs_section_with_the_modules_hash(made):
    with open(os.path.join(made, "RELEASE-NOTES.md")) as h:
        text = h.read()
    assert text.startswith(f"# Weir {VERSION}") and sbom.sha256(harness.WASM) in text
    assert "### What you must do" in text and "## 0.1.0" not in text
    with open(os.path.join(harness.ROOT, "CHANGELOG.md")) as h:
        assert release.section(VERSION)[1] in h.read()
    with pytest.raises(SystemExit):
        release.section("9.9.9")


def test_the_licence_of_every_part_goes_along(made, tmp_path):
    with open(os.path.join(made, f"weir-{VERSION}.wasm.cdx.json")) as h:
        parts = [c for c in json.load(h)["components"] if c["name"] != "rust-std"]
    with open(os.path.join(made, "LICENSES.txt")) as h:
        text = h.read()
    for c in parts:
        assert f"{c['name']} {c['version']}: {c['licenses'][0]['expression']}\n" in text
    assert "Permission is hereby granted, free of charge" in text and "Apache License" in text
    # Of the command line, too: one that brings no text is offered under ours.
    assert {name for name, _ in release.licences(str(tmp_path), ["x86_64-unknown-linux-gnu"])} == {"maud"}


def test_what_was_changed_added_or_left_out_is_found(folder):
    assert release.verify(folder) == []
    module = os.path.join(folder, f"weir-{VERSION}.wasm")
    with open(module, "ab") as h:
        h.write(b"\0")
    assert release.verify(folder) == [f"weir-{VERSION}.wasm is not what SHA256SUMS says"]
    # Whoever writes the sums anew does not get past the bill and the image.
    release.checksums(folder)
    assert release.verify(folder) == [f"weir-{VERSION}.wasm.cdx.json is of another file", f"weir-{VERSION}-oci.tar holds another module"]
    os.remove(module)
    assert f"weir-{VERSION}.wasm is not there" in release.verify(folder)
    with open(os.path.join(folder, "more"), "w"):
        pass
    assert "more is not what SHA256SUMS says" in release.verify(folder)


def test_the_sums_are_signed_with_the_releasers_key_alone(folder, tmp_path):
    def key(name):
        file = str(tmp_path / name)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", file], check=True)
        with open(file + ".pub") as h:
            kind, public = h.read().split()[:2]
        signers = str(tmp_path / f"{name}-signers")
        with open(signers, "w") as h:
            h.write(f'{name} namespaces="{release.NAMESPACE}" {kind} {public}\n')
        return file, signers

    (ours, us), (_, them) = key("releaser"), key("somebody")
    assert not release.sign(folder, None) and release.verify(folder, us) == ["it is not signed"]
    assert release.sign(folder, ours)
    assert release.verify(folder, us) == []
    assert release.verify(folder, them) == ["the signature is none of theirs"]
    with open(os.path.join(folder, "RELEASE-NOTES.md"), "a") as h:
        h.write("more\n")
    release.checksums(folder)
    assert release.verify(folder, us) == ["the signature is none of theirs"]
    with pytest.raises(SystemExit):
        release.sign(folder, str(tmp_path / "nowhere"))


def test_the_module_does_not_tell_where_it_was_built():
    """Else it would have other bytes elsewhere; `make reproduce` builds it twice."""
    with open(harness.WASM, "rb") as h:
        wasm = h.read()
    for place in (harness.ROOT, os.path.expanduser("~"), os.environ.get("CARGO_HOME") or "/.cargo/", "registry/src"):
        assert place.encode() not in wasm, place
