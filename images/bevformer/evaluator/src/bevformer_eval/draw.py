from dataclasses import dataclass
from pathlib import Path
@dataclass
class Pictures:
    folder: Path
    count: int
    score: float
def draw_all(*a): pass
