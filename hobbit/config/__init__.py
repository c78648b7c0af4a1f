"""The Hydra bridge: command-line words in, typed components out. Never imports torch.

`compose` is the way in; `schema` holds the types; `words` makes command-line words fit Hydra's grammar.
"""

from __future__ import annotations
