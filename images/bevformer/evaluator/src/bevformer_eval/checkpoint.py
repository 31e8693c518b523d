"""PyTorch checkpoint files read as data, in the zip and in the older format, under any torch.

The layouts are torch/serialization.py's: a zip holds `data.pkl` and one file a storage below
`data/`; an older file holds four pickles (magic number, protocol, system, object), a pickled list
of storage keys, and each storage as its element count and its elements. Only the tensors that are
asked for are read: an optimizer's state, two thirds of a training checkpoint, stays on the disk.
"""

from __future__ import annotations

import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterable, NamedTuple, Tuple, Union

import numpy as np
import torch
from torch import Tensor

from bevformer_eval import safe_pickle
from bevformer_eval.errors import WeightsError
from bevformer_eval.safe_pickle import DamagedPickleError, Opaque, UnsafePickleError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_HEAD = b"\x80\x02\x8a\x0a" + LEGACY_MAGIC.to_bytes(10, "little")

# numpy has no bfloat16: it travels as int16 and is viewed as what it is afterwards.
_DTYPES = {
    "DoubleStorage": (torch.float64, "<f8"),
    "FloatStorage": (torch.float32, "<f4"),
    "HalfStorage": (torch.float16, "<f2"),
    "BFloat16Storage": (torch.bfloat16, "<i2"),
    "LongStorage": (torch.int64, "<i8"),
    "IntStorage": (torch.int32, "<i4"),
    "ShortStorage": (torch.int16, "<i2"),
    "CharStorage": (torch.int8, "<i1"),
    "ByteStorage": (torch.uint8, "<u1"),
    "BoolStorage": (torch.bool, "<?"),
}

# Harmless types that a training loop leaves in a checkpoint's meta or optimizer entries.
_OPAQUE = (
    "_codecs.encode",
    "addict.addict.Dict",
    "builtins.set",
    "collections.defaultdict",
    "datetime.datetime",
    "mmcv.utils.config.ConfigDict",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "numpy.ndarray",
    "torch.Size",
    "torch.device",
)


class Storage(NamedTuple):
    """A run of numbers somewhere in the file."""

    kind: str
    key: str
    count: int


class TensorRef(NamedTuple):
    """A tensor that has not been read: a storage and the place in it."""

    storage: Storage
    offset: int
    size: Tuple[int, ...]
    stride: Tuple[int, ...]


def _is_counts(value: object) -> bool:
    return type(value) is tuple and all(type(item) is int and item >= 0 for item in value)


def _tensor_ref(
    storage: object, offset: object, size: object, stride: object, *_: object
) -> TensorRef:
    whole = type(storage) is Storage and _is_counts((offset,)) and _is_counts(size)
    if not (whole and _is_counts(stride) and len(size) == len(stride)):
        msg = "it describes a tensor that cannot be"
        raise DamagedPickleError(msg)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    if 0 not in size and last >= storage.count:
        msg = "it describes a tensor that reaches beyond its storage"
        raise DamagedPickleError(msg)
    return TensorRef(storage, offset, size, stride)


def _parameter(data: object, *_: object) -> object:
    return data


def _ordered(items: Iterable[Tuple[str, object]] = ()) -> OrderedDict[str, object]:
    return OrderedDict((key, value) for key, value in items if isinstance(key, str))


_KNOWN: Dict[str, safe_pickle.Handler] = {
    "collections.OrderedDict": _ordered,
    "torch._utils._rebuild_tensor": _tensor_ref,
    "torch._utils._rebuild_tensor_v2": _tensor_ref,
    "torch._utils._rebuild_parameter": _parameter,
    **dict.fromkeys(_OPAQUE, Opaque),
    **{f"torch.{name}": Opaque for name in _DTYPES},
}


def _storage(identity: object) -> Storage:
    """Return the storage that a persistent id names: ('storage', type, key, device, count)."""
    if type(identity) is tuple and len(identity) in (5, 6) and identity[0] == "storage":
        kind = safe_pickle.global_name(identity[1]).rpartition(".")[2]
        key, count = identity[2], identity[4]
        view = identity[5] if len(identity) == 6 else None
        if kind in _DTYPES and type(key) is str and _is_counts((count,)) and view is None:
            return Storage(kind, key, count)
    msg = "it refers to a storage of an unknown kind"
    raise DamagedPickleError(msg)


def _load_pickle(stream: BinaryIO) -> Any:
    return safe_pickle.load(stream, _KNOWN, _storage)


