"""The seeded world of the synthetic scenes: the drive, the cameras, and what stands around."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Tuple

from bevformer_eval.data import SOURCE_HEIGHT, SOURCE_WIDTH
from bevformer_eval.data.quaternion import Quaternion, product
from bevformer_eval.data.synthetic.exact import Pose, Vector, draw, unit

TICK_US = 10_000  # every time stamp is a multiple of this, so that poses are read from one table
SAMPLE_TICKS = 50  # nuScenes annotates at 2 Hz
LEAD_TICKS = 30  # the CAN bus and the sensors start before the first sample
IMAGE_SIZE = (SOURCE_WIDTH, SOURCE_HEIGHT)

# name: (half-turn about z as integers w and z, position in the ego frame in mm, focal length in px,
# trigger in ticks)
_RIG: Dict[str, Tuple[Tuple[int, int], Tuple[int, int, int], int, int]] = {
    "CAM_FRONT": ((1000, 2), (1700, 15, 1510), 1266, -3),
    "CAM_FRONT_RIGHT": ((1000, -532), (1550, -490, 1500), 1260, -3),
    "CAM_FRONT_LEFT": ((1000, 522), (1520, 495, 1510), 1272, -4),
    "CAM_BACK": ((1, 1000), (30, 5, 1580), 809, -1),
    "CAM_BACK_LEFT": ((1000, 1392), (1035, 485, 1590), 1257, 0),
    "CAM_BACK_RIGHT": ((1000, -1450), (1015, -480, 1560), 1260, -2),
}
CHANNELS = ("LIDAR_TOP", *_RIG)
# Camera axes (right, down, forward) in a frame of (forward, left, up).
_OPTICAL: Quaternion = (0.5, -0.5, 0.5, -0.5)


class Kind(NamedTuple):
    """One sort of object: how big it is, how far nuScenes scores it, how it moves."""

    category: str
    size_cm: Tuple[int, int, int]  # width, length, height
    reach_m: int  # detection_cvpr_2019's class_range; 0: not a detection class
    speed_dm_s: int  # decimetres per second when it moves
    moving: str
    resting: str
    count: int


KINDS = (
    Kind("vehicle.car", (190, 460, 170), 50, 60, "vehicle.moving", "vehicle.parked", 5),
    Kind("vehicle.truck", (250, 690, 290), 50, 50, "vehicle.moving", "vehicle.stopped", 2),
    Kind("vehicle.bus.rigid", (290, 1100, 340), 50, 40, "vehicle.moving", "vehicle.stopped", 2),
    Kind("vehicle.trailer", (290, 1200, 390), 50, 30, "vehicle.moving", "vehicle.parked", 1),
    Kind("vehicle.construction", (280, 640, 320), 50, 20, "vehicle.moving", "vehicle.parked", 1),
    Kind(
        "human.pedestrian.adult",
        (67, 73, 177),
        40,
        13,
        "pedestrian.moving",
        "pedestrian.standing",
        4,
    ),
    Kind(
        "vehicle.motorcycle", (77, 210, 147), 40, 60, "cycle.with_rider", "cycle.without_rider", 2
    ),
    Kind("vehicle.bicycle", (60, 170, 128), 40, 40, "cycle.with_rider", "cycle.without_rider", 2),
    Kind("movable_object.trafficcone", (41, 41, 107), 30, 0, "", "", 3),
    Kind("movable_object.barrier", (250, 50, 98), 30, 0, "", "", 3),
    Kind("movable_object.debris", (60, 60, 40), 0, 0, "", "", 1),
)


@dataclass(frozen=True)
class Thing:
    """One object of a scene: a box that stands still or moves straight on along its own x axis."""

    name: str
    kind: Kind
    size: Vector  # width, length, height in metres
    start: Vector  # centre at tick 0, global frame
    rotation: Quaternion
    speed: float  # metres per second

    @property
    def attribute(self) -> str:
        """The nuScenes attribute that goes with the motion; empty for what never moves."""
        return self.kind.moving if self.speed > 0 else self.kind.resting

    def pose(self, tick: int) -> Pose:
        """Return the pose of the box centre in the global frame."""
        heading = Pose(self.rotation, self.start)
        return Pose(self.rotation, heading.apply((self.speed * tick / 100.0, 0.0, 0.0)))


class Camera(NamedTuple):
    """A camera of one scene: its pose in the ego frame, its pinhole, its delay to the lidar."""

    mount: Pose
    focal: int
    centre: Tuple[int, int]
    trigger: int


class Scene:
    """One seeded scene: the poses of the ego vehicle by tick, its sensors, and its things."""

    def __init__(self, seed: int, name: str, samples: int) -> None:
        self.seed, self.name, self.samples = seed, name, samples
        self._turn = (
            draw(-60, 60, seed, name, "turn") / 1000.0
        )  # tangent of half the yaw gained in a second
        self.speed = draw(30, 90, seed, name, "speed") / 10.0
        self.path = self._drive(self.sample_tick(samples - 1) + LEAD_TICKS)
        self.lidar = Pose(unit(7078, -65, 106, -7063), (0.94, 0.0, 1.84))
        self.cameras = {channel: self._camera(channel) for channel in _RIG}
        self.things = [self._thing(kind, number) for kind in KINDS for number in range(kind.count)]

    @staticmethod
    def sample_tick(index: int) -> int:
        """Return the tick of the lidar sweep of sample `index`."""
        return LEAD_TICKS + index * SAMPLE_TICKS

    def yaw_rate(self, tick: int) -> float:
        """Return the yaw rate in rad/s: the derivative of 2 atan(turn * t)."""
        reach = self._turn * tick / 100.0
        return 2.0 * self._turn / (1.0 + reach * reach)

    def _drive(self, ticks: int) -> List[Pose]:
        heading = unit(
            draw(1, 1000, self.seed, self.name, "w"),
            0,
            0,
            draw(-1000, 1000, self.seed, self.name, "z"),
        )
        tilt = unit(
            1000,
            draw(-12, 12, self.seed, self.name, "roll"),
            draw(-12, 12, self.seed, self.name, "pitch"),
            0,
        )
        x = draw(3000, 9000, self.seed, self.name, "x") / 10.0
        y = draw(3000, 9000, self.seed, self.name, "y") / 10.0
        path = []
        for tick in range(ticks + 1):
            flat = product(heading, unit(1.0, 0.0, 0.0, self._turn * tick / 100.0))
            path.append(Pose(product(flat, tilt), (x, y, 0.0)))
            step = Pose(flat, (x, y, 0.0)).apply((self.speed / 100.0, 0.0, 0.0))
            x, y = step[0], step[1]
        return path

    def _camera(self, channel: str) -> Camera:
        (w, z), position, focal, trigger = _RIG[channel]
        spot = [draw(-15, 15, self.seed, self.name, channel, axis) for axis in "xyz"]
        mount = Pose(
            product(unit(w, 0, 0, z), _OPTICAL),
            tuple((p + s) / 1000.0 for p, s in zip(position, spot)),  # type: ignore[arg-type]
        )
        centre = (
            draw(790, 830, self.seed, channel, "cx"),
            draw(480, 500, self.seed, channel, "cy"),
        )
        return Camera(mount, focal, centre, trigger)

    def _thing(self, kind: Kind, number: int) -> Thing:
        labels = (self.seed, self.name, kind.category, number)
        size = tuple(
            side * draw(90, 110, *labels, axis) / 10000.0 for side, axis in zip(kind.size_cm, "wlh")
        )
        # Near the ego vehicle at one of the samples, so that every class is within its range
        # somewhere.
        anchor = self.path[self.sample_tick(draw(0, self.samples - 1, *labels, "anchor"))]
        bearing = unit(draw(0, 1000, *labels, "bw"), 0, 0, draw(-1000, 1000, *labels, "bz") or 1)
        far = (kind.reach_m or 30) * 10
        around = Pose(bearing, anchor.translation)
        spot = around.apply((draw(80, far - 60, *labels, "distance") / 10.0, 0.0, 0.0))
        turned = unit(draw(0, 1000, *labels, "w"), 0, 0, draw(-1000, 1000, *labels, "z") or 1)
        moves = kind.speed_dm_s > 0 and number % 2 == 0
        speed = kind.speed_dm_s * draw(50, 100, *labels, "speed") / 1000.0 if moves else 0.0
        centre = (spot[0], spot[1], size[2] / 2.0)
        name = f"{kind.category}-{number}"
        return Thing(name, kind, size, centre, turned, speed)  # type: ignore[arg-type]

    def visible(self, thing: Thing, index: int) -> bool:
        """Say whether sample `index` annotates the thing.

        Nothing is annotated within half a metre of its class's range, where the evaluation's two
        distance tests (in the tilted ego frame when results are written, in the global frame when
        they are scored) may disagree.
        """
        tick = self.sample_tick(index)
        ego, spot = self.path[tick].translation, thing.pose(tick).translation
        dx, dy = spot[0] - ego[0], spot[1] - ego[1]
        distance = math.sqrt(dx * dx + dy * dy)
        return 3.5 < distance < 65.0 and abs(distance - (thing.kind.reach_m or 100)) > 0.5
