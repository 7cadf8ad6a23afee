"""Crops, regions of tokens and clips, each against the encoder called by hand on what it should have seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from numbered_videos import write_video
from small_extraction import moving_square

from behavior_prism.analysis import extract_features
from behavior_prism.analysis.extraction import plan_features
from behavior_prism.analysis.frame_pictures import Undecodable, frame_blocks
from behavior_prism.analysis.token_regions import pool_boxes, pool_grid
from behavior_prism.datasets import CropSpec, WindowSpec, iter_crops, load_recording, plan_crops
from behavior_prism.encoder import load_encoder, preprocess_frames

pytestmark = pytest.mark.torch
N = 30
GONE = slice(9, 21)  # frames in which b is absent
SPEC = WindowSpec(length=8, stride=4)
CROPS = CropSpec(size=24, unit="pixels", gaps="invalid", out_size=96)


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("tiny", weights=None, device="cpu")


@pytest.fixture
def recording(tmp_path):
    """Two animals of two key points; b is gone for a while."""
    path = write_video(tmp_path / "movie.mkv", moving_square(N), options={"crf": "12"})
    plain = load_recording(path)
    t = np.arange(N)
    centre = np.stack([np.stack([20 + 0.5 * t, 16 + 0 * t]), np.stack([44 - 0.5 * t, 30 + 0 * t])])  # (I, 2, T)
    position = np.stack([centre - 3, centre + 3], axis=2).transpose(3, 1, 2, 0)  # (T, 2, K, I)
    position[GONE, :, :, 1] = np.nan
    tracks = xr.Dataset(
        {
            "position": (("time", "space", "keypoint", "individual"), position),
            "confidence": (("time", "keypoint", "individual"), np.ones((N, 2, 2))),
        },
        coords={
            "time": plain.times,
            "space": ["x", "y"],
            "keypoint": ["tail", "head"],
            "individual": ["a", "b"],
        },
        attrs={"time_unit": "seconds", "source_software": "test"},
    )
    return load_recording(path, tracks=tracks)


@torch.inference_mode()
def by_hand(encoder, pictures: dict[int, np.ndarray], k: int, grid: int = 4) -> np.ndarray | None:
    """Features of frame k of someone whose pictures are these: its most central window, absent frames masked."""
    if k not in pictures:
        return None
    last = N - SPEC.length
    starts = sorted({*range(0, last + 1, SPEC.stride), last})
    start = min(starts, key=lambda s: (abs(k - s - (SPEC.length - 1) / 2), s))
    clip = np.stack([pictures.get(f, np.zeros_like(pictures[k])) for f in range(start, start + SPEC.length)])
    absent = torch.tensor([[float(f not in pictures) for f in range(start, start + SPEC.length)]])
    tokens = encoder.model(preprocess_frames(clip, encoder.image_size)[None], absent)[0, k - start]
    side = 8 // grid
    return tokens.reshape(grid, side, grid, side, -1).mean(dim=(1, 3)).reshape(grid * grid, -1).numpy()


def test_crops_are_what_the_encoder_makes_of_each_animals_picture(recording, encoder, tmp_path):
    features = extract_features(
        recording, encoder, tmp_path / "f.zarr", window=SPEC, individual_source="crop", crops=CROPS
    )
    assert features.individual.values.tolist() == ["a", "b"]
    assert features.kind.values.tolist() == ["individual"] * 2 and features.source.values.tolist() == ["crop"] * 2
    _, height, width, _ = recording.video.shape
    plan = plan_crops(recording.tracks, CROPS, frame_size=(height, width))
    pictures: dict[str, dict[int, np.ndarray]] = {"a": {}, "b": {}}
    for index, found in iter_crops(recording, plan, out_size=96):
        for name, picture in found.items():
            pictures[name][index] = picture
    assert len(pictures["a"]) == N and len(pictures["b"]) == N - 12
    for name in "ab":
        one = features.sel(individual=name)
        for k in range(N):
            expected = by_hand(encoder, pictures[name], k)
            assert bool(one.valid[k]) == (expected is not None)
            expected = np.zeros((16, 192)) if expected is None else expected
            np.testing.assert_allclose(one.feature[k].values, expected, atol=4e-3)
    assert bool(features.clip_valid.all())  # every clip of 8 frames shows some of b


def test_nobody_who_is_absent_goes_through_the_encoder(recording, encoder, monkeypatch):
    plan = plan_features(recording, encoder, SPEC, individual_source="crop", crops=CROPS, individuals=["b"])
    read: list[int] = []
    frames_of = recording.video.iter_frames
    monkeypatch.setattr(recording.video, "iter_frames", lambda i: (read.extend(i), frames_of(i))[1])
    blocks = list(frame_blocks(plan, 4, 0, Undecodable(plan, 0)))
    there = [*range(GONE.start), *range(GONE.stop, N)]
    assert read == there == [f for block in blocks for _, f in block.places]
    assert [len(b.pictures) for b in blocks] == [4, 4, 4, 0, 0, 4, 4, 4]


def test_a_pair_has_one_crop_and_one_decode_serves_all(recording, encoder, tmp_path, monkeypatch):
    read: list[int] = []
    frames_of = recording.video.iter_frames
    monkeypatch.setattr(recording.video, "iter_frames", lambda i: (read.extend(i), frames_of(i))[1])
    features = extract_features(
        recording,
        encoder,
        tmp_path / "f.zarr",
        window=SPEC,
        individual_source="crop",
        crops=CROPS,
        individuals=["a", "b", "a|b"],
        grid=(1, 1),
    )
    assert features.kind.values.tolist() == ["individual", "individual", "pair"]
    assert read == list(range(N))
    assert features.valid.sum("time").values.tolist() == [N, N - 12, N - 12]


def test_regions_of_tokens_cost_one_pass_and_equal_the_views_tokens(recording, encoder, tmp_path, monkeypatch):
    view = extract_features(recording, encoder, tmp_path / "view.zarr", window=SPEC, grid=(8, 8)).feature[0].values
    passes = []
    forward = type(encoder.model).forward_spatial
    monkeypatch.setattr(
        type(encoder.model), "forward_spatial", lambda self, x: (passes.append(len(x)), forward(self, x))[1]
    )
    roi = extract_features(
        recording, encoder, tmp_path / "roi.zarr", window=SPEC, grid=(1, 1), individual_source="roi", crops=CROPS
    )
    assert sum(passes) == 32  # 30 frames, filled up to batches of 16
    assert roi.source.values.tolist() == ["roi"] * 2 and roi.valid.sum("time").values.tolist() == [N, N - 12]
    assert not roi.feature.values[1, GONE].any()
    for i, k in [(0, 0), (0, 17), (1, 3), (1, 25)]:
        # by brute force: the token under each of 96 x 128 points of the picture, those in the box averaged
        y, x = np.meshgrid((np.arange(960) + 0.5) / 20, (np.arange(1280) + 0.5) / 20, indexing="ij")  # pixels' corners
        middle = recording.tracks.position.values[k, :, :, i].mean(axis=1) + 0.5
        inside = (abs(x - middle[0]) < 12) & (abs(y - middle[1]) < 12)
        token = (y[inside] // (48 / 8)).astype(int) * 8 + (x[inside] // (64 / 8)).astype(int)
        expected = view[k].astype(np.float32)[token].mean(axis=0)
        np.testing.assert_allclose(roi.feature.values[i, k, 0], expected, atol=2e-2)


def test_boxes_of_whole_tokens_are_the_grid():
    tokens = torch.rand(3, 8 * 8, 5)
    whole = np.tile([0.0, 1.0, 0.0, 1.0], (3, 1))
    torch.testing.assert_close(pool_boxes(tokens, (8, 8), (4, 2), whole), pool_grid(tokens, (8, 8), (4, 2)))
    corner = np.tile([0.0, 0.25, 0.5, 1.0], (3, 1))
    expected = tokens.view(3, 8, 8, 5)[:, :2, 4:].mean(dim=(1, 2))
    torch.testing.assert_close(pool_boxes(tokens, (8, 8), (1, 1), corner)[:, 0], expected)
    thin = np.tile([1.0, 1.0, 0.0, 0.0], (3, 1))  # at the very edge, of no area
    torch.testing.assert_close(pool_boxes(tokens, (8, 8), (1, 1), thin)[:, 0], tokens[:, 56])


@torch.inference_mode()
@pytest.mark.parametrize("count", [5, 21])
def test_clips_and_their_place_in_the_space_of_texts(tmp_path, count):
    encoder = load_encoder("lvt-tiny", weights=None, device="cpu")
    path = write_video(tmp_path / "movie.mkv", moving_square(count), options={"crf": "12"})
    recording = load_recording(path)
    features = extract_features(recording, encoder, tmp_path / "f.zarr", window=SPEC)
    starts = [0] if count == 5 else [0, 8, 13]
    assert features.clip_start_frame.values.tolist() == starts
    assert features.clip_stop_frame.values.tolist() == [min(s + 8, count) for s in starts]
    np.testing.assert_allclose(features.clip_time, [(s + min(s + 8, count)) / 2 / 25 for s in starts], atol=1e-3)
    assert features.text_aligned.dims == ("individual", "clip", "channel")
    np.testing.assert_allclose(np.linalg.norm(features.text_aligned.values, axis=-1), 1, atol=1e-5)
    for c, start in enumerate(starts):
        video = preprocess_frames(recording.video[start : start + 8], encoder.image_size)
        missing = 8 - len(video)
        video = torch.nn.functional.pad(video, (0, 0, 0, 0, 0, 0, 0, missing))
        paddings = torch.tensor([[0.0] * (8 - missing) + [1.0] * missing])
        out = encoder.video_text(video[None], frame_paddings=paddings)
        embedded = out.video_embeddings[0]
        if missing:
            embedded = encoder.video_text.embed_tokens(out.tokens[:, : 8 - missing])[0]
        np.testing.assert_allclose(features.text_aligned.values[0, c], embedded, atol=1e-4)
        mean = out.tokens[0, : 8 - missing].mean(dim=(0, 1))
        np.testing.assert_allclose(features.clip_embedding.values[0, c], mean, atol=2e-3)


def test_what_does_not_fit_is_told(recording, encoder, tmp_path):
    def extract(**options):
        extract_features(recording, encoder, tmp_path / "f.zarr", window=SPEC, **options)

    with pytest.raises(ValueError, match=r"individual_source: expected one of \['view', 'crop', 'roi'\], got 'pose'"):
        extract(individual_source="pose")
    with pytest.raises(ValueError, match="expected 'crop' or 'roi' where crops or individuals are given, got 'view'"):
        extract(crops=CROPS)
    with pytest.raises(ValueError, match="crops: expected individuals among"):
        extract(individual_source="crop", crops=CROPS, individuals=["c"])
    with pytest.raises(ValueError, match="up: expected none for regions of tokens"):
        extract(individual_source="roi", crops=CropSpec(up=("tail", "head")))
    with pytest.raises(ValueError, match=r"clip_stride: expected a multiple of the windows' stride \(4\) up to"):
        extract(clip_stride=6)
    with pytest.raises(ValueError, match="batch: expected two whole numbers from 1 on"):
        extract(batch=(0, 1))
    with pytest.raises(ValueError, match="expected tracks for individual_source='crop', got none"):
        extract_features(load_recording(recording.video.path), encoder, tmp_path / "f.zarr", individual_source="crop")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["movie.mkv"]


def test_every_setting_enters_the_key(recording, encoder):
    spec = {"individual_source": "crop", "crops": CROPS}

    def key(**options):
        from behavior_prism.analysis import settings_key

        return settings_key(plan_features(recording, encoder, **{"window": SPEC, **spec, **options}).settings())

    keys = [
        key(),
        key(individual_source="view", crops=None),
        key(individual_source="roi"),
        key(crops=CropSpec(size=25, unit="pixels", gaps="invalid")),
        key(individuals=["a"]),
        key(clip_stride=4),
        key(grid=(2, 2)),
        key(window=WindowSpec(length=8, stride=2)),
    ]
    assert len(set(keys)) == len(keys) and key() == keys[0]
