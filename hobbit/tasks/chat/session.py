"""The chat itself: lines in, answers and what commands say out."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace

from hobbit.config.catalogue import POLICY, choices
from hobbit.config.compose import policy_of, with_policy
from hobbit.config.schema import HobbitConfig, Output
from hobbit.engine.conversation import Conversation
from hobbit.engine.generation import Generation
from hobbit.engine.session import Session
from hobbit.engine.tokens import context_of
from hobbit.errors import ConfigError, HobbitError
from hobbit.report.budget import show_budget
from hobbit.report.chat_report import ChatReport
from hobbit.report.output import emit
from hobbit.report.progress import Progress
from hobbit.report.scene import Scene
from hobbit.tasks.chat.commands import Command, help_lines, parse
from hobbit.tasks.chat.interrupt import Interrupt
from hobbit.tasks.chat.lines import typed_lines
from hobbit.tasks.chat.shown import Shown
from hobbit.tasks.checks import check_names, check_options, refuse_oracle
from hobbit.tasks.inputs import DEFAULT_PROMPT, STANDARD_INPUT, given_prompt
from hobbit.tasks.live import Live, measures_of, prepare

CONTEXT = 4096
"""Tokens of KV cache that a chat reserves for, unless memory.context says it or the model has fewer."""

CUT = "(stopped)"
"""Ends an answer that was interrupted."""

GREETING = "Talk to {model}; /help lists the commands."


def chat(config: HobbitConfig, overrides: Sequence[str]) -> int:
    """Talk until /quit or the end of the input; returns the exit code. Raises HobbitError."""
    _check(config)
    first = given_prompt(config)
    with Progress() as progress:
        live = prepare(config, overrides, [first or DEFAULT_PROMPT], progress)
        progress.stage("encoding the experts")
        talk = Chat(live, overrides)
    try:
        talk.greet()
        if first is not None:
            talk.hear(first)
        for line in typed_lines():
            if not talk.hear(line):
                break
    finally:
        talk.close()
    return 0


def _check(config: HobbitConfig) -> None:
    check_options(config)
    refuse_oracle(config, "chat under another policy")
    if config.prompt == STANDARD_INPUT:
        raise ConfigError("chat=true reads its messages from standard input: leave prompt=- out")
    if config.out is not None:
        raise ConfigError("chat=true writes to the terminal: leave out= out, or redirect it")


class Chat:
    """A conversation, and the session that serves its model under one policy at a time."""

    def __init__(self, live: Live, overrides: Sequence[str]) -> None:
        self._live = live
        self._overrides = overrides
        self._policy = policy_of(overrides)
        self._text = live.config.output is Output.text
        self._session = self._open(live)
        self._conversation = self._converse([])

    def greet(self) -> None:
        """Say how this works, to somebody who reads it, and what there is to know of the run."""
        if self._text:
            print(GREETING.format(model=self._live.config.model.label))
            for note in (*self._live.calibration.notes, *self._session.notes):
                print(f"note: {note}")

    def hear(self, line: str) -> bool:
        """Answer a message or obey a command; False if it was to end the session. Errors become a line."""
        try:
            if line.startswith("/"):
                return self._obey(*parse(line))
            self._answer(line)
        except HobbitError as error:
            print(f"hobbit: error: {error}", file=sys.stderr)
        return True

    def close(self) -> None:
        """Give memory and threads back."""
        self._session.close(restore=False)

    def _obey(self, command: Command, argument: str) -> bool:
        if command is Command.quit:
            return False
        if command is Command.reset:
            self._conversation.reset()
        elif command is Command.stats:
            emit(self._report(), self._live.config.output, None)
        elif command is Command.policy and argument:
            self._switch(argument)
        else:
            print("\n".join(help_lines()) if command is Command.help else self._policy)
        return True

    def _answer(self, text: str) -> None:
        shown = Shown(_write, self._conversation.hidden)
        with Interrupt() as stopped:
            generation = self._conversation.answer(
                text,
                self._live.options(self._session),
                self._session.assembly.runtime.device.now_ns,
                shown if self._text else None,
                stopped,
            )
        self._session.attachment.settle()
        if self._text:
            shown.end()
            _write(f" {CUT}\n" if stopped.wanted else "\n")
        else:
            _write(json.dumps(self._row(generation, stopped.wanted), ensure_ascii=False) + "\n")

    def _row(self, generation: Generation, interrupted: bool) -> dict[str, object]:
        return {
            "role": "assistant",
            "content": generation.text,
            "prompt_tokens": len(generation.prompt_ids),
            "tokens": len(generation.token_ids),
            "tokens_per_s": generation.tokens_per_second,
            "interrupted": interrupted,
            "policy": self._policy,
        }

    def _switch(self, policy: str) -> None:
        """Go on under another policy: its cache is cold, what was said is still known."""
        check_names(POLICY, [policy], choices(POLICY))
        config = with_policy(self._overrides, policy)
        refuse_oracle(config, "choose another policy")
        self._live = self._live.restored(self._session)
        self._live.calibration.notes.clear()  # they spoke of the other policy
        try:
            fitted = self._live.calibration.fit(config, self._overrides)
            self._session = self._open(replace(self._live, config=fitted))
            self._live, self._policy = replace(self._live, config=fitted), policy
        except HobbitError:
            self._session = self._open(self._live)
            raise
        finally:
            self._conversation = self._converse(self._conversation.messages)

    def _open(self, live: Live) -> Session:
        session = live.open(tokens=min(CONTEXT, context_of(live.model) or CONTEXT), record=False)
        show_budget(session.assembly)
        return session

    def _converse(self, messages: list[dict[str, str]]) -> Conversation:
        """A conversation with the session's model that remembers `messages`."""
        session = self._session
        length = session.assembly.plan.context if session.attachment.static_cache else None
        conversation = Conversation(session.model, session.tokenizer, length)
        conversation.messages = messages
        return conversation

    def _report(self) -> ChatReport:
        notes = [*self._live.calibration.notes, *self._session.notes]
        scene = Scene.of(self._live.config, self._session.assembly, notes)
        return ChatReport(scene, self._policy, self._conversation.turns, measures_of(self._session))


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
