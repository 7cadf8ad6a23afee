"""Labels into NWB files through pynwb: see `nwb_ethogram` for the layout."""

from __future__ import annotations

import datetime
import json
import re
import shutil
import uuid
import warnings
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..annotations import Annotations
from ..bout_rows import BOUT_COLUMNS, WHOLE_VIEW
from ..ethogram import Ethogram
from .ethogram_text import texts_of
from .h5_guard import open_h5
from .label_format import Writing
from .nwb_columns import observation_intervals, table_columns
from .nwb_tables import kind_of

PROGRAM = "behavior_prism"
SESSION = ("session_description", "session_start_time", "identifier", "experimenter", "lab", "institution", "keywords",
           "experiment_description", "related_publications", "notes", "protocol")  # fmt: skip
SUBJECT = ("subject_id", "species", "sex", "age", "date_of_birth", "description", "genotype", "strain", "weight")
OPTIONS = (*SESSION, "subject", "labeling_method", "source_software")
# any animal, of unknown sex and of any age: true of every subject, and in the words that validators ask for
_UNKNOWN_ANIMAL = {"species": "http://purl.obolibrary.org/obo/NCBITaxon_33208", "sex": "U", "age": "P0D/"}
METHODS = ("manual", "automated", "curated")


def write_nwb(annotations: Annotations, writing: Writing) -> None:
    """Write a new file, or add to a copy of ``onto``.

    Parameters
    ----------
    annotations : Annotations
        Rows of one recording, in seconds.
    writing : Writing
        Where to. Its options are the session's facts (:data:`SESSION`), ``subject`` (a dictionary of
        :data:`SUBJECT`), ``labeling_method`` and ``source_software``.

    Raises
    ------
    ValueError
        If pynwb or ndx-ethogram is missing, an option is wrong, or there is nothing to write.
    """
    try:
        import ndx_ethogram  # noqa: F401  # its types must be known before a file that has them is opened
        import pynwb  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"{writing.name}: writing NWB needs {error.name}: pip install 'behavior-prism[nwb]'"
        ) from error
    if not len(annotations.ethogram):
        raise ValueError(f"{writing.name}: expected at least one behaviour, got none")
    facts = _checked(writing)
    if writing.onto is None:
        _fill(annotations, writing, facts, "w")
        return
    with open_h5(writing.onto) as file:
        if kind_of(file) != "NWBFile":
            raise ValueError(f"{writing.onto}: expected an NWB file to add labels to")
    if given := [name for name in (*SESSION, "subject") if name in facts]:
        raise ValueError(f"{given[0]}: the session of {writing.onto.name} is described already")
    shutil.copyfile(writing.onto, writing.path)
    writing.report.note(f"added to a copy of {writing.onto.name}; times must be those of its clock")
    _fill(annotations, writing, facts, "r+")


def _checked(writing: Writing) -> dict[str, Any]:
    facts = dict(writing.options)
    method = facts.get("labeling_method", "manual")
    if method not in METHODS:
        raise ValueError(f"labeling_method: expected one of {list(METHODS)}, got {method!r}")
    start = facts.get("session_start_time")
    if isinstance(start, str):
        try:
            start = datetime.datetime.fromisoformat(start)
        except ValueError:
            raise ValueError(
                f"session_start_time: expected a time like 2024-05-31T09:30:00+02:00, got {start!r}"
            ) from None
    if start is not None:
        if not isinstance(start, datetime.datetime) or start.tzinfo is None:
            raise ValueError(f"session_start_time: expected a time with its time zone, got {start}")
        facts["session_start_time"] = start
    if not isinstance(facts.get("subject", {}), Mapping):
        raise ValueError(f"subject: expected a dictionary of {list(SUBJECT)}")
    if unknown := [name for name in facts.get("subject", {}) if name not in SUBJECT]:
        raise ValueError(f"subject: expected some of {list(SUBJECT)}, got {unknown[0]!r}")
    return facts


def _new_file(pynwb: Any, annotations: Annotations, writing: Writing, facts: dict[str, Any]) -> Any:
    recording = next(iter(annotations.recordings), "")
    if "session_start_time" not in facts:
        writing.report.note("when the session began is not known, 1970-01-01 stands for it: give session_start_time")
    session = {name: facts[name] for name in SESSION if name in facts}
    session.setdefault("session_start_time", datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC))
    session.setdefault("session_description", f"Labels of behaviour in the recording {recording or writing.name}")
    session.setdefault("identifier", str(uuid.uuid4()))
    file = pynwb.NWBFile(
        **session,
        session_id=re.sub(r"[/\\:]", "_", recording) or None,
        source_script=json.dumps({"program": PROGRAM, "recording": recording}),
        source_script_file_name=PROGRAM,
    )
    own = [i for i in annotations.individuals if i != WHOLE_VIEW]
    unknown = {"subject_id": re.sub(r"[/\\:]", "_", "+".join(own) or recording) or "unknown", **_UNKNOWN_ANIMAL}
    given = dict(facts.get("subject", {}))
    if missing := [name for name in unknown if name not in given and not (name == "age" and "date_of_birth" in given)]:
        writing.report.note(f"of the subject, {', '.join(missing)} are not known: give subject")
    file.subject = pynwb.file.Subject(**{name: unknown[name] for name in missing} | given)
    return file


