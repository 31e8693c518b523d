"""Checkpoints are read as data: whole ones load, all others end in one line, none is executed."""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Callable, Dict

import numpy as np
import pytest
import torch

from bevformer_eval.checkpoint import LEGACY_MAGIC, Checkpoint
from bevformer_eval.errors import ExitCode, WeightsError
from bevformer_eval.model import BEVFormerTiny
from bevformer_eval.weights import load_checkpoint, seeded_state_dict


@pytest.fixture(scope="module")
def state() -> Dict[str, torch.Tensor]:
    """Return one seeded state dict for the whole module: making it takes seconds."""
    return seeded_state_dict(0)


@pytest.fixture(scope="module")
def whole(state: Dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint as mmcv writes it: meta, state_dict with _metadata, optimizer."""
    path = tmp_path_factory.mktemp("whole") / "tiny.pth"
    torch.save(_mmcv_checkpoint(state), str(path))
    return path


def _mmcv_checkpoint(state: Dict[str, torch.Tensor]) -> Dict[str, object]:
    model = BEVFormerTiny()
    model.load_state_dict(state)
    weight = model.state_dict()["img_backbone.conv1.weight"]
    optimizer = {"state": {0: {"step": 1, "exp_avg": weight}}, "param_groups": [{"lr": 2e-4}]}
    meta = {
        "epoch": 24,
        "CLASSES": ["car"],
        "score": np.float64(0.25),
        "table": np.arange(3),
        "shape": torch.Size([1]),
        "device": torch.device("cpu"),
    }
    return {"meta": meta, "state_dict": model.state_dict(), "optimizer": optimizer}


def _equal(left: Dict[str, torch.Tensor], right: Dict[str, torch.Tensor]) -> bool:
    return set(left) == set(right) and all(torch.equal(left[key], right[key]) for key in left)


def _error(path: Path, **options: str) -> WeightsError:
    with pytest.raises(WeightsError) as caught:
        load_checkpoint(path, **options)
    error = caught.value
    assert error.exit_code == ExitCode.WEIGHTS
    assert "\n" not in error.message
    assert error.message.startswith(str(path))
    assert error.hint
    return error


def test_seeded_weights_follow_the_recipe() -> None:
    shapes = {
        "a.weight": (2,),
        "a.running_var": (2,),
        "b.weight": (2, 3),
        "a.num_batches_tracked": (),
    }
    found = seeded_state_dict(7, shapes)
    digest = hashlib.sha256(b"7:b.weight").digest()[:8]
    noise = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
    expected = (noise.standard_normal((2, 3)) / np.sqrt(3)).astype(np.float32)
    assert np.array_equal(found["b.weight"].numpy(), expected)
    assert found["a.num_batches_tracked"].dtype == torch.int64
    assert bool((found["a.running_var"] >= 1).all())
    assert {key: tuple(value.shape) for key, value in found.items()} == shapes


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_whole_checkpoint_loads(
    state: Dict[str, torch.Tensor], tmp_path: Path, *, zipped: bool
) -> None:
    path = tmp_path / "tiny.pth"
    torch.save(_mmcv_checkpoint(state), str(path), _use_new_zipfile_serialization=zipped)
    assert _equal(load_checkpoint(path), state)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_loads(
    state: Dict[str, torch.Tensor], tmp_path: Path, protocol: int
) -> None:
    path = tmp_path / "tiny.pth"
    torch.save(OrderedDict(state), str(path), pickle_protocol=protocol)
    assert _equal(load_checkpoint(path), state)


def test_names_from_distributed_training_load(
    state: Dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "tiny.pth"
    torch.save({f"module.{key}": value for key, value in state.items()}, str(path))
    assert _equal(load_checkpoint(path), state)


def test_strided_and_shared_tensors_load(state: Dict[str, torch.Tensor], tmp_path: Path) -> None:
    changed = dict(state)
    key = "img_backbone.layer1.0.conv2.weight"
    changed[key] = state[key].to(memory_format=torch.channels_last)
    flat = torch.cat([torch.zeros(5), state["img_backbone.bn1.bias"]])
    changed["img_backbone.bn1.bias"] = flat[5:]
    path = tmp_path / "tiny.pth"
    torch.save(changed, str(path))
    assert _equal(load_checkpoint(path), state)


def test_the_hash_is_compared(whole: Path) -> None:
    digest = hashlib.sha256(whole.read_bytes()).hexdigest()
    assert load_checkpoint(whole, expected_sha256=digest)
    assert "expected 00" in _error(whole, expected_sha256="00" * 32).message


def _drop(state: Dict[str, torch.Tensor]) -> None:
    del state["pts_bbox_head.code_weights"]


def _add(state: Dict[str, torch.Tensor]) -> None:
    state["img_backbone.layer3.22.conv1.weight"] = torch.zeros(1)


def _base(state: Dict[str, torch.Tensor]) -> None:
    state["pts_bbox_head.bev_embedding.weight"] = torch.zeros(40000, 256)


def _resnet(state: Dict[str, torch.Tensor]) -> None:
    for key in list(state):
        if not key.startswith("img_backbone"):
            del state[key]


def _not_finite(state: Dict[str, torch.Tensor]) -> None:
    state["pts_bbox_head.code_weights"] = torch.full((10,), float("nan"))


OTHER_MODELS = {
    "missing key": (_drop, "1 missing (pts_bbox_head.code_weights)"),
    "unexpected key": (_add, "1 unexpected (img_backbone.layer3.22.conv1.weight)"),
    "bevformer-base": (_base, "is bevformer-base (a 200x200 BEV), not BEVFormer-tiny"),
    "a backbone alone": (_resnet, "is not BEVFormer:"),
    "not finite": (_not_finite, "not finite, among them pts_bbox_head.code_weights"),
}


@pytest.mark.parametrize(("change", "message"), OTHER_MODELS.values(), ids=list(OTHER_MODELS))
def test_another_model_is_named(
    state: Dict[str, torch.Tensor],
    tmp_path: Path,
    change: Callable[[Dict[str, torch.Tensor]], None],
    message: str,
) -> None:
    changed = dict(state)
    change(changed)
    path = tmp_path / "other.pth"
    torch.save({"state_dict": changed}, str(path))
    assert message in _error(path).message


@pytest.mark.parametrize("share", [0.0, 0.00001, 0.3, 0.999], ids=str)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_cut_checkpoint_is_named(
    state: Dict[str, torch.Tensor], tmp_path: Path, share: float, *, zipped: bool
) -> None:
    path = tmp_path / "cut.pth"
    torch.save({"state_dict": state}, str(path), _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    message = _error(path).message
    assert "cut off or damaged" in message or "is no PyTorch checkpoint" in message


def test_a_changed_byte_is_named(whole: Path, tmp_path: Path) -> None:
    data = bytearray(whole.read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "changed.pth"
    path.write_bytes(bytes(data))
    assert "cut off or damaged" in _error(path).message


def test_what_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    page = tmp_path / "page.pth"
    page.write_bytes(b"<!DOCTYPE html>")
    assert "is no PyTorch checkpoint" in _error(page).message
    assert "cannot be read" in _error(tmp_path / "absent.pth").message
    assert "cannot be read" in _error(tmp_path).message


# Hostile pickles. Each would leave the file `bait` behind if anything of it were executed.


class _Call:
    """Pickles as a call of `function`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self._call


def _global(module: str, name: str) -> bytes:
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def _stack_global(module: str, name: str) -> bytes:
    return _text(module) + _text(name) + b"\x93"


TOUCH = "open('bait', 'w').close()"
_CALL = _text(TOUCH) + b"\x85R"
_TENSOR = _global("torch._utils", "_rebuild_tensor_v2")
_FLOATS = b"(" + _text("storage") + _global("torch", "FloatStorage") + _text("0") + _text("cpu")


def _tensor(count: int, offset: int, size: int, stride: int) -> bytes:
    def number(value: int) -> bytes:
        return b"\x8a\x08" + struct.pack("<q", value)

    place = number(offset) + number(size) + b"\x85" + number(stride) + b"\x85"
    described = _TENSOR + b"(" + _FLOATS + number(count) + b"tQ" + place + b"\x89}tR"
    return b"}" + _text("state_dict") + b"}" + _text("w") + described + b"ss"


HOSTILE = {
    "os.system": (pickle.dumps(_Call(__import__("os").system, "touch bait"))[2:-1], "system'"),
    "eval by name": (_global("builtins", "eval") + _CALL, "'builtins.eval'"),
    "exec, protocol 4": (_stack_global("builtins", "exec") + _CALL, "'builtins.exec'"),
    "python 2's name": (_global("__builtin__", "eval") + _CALL, "'__builtin__.eval'"),
    "subprocess": (_global("subprocess", "Popen") + _text("touch bait") + b"\x85R", "Popen"),
    "a dotted name": (_stack_global("torch.serialization", "os.system") + _CALL, "os.system"),
    "getattr": (_global("builtins", "getattr") + _CALL, "'builtins.getattr'"),
    "an import": (_global("importlib", "import_module") + _CALL, "import_module"),
    "numpy's runstring": (
        _global("numpy.testing._private.utils", "runstring") + _CALL,
        "runstring",
    ),
    "torch.hub": (_global("torch.hub", "load") + _CALL, "'torch.hub.load'"),
    "a nested torch.load": (_global("torch", "load") + _CALL, "'torch.load'"),
    "torch.jit": (_global("torch.jit._script", "unpackage_script_module") + _CALL, "torch.jit"),
    "INST": (b"(" + _text(TOUCH) + b"ibuiltins\neval\n", "instruction INST"),
    "OBJ": (b"(" + _global("collections", "OrderedDict") + _text(TOUCH) + b"o", "instruction OBJ"),
    "NEWOBJ": (_global("builtins", "exec") + _text(TOUCH) + b"\x85\x81", "'builtins.exec'"),
    "NEWOBJ_EX": (
        _global("collections", "OrderedDict") + b")}\x92",
        "instruction NEWOBJ_EX",
    ),
    "an extension code": (b"\x82\x01", "instruction EXT1"),
    "a text persistent id": (b"Pbait\n", "instruction PERSID"),
    "a call of a string": (_text("eval") + _CALL, "calls what is no known name"),
    "BUILD of a function": (_TENSOR + b"}" + _text("__code__") + _text("x") + b"sb", "attributes"),
    "BUILD of a list": (b"]}b", "attributes"),
    "code in the values": (
        b"}"
        + _text("state_dict")
        + b"}"
        + _text("w")
        + _global("builtins", "eval")
        + _CALL
        + b"ss",
        "'builtins.eval'",
    ),
}
SENSELESS = {
    "beyond its storage": _tensor(4, 0, 5, 1),
    "a negative offset": _tensor(4, -1, 1, 1),
    "a negative size": _tensor(4, 0, -1, 1),
    "a huge stride": _tensor(4, 0, 2, 1 << 62),
    "a huge storage": _tensor(1 << 62, 0, 1, 1),
    "no tensor arguments": _TENSOR + b"]\x85R",
    "a deep key": b"}" + b")" + b"\x85" * 100_000 + b"Ns",
    "a list as a key": b"}]Ns",
    "an empty stack": b"0",
    "no mark": b"t",
    "an unknown memo": b"h\x07",
    "a huge string": b"\x8d" + struct.pack("<Q", 1 << 60),
    "a huge number": b"\x8b" + struct.pack("<I", 1 << 30),
    "a long line": b"I" + b"9" * 100_000 + b"\n",
    "an unknown instruction": b"\xff",
    "a storage of no kind": _text("x") + b"Q",
}


def _zip(body: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + body + b".")
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/data/0", bytes(16))
    return stream.getvalue()


def _legacy(body: bytes) -> bytes:
    head = [pickle.dumps(value, 2) for value in (LEGACY_MAGIC, 1001, {"little_endian": True})]
    numbers = struct.pack("<q", 4) + bytes(16)
    return b"".join(head) + b"\x80\x02" + body + b"." + pickle.dumps(["0"], 2) + numbers


def _legacy_head(body: bytes) -> bytes:
    magic = pickle.dumps(LEGACY_MAGIC, 2)
    return magic + b"\x80\x02" + body + b"." + pickle.dumps({}, 2)


def _legacy_keys(body: bytes) -> bytes:
    head = [pickle.dumps(value, 2) for value in (LEGACY_MAGIC, 1001, {}, {})]
    return b"".join(head) + b"\x80\x02" + body + b"."


def _bare(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


PLACES = {
    "zip": _zip,
    "legacy": _legacy,
    "legacy head": _legacy_head,
    "legacy keys": _legacy_keys,
    "bare": _bare,
}


@pytest.mark.parametrize("wrap", PLACES.values(), ids=list(PLACES))
@pytest.mark.parametrize(("body", "name"), HOSTILE.values(), ids=list(HOSTILE))
def test_a_hostile_pickle_is_refused_and_not_executed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    body: bytes,
    name: str,
    wrap: Callable[[bytes], bytes],
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "hostile.pth"
    path.write_bytes(wrap(body))
    message = _error(path).message
    assert "refused" in message
    assert "nothing of it was executed" in message
    assert name in message
    assert not (tmp_path / "bait").exists()


@pytest.mark.parametrize("wrap", [_zip, _legacy], ids=["zip", "legacy"])
@pytest.mark.parametrize("body", SENSELESS.values(), ids=list(SENSELESS))
def test_a_senseless_pickle_ends_in_one_line(
    tmp_path: Path, body: bytes, wrap: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "senseless.pth"
    path.write_bytes(wrap(body))
    assert len(_error(path).message) < 400


ARMED = ("os.system", "eval by name", "exec, protocol 4", "INST", "code in the values")


@pytest.mark.parametrize("name", ARMED)
def test_the_hostile_pickles_are_armed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(_bare(HOSTILE[name][0]))  # noqa: S301
    assert (tmp_path / "bait").exists()


@pytest.mark.parametrize("size", [8, 1 << 20], ids=["too few bytes", "a bomb"])
def test_a_storage_of_another_size_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + _tensor(4, 0, 4, 1) + b".")
        archive.writestr("archive/data/0", bytes(size))
    with path.open("rb") as stream:
        checkpoint = Checkpoint(path, stream)
        with pytest.raises(WeightsError, match=f"holds {size} bytes, 16 are described"):
            checkpoint.read(checkpoint.structure["state_dict"]["w"])
