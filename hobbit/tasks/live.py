"""Live: a loaded model, its prompts, and the configuration fitted to it; what live tasks have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hobbit.api import Geometry, Past, no_past
from hobbit.config.model import ModelOptions
from hobbit.config.schema import HobbitConfig
from hobbit.engine.generation import Generation, GenerationOptions, generate
from hobbit.engine.routing import resident_routing
from hobbit.engine.session import Session, open_session
from hobbit.engine.tokens import check_length, token_ids
from hobbit.report.measures import Measures, measure
from hobbit.report.progress import Progress
from hobbit.setup import Setup
from hobbit.tasks.calibration import Calibration
from hobbit.tasks.inputs import charged_geometry, load_model
from hobbit.trace import Trace, selection_scores
from hobbit.trace.past import bundled_past


@dataclass(frozen=True, slots=True)
class Live:
    """`config` has its thresholds fitted to the model; `prompts` are tokenised in `prompt_ids`."""

    config: HobbitConfig
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    prompts: tuple[str, ...]
    prompt_ids: tuple[list[int], ...]
    geometry: Geometry | None
    calibration: Calibration

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence: what the KV cache must hold."""
        return max(map(len, self.prompt_ids)) + self.config.max_new_tokens

    def open(
        self,
        setup: Setup | None = None,
        tokens: int | None = None,
        future: npt.NDArray[np.int64] | None = None,
        *,
        record: bool = True,
        keep: bool = False,
    ) -> Session:
        """A session of `setup` (None: as configured) with KV for `tokens` (None: `longest`).

        `record` keeps its routing, which grows with every token; `keep`: see `open_session`.
        """
        return open_session(
            self.model,
            self.tokenizer,
            setup or self.config.setup(),
            name=self.config.model.label,
            tokens=tokens or self.longest,
            geometry=self.geometry,
            record=record,
            future=future,
            past=self.past,
            keep=keep,
        )

    @property
    def past(self) -> Past:
        """The routing that components may learn from: of the bundled model alone."""
        return bundled_past if self.calibration.bundled else no_past

    def restored(self, session: Session) -> Live:
        """End `session`, and load the model again if its experts were lost (no level was native)."""
        session.close()
        return self if session.attachment.detach() else replace(self, model=load_model(self.config)[0])

    def generate(self, session: Session, prompt: str, on_text: Callable[[str], None] | None) -> Generation:
        """Continue one prompt as the configuration says, timed on the device's clock."""
        clock = session.assembly.runtime.device.now_ns
        generation = generate(session.model, session.tokenizer, prompt, self.options(session), clock, on_text)
        session.attachment.settle()
        return generation

    def options(self, session: Session) -> GenerationOptions:
        """How the configuration wants to generate."""
        config = self.config
        return GenerationOptions(
            max_new_tokens=config.max_new_tokens,
            sample=config.temperature > 0,
            temperature=config.temperature or 1.0,
            seed=config.seed,
            stop=() if config.stop is None else (config.stop,),
            static_cache=session.attachment.static_cache,
            prefill_chunk=config.prefill_chunk,
        )


def prepare(
    config: HobbitConfig, overrides: Sequence[str], prompts: Sequence[str], progress: Progress
) -> Live:
    """Load the model, check that the prompts fit it, and fit the thresholds.

    Raises:
        ModelError, ConfigError: if something does not fit.
    """
    charged_geometry(config, config.setup().device.simulated, overrides)  # raises before a long load
    progress.stage("loading the model")
    model, tokenizer = load_model(config)
    ids = tuple(token_ids(tokenizer, prompt) for prompt in prompts)
    for prompt in ids:
        check_length(prompt, model, config.max_new_tokens)
    return fit(config, overrides, model, tokenizer, prompts, ids, progress)


def fit(
    config: HobbitConfig,
    overrides: Sequence[str],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    ids: Sequence[list[int]],
    progress: Progress,
    source: str = "the prompt's own routing",
) -> Live:
    """Fit the thresholds to the routing of the first of `prompts`, tokenised in `ids`; `source` names it.

    Raises:
        ConfigError: if the geometry does not fit the device.
    """
    geometry = charged_geometry(config, config.setup().device.simulated, overrides)

    def scores() -> npt.NDArray[np.float64]:
        progress.stage(f"calibrating the loader on {source}")
        return selection_scores(resident_routing(model, ids[0]))

    calibration = Calibration(config.model.path == ModelOptions.path, scores, source)
    fitted = calibration.fit(config, overrides)
    return Live(fitted, model, tokenizer, tuple(prompts), tuple(ids), geometry, calibration)


def measures_of(session: Session) -> Measures:
    """What the session has counted so far."""
    assembly = session.assembly
    return measure(assembly.metrics, assembly.report(), assembly.context.blob_bytes)


def trace_of(session: Session) -> Trace:
    """The routing that the session has recorded so far."""
    assert session.recorder is not None
    return session.recorder.trace()
