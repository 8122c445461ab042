"""`oci.py MODULE OUT`: the module as an OCI image layout with two images, `make oci`.

`:VERSION` is an ordinary image whose one layer holds plugin.wasm (what Istio, Envoy Gateway and Higress pull, and any registry takes);
`:VERSION-artifact` holds the bare module under the media types of Wasm artifacts. The same module gives the same bytes. Push with
any client that copies layouts, for example `oras cp --from-oci-layout target/oci:0.2.0 REGISTRY/weir/weir:0.2.0`.
"""
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import sys
import tarfile

import harness

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def version():
    with open(os.path.join(harness.ROOT, "Cargo.toml")) as h:
        return re.search(r'^version = "(.*)"', h.read(), re.M).group(1)


def layer(wasm):
    """tar and its gzip, without times or owners."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo("plugin.wasm")
        info.size, info.mode = len(wasm), 0o644
        tar.addfile(info, io.BytesIO(wasm))
    return out.getvalue(), gzip.compress(out.getvalue(), mtime=0)


def write(module, out):
    with open(module, "rb") as h:
        wasm = h.read()
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(os.path.join(out, "blobs", "sha256"))

    def blob(data, kind, **more):
        data = data if isinstance(data, bytes) else json.dumps(data, sort_keys=True).encode()
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(out, "blobs", "sha256", digest), "wb") as h:
            h.write(data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data), **more}

    about = {"org.opencontainers.image.title": "weir", "org.opencontainers.image.version": version(), "org.opencontainers.image.licenses": "Apache-2.0"}
    tar, packed = layer(wasm)
    config = {"architecture": "wasm", "os": "wasi", "config": {}, "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest()]}}
    image = {"schemaVersion": 2, "mediaType": MANIFEST, "annotations": about, "config": blob(config, "application/vnd.oci.image.config.v1+json"),
             "layers": [blob(packed, "application/vnd.oci.image.layer.v1.tar+gzip")]}
    runtime = {"type": "envoy_proxy", "abiVersions": ["v0-2-1"], "config": {"rootIds": ["weir"]}}
    artifact = {"schemaVersion": 2, "mediaType": MANIFEST, "annotations": about, "config": blob({}, "application/vnd.oci.image.config.v1+json"),
                "layers": [blob(runtime, "application/vnd.module.wasm.config.v1+json"),
                           blob(wasm, "application/vnd.module.wasm.content.layer.v1+wasm", annotations={"org.opencontainers.image.title": "plugin.wasm"})]}
    named = [(version(), image), (version() + "-artifact", artifact)]
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        blob(m, MANIFEST, annotations={"org.opencontainers.image.ref.name": name}) for name, m in named]}
    for name, data in (("index.json", index), ("oci-layout", {"imageLayoutVersion": "1.0.0"})):
        with open(os.path.join(out, name), "w") as h:
            json.dump(data, h, sort_keys=True)
    return index


if __name__ == "__main__":
    for m in write(sys.argv[1], sys.argv[2])["manifests"]:
        print(f"{sys.argv[2]}:{m['annotations']['org.opencontainers.image.ref.name']}  {m['digest']}")
