"""What science does with features: extraction, probes, metrics, ethograms, embeddings, reports.

Importing this package loads neither torch nor scikit-learn; names are loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agreement import AgreementReport, agreement_report, agreement_table
    from .agreement_plot import plot_agreement
    from .banos import banos_scores
    from .crossval import cross_validate_by_recording
    from .design import (
        TrainingSet,
        consensus,
        design_matrix,
        labels_for,
        missed_bouts,
        sampled_part,
        stack_recordings,
        video_fingerprint,
    )
    from .embedding import compute_embedding, plot_embedding
    from .ethogram import behavior_colors, plot_ethogram
    from .extraction import (
        begin_store,
        check_grid,
        extract_features,
        feature_spec,
        finish_store,
        plan_features,
    )
    from .feature_shards import damaged_shards
    from .kappa import cohen_kappa, fleiss_kappa
    from .label_plot import label_summary, plot_labels
    from .metrics import evaluate_predictions
    from .predictions import (
        check_predictions_place,
        on_all_frames,
        open_predictions,
        predict,
        predictions_to_annotations,
        save_predictions,
        trained_on,
    )
    from .probe import LinearProbe, check_probe_place, load_probe, save_probe
    from .provenance import export_netcdf
    from .report import Section, write_report
    from .store import open_features, open_unfinished, read_attrs, settings_key, store_path

_HOME_OF = {
    "AgreementReport": "agreement",
    "agreement_report": "agreement",
    "agreement_table": "agreement",
    "plot_agreement": "agreement_plot",
    "banos_scores": "banos",
    "cross_validate_by_recording": "crossval",
    "TrainingSet": "design",
    "consensus": "design",
    "design_matrix": "design",
    "labels_for": "design",
    "missed_bouts": "design",
    "sampled_part": "design",
    "video_fingerprint": "design",
    "stack_recordings": "design",
    "compute_embedding": "embedding",
    "plot_embedding": "embedding",
    "behavior_colors": "ethogram",
    "plot_ethogram": "ethogram",
    "begin_store": "extraction",
    "check_grid": "extraction",
    "extract_features": "extraction",
    "feature_spec": "extraction",
    "finish_store": "extraction",
    "plan_features": "extraction",
    "damaged_shards": "feature_shards",
    "label_summary": "label_plot",
    "plot_labels": "label_plot",
    "cohen_kappa": "kappa",
    "fleiss_kappa": "kappa",
    "evaluate_predictions": "metrics",
    "check_predictions_place": "predictions",
    "on_all_frames": "predictions",
    "open_predictions": "predictions",
    "predict": "predictions",
    "predictions_to_annotations": "predictions",
    "save_predictions": "predictions",
    "trained_on": "predictions",
    "LinearProbe": "probe",
    "check_probe_place": "probe",
    "load_probe": "probe",
    "save_probe": "probe",
    "export_netcdf": "provenance",
    "Section": "report",
    "write_report": "report",
    "open_features": "store",
    "open_unfinished": "store",
    "settings_key": "store",
    "store_path": "store",
    "read_attrs": "store",
}

__all__ = [
    "AgreementReport",
    "LinearProbe",
    "Section",
    "TrainingSet",
    "agreement_report",
    "agreement_table",
    "banos_scores",
    "begin_store",
    "behavior_colors",
    "check_grid",
    "check_predictions_place",
    "check_probe_place",
    "cohen_kappa",
    "compute_embedding",
    "consensus",
    "cross_validate_by_recording",
    "damaged_shards",
    "design_matrix",
    "evaluate_predictions",
    "export_netcdf",
    "extract_features",
    "feature_spec",
    "finish_store",
    "fleiss_kappa",
    "label_summary",
    "labels_for",
    "load_probe",
    "missed_bouts",
    "on_all_frames",
    "open_features",
    "open_predictions",
    "open_unfinished",
    "plan_features",
    "plot_agreement",
    "plot_embedding",
    "plot_ethogram",
    "plot_labels",
    "predict",
    "predictions_to_annotations",
    "read_attrs",
    "sampled_part",
    "save_predictions",
    "save_probe",
    "settings_key",
    "stack_recordings",
    "store_path",
    "trained_on",
    "video_fingerprint",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
