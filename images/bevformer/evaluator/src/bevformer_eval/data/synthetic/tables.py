"""The nuScenes v1.0 tables, CAN bus messages and lidar sweeps of synthetic scenes."""

from __future__ import annotations

import struct
from typing import List, Tuple

from bevformer_eval.data.synthetic.exact import Pose, Vector, draw, token
from bevformer_eval.data.synthetic.world import CHANNELS, IMAGE_SIZE, TICK_US, Scene, Thing
from bevformer_eval.data.tables import TABLE_NAMES, Row, Tables

_CATEGORIES = [
    "human.pedestrian.adult",
    "human.pedestrian.child",
    "human.pedestrian.wheelchair",
    "human.pedestrian.stroller",
    "human.pedestrian.personal_mobility",
    "human.pedestrian.police_officer",
    "human.pedestrian.construction_worker",
    "animal",
    "vehicle.car",
    "vehicle.motorcycle",
    "vehicle.bicycle",
    "vehicle.bus.bendy",
    "vehicle.bus.rigid",
    "vehicle.truck",
    "vehicle.construction",
    "vehicle.emergency.ambulance",
    "vehicle.emergency.police",
    "vehicle.trailer",
    "movable_object.barrier",
    "movable_object.trafficcone",
    "movable_object.pushable_pullable",
    "movable_object.debris",
    "static_object.bicycle_rack",
]
_ATTRIBUTES = [
    "vehicle.moving",
    "vehicle.stopped",
    "vehicle.parked",
    "cycle.with_rider",
    "cycle.without_rider",
    "pedestrian.sitting_lying_down",
    "pedestrian.standing",
    "pedestrian.moving",
]
_VISIBILITY = ("v0-40", "v40-60", "v60-80", "v80-100")


def empty_tables() -> Tables:
    """Return the tables that do not depend on any scene, and the others empty."""
    tables: Tables = {name: [] for name in TABLE_NAMES}
    for name in _CATEGORIES:
        tables["category"].append(
            {"token": token("category", name), "name": name, "description": ""}
        )
    for name in _ATTRIBUTES:
        tables["attribute"].append(
            {"token": token("attribute", name), "name": name, "description": ""}
        )
    for number, level in enumerate(_VISIBILITY, start=1):
        tables["visibility"].append({"token": str(number), "level": level, "description": ""})
    for channel in CHANNELS:
        modality = "lidar" if channel == "LIDAR_TOP" else "camera"
        tables["sensor"].append(
            {"token": token("sensor", channel), "channel": channel, "modality": modality}
        )
    map_file = f"maps/{token('map')}.png"
    tables["map"].append(
        {
            "token": token("map"),
            "log_tokens": [],
            "category": "semantic_prior",
            "filename": map_file,
        }
    )
    return tables


def start_us(scene: Scene) -> int:
    """Return the time stamp of tick 0 in microseconds."""
    return 1_500_000_000_000_000 + draw(0, 10**8, scene.seed, scene.name, "start") * TICK_US


def sensor_tick(scene: Scene, channel: str, index: int) -> int:
    """Return the tick at which a sensor fires for sample `index`."""
    trigger = scene.cameras[channel].trigger if channel in scene.cameras else 0
    return scene.sample_tick(index) + trigger


def file_name(scene: Scene, channel: str, index: int) -> str:
    """Return the path of a sensor's file below the data root."""
    stamp = start_us(scene) + sensor_tick(scene, channel, index) * TICK_US
    suffix = "pcd.bin" if channel == "LIDAR_TOP" else "jpg"
    return f"samples/{channel}/synthetic-{scene.seed}-{scene.name}__{channel}__{stamp}.{suffix}"


def add_scene(tables: Tables, scene: Scene) -> None:
    """Append everything that the tables say about one scene."""
    _add_log(tables, scene)
    _add_samples(tables, scene)
    for channel in CHANNELS:
        _add_sensor(tables, scene, channel)
    for thing in scene.things:
        _add_instance(tables, scene, thing)


def _key(scene: Scene, *labels: object) -> str:
    return token(scene.seed, scene.name, *labels)


def _neighbours(scene: Scene, count: int, index: int, *labels: object) -> Row:
    """Return the prev and next links of element `index` of a chain."""
    return {
        "prev": _key(scene, *labels, index - 1) if index > 0 else "",
        "next": _key(scene, *labels, index + 1) if index + 1 < count else "",
    }


def _add_log(tables: Tables, scene: Scene) -> None:
    log = _key(scene, "log")
    tables["log"].append(
        {
            "token": log,
            "logfile": f"synthetic-{scene.seed}-{scene.name}",
            "vehicle": "synthetic",
            "date_captured": "2017-07-14",
            "location": "singapore-onenorth",
        }
    )
    tables["map"][0]["log_tokens"].append(log)  # type: ignore[attr-defined]
    tables["scene"].append(
        {
            "token": _key(scene, "scene"),
            "log_token": log,
            "nbr_samples": scene.samples,
            "first_sample_token": _key(scene, "sample", 0),
            "last_sample_token": _key(scene, "sample", scene.samples - 1),
            "name": scene.name,
            "description": "synthetic",
        }
    )


