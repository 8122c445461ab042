"""`sbom.py FILE TARGET OUT`: what a built file was made of, as a CycloneDX 1.6 bill of materials in JSON.

The parts are those that cargo links for TARGET: normal dependencies with the features of this package alone. What only builds or tests
(build scripts, procedural macros, fuzzing, `weir-prune`) is none of them. Checksums are those of Cargo.lock. The same commit, compiler and
file give the same bytes. `sbom.py --check FILES…` validates by the schema (cyclonedx-python-lib, in target/supply).
"""
import hashlib
import json
import os
import re
import subprocess
import sys
import uuid

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def run(*args):
    return subprocess.run(args, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def sha256(path):
    with open(path, "rb") as h:
        return hashlib.sha256(h.read()).hexdigest()


def checksums():
    """(name, version) -> checksum, of Cargo.lock."""
    with open(os.path.join(ROOT, "Cargo.lock")) as h:
        found = re.findall(r'\[\[package\]\]\nname = "(.*)"\nversion = "(.*)"\n(?:source = ".*"\n)?(?:checksum = "(.*)")?', h.read())
    return {(name, version): checksum for name, version, checksum in found}


def tree(target):
    """Parts by id, with their licence, and who needs whom."""
    lines = run("cargo", "tree", "--locked", "--package", "weir", "--target", target, "--edges", "normal,no-proc-macro",
                "--prefix", "depth", "--no-dedupe", "--format", "={p}|{l}").splitlines()
    licences, needs, path = {}, {}, []
    for line in lines:
        depth, name, version, licence = re.fullmatch(r"(\d+)=(\S+) v(\S+)[^|]*\|(.*)", line).groups()
        part = (name, version)
        path[int(depth):] = [part]
        licences[part] = licence.replace("/", " OR ")
        needs.setdefault(part, set())
        if len(path) > 1:
            needs[path[-2]].add(part)
    return licences, needs


def purl(part):
    return f"pkg:cargo/{part[0]}@{part[1].replace('+', '%2B')}"


def made(file, target):
    """The bill of one file."""
    sums, (licences, needs) = checksums(), tree(target)
    rustc = dict(re.findall(r"^([\w -]+): (.*)$", run("rustc", "-vV"), re.M))
    root = next(iter(licences))
    std = {"type": "library", "name": "rust-std", "version": rustc["release"], "bom-ref": f"rust-std@{rustc['release']}",
           "description": f"Rust's standard library for {target}, commit {rustc['commit-hash']}",
           "licenses": [{"expression": "MIT OR Apache-2.0"}]}
    parts = [{"type": "library", "name": p[0], "version": p[1], "bom-ref": purl(p), "purl": purl(p), "licenses": [{"expression": licences[p]}],
              "hashes": [{"alg": "SHA-256", "content": sums[p]}]} for p in sorted(licences) if p != root]
    whole = {"type": "application", "name": os.path.basename(file), "version": root[1], "bom-ref": purl(root), "purl": purl(root),
             "licenses": [{"expression": licences[root]}], "hashes": [{"alg": "SHA-256", "content": sha256(file)}]}
    depends = [{"ref": purl(p), "dependsOn": sorted(map(purl, needs[p]))} for p in sorted(licences)]
    next(d for d in depends if d["ref"] == purl(root))["dependsOn"].append(std["bom-ref"])
    time = run("git", "log", "-1", "--format=%cI").strip()
    bill = {"$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
            "metadata": {"timestamp": time, "component": whole, "properties": [
                {"name": "weir:target", "value": target}, {"name": "weir:commit", "value": run("git", "rev-parse", "HEAD").strip()}],
                "tools": {"components": [{"type": "application", "name": "cargo", "version": rustc["release"]}]}},
            "components": parts + [std], "dependencies": depends + [{"ref": std["bom-ref"]}]}
    bill["serialNumber"] = "urn:uuid:" + str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bill, sort_keys=True)))
    return bill


def write(file, target, out):
    bill = made(file, target)
    with open(out, "w") as h:
        json.dump(bill, h, indent=1, sort_keys=True)
        h.write("\n")
    return bill


def check(files):
    """What the schema objects to."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    found = []
    for file in files:
        with open(file) as h:
            text = h.read()
        bad = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
        found += [f"{file}: {str(bad).splitlines()[0]}"] if bad else []
        # The schema does not ask whether what is referred to is there.
        bill = json.loads(text)
        there = {c["bom-ref"] for c in bill["components"] + [bill["metadata"]["component"]]}
        named = {r for d in bill["dependencies"] for r in [d["ref"], *d.get("dependsOn", [])]}
        found += [f"{file}: {sorted(named ^ there)} are named or there, not both"] if named != there else []
    return found


def main():
    if sys.argv[1] == "--check":
        found = check(sys.argv[2:])
        print("\n".join(found) or f"{len(sys.argv) - 2} bills of materials are valid CycloneDX 1.6")
        sys.exit(1 if found else 0)
    bill = write(*sys.argv[1:])
    print(f"{sys.argv[3]}: {len(bill['components'])} parts")


if __name__ == "__main__":
    main()
