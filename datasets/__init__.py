"""Lab data, read exactly: video, time, windows, tracks, labels, and a simulator with exact truth.

Importing this package loads neither torch nor OpenCV; names are loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .annotations import Annotations, annotations_from_intervals, concat_annotations
    from .arena_file import load_arena, save_arena
    from .arenas import Arena, Zone, occupancy, to_millimetres
    from .background import background_of, track_by_background
    from .binding import at_rate, bind_annotations
    from .bout_algebra import difference, find_gaps, find_unscored, intersection, union
    from .bout_operations import as_unscored, clip_to, drop_short, merge_bouts, score_whole
    from .bout_overlaps import enforce_exclusive, find_exclusive_conflicts, find_overlaps, resolve_overlaps
    from .bout_rows import empty_table
    from .check import check_recording
    from .check_report import CheckReport, Finding
    from .crop_cut import crop_frame, cut_square, iter_crops
    from .crops import CropSpec, plan_crops, plan_key
    from .dense_labels import any_individual, from_dense, to_dense
    from .ethogram import Behavior, Ethogram
    from .formats.hub import label_formats, load_annotations, recognise_format, save_annotations
    from .frame_source import FrameSource
    from .journal import Journal
    from .match_report import MatchReport
    from .recording import Recording, RecordingInfo, fingerprint, load_recording, recording_name
    from .simulate import (
        FLY_BEHAVIORS,
        MOUSE_BEHAVIORS,
        SimulatedClip,
        SimulatedRecording,
        behaviors_of,
        simulate_clip,
        simulate_recording,
        write_recording,
    )
    from .sources import open_video
    from .timestamps import Timestamps, read_timestamps
    from .torchcodec_video import TorchcodecVideo
    from .track_alignment import TrackAlignment, align_tracks, alignment_of
    from .tracks import load_tracks, save_tracks
    from .video import Video
    from .video_sequence import VideoSequence
    from .view_clock import ViewClock, synchronise
    from .windows import WindowSpec, central_windows, sample_frames, window_starts

_HOME_OF = {
    "Annotations": "annotations",
    "annotations_from_intervals": "annotations",
    "concat_annotations": "annotations",
    "at_rate": "binding",
    "bind_annotations": "binding",
    "empty_table": "bout_rows",
    "difference": "bout_algebra",
    "find_gaps": "bout_algebra",
    "find_unscored": "bout_algebra",
    "intersection": "bout_algebra",
    "union": "bout_algebra",
    "as_unscored": "bout_operations",
    "clip_to": "bout_operations",
    "drop_short": "bout_operations",
    "merge_bouts": "bout_operations",
    "enforce_exclusive": "bout_overlaps",
    "find_exclusive_conflicts": "bout_overlaps",
    "find_overlaps": "bout_overlaps",
    "resolve_overlaps": "bout_overlaps",
    "score_whole": "bout_operations",
    "any_individual": "dense_labels",
    "from_dense": "dense_labels",
    "to_dense": "dense_labels",
    "Behavior": "ethogram",
    "Ethogram": "ethogram",
    "label_formats": "formats.hub",
    "load_annotations": "formats.hub",
    "recognise_format": "formats.hub",
    "save_annotations": "formats.hub",
    "Journal": "journal",
    "MatchReport": "match_report",
    "check_recording": "check",
    "CheckReport": "check_report",
    "Finding": "check_report",
    "FrameSource": "frame_source",
    "RecordingInfo": "recording",
    "Timestamps": "timestamps",
    "read_timestamps": "timestamps",
    "VideoSequence": "video_sequence",
    "ViewClock": "view_clock",
    "synchronise": "view_clock",
    "Recording": "recording",
    "fingerprint": "recording",
    "load_recording": "recording",
    "recording_name": "recording",
    "FLY_BEHAVIORS": "simulate",
    "MOUSE_BEHAVIORS": "simulate",
    "SimulatedClip": "simulate",
    "SimulatedRecording": "simulate",
    "behaviors_of": "simulate",
    "simulate_clip": "simulate",
    "simulate_recording": "simulate",
    "write_recording": "simulate",
    "open_video": "sources",
    "TorchcodecVideo": "torchcodec_video",
    "TrackAlignment": "track_alignment",
    "align_tracks": "track_alignment",
    "alignment_of": "track_alignment",
    "load_tracks": "tracks",
    "save_tracks": "tracks",
    "Video": "video",
    "WindowSpec": "windows",
    "central_windows": "windows",
    "sample_frames": "windows",
    "window_starts": "windows",
    "CropSpec": "crops",
    "plan_crops": "crops",
    "plan_key": "crops",
    "crop_frame": "crop_cut",
    "cut_square": "crop_cut",
    "iter_crops": "crop_cut",
    "Arena": "arenas",
    "Zone": "arenas",
    "occupancy": "arenas",
    "to_millimetres": "arenas",
    "load_arena": "arena_file",
    "save_arena": "arena_file",
    "background_of": "background",
    "track_by_background": "background",
}

__all__ = [
    "Annotations",
    "Arena",
    "Behavior",
    "CheckReport",
    "CropSpec",
    "Ethogram",
    "FLY_BEHAVIORS",
    "Finding",
    "FrameSource",
    "Journal",
    "MOUSE_BEHAVIORS",
    "MatchReport",
    "Recording",
    "RecordingInfo",
    "SimulatedClip",
    "SimulatedRecording",
    "Timestamps",
    "TorchcodecVideo",
    "TrackAlignment",
    "Video",
    "VideoSequence",
    "ViewClock",
    "WindowSpec",
    "Zone",
    "align_tracks",
    "alignment_of",
    "annotations_from_intervals",
    "any_individual",
    "as_unscored",
    "at_rate",
    "background_of",
    "behaviors_of",
    "bind_annotations",
    "central_windows",
    "check_recording",
    "clip_to",
    "concat_annotations",
    "crop_frame",
    "cut_square",
    "difference",
    "drop_short",
    "empty_table",
    "enforce_exclusive",
    "find_exclusive_conflicts",
    "find_gaps",
    "find_overlaps",
    "find_unscored",
    "fingerprint",
    "from_dense",
    "intersection",
    "iter_crops",
    "label_formats",
    "load_annotations",
    "load_arena",
    "load_recording",
    "load_tracks",
    "merge_bouts",
    "occupancy",
    "open_video",
    "plan_crops",
    "plan_key",
    "read_timestamps",
    "recognise_format",
    "recording_name",
    "resolve_overlaps",
    "sample_frames",
    "save_annotations",
    "save_arena",
    "save_tracks",
    "score_whole",
    "simulate_clip",
    "simulate_recording",
    "synchronise",
    "to_dense",
    "to_millimetres",
    "track_by_background",
    "union",
    "window_starts",
    "write_recording",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
