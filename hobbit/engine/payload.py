"""One layer's live activations: the payload that the runtime has served."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from hobbit.api import Routing
from hobbit.engine.groups import NOBODY, TokenGroups
from hobbit.engine.maths import ExpertMaths


class ExpertCall:
    """One call of an experts module: `hidden` [T, d], `weights` [T, K] and the experts chosen, [T, K].

    Experts may be computed in any order and on any device. `combine` weighs and adds their outputs in
    ascending order, as transformers' eager experts do, so the result is bit for bit the same. A device that
    delivers instead writes `into` [T, d], if that is given.
    """

    __slots__ = (
        "_experts", "_groups", "_hidden", "_into", "_maths", "_output", "_outputs", "_renormalise",
        "_skipped", "_weights",
    )  # fmt: skip

    def __init__(
        self,
        maths: ExpertMaths,
        hidden: torch.Tensor,
        weights: torch.Tensor,
        experts: npt.NDArray[np.int64],
        renormalise: bool = False,
        into: torch.Tensor | None = None,
    ) -> None:
        self._maths = maths
        self._hidden = hidden
        self._weights = weights
        self._experts = experts
        self._groups: TokenGroups | None = None
        self._into = into
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

    def deliver(self, served: int) -> torch.Tensor:
        """See `ExpertPayload`."""
        self._check(served)
        if self._output is None:
            self._output = torch.empty_like(self._hidden) if self._into is None else self._into
        return self._output

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
        experts, kept = routing.experts, routing.kept
        if kept is not None:
            experts = np.where(kept, experts, NOBODY)
            weights = self._upload(np.where(kept, routing.weights, np.float32(0)))
        self._experts = experts
        self._groups = None
        self._weights = self._upload(routing.weights) if weights is None else weights

    def _upload(self, weights: npt.NDArray[np.float32]) -> torch.Tensor:
        """[T, K], where the router's are and of their dtype."""
        # A GPU's driver has read the few bytes when the call returns: nobody need wait until they arrive.
        return torch.from_numpy(weights).to(self._weights, non_blocking=self._weights.is_cuda)

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