class _ZipFile:
    """A checkpoint of torch 1.6 or later."""

    def __init__(self, stream: BinaryIO) -> None:
        self._zip = zipfile.ZipFile(stream)
        names = [name for name in self._zip.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            msg = "the zip holds no data.pkl"
            raise DamagedPickleError(msg)
        self._root = names[0][: -len("data.pkl")]
        if self._small(f"{self._root}byteorder", b"little") != b"little":
            msg = "its numbers are big-endian"
            raise DamagedPickleError(msg)

    def _small(self, name: str, default: bytes) -> bytes:
        return self._zip.read(name) if name in self._zip.namelist() else default

    def structure(self) -> Any:
        with self._zip.open(f"{self._root}data.pkl") as stream:
            return _load_pickle(stream)

    def elements(self, storage: Storage, size: int) -> bytes:
        try:
            entry = self._zip.getinfo(f"{self._root}data/{storage.key}")
        except KeyError:
            msg = f"storage {storage.key} is not in it"
            raise DamagedPickleError(msg) from None
        # torch stores without compression; a lying size would be a decompression bomb.
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != size:
            msg = f"storage {storage.key} holds {entry.file_size} bytes, {size} are described"
            raise DamagedPickleError(msg)
        return self._zip.read(entry)


class _LegacyFile:
    """A checkpoint of torch before 1.6, or saved with _use_new_zipfile_serialization=False."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._places: Dict[str, int] = {}

    def structure(self) -> Any:
        for _ in ("magic number", "protocol", "system"):
            _load_pickle(self._stream)
        seen: Dict[str, Storage] = {}

        def remember(identity: object) -> Storage:
            storage = _storage(identity)
            return seen.setdefault(storage.key, storage)

        found = safe_pickle.load(self._stream, _KNOWN, remember)
        for key in _load_pickle(self._stream):
            storage = seen[key]
            self._places[key] = self._stream.tell()
            size = storage.count * _item_size(storage)
            self._stream.seek(8 + size, 1)
        return found

    def elements(self, storage: Storage, size: int) -> bytes:
        self._stream.seek(self._places[storage.key])
        head = self._stream.read(8)
        if len(head) == 8 and struct.unpack("<q", head) == (storage.count,):
            data = self._stream.read(size)
            if len(data) == size:
                return data
        msg = f"storage {storage.key} is cut off or of another size"
        raise DamagedPickleError(msg)


def _item_size(storage: Storage) -> int:
    return np.dtype(_DTYPES[storage.kind][1]).itemsize


class Checkpoint:
    """An open checkpoint: its structure, with tensors as TensorRef until `read` is asked."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path = path
        self._file = self._open(stream)
        self.structure = self._guarded(self._file.structure)

    def read(self, ref: TensorRef) -> Tensor:
        """Return the tensor that `ref` describes, as a copy in the memory."""
        return self._guarded(lambda: self._read(ref))

    def _read(self, ref: TensorRef) -> Tensor:
        dtype, code = _DTYPES[ref.storage.kind]
        data = self._file.elements(ref.storage, ref.storage.count * _item_size(ref.storage))
        flat = torch.from_numpy(np.frombuffer(bytearray(data), code))
        flat = flat.view(dtype) if flat.dtype != dtype else flat
        return torch.as_strided(flat, ref.size, ref.stride, ref.offset).clone().contiguous()

    def _open(self, stream: BinaryIO) -> Union[_ZipFile, _LegacyFile]:
        head = stream.read(len(_LEGACY_HEAD))
        stream.seek(0)
        if head.startswith(b"PK"):
            return self._guarded(lambda: _ZipFile(stream))
        if head == _LEGACY_HEAD:
            return _LegacyFile(stream)
        if head.startswith(b"\x80"):  # a bare pickle: name what it asks for, else say it is none
            self._guarded(lambda: _load_pickle(stream))
        raise WeightsError(
            f"{self._path}: is no PyTorch checkpoint (it begins with {head[:8]!r})",
            hint="give the .pth file itself, not a page, a pointer or an archive around it",
        )

    def _guarded(self, action: Any) -> Any:
        try:
            return action()
        except UnsafePickleError as error:
            raise WeightsError(
                f"{self._path}: refused: {error}, which weights have no use for; "
                "nothing of it was executed",
                hint="do not load it with other programs; download it again from its authors",
            ) from error
        except (
            DamagedPickleError,
            zipfile.BadZipFile,
            NotImplementedError,
            EOFError,
            OSError,
            KeyError,
            TypeError,
            RuntimeError,
            MemoryError,
            ValueError,
        ) as error:
            raise WeightsError(
                f"{self._path}: is cut off or damaged: {error}",
                hint="download it again and compare its sha256",
            ) from error
