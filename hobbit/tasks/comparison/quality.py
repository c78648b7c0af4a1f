"""What only a live run can tell of a lossy policy: its quality on the bundled model, and its own routing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import groupby
from operator import attrgetter

import numpy as np

from hobbit.config.compose import with_policy
from hobbit.config.schema import HobbitConfig
from hobbit.engine.quality import Forecast, Passage, forecast, measure_quality, reference
from hobbit.engine.resident import ResidentServer
from hobbit.report.cell import CellQuality
from hobbit.report.measures import Measures
from hobbit.setup import PrecisionOptions
from hobbit.tasks.calibration import Calibration
from hobbit.tasks.comparison.spec import digest
from hobbit.tasks.inputs import load_model
from hobbit.tasks.live import Live, measures_of
from hobbit.tasks.quality import sample_passages
from hobbit.trace import Trace

_REFERENCES: dict[str, dict[str, list[Forecast]]] = {}
"""By digest of precision, quantizer and passages: every policy of a process is measured against the same."""


def live_quality(config: HobbitConfig, high: str, tokens: int) -> CellQuality:
    """KL and the rest against the model at the precision `high`, from an empty cache with KV for `tokens`.

    Raises:
        HobbitError: if the policy cannot run live.
    """
    live = _live(config)
    options = config.quality
    passages = sample_passages(live, "quality", options.domains, options.tokens)
    references = _references(config, high, passages)
    longest = max(len(passage.tokens) for given in passages.values() for passage in given)
    with live.open(tokens=max(tokens, longest)) as session:
        session.attachment.listen(None)
        scores = measure_quality(session.model, passages, references)
    return CellQuality(**asdict(scores.overall))


def live_measures(config: HobbitConfig, trace: Trace, tokens: int) -> Measures:
    """Measures of a live run that is teacher-forced on the tokens of `trace`, sequence by sequence."""
    with _live(config).open(tokens=tokens) as session:
        for passage in _passages(trace):
            forecast(session.model, passage)
        return measures_of(session)


def _live(config: HobbitConfig) -> Live:
    """The bundled model under `config`, whose loader is fitted already."""
    model, tokenizer = load_model(config)
    fitted = Calibration(True, lambda: np.empty(0), "nothing: it is fitted")
    return Live(config, model, tokenizer, (), (), config.geometry, fitted)


def _references(
    config: HobbitConfig, high: str, passages: Mapping[str, Sequence[Passage]]
) -> Mapping[str, Sequence[Forecast]]:
    """What the model at `high` says of the passages, on the same kernels and with no policy in between."""
    key = digest(high, config.quantizer, passages)
    if key not in _REFERENCES:
        plain = replace(
            with_policy([], "on_demand"), device=config.device, quantizer=config.quantizer,
            precision=PrecisionOptions(high=high),
        )  # fmt: skip
        with _live(plain).open(tokens=1) as session:
            session.attachment.listen(None)
            _REFERENCES[key] = reference(session.attachment, ResidentServer(session.live.tensors), passages)
    return _REFERENCES[key]


def _passages(trace: Trace) -> Iterator[Passage]:
    """The sequences of `trace` as they were decoded; a last token, which no one reads, makes it whole."""
    for _, spans in groupby(trace.passes(), attrgetter("sequence")):
        first, *rest = spans
        stop = rest[-1].stop if rest else first.stop
        ids = trace.token_ids[first.start : stop].tolist()
        yield Passage((*ids, 0), first.stop - first.start)