def _fill(annotations: Annotations, writing: Writing, facts: dict[str, Any], mode: str) -> None:
    import pynwb

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of files that other versions wrote
        try:
            made = None if mode == "r+" else _new_file(pynwb, annotations, writing, facts)
            with pynwb.NWBHDF5IO(str(writing.path), mode) as io:  # pyright: ignore[reportCallIssue]
                file: Any = made or io.read()
                module = file.processing.get("behavior") or file.create_processing_module(
                    name="behavior", description="What animals do, and when."
                )
                _add_tables(file, module, annotations, writing, facts)
                io.write(file)  # pyright: ignore[reportCallIssue]
        except (TypeError, KeyError, AttributeError, OSError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{writing.onto or writing.name}: pynwb refuses it ({reason})") from None


def _add_tables(file: Any, module: Any, annotations: Annotations, writing: Writing, facts: dict[str, Any]) -> None:
    from ndx_ethogram import EthogramBouts

    bouts, scored, points = annotations.bouts, annotations.scored, annotations.ethogram.points
    recording, report = next(iter(annotations.recordings), ""), writing.report
    ethogram = _catalogue(annotations.ethogram, _free("Ethogram", module))
    module.add(ethogram)
    point = bouts["behavior"].isin(points)
    method = _methods(bouts, facts, report)
    names = {"start_time": "start", "stop_time": "stop", "label": "behavior"}
    scorers = sorted({*bouts["scorer"], *scored["scorer"]})
    for scorer in scorers:
        suffix = f"_{re.sub(r'[^0-9A-Za-z_-]+', '_', scorer) or 'nobody'}" if len(scorers) > 1 else ""
        own = bouts[(bouts["scorer"] == scorer) & ~point]
        seen = scored[scored["scorer"] == scorer]
        observed = None
        if len(seen) or len(own):
            observed = observation_intervals(seen, own, _free(f"observation_intervals{suffix}", module))
            module.add(observed)
        for way in [m for m in METHODS if (method[own.index] == m).any()]:
            rows = own[method[own.index] == way]
            name = _free(f"behavior_bouts{suffix}{'' if way == 'manual' else f'_{way}'}", module)
            table = EthogramBouts(
                name=name,
                description=f"Bouts of behaviour in the recording {recording}.",
                labeling_method=way,
                annotator=scorer or None,
                source_software=facts.get("source_software"),
                parameters=json.dumps({"recording": recording}),
                observation_intervals=observed,
                ethogram=ethogram,
                **table_columns(
                    rows.sort_values(["start", "stop"], kind="stable"), names, ("start_frame", "stop_frame"), report
                ),
            )
            module.add(table)
    if further := [str(c) for c in scored if c not in BOUT_COLUMNS]:
        report.lose(f"further columns of scored intervals: {', '.join(further)}")
    if len(scored) and (scored["behavior"] != "").any():
        report.note("what was scored differs by behaviour: 'behavior' of the observation intervals says it")
    if point.any():
        _add_events(file, bouts[point].assign(labeling_method=method[point]), report)


def _add_events(file: Any, rows: pd.DataFrame, report: Any) -> None:
    try:
        from pynwb.event import EventsTable
    except ImportError:
        raise ValueError("writing point events needs pynwb 4 or later: pip install --upgrade pynwb") from None
    names = {"timestamp": "start", "event_type": "behavior", "annotator": "scorer"}
    if (rows["labeling_method"] != "manual").any():
        names["labeling_method"] = "labeling_method"
    columns = table_columns(rows.sort_values("start", kind="stable"), names, ("start_frame",), report)
    name = _free("point_behaviors", file.events)
    file.add_events_table(EventsTable(name=name, description="Point events of behaviour.", **columns))


def _methods(bouts: pd.DataFrame, facts: dict[str, Any], report: Any) -> pd.Series:
    """How each row was labelled: as its own column says, else as a prediction, else as the user says."""
    stated = facts.get("labeling_method", "manual")
    out = pd.Series(stated, index=bouts.index, dtype=object)
    if "predicted" in bouts:
        out[bouts["predicted"].astype(object).isin([True])] = "automated"
    if "labeling_method" in bouts:
        own = bouts["labeling_method"]
        out[own.isin(METHODS)] = own[own.isin(METHODS)]
    elif "labeling_method" not in facts and (out == "manual").any():
        report.note("how the labels were made is not known, 'manual' stands for it: give labeling_method")
    return out


def _catalogue(ethogram: Ethogram, name: str) -> Any:
    from hdmf.common import VectorData
    from ndx_ethogram import Ethogram as Catalogue

    texts = texts_of(ethogram)
    every = any(set(group) == set(ethogram.names) for group in ethogram.exclusive)
    data: dict[str, tuple[str, list[Any]]] = {
        "behavior": ("Name of the behaviour.", list(ethogram.names)),
        "definition": ("When exactly it begins and ends.", [b.definition for b in ethogram]),
        "behavior_type": ("state or point", [b.kind for b in ethogram]),
        "category": ("Group of behaviours.", [b.category for b in ethogram]),
        "behavior_id": ("What it is told by when its name changes.", [b.id for b in ethogram]),
    }
    if all(b.code is not None for b in ethogram):
        data["native_code"] = ("Number that another tool gives it.", [int(b.code or 0) for b in ethogram])
    more = {
        "code": "Number that another tool gives it, where it has one.", "key": "Key that scores it.",
        "color": "Colour on screen.", "exclusive_groups": "Numbers of groups of which at most one is shown at a time.",
    }  # fmt: skip
    for field, description in more.items():
        values = [texts[n][field] for n in ethogram.names]
        if any(values) and not (field == "code" and "native_code" in data):
            data[field] = (description, values)
    columns = [VectorData(name=n, description=d, data=v) for n, (d, v) in data.items()]
    return Catalogue(
        name=name, description="The behaviours under study.", exclusive=every, columns=columns, colnames=list(data)
    )


def _free(name: str, taken: Any) -> str:
    """The name, or with a number behind it where it is taken."""
    number, made = 2, name
    while made in (taken.data_interfaces if hasattr(taken, "data_interfaces") else taken):
        made, number = f"{name}_{number}", number + 1
    return made
