"""One layer's live activations: the payload that the runtime has served."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from hobbit.api import RecordedExperts, Routing
from hobbit.engine.groups import NOBODY, TokenGroups
from hobbit.engine.maths import ExpertMaths


@dataclass(frozen=True, slots=True)
class Frame:
    """What a recorded step has around a layer's experts.

    Their `output` [T, d] is read by what was recorded behind them, which `follow` launches: `experts` is the
    part of it that makes the output itself, if there is one. `host_hidden` is a copy of the gate input.
    """

    output: torch.Tensor
    follow: Callable[[], None]
    host_hidden: torch.Tensor | None = None
    experts: RecordedExperts | None = None


class ExpertCall:
    """One call of an experts module: `hidden` [T, d], `weights` [T, K] and the `routing` they come from.

    Experts may be computed in any order and on any device. `combine` weighs and adds their outputs in
    ascending order, as transformers' eager experts do, so the result is bit for bit the same. A device that
    delivers instead writes the `frame`'s output, if there is one.
    """

    __slots__ = (
        "_experts", "_frame", "_groups", "_hidden", "_host_weights", "_maths", "_output", "_outputs",
        "_renormalise", "_skipped", "_weights", "proceeded",
    )  # fmt: skip

    def __init__(
        self,
        maths: ExpertMaths,
        hidden: torch.Tensor,
        weights: torch.Tensor,
        routing: Routing,
        renormalise: bool = False,
        frame: Frame | None = None,
    ) -> None:
        self._maths = maths
        self._hidden = hidden
        self._weights = weights
        self._host_weights = routing.weights
        self._experts = routing.experts
        self._groups: TokenGroups | None = None
        self._frame = frame
        self.proceeded = False
        self._output: torch.Tensor | None = None
        self._outputs: dict[int, torch.Tensor] = {}
        self._skipped: list[int] = []
        self._renormalise = renormalise

    @property
    def activation(self) -> str | None:
        """See `ExpertPayload`."""
        return self._maths.activation

    @property
    def hidden(self) -> torch.Tensor:
        """See `ExpertPayload`."""
        return self._hidden

    @property
    def experts(self) -> npt.NDArray[np.int64]:
        """See `ExpertPayload`."""
        return self._experts

    @property
    def weights(self) -> torch.Tensor:
        """See `ExpertPayload`."""
        if self._skipped and self._renormalise:
            return self._grouped().without(self._skipped, self._weights)
        return self._weights

    @property
    def host_weights(self) -> npt.NDArray[np.float32]:
        """See `ExpertPayload`."""
        if self._skipped and self._renormalise:
            weights = torch.from_numpy(self._host_weights).to(self._weights.dtype)
            return self._grouped().without(self._skipped, weights).float().numpy()
        return self._host_weights

    @property
    def host_hidden(self) -> torch.Tensor | None:
        """See `ExpertPayload`."""
        return None if self._frame is None else self._frame.host_hidden

    @property
    def recorded(self) -> RecordedExperts | None:
        """See `ExpertPayload`."""
        return None if self._frame is None else self._frame.experts

    def deliver(self, served: int) -> torch.Tensor:
        """See `ExpertPayload`."""
        self._check(served)
        if self._output is None:
            frame = self._frame
            self._output = torch.empty_like(self._hidden) if frame is None else frame.output
        return self._output

    def proceed(self) -> None:
        """See `ExpertPayload`. What was recorded behind the layer is launched, if the device wrote there."""
        frame = self._frame
        if frame is not None and self._output is frame.output and not self.proceeded:
            self.proceeded = True
            frame.follow()

    def compute(self, expert: int, tensors: Mapping[str, torch.Tensor]) -> None:
        """Run one expert, where its `tensors` are, on the tokens that chose it; keeps the output [t, d]."""
        hidden = self._hidden
        if hidden.shape[0] == 1:
            state = hidden
        else:
            state = hidden[self._grouped().tokens(expert).to(hidden.device)]
        there = tensors["down_proj"].device
        if there == hidden.device:
            self._outputs[expert] = self._maths(state, tensors)
        else:
            self._outputs[expert] = self._maths(state.to(there), tensors).to(hidden.device)

    def skip(self, expert: int) -> None:
        """Leave this expert out of the combination."""
        self._skipped.append(expert)

    def reroute(self, routing: Routing, weights: torch.Tensor | None = None) -> None:
        """Use the experts and weights of `routing` from now on; called before anything is computed.

        Selections that are not kept weigh nothing, and their experts are not asked for. `weights` are the
        routing's [T, K], if they are where the hidden state is, and of the router's dtype.
        """
        experts, kept, on_host = routing.experts, routing.kept, routing.weights
        if kept is not None:
            experts, on_host = np.where(kept, experts, NOBODY), np.where(kept, on_host, np.float32(0))
            weights = None
        self._experts = experts
        self._groups = None
        if weights is None:
            weights = torch.from_numpy(on_host).to(self._weights.dtype)
            on_host = weights.float().numpy()  # as exact as they are there
            # A GPU's driver has read the few bytes when the call returns: nobody need wait for them.
            weights = weights.to(self._weights.device, non_blocking=self._weights.is_cuda)
        self._host_weights, self._weights = on_host, weights

    def combine(self) -> torch.Tensor:
        """Sum of the experts' outputs times their gate weights, [T, d].

        Raises:
            RuntimeError: if a chosen expert was neither computed nor skipped.
        """
        if self._output is not None:
            return self._output
        self._check(len(self._outputs))
        groups = self._grouped()
        weights = self.weights
        final = torch.zeros_like(self._hidden)
        if final.shape[0] == 1:
            self._add_one_token(final, weights, groups)
        else:
            self._add_tokens(final, weights, groups)
        return final

    def _add_one_token(self, final: torch.Tensor, weights: torch.Tensor, groups: TokenGroups) -> None:
        # Columns, not scalars: a 0-dim weight would not promote bf16 outputs to its float32.
        columns = torch.split(weights, 1, dim=1)
        for expert, output in sorted(self._outputs.items()):
            final += (output * columns[groups.rank(expert)]).to(final.dtype)

    def _add_tokens(self, final: torch.Tensor, weights: torch.Tensor, groups: TokenGroups) -> None:
        for expert, output in sorted(self._outputs.items()):
            tokens = groups.tokens(expert).to(final.device)
            ranks = groups.ranks(expert).to(final.device)
            final.index_add_(0, tokens, (output * weights[tokens, ranks, None]).to(final.dtype))

    def _check(self, served: int) -> None:
        unserved = self._grouped().count - served - len(self._skipped)
        if unserved:
            raise RuntimeError(f"{unserved} chosen experts were neither computed nor skipped")

    def _grouped(self) -> TokenGroups:
        """Which tokens chose which expert; not worked out where the device does all."""
        if self._groups is None:
            self._groups = TokenGroups(self._experts)
        return self._groups
