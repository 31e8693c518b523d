"""OpenCV's codecs, geometry, filters and features on a drawn picture, each held against a bound."""

import cv2
import numpy as np

HEIGHT, WIDTH = 120, 160


def picture() -> np.ndarray:
    """Return a drawn picture with edges, corners and slopes."""
    slope = np.linspace(40, 200, WIDTH, dtype=np.uint8)
    image = np.dstack([np.tile(slope, (HEIGHT, 1))] * 3)
    cv2.circle(image, (50, 60), 25, (200, 60, 30), -1)
    cv2.rectangle(image, (90, 30), (140, 90), (20, 220, 90), -1)
    return image


def off(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the mean difference of two pictures."""
    assert found.shape == expected.shape
    return float(np.abs(found.astype(float) - expected.astype(float)).mean())


def codecs(image: np.ndarray) -> None:
    """Encode and decode in every format that this build has."""
    bounds = {".jpg": 3, ".png": 0, ".bmp": 0, ".webp": 3, ".tiff": 0, ".ppm": 0, ".jp2": 3}
    for name, bound in bounds.items():
        if cv2.haveImageWriter(f"x{name}"):
            done, data = cv2.imencode(name, image)
            assert done, name
            assert off(cv2.imdecode(data, cv2.IMREAD_COLOR), image) <= bound, name


def geometry(image: np.ndarray) -> None:
    """Resize, turn and warp there and back."""
    for method in (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA, cv2.INTER_LANCZOS4):
        for kind in (np.uint8, np.uint16, np.float32):
            larger = cv2.resize(image.astype(kind), (2 * WIDTH, 2 * HEIGHT), interpolation=method)
            smaller = cv2.resize(larger, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
            assert off(smaller, image) < 3
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 180, 1)
    turned = cv2.warpAffine(image, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
    assert off(turned, cv2.rotate(image, cv2.ROTATE_180)) < 3
    same = cv2.warpPerspective(image, np.eye(3), (WIDTH, HEIGHT))
    assert off(same, image) == 0
    columns, rows = np.meshgrid(
        np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32)
    )
    assert off(cv2.remap(image, columns, rows, cv2.INTER_LINEAR), image) == 0


def colours(image: np.ndarray) -> None:
    """Convert there and back."""
    pairs = (
        "BGR2RGB RGB2BGR",
        "BGR2YCrCb YCrCb2BGR",
        "BGR2HSV HSV2BGR",
        "BGR2Lab Lab2BGR",
        "BGR2XYZ XYZ2BGR",
    )
    for there, back in (pair.split() for pair in pairs):
        for kind, scale in ((np.uint8, 1), (np.float32, 255)):
            data = (image / scale).astype(kind)
            found = cv2.cvtColor(data, getattr(cv2, f"COLOR_{there}"))
            again = cv2.cvtColor(found, getattr(cv2, f"COLOR_{back}"))
            assert off(again * scale, image) < 3, there


def filters(image: np.ndarray) -> None:
    """Smooth, find edges, take morphology and histograms."""
    for kind in (np.uint8, np.float32):
        data = image.astype(kind)
        for smooth in (
            cv2.GaussianBlur(data, (5, 5), 0),
            cv2.blur(data, (5, 5)),
            cv2.medianBlur(data, 5),
            cv2.bilateralFilter(data, 5, 20, 20),
            cv2.filter2D(data, -1, np.full((5, 5), 1 / 25)),
        ):
            assert 0 < off(smooth, image) < 10
        assert np.all(cv2.dilate(data, None) >= cv2.erode(data, None))
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    assert cv2.Canny(grey, 50, 100).any()
    assert cv2.Sobel(grey, cv2.CV_32F, 1, 0).any()
    assert cv2.calcHist([grey], [0], None, [256], [0, 256]).sum() == grey.size
    assert len(np.unique(cv2.threshold(grey, 0, 255, cv2.THRESH_OTSU)[1])) == 2
    assert cv2.integral(grey)[-1, -1] == grey.sum()


def mathematics() -> None:
    """Take transforms and decompositions of matrices, and undo them."""
    data = np.random.default_rng(0).normal(size=(64, 64))
    for kind, bound in ((np.float32, 1e-3), (np.float64, 1e-9)):
        a = data.astype(kind)
        assert np.allclose(cv2.idft(cv2.dft(a), flags=cv2.DFT_SCALE), a, atol=bound)
        assert np.allclose(cv2.idct(cv2.dct(a)), a, atol=bound)
        assert np.allclose(cv2.gemm(a, a, 1, None, 0), a @ a, atol=bound)
        assert np.allclose(cv2.invert(a)[1] @ a, np.eye(64), atol=100 * bound)
        w, u, vt = cv2.SVDecomp(a)
        assert np.allclose((u * w.T) @ vt, a, atol=bound)


def features(image: np.ndarray) -> None:
    """Find corners and follow them in a shifted picture."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    corners = cv2.goodFeaturesToTrack(grey, 20, 0.01, 5)
    moved = np.roll(grey, 2, axis=1)
    found, seen, _ = cv2.calcOpticalFlowPyrLK(grey, moved, corners, None)
    shift = np.median((found - corners)[seen.ravel() == 1].reshape(-1, 2), axis=0)
    assert np.abs(shift - (2, 0)).max() < 0.5
    assert len(cv2.ORB_create().detectAndCompute(grey, None)[0]) > 5
    assert (
        cv2.matchTemplate(grey, grey[30:60, 40:80], cv2.TM_CCOEFF_NORMED).argmax() == 30 * 121 + 40
    )


drawn = picture()
for part in (codecs, geometry, colours, filters, features):
    part(drawn)
mathematics()
