"""The authors' code as it is installed: found, imported, and built through their registries."""

from __future__ import annotations

import contextlib
import importlib
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, Iterator, List

from bevformer_eval.errors import UsageError

PLUGIN = "projects.mmdet3d_plugin"
_CONFIG = Path("configs", "bevformer", "bevformer_tiny.py")  # below `projects`
_DISTRIBUTIONS = {  # what a person installs, by what is imported
    "mmcv": "mmcv-full",
    "mmdet": "mmdet",
    "mmseg": "mmsegmentation",
    "mmdet3d": "mmdet3d",
    "projects": "bevformer",
}


def require() -> None:
    """Raise UsageError, in one line, where this installation does not hold the authors' code."""
    absent = [name for module, name in _DISTRIBUTIONS.items() if find_spec(module) is None]
    if not absent and not _config_file().is_file():
        absent = [_DISTRIBUTIONS["projects"]]
    if absent:
        raise UsageError(
            "this image does not hold the authors' code (--model upstream): "
            f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed",
            "use --model native, or an image that has it",
        )


def _config_file() -> Path:
    spec = find_spec("projects")
    places: List[str] = list(spec.submodule_search_locations or []) if spec else []
    return Path(places[0] if places else ".", _CONFIG)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what upstream prints off stdout, and the warnings of its old habits to itself."""
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def config() -> Any:
    """Return bevformer_tiny.py as mmcv reads it, with the plugin's classes registered."""
    require()
    with quiet():
        from mmcv import Config

        importlib.import_module(PLUGIN)
        return Config.fromfile(str(_config_file()))


def build_model(settings: Any, state: Dict[str, Any], device: str) -> Any:
    """Return upstream's BEVFormer-tiny in eval mode on the device, with exactly these weights."""
    with quiet():
        from mmdet3d.models import build_model as build

        settings.model.update(pretrained=None, train_cfg=None)
        model = build(settings.model, test_cfg=settings.get("test_cfg"))
    model.load_state_dict(state, strict=True)
    return model.eval().to(device)


def build_dataset(settings: Any, data_root: str, ann_file: Path) -> Any:
    """Return upstream's test dataset over an info file."""
    with quiet():
        from mmdet3d.datasets import build_dataset as build

        settings.data.test.update(test_mode=True, data_root=data_root, ann_file=str(ann_file))
        return build(settings.data.test)