def _add_samples(tables: Tables, scene: Scene) -> None:
    for index in range(scene.samples):
        tables["sample"].append(
            {
                "token": _key(scene, "sample", index),
                "timestamp": start_us(scene) + scene.sample_tick(index) * TICK_US,
                "scene_token": _key(scene, "scene"),
                **_neighbours(scene, scene.samples, index, "sample"),
            }
        )


def _add_sensor(tables: Tables, scene: Scene, channel: str) -> None:
    camera = scene.cameras.get(channel)
    mount = camera.mount if camera else scene.lidar
    intrinsic = (
        [
            [float(camera.focal), 0.0, float(camera.centre[0])],
            [0.0, float(camera.focal), float(camera.centre[1])],
        ]
        if camera
        else []
    )
    calibration = _key(scene, "calibrated_sensor", channel)
    tables["calibrated_sensor"].append(
        {
            "token": calibration,
            "sensor_token": token("sensor", channel),
            "translation": list(mount.translation),
            "rotation": list(mount.rotation),
            "camera_intrinsic": [*intrinsic, [0.0, 0.0, 1.0]] if camera else [],
        }
    )
    for index in range(scene.samples):
        tick = sensor_tick(scene, channel, index)
        stamp = start_us(scene) + tick * TICK_US
        key = _key(scene, channel, index)
        ego = scene.path[tick]
        tables["ego_pose"].append(
            {
                "token": key,
                "timestamp": stamp,
                "rotation": list(ego.rotation),
                "translation": list(ego.translation),
            }
        )
        tables["sample_data"].append(
            {
                "token": key,
                "sample_token": _key(scene, "sample", index),
                "ego_pose_token": key,
                "calibrated_sensor_token": calibration,
                "timestamp": stamp,
                "fileformat": "jpg" if camera else "pcd",
                "is_key_frame": True,
                "height": IMAGE_SIZE[1] if camera else 0,
                "width": IMAGE_SIZE[0] if camera else 0,
                "filename": file_name(scene, channel, index),
                **_neighbours(scene, scene.samples, index, channel),
            }
        )


def _add_instance(tables: Tables, scene: Scene, thing: Thing) -> None:
    seen = [index for index in range(scene.samples) if scene.visible(thing, index)]
    if not seen:
        return
    instance = _key(scene, "instance", thing.name)
    tables["instance"].append(
        {
            "token": instance,
            "category_token": token("category", thing.kind.category),
            "nbr_annotations": len(seen),
            "first_annotation_token": _key(scene, "annotation", thing.name, 0),
            "last_annotation_token": _key(scene, "annotation", thing.name, len(seen) - 1),
        }
    )
    attributes = [token("attribute", thing.attribute)] if thing.attribute else []
    for order, index in enumerate(seen):
        pose = thing.pose(scene.sample_tick(index))
        tables["sample_annotation"].append(
            {
                "token": _key(scene, "annotation", thing.name, order),
                "sample_token": _key(scene, "sample", index),
                "instance_token": instance,
                "visibility_token": str(
                    draw(1, 4, scene.seed, scene.name, thing.name, index, "visibility")
                ),
                "attribute_tokens": attributes,
                "translation": list(pose.translation),
                "size": list(thing.size),
                "rotation": list(pose.rotation),
                **_neighbours(scene, len(seen), order, "annotation", thing.name),
                "num_lidar_pts": len(_hits(scene, thing, index)),
                "num_radar_pts": 0,
            }
        )


def _hits(scene: Scene, thing: Thing, index: int) -> List[Vector]:
    """Return the lidar points on a thing, in its own frame: within the box, at least one."""
    labels = (scene.seed, scene.name, thing.name, index, "hit")
    width, length, height = thing.size
    return [
        (
            length * draw(-49, 49, *labels, number, "x") / 100.0,
            width * draw(-49, 49, *labels, number, "y") / 100.0,
            height * draw(-49, 49, *labels, number, "z") / 100.0,
        )
        for number in range(draw(1, 12, *labels))
    ]


def lidar_sweep(scene: Scene, index: int) -> bytes:
    """Return a sweep in the lidar frame: x y z intensity ring, little-endian float32."""
    tick = scene.sample_tick(index)
    top = scene.path[tick].compose(scene.lidar)
    points: List[Tuple[float, ...]] = []
    for thing in scene.things:
        if scene.visible(thing, index):
            pose: Pose = thing.pose(tick)
            points.extend(top.invert(pose.apply(hit)) for hit in _hits(scene, thing, index))
    return b"".join(struct.pack("<5f", *point, 1.0, 0.0) for point in points)


def can_bus_pose(scene: Scene) -> List[Row]:
    """Return the pose messages of the CAN bus at 50 Hz, their keys in the real order."""
    return [
        {
            "accel": [draw(-200, 200, scene.seed, scene.name, tick, axis) / 1000.0 for axis in "xy"]
            + [9.81],
            "orientation": list(ego.rotation),
            "pos": list(ego.translation),
            "rotation_rate": [0.0, 0.0, scene.yaw_rate(tick)],
            "utime": start_us(scene) + tick * TICK_US + 7_000,
            "vel": [scene.speed, 0.0, 0.0],
        }
        for tick, ego in enumerate(scene.path)
        if tick % 2 == 0
    ]
