"""The image layout, unpacked as Istio and Envoy Gateway unpack it: the module comes out as it went in, and runs."""
import gzip
import hashlib
import io
import json
import os
import tarfile

import harness
import oci
from harness import BAD, config, post


def read(out, d):
    """A blob, checked against its descriptor."""
    with open(os.path.join(out, "blobs", "sha256", d["digest"].removeprefix("sha256:")), "rb") as h:
        data = h.read()
    assert hashlib.sha256(data).hexdigest() == d["digest"].removeprefix("sha256:") and len(data) == d["size"]
    return data


def images(out):
    with open(os.path.join(out, "index.json")) as h:
        index = json.load(h)
    return {m["annotations"]["org.opencontainers.image.ref.name"]: json.loads(read(out, m)) for m in index["manifests"]}


def test_both_images_hold_the_module(tmp_path, start, upstream):
    out = str(tmp_path / "oci")
    oci.write(harness.WASM, out)
    with open(harness.WASM, "rb") as h:
        wasm = h.read()
    found = images(out)
    assert set(found) == {oci.version(), oci.version() + "-artifact"}
    image = found[oci.version()]
    [layer] = image["layers"]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
    packed = read(out, layer)
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        assert tar.getnames() == ["plugin.wasm"] and tar.extractfile("plugin.wasm").read() == wasm
    made = json.loads(read(out, image["config"]))
    assert made["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(gzip.decompress(packed)).hexdigest()]
    artifact = found[oci.version() + "-artifact"]["layers"]
    assert len(artifact) == 2, "Istio asks for two"
    [bare] = [d for d in artifact if d["mediaType"] == "application/vnd.module.wasm.content.layer.v1+wasm"]
    assert read(out, bare) == wasm
    with open(os.path.join(out, "oci-layout")) as h:
        assert json.load(h) == {"imageLayoutVersion": "1.0.0"}
    unpacked = str(tmp_path / "plugin.wasm")
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        tar.extract("plugin.wasm", tmp_path)
    e = start(config(), wasm=unpacked)
    assert post(e.port, headers=BAD).status == 429


def test_the_same_module_gives_the_same_image(tmp_path):
    one, two = (oci.write(harness.WASM, str(tmp_path / n)) for n in ("a", "b"))
    assert one == two
