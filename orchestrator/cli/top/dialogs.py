"""The dialogs of `orch top`: a confirmation, a reason, and the list of keys."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Input, Static


class Confirmation(ModalScreen[bool]):
    """Asks a question; only `y` confirms it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "Yes"),
        Binding("n,escape,q", "dismiss(False)", "No"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Lay the question out."""
        with Vertical():
            yield Static(self._question, markup=False)
            yield Static("\ny yes   n, Esc no", markup=False)


class ReasonDialog(ModalScreen[str]):
    """Asks for a reason; the result is empty if it was cancelled."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss('')", "Cancel")]

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title

    def compose(self) -> ComposeResult:
        """Lay the title and the input out."""
        with Vertical():
            yield Static(self._title, markup=False)
            yield Input(placeholder="the reason, for the audit", compact=True)
            yield Static("\nEnter go on   Esc cancel", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the reason; an empty one is none."""
        if reason := event.value.strip():
            self.dismiss(reason)


class KeyList(ModalScreen[None]):
    """Lists the keys until one is pressed."""

    def __init__(self, lines: str) -> None:
        super().__init__()
        self._lines = lines

    def compose(self) -> ComposeResult:
        """Lay the list out."""
        with Vertical():
            yield Static(self._lines, markup=False)

    def on_key(self, event: Key) -> None:
        """Close the list; the key does nothing else."""
        event.stop()
        event.prevent_default()
        self.dismiss()
